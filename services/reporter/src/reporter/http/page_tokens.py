"""Page tokens: where the next page begins, bound to the list they were given for. Pure.

They are no secrets and carry no rights: a list is filtered by what its caller may see, whatever a token says.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from reporter.errors import page_token_invalid


@dataclass(frozen=True, slots=True)
class Place:
    """The last entry of a page; lists are ordered by time and id."""

    time: datetime
    id: UUID


def page_token(scope: str, last: Place) -> str:
    """Return the token of the page after `last` in the list named `scope`."""
    content = json.dumps([scope, last.time.isoformat(), str(last.id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def place_of(scope: str, token: str) -> Place | None:
    """Return where the page begins; None for the first page (an empty token).

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID, also for the token of another list.
    """
    if not token:
        return None
    try:
        content = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
        match content:
            case [str(given), str(time), str(entry)] if given == scope:
                place = Place(datetime.fromisoformat(time), UUID(entry))
            case _:
                raise page_token_invalid()
    except (binascii.Error, ValueError, RecursionError) as error:
        raise page_token_invalid() from error
    if place.time.tzinfo is None:
        raise page_token_invalid()
    return place
