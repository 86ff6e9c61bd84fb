"""List requests: filters (`list_filter`), orders and pages, the same for every collection."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import camel_case
from localcloud.core.list_fields import Field, order_key
from localcloud.core.list_filter import parse_filter

T = TypeVar("T")

_MAX_SHOWN = 200


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
        GoogleError: INVALID_ARGUMENT for a malformed or unknown filter, order or page token.
    """
    if query.page_size < 0:
        raise invalid_argument("page_size must not be negative")
    size = min(query.page_size or collection.default_size, collection.maximum_size)
    is_wanted = parse_filter(query.filter, collection.fields)
    matching = [item for item in items if is_wanted(item)]
    ordered = _ordered(matching, query.order_by, collection)
    start = _start_of_page(ordered, query, key)
    page = ordered[start : start + size]
    more = start + size < len(ordered)
    return page, _token(query, key(page[-1])) if more else ""


def _ordered(items: list[T], text: str, collection: Collection) -> list[T]:
    """Return the items in the order of an AIP-132 `order_by`: `field [asc|desc], ...`."""
    if not text.strip():
        return items
    clauses = text.split(",")
    if len(clauses) > len(collection.sortable) > 0:
        raise invalid_argument(f"Invalid order_by: it names a field twice: {_shortened(text)}")
    for clause in reversed(clauses):
        match clause.split():
            case [name, *direction] if camel_case(name) in collection.sortable and direction in ([], ["asc"], ["desc"]):
                # Stable sorts from the last clause to the first give the order of all of them.
                key = order_key(collection.fields[camel_case(name)])
                items = sorted(items, key=key, reverse=direction == ["desc"])
            case _:
                known = ", ".join(sorted(collection.sortable)) or "none"
                raise invalid_argument(f"Invalid order_by at {_shortened(clause.strip())!r}; fields are {known}")
    return items


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _start_of_page(items: Sequence[T], query: ListQuery, key: Callable[[T], str]) -> int:
    if not query.page_token:
        return 0
    try:
        last, fingerprint = json.loads(base64.urlsafe_b64decode(query.page_token.encode()))
    except (ValueError, TypeError, RecursionError):
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
