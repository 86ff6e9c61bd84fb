"""List requests: filters, orders and pages, the same for every collection.

The filter is the conjunctive part of https://google.aip.dev/160: `field op value AND ...`. What it leaves out (OR, NOT,
parentheses, functions) is refused as UNIMPLEMENTED, never ignored.
"""

from __future__ import annotations

import base64
import hashlib
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar

from localcloud.google_errors import invalid_argument, unimplemented

T = TypeVar("T")
Field = Callable[[Any], Any]
"""Reads the comparable value of a field from an item; a mapping makes `field.key` and `field:key` work."""

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_]\w*(?:\.[\w-]+)?)\s*(?P<op><=|>=|!=|=|<|>|:)\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s()"]+)\s*"""
)
_UNSUPPORTED = re.compile(r"(?:^|\s)(?:OR|NOT)\s|[()]|^\s*-")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The list parameters of one request."""

    page_size: int = 0
    page_token: str = ""
    filter: str = ""
    order_by: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """How one collection may be listed: page sizes, and the fields that filters and orders may name."""

    default_size: int
    maximum_size: int
    fields: Mapping[str, Field]
    sortable: frozenset[str] = frozenset()


def list_page(
    items: Sequence[T], query: ListQuery, collection: Collection, *, key: Callable[[T], str]
) -> tuple[list[T], str]:
    """Return one page of `items`, and the token of the next page or ``.

    Args:
        items: the whole collection in its default order.
        query: what the request asked for.
        collection: what it may ask for.
        key: a unique text of an item; page tokens name the last item of a page by it.

    Raises:
        GoogleError: INVALID_ARGUMENT for a malformed or unknown filter, order or page token; UNIMPLEMENTED for a
            filter beyond a conjunction.
    """
    if query.page_size < 0:
        raise invalid_argument("page_size must not be negative")
    size = min(query.page_size or collection.default_size, collection.maximum_size)
    matching = _filtered(items, query.filter, collection)
    ordered = _ordered(matching, query.order_by, collection)
    start = _start_of_page(ordered, query, key)
    page = ordered[start : start + size]
    more = start + size < len(ordered)
    return page, _token(query, key(page[-1])) if more else ""


def _filtered(items: Sequence[T], text: str, collection: Collection) -> list[T]:
    if not text.strip():
        return list(items)
    outside_quotes = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    if _UNSUPPORTED.search(outside_quotes):
        raise unimplemented(f"localcloud filters by terms joined with AND only, not by: {text}")
    tests = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise invalid_argument(f"Invalid filter at character {position + 1}: {text}")
        tests.append(_test(match["field"], match["op"], match["value"], collection))
        position = match.end()
        if text.startswith("AND ", position):
            position += len("AND ")
    return [item for item in items if all(test(item) for test in tests)]


def _test(name: str, op: str, value: str, collection: Collection) -> Callable[[Any], bool]:
    field, _, sub_key = name.partition(".")
    read = _field(field, collection, "filter")
    wanted = json.loads(value) if value.startswith('"') else value

    def holds(item: Any) -> bool:
        actual = read(item)
        if isinstance(actual, Mapping):
            return _mapping_holds(actual, sub_key, op, wanted)
        if op == ":":
            return str(wanted) in str(actual)
        if actual is None:
            return op == "!="
        return _COMPARISONS[op](*_comparable(actual, wanted, name))

    return holds


def _mapping_holds(actual: Mapping[str, str], key: str, op: str, wanted: str) -> bool:
    if op == ":" and not key:
        return wanted in actual
    if not key:
        raise invalid_argument(f"Name a key of the map, as in labels.team{op}{wanted}")
    return key in actual and _COMPARISONS["=" if op == ":" else op](actual[key], wanted)


def _comparable(actual: Any, wanted: str, name: str) -> tuple[Any, Any]:
    match actual:
        case bool():
            return actual, wanted.lower() == "true"
        case IntEnum():
            return actual.name, wanted
        case int() | float():
            try:
                return actual, float(wanted.removesuffix("s"))
            except ValueError:
                raise invalid_argument(f"Invalid filter: {name} is a number, {wanted!r} is none") from None
        case _:
            return str(actual), wanted


def _ordered(items: list[T], text: str, collection: Collection) -> list[T]:
    for clause in reversed([part.strip() for part in text.split(",") if part.strip()]):
        name, _, direction = clause.partition(" ")
        if name not in collection.sortable or direction.strip() not in ("", "asc", "desc"):
            raise invalid_argument(f"Invalid order_by: {text}; fields are {', '.join(sorted(collection.sortable))}")
        read = _field(name, collection, "order_by")
        # Stable sorts from the last clause to the first give the order of all of them.
        items = sorted(items, key=lambda item: _sort_key(read(item)), reverse=direction.strip() == "desc")
    return items


def _sort_key(value: Any) -> tuple[bool, Any]:
    if isinstance(value, IntEnum):
        return True, value.name
    return value is not None, value if value is not None else 0


def _field(name: str, collection: Collection, where: str) -> Field:
    try:
        return collection.fields[name]
    except KeyError:
        known = ", ".join(sorted(collection.fields)) or "none"
        raise invalid_argument(f"Invalid {where}: no field {name!r}; fields are {known}") from None


def _start_of_page(items: Sequence[T], query: ListQuery, key: Callable[[T], str]) -> int:
    if not query.page_token:
        return 0
    try:
        last, fingerprint = json.loads(base64.urlsafe_b64decode(query.page_token.encode()))
    except ValueError:
        raise invalid_argument("The page token is not one of this server") from None
    if fingerprint != _fingerprint(query):
        raise invalid_argument("The page token belongs to a list with another filter or order")
    for index, item in enumerate(items):
        if key(item) == last:
            return index + 1
    raise invalid_argument("The page token has expired: the item it points at is gone")


def _token(query: ListQuery, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, _fingerprint(query)]).encode()).decode()


def _fingerprint(query: ListQuery) -> str:
    return hashlib.sha256(f"{query.filter}\n{query.order_by}".encode()).hexdigest()[:8]
