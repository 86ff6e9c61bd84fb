"""Parses expressions: a Pratt parser over a table of binding powers.

The documented precedence has one surprise: `not` binds tighter than every binary operator, so `not a == b` means
`(not a) == b`. Chosen over a grammar generator because the whole language is one table and some thirty lines of rules.

Source: https://cloud.google.com/workflows/docs/reference/syntax/expressions
"""

from __future__ import annotations

from localcloud.workflows.expr.lexer import tokenize
from localcloud.workflows.expr.nodes import (
    Binary,
    Call,
    Index,
    ListDisplay,
    Literal,
    MapDisplay,
    Member,
    Name,
    Node,
    Unary,
    dotted_name,
)
from localcloud.workflows.expr.tokens import ExpressionError, Token, TokenKind

_BINARY_POWER: dict[str, int] = {
    "or": 10,
    "and": 20,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 30),
    **dict.fromkeys(("+", "-"), 40),
    **dict.fromkeys(("*", "/", "//", "%"), 50),
}
_MINUS_POWER = 60
_NOT_POWER = 70
_POSTFIX_POWER = 80

MAX_NESTING = 100
"""How deep parentheses, brackets and signs may nest; 400 characters allow no sensible expression to get there."""

_LITERALS = frozenset({TokenKind.INTEGER, TokenKind.DOUBLE, TokenKind.STRING, TokenKind.CONSTANT})


def parse_expression(text: str) -> Node:
    """Parse the text between `${` and `}`.

    Raises:
        ExpressionError: with the offset of the fault.
    """
    parser = _Parser(text)
    node = parser.expression(0)
    parser.expect_end()
    return node


def parse_reference(text: str) -> Node:
    """Parse the left side of an assignment: a variable followed by keys and indices, such as `m.list[i + 1]["k"]`.

    Raises:
        ExpressionError: the text is anything else.
    """
    node = parse_expression(text)
    inner = node
    while isinstance(inner, Member | Index):
        inner = inner.target
    if not isinstance(inner, Name):
        raise ExpressionError(f"cannot assign to '{text}'", node.offset)
    return node


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokenize(text))
        self._next = 0
        self._depth = 0

    def expression(self, power: int) -> Node:
        """Parse as long as operators bind tighter than `power`."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ExpressionError(f"expression is nested deeper than {MAX_NESTING} levels", self._peek().offset)
        left = self._operand()
        while True:
            token = self._peek()
            if token.kind is not TokenKind.OPERATOR:
                break
            binding = _POSTFIX_POWER if token.text in {".", "[", "("} else _BINARY_POWER.get(token.text, 0)
            if binding <= power:
                break
            self._advance()
            left = self._postfix(left, token) if binding == _POSTFIX_POWER else self._binary(left, token, binding)
        self._depth -= 1
        return left

    def expect_end(self) -> None:
        """Refuse anything that follows a complete expression."""
        token = self._peek()
        if token.kind is TokenKind.END:
            return
        hint = "; write 'not (a in b)'" if token.text == "not" else ""
        raise ExpressionError(f"missing EOF at '{token.text}'{hint}", token.offset)

    def _operand(self) -> Node:
        token = self._advance()
        if token.kind in _LITERALS:
            return self._literal(token)
        if token.kind is TokenKind.NAME:
            return Name(token.text, token.offset)
        match token.text:
            case "(" if token.kind is TokenKind.OPERATOR:
                inner = self.expression(0)
                self._expect(")")
                return inner
            case "-":
                return self._negation(token)
            case "+":
                raise ExpressionError("there is no unary '+'", token.offset)
            case "not":
                return Unary("not", self.expression(_NOT_POWER - 1), token.offset)
            case "[":
                return ListDisplay(self._list_until("]"), token.offset)
            case "{":
                return self._map(token)
        what = "the end" if token.kind is TokenKind.END else f"'{token.text}'"
        raise ExpressionError(f"expected a value, found {what}", token.offset)

    def _literal(self, token: Token) -> Node:
        value = token.value
        if isinstance(value, int) and value > 2**63 - 1:
            raise ExpressionError(f"integer does not fit 64 bits: {token.text}", token.offset)
        assert value is None or isinstance(value, bool | int | float | str)
        return Literal(value, token.offset)

    def _negation(self, sign: Token) -> Node:
        token = self._peek()
        if token.kind is TokenKind.INTEGER and token.value == 2**63:
            self._advance()
            return Literal(-(2**63), sign.offset)
        return Unary("-", self.expression(_MINUS_POWER - 1), sign.offset)

    def _binary(self, left: Node, token: Token, binding: int) -> Node:
        return Binary(token.text, left, self.expression(binding), token.offset)

    def _postfix(self, left: Node, token: Token) -> Node:
        if token.text == ".":
            return Member(left, self._key(), left.offset)
        if token.text == "[":
            index = self.expression(0)
            self._expect("]")
            return Index(left, index, left.offset)
        function = dotted_name(left)
        if function is None:
            raise ExpressionError("only functions and subworkflows can be called", token.offset)
        return Call(function, self._list_until(")"), left.offset)

    def _key(self) -> str:
        token = self._advance()
        if token.kind in {TokenKind.NAME, TokenKind.CONSTANT}:
            return token.text
        # After a dot even `in` is a key; the token's value keeps the spelling.
        if token.kind is TokenKind.OPERATOR and isinstance(token.value, str):
            return token.value
        raise ExpressionError(f"expected a key after '.', found '{token.text}'", token.offset)

    def _list_until(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if not self._take(closing):
            items.append(self.expression(0))
            while self._take(","):
                items.append(self.expression(0))
            self._expect(closing)
        return tuple(items)

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        if not self._take("}"):
            entries.append(self._entry())
            while self._take(","):
                entries.append(self._entry())
            self._expect("}")
        return MapDisplay(tuple(entries), opening.offset)

    def _entry(self) -> tuple[Node, Node]:
        key = self.expression(0)
        self._expect(":")
        return key, self.expression(0)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._tokens[self._next]
        if token.kind is not TokenKind.END:
            self._next += 1
        return token

    def _take(self, symbol: str) -> bool:
        token = self._peek()
        if token.kind is TokenKind.OPERATOR and token.text == symbol:
            self._next += 1
            return True
        return False

    def _expect(self, symbol: str) -> None:
        token = self._peek()
        if not self._take(symbol):
            found = "the end" if token.kind is TokenKind.END else f"'{token.text}'"
            raise ExpressionError(f"expected '{symbol}', found {found}", token.offset)
