"""Tokens of the expression language and the error of a text that has none.

Source: https://cloud.google.com/workflows/docs/reference/syntax/expressions
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class ExpressionError(Exception):
    """An expression that does not parse or does not link; `offset` counts characters from its first one."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


class TokenKind(Enum):
    """What a token is."""

    INTEGER = auto()
    DOUBLE = auto()
    STRING = auto()
    CONSTANT = auto()
    NAME = auto()
    OPERATOR = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text: `text` as written (word operators in lower case), `value` for literals."""

    kind: TokenKind
    text: str
    offset: int
    value: object = None


CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL"), None),
}

# Lower or upper case, never mixed: `And` is a name.
WORD_OPERATORS: dict[str, str] = {
    spelling: word for word in ("and", "or", "not", "in") for spelling in (word, word.upper())
}

# Longest first: `//` before `/`.
SYMBOLS: tuple[str, ...] = (
    "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":",
)  # fmt: skip
