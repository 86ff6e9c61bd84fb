"""Who asks: the owner whose things a caller makes and sees. Pure.

Without API keys nobody can be told apart: everybody is the anonymous caller and sees what has no owner.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """What the caller makes is `owner`'s (None: nobody's), and it sees that owner's things, or everybody's."""

    owner: str | None
    sees_all: bool = False


ANONYMOUS = Caller(None)
"""Everybody, where there are no keys."""

SYSTEM = Caller(None, sees_all=True)
"""Our own services, which the internal routes admit by their tokens."""

OWNER_HEADER = "X-Pressroom-Owner"
"""Between our services: whose things are meant; absent: what belongs to nobody."""

SEES_ALL_HEADER = "X-Pressroom-Sees-All"
"""Between our services: `1` for an admin, who sees everybody's."""


def owner_headers(caller: Caller) -> dict[str, str]:
    """Return the headers by which a service of ours asks another one for a caller that it has signed in."""
    headers = {} if caller.owner is None else {OWNER_HEADER: caller.owner}
    return headers | ({SEES_ALL_HEADER: "1"} if caller.sees_all else {})
