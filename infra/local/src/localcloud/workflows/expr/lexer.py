"""Cuts the text of an expression into tokens.

Does not know about: grammar, YAML quoting, the `${` and `}` around the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from localcloud.workflows.expr.tokens import (
    CONSTANTS,
    SYMBOLS,
    WORD_OPERATORS,
    ExpressionError,
    Token,
    TokenKind,
)

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?")
_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in SYMBOLS))
_PLAIN = re.compile(r"""[^"'\\]+""")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {
    '"': '"', "'": "'", "\\": "\\", "/": "/", "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f",
    "a": "\a", "v": "\v", "0": "\0",
}  # fmt: skip
_INTEGER_LIMIT = 2**63
_MAX_INTEGER_DIGITS = 40


def tokenize(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`, an END token last.

    Raises:
        ExpressionError: a character or literal that the language does not have.
    """
    offset = _skip_space(text, 0)
    while offset < len(text):
        token, offset = _next_token(text, offset)
        yield token
        offset = _skip_space(text, offset)
    yield Token(TokenKind.END, "", len(text))


def _skip_space(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _next_token(text: str, offset: int) -> tuple[Token, int]:
    if word := _WORD.match(text, offset):
        return _word(word.group(), offset), word.end()
    if number := _NUMBER.match(text, offset):
        return _number(number, text), number.end()
    if text[offset] in "\"'":
        return _string(text, offset)
    if symbol := _SYMBOL.match(text, offset):
        return Token(TokenKind.OPERATOR, symbol.group(), offset), symbol.end()
    raise ExpressionError(f"token recognition error at: '{text[offset]}'", offset)


def _word(word: str, offset: int) -> Token:
    if word in WORD_OPERATORS:
        return Token(TokenKind.OPERATOR, WORD_OPERATORS[word], offset, value=word)
    if word in CONSTANTS:
        return Token(TokenKind.CONSTANT, word, offset, value=CONSTANTS[word])
    return Token(TokenKind.NAME, word, offset)


def _number(match: re.Match[str], text: str) -> Token:
    digits, offset = match.group(), match.start()
    if _WORD.match(text, match.end()):
        raise ExpressionError(f"token recognition error at: '{digits}{text[match.end()]}'", offset)
    if match["fraction"] or match["exponent"]:
        number = float(digits)
        if not math.isfinite(number):
            raise ExpressionError(f"number out of range: {digits}", offset)
        return Token(TokenKind.DOUBLE, digits, offset, value=number)
    # 2**63 itself passes: it may be the operand of a minus sign, which the parser checks.
    if len(digits) > _MAX_INTEGER_DIGITS or int(digits) > _INTEGER_LIMIT:
        raise ExpressionError(f"integer does not fit 64 bits: {digits}", offset)
    return Token(TokenKind.INTEGER, digits, offset, value=int(digits))


def _string(text: str, start: int) -> tuple[Token, int]:
    quote = text[start]
    parts: list[str] = []
    offset = start + 1
    while offset < len(text):
        char = text[offset]
        if char == quote:
            value = "".join(parts)
            return Token(TokenKind.STRING, text[start : offset + 1], start, value=value), offset + 1
        if char == "\\":
            piece, offset = _escape(text, offset)
        elif plain := _PLAIN.match(text, offset):
            piece, offset = plain.group(), plain.end()
        else:
            piece, offset = char, offset + 1
        parts.append(piece)
    raise ExpressionError("string is not closed", start)


def _escape(text: str, offset: int) -> tuple[str, int]:
    kind = text[offset + 1 : offset + 2]
    if kind in _ESCAPES:
        return _ESCAPES[kind], offset + 2
    if kind == "u" and (unit := _HEX4.match(text, offset + 2)):
        high = int(unit.group(), 16)
        if not 0xD800 <= high < 0xE000:
            return chr(high), offset + 6
        low = _HEX4.match(text, offset + 8) if text[offset + 6 : offset + 8] == "\\u" else None
        if high < 0xDC00 and low and 0xDC00 <= int(low.group(), 16) < 0xE000:
            return chr(0x10000 + ((high - 0xD800) << 10) + (int(low.group(), 16) - 0xDC00)), offset + 12
        raise ExpressionError("half a surrogate pair in a string", offset)
    raise ExpressionError(f"unknown escape in a string: '\\{kind}'", offset)
