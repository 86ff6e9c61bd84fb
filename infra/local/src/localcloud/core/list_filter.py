"""Parses the filter of a list request: comparisons joined with AND, OR, NOT and parentheses.

The grammar is that of https://google.aip.dev/160, where OR binds tighter than AND, and AND may be left out. What
services need not have (functions, bare values, values in parentheses) is an error with its position.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import camel_case
from localcloud.core.list_fields import Field, Operator, Predicate, comparison

MAX_DEPTH = 50
"""How deeply parentheses may nest; AIP-160 gives no bound."""

MAX_FILTER_CHARACTERS = 10_000
MAX_COMPARISONS = 100
"""In one filter (assumed): every item of a list may be compared with each."""

_BLANKS = re.compile(r"\s*")
_WORD = re.compile(r"[A-Za-z_]\w*")
_KEY = re.compile(r"[\w-]+")
_OPERATOR = re.compile(r"<=|>=|!=|=|<|>|:")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_BARE_VALUE = re.compile(r"[^\s()\"',]+")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def parse_filter(text: str, fields: Mapping[str, Field]) -> Predicate:
    """Return the test that a filter asks for; an empty filter wants everything.

    Field names may be written in camelCase or snake_case; a field of a message is named `message.field`.

    Raises:
        GoogleError: INVALID_ARGUMENT, naming the character and the reason.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise invalid_argument(f"The filter is longer than {MAX_FILTER_CHARACTERS} characters")
    return _Parser(text, fields).parse() if text.strip() else lambda _: True


class _Parser:
    """Reads a filter from left to right; every method leaves `_position` behind what it read."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text = text
        self._fields = fields
        self._position = 0
        self._depth = 0
        self._comparisons = 0

    def parse(self) -> Predicate:
        test = self._expression()
        if not self._at_end():
            self._fail("a parenthesis was not opened" if self._sees(")") else "AND, OR or the end is wanted")
        return test

    def _expression(self) -> Predicate:
        """Read `sequence {AND sequence}`; a sequence is terms without AND between them, which means the same."""
        tests = [self._factor()]
        while not self._at_end() and not self._sees(")"):
            self._take_word("AND")
            tests.append(self._factor())
        return _every(tests)

    def _factor(self) -> Predicate:
        """Read `term {OR term}`."""
        tests = [self._term()]
        while self._take_word("OR"):
            tests.append(self._term())
        return _any(tests)

    def _term(self) -> Predicate:
        """Read `[NOT | -] (comparison | "(" expression ")")`."""
        is_negated = self._take("-") or self._take_word("NOT")
        test = self._parenthesis() if self._sees("(") else self._comparison()
        return _negation(test) if is_negated else test

    def _parenthesis(self) -> Predicate:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses nest deeper than {MAX_DEPTH}")
        self._take("(")
        test = self._expression()
        if not self._take(")"):
            self._fail("a closing parenthesis is missing")
        self._depth -= 1
        return test

    def _comparison(self) -> Predicate:
        start = self._blanks()
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            self._fail(f"there are more than {MAX_COMPARISONS} comparisons", start)
        name = self._read(_WORD, "a field is wanted")
        if name in ("AND", "OR", "NOT"):
            self._fail(f"a field is wanted before {name}", start)
        if self._text.startswith("(", self._position):
            self._fail("functions are not supported", start)
        key = self._key()
        field = self._fields.get(camel_case(name))
        if (part := self._fields.get(f"{camel_case(name)}.{camel_case(key)}")) is not None:
            field, key = part, ""
        if field is None:
            known = ", ".join(sorted(self._fields)) or "none"
            self._fail(f"there is no field {name!r}; fields are {known}", start)
        op = cast(Operator, self._read(_OPERATOR, f"an operator is wanted after {name!r}"))
        if self._sees("("):
            self._fail("a value in parentheses is not supported")
        value = self._value()
        try:
            return comparison(field, key, op, value)
        except ValueError as error:
            self._fail(f"{name}: {error}", start)

    def _key(self) -> str:
        if not self._text.startswith(".", self._position):
            return ""
        self._position += 1
        if self._text.startswith(('"', "'"), self._position):
            return self._value()
        return self._read(_KEY, "a key is wanted after the dot")

    def _value(self) -> str:
        start = self._blanks()
        if self._text.startswith(('"', "'"), start):
            quoted = self._read(_STRING, "a closing quote is missing")
            return _ESCAPE.sub(r"\1", quoted[1:-1])
        return self._read(_BARE_VALUE, "a value is wanted")

    def _read(self, pattern: re.Pattern[str], reason: str) -> str:
        match = pattern.match(self._text, self._blanks())
        if match is None:
            self._fail(reason)
        self._position = match.end()
        return match[0]

    def _take(self, character: str) -> bool:
        if not self._sees(character):
            return False
        self._position += 1
        return True

    def _take_word(self, word: str) -> bool:
        match = _WORD.match(self._text, self._blanks())
        if match is None or match[0] != word:
            return False
        self._position = match.end()
        return True

    def _sees(self, character: str) -> bool:
        return self._text.startswith(character, self._blanks())

    def _at_end(self) -> bool:
        return self._blanks() == len(self._text)

    def _blanks(self) -> int:
        match = _BLANKS.match(self._text, self._position)
        assert match is not None
        self._position = match.end()
        return self._position

    def _fail(self, reason: str, position: int | None = None) -> NoReturn:
        at = self._position if position is None else position
        raise invalid_argument(f"Invalid filter at character {at + 1}: {reason}: {self._text}")


def _every(tests: list[Predicate]) -> Predicate:
    def holds(item: Any) -> bool:
        return all(test(item) for test in tests)

    return tests[0] if len(tests) == 1 else holds


def _any(tests: list[Predicate]) -> Predicate:
    def holds(item: Any) -> bool:
        return any(test(item) for test in tests)

    return tests[0] if len(tests) == 1 else holds


def _negation(test: Predicate) -> Predicate:
    return lambda item: not test(item)
