"""Page tokens: where the next page of a list begins, bound to the list that they were given for. Pure.

They are no secrets and carry no rights: a list is filtered by what its caller may see, whatever a token says. A token
is ours only if making it again from what it says gives the very same text; so nothing reaches a query but values that
this module can write itself: times in UTC with microseconds, ids, and row numbers.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import Field

from chassis.errors import ApiError, SharedReason, Status
from chassis.limited import Limited
from chassis.limits import over_limit_facts
from chassis.times import parse_rfc3339, rfc3339

MAX_PAGE_TOKEN_CHARS: Annotated[
    int, Limited("characters", "400 `PAGE_TOKEN_INVALID`", "Longest page_token", name="max_page_token_characters")
] = 1000

_MAX_ROW_NUMBER = 2**31 - 1

# The limit is told in the document and checked here: a token that is too long is refused like any other.
PageToken = Annotated[
    str,
    Field(description="next_page_token of the page before", json_schema_extra={"maxLength": MAX_PAGE_TOKEN_CHARS}),
]
"""The `page_token` parameter of a list."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry of a page of a list that is ordered by time and id."""

    time: datetime
    id: UUID


_P = TypeVar("_P", Position, int, tuple[int, int])


def page_token(scope: str, last: Position | int | tuple[int, int]) -> str:
    """Return the token of the page after `last`.

    Args:
        scope: names the list with its filters, e.g. `requests/PENDING`; a token of another scope is refused.
        last: the last entry of the page; an int is a row number, for lists that are ordered by it, and two are a row
            number and a slot.
    """
    position: list[int | str]
    match last:
        case int():
            position = [int(last)]
        case (row_number, slot):
            position = [int(row_number), int(slot)]
        case Position():
            position = [rfc3339(last.time), str(last.id)]
    content = json.dumps([scope, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def position_of(scope: str, token: str) -> Position | None:
    """Return after which entry the page begins; None for the first page (an empty token).

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    match _content(token):
        case []:
            return None
        case [str(given), str(time), str(entry)] if given == scope:
            try:
                found = Position(parse_rfc3339(time), UUID(entry))
            except ValueError as error:
                raise _not_ours() from error
            return _if_ours(scope, token, found)
    raise _not_ours()


def row_number_of(scope: str, token: str) -> int:
    """Return after which row number the page begins; 0 for the first page (an empty token).

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    match _content(token):
        case []:
            return 0
        case [str(given), int(number)] if given == scope and 0 < number <= _MAX_ROW_NUMBER:
            return _if_ours(scope, token, number)
    raise _not_ours()


def slot_of(scope: str, token: str) -> tuple[int, int]:
    """Return after which row number and slot the page begins; (0, 0), where no slot is, for the first page.

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    match _content(token):
        case []:
            return 0, 0
        case [str(given), int(number), int(slot)] if (
            given == scope and 0 < number <= _MAX_ROW_NUMBER and 0 <= slot <= _MAX_ROW_NUMBER
        ):
            return _if_ours(scope, token, (number, slot))
    raise _not_ours()


def _content(token: str) -> list[Any]:
    """Return what a token holds, an empty list for an empty token."""
    if not token:
        return []
    if len(token) > MAX_PAGE_TOKEN_CHARS:
        facts = over_limit_facts("max_page_token_characters", limit=MAX_PAGE_TOKEN_CHARS, value=len(token))
        raise ApiError(
            Status.INVALID_ARGUMENT,
            SharedReason.PAGE_TOKEN_INVALID,
            f"The page_token has {len(token)} characters; the limit is {MAX_PAGE_TOKEN_CHARS}.",
            metadata=facts,
        )
    try:
        content = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _not_ours() from error
    if not isinstance(content, list) or not content:
        raise _not_ours()
    return content


def _if_ours(scope: str, token: str, position: _P) -> _P:
    if page_token(scope, position) != token:
        raise _not_ours()
    return position


def _not_ours() -> ApiError:
    return ApiError(
        Status.INVALID_ARGUMENT,
        SharedReason.PAGE_TOKEN_INVALID,
        "The page_token is not one that this request, with these parameters, was given.",
    )
