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
