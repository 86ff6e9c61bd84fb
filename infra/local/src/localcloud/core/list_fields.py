"""The fields that a list can be filtered and ordered by: their types, and what a comparison with each means.

Types and operators are those of https://google.aip.dev/160; of what it leaves open, text compares by code point and `:`
on text means that it contains the value (assumed). Does not know about: the grammar of filters.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">=", ":"]
Predicate = Callable[[Any], bool]
"""Tells whether an item, or a field's value, is wanted."""

PRESENT = "*"
"""`field:*` asks whether the field is set."""

_MICROSECONDS = 1e6
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ":": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITY = ("=", "!=", ":")


@dataclass(frozen=True, slots=True)
class Text:
    """A string; `*` at either end of the value of `=` stands for anything."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Several strings: a comparison holds when it holds for one of them, `!=` when it holds for all."""


@dataclass(frozen=True, slots=True)
class Number:
    """An integer or double."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds, written `1.5s`."""


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds since the epoch, written as RFC 3339 or as a date; compared by the microsecond, as answers show it."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A member of an enumeration, by name; `prefix` may be left out, as Google's own examples do."""

    members: type[IntEnum]
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """A map of strings: `field:key` asks for a key, `field.key = value` compares."""


Kind = Text | Texts | Number | Duration | Time | Flag | Choice | Labels


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection's items; `read` returns None where an item does not have it."""

    read: Callable[[Any], Any]
    kind: Kind = Text()


def comparison(field: Field, key: str, op: Operator, wanted: str) -> Predicate:
    """Return the test `field[.key] op wanted` of items.

    Args:
        field: what is compared.
        key: the part after the dot, or ``.
        op: the operator.
        wanted: the value as written, without quotes.

    Raises:
        ValueError: the type has no such comparison; the message says why.
    """
    if isinstance(field.kind, Labels):
        holds = _label_test(key, op, wanted)
    elif key:
        raise ValueError("only a map has parts")
    elif op == ":" and wanted == PRESENT:
        return lambda item: field.read(item) not in (None, "", [])
    else:
        holds = _value_test(field.kind, op, wanted)
    return lambda item: _unless_absent(field.read(item), op, holds)


def order_key(field: Field) -> Callable[[Any], tuple[bool, Any]]:
    """Return the sort key of items; those without the field come first."""

    def key(item: Any) -> tuple[bool, Any]:
        value = field.read(item)
        if isinstance(value, IntEnum):
            value = value.name
        return value is not None, 0 if value is None else value

    return key


def _unless_absent(value: Any, op: Operator, holds: Predicate) -> bool:
    return op == "!=" if value is None else holds(value)


def _label_test(key: str, op: Operator, wanted: str) -> Predicate:
    if not key and op == ":":
        return lambda labels: bool(labels) if wanted == PRESENT else wanted in labels
    if not key:
        raise ValueError(f"name a key of the map, as in labels.team{op}{wanted}")
    if op == ":" and wanted == PRESENT:
        return lambda labels: key in labels
    same = _text_test("=" if op == ":" else op, wanted)
    return lambda labels: key in labels and same(labels[key])


def _value_test(kind: Kind, op: Operator, wanted: str) -> Predicate:
    match kind:
        case Text():
            return _text_test(op, wanted)
        case Texts():
            _check_equality(op)
            one = _text_test("=", wanted)
            return lambda values: any(map(one, values)) != (op == "!=")
        case Flag():
            _check_equality(op)
            if wanted not in ("true", "false"):
                raise ValueError("true or false is wanted")
            return _ordered(op, wanted == "true")
        case Choice():
            _check_equality(op)
            return _ordered(op, _member(kind, wanted))
        case Number():
            return _ordered(op, _number(wanted))
        case Duration():
            return _ordered(op, _number(wanted.removesuffix("s")))
        case Time():
            moment = _microseconds(_moment(wanted))
            return lambda value: _ORDER[op](_microseconds(value), moment)
        case Labels():
            return _label_test("", op, wanted)


def _ordered(op: Operator, wanted: Any) -> Predicate:
    compare = _ORDER[op]
    return lambda value: compare(value, wanted)


def _text_test(op: Operator, wanted: str) -> Predicate:
    if op == ":":
        return lambda value: wanted in value
    if op in ("=", "!=") and PRESENT in wanted:
        first, *middle, last = wanted.split(PRESENT)
        parts = [part for part in middle if part]
        return lambda value: _fits(value, first, parts, last) == (op == "=")
    return _ordered(op, wanted)


def _fits(value: str, first: str, middle: Sequence[str], last: str) -> bool:
    """Return whether a text begins and ends so, with the parts between in this order; a pattern would try every way."""
    end = len(value) - len(last)
    if not (value.startswith(first) and value.endswith(last) and len(first) <= end):
        return False
    position = len(first)
    for part in middle:
        found = value.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _check_equality(op: Operator) -> None:
    if op not in _EQUALITY:
        raise ValueError(f"it is not ordered, so {op} means nothing")


def _member(kind: Choice, name: str) -> IntEnum:
    members = kind.members.__members__
    found = members.get(name) or members.get(kind.prefix + name)
    if found is None:
        raise ValueError(f"{name!r} is none of {', '.join(members)}")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"a number is wanted, not {text!r}") from None


def _moment(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"a time such as 2023-08-01T00:00:00Z is wanted, not {text!r}") from None
    try:
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except OverflowError:
        raise ValueError(f"{text!r} is before the first year") from None


def _microseconds(seconds: float) -> int:
    return round(seconds * _MICROSECONDS)
