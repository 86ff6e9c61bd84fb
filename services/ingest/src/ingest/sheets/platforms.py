"""Exports and templates of shop platforms, recognised by titles that together only they have; see the data."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from ingest.sheets.heading import heading_key


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of sheet: its title in answers, how it is recognised, and what its columns mean.

    `signs` are titles of which `needs` must be there, and one of `must`; `pictures`, `name` and `group` are the titles
    of its columns; `copies` are keys of titles under which smaller copies stand; `seen` says where the titles are
    documented.
    """

    title: str
    signs: tuple[str, ...]
    must: tuple[str, ...]
    needs: int
    pictures: tuple[str, ...]
    name: str
    group: str
    copies: frozenset[str]
    note: str
    seen: str


def find_platform(header: Sequence[str]) -> Platform | None:
    """Return the platform of which the header has the most signs, if it has enough of any."""
    keys = {heading_key(title) for title in header}
    enough = [
        (found, platform)
        for platform in platforms()
        if any(heading_key(sign) in keys for sign in platform.must)
        and (found := sum(key in keys for key in {heading_key(sign) for sign in platform.signs})) >= platform.needs
    ]
    return max(enough, key=lambda pair: pair[0])[1] if enough else None


@cache
def platforms() -> tuple[Platform, ...]:
    """Return every platform that is known, in the order of the data."""
    document = tomllib.loads(resources.files("ingest.sheets").joinpath("data/platforms.toml").read_text("utf-8"))
    return tuple(
        Platform(
            title=entry["title"],
            signs=tuple(entry["signs"]),
            must=tuple(entry["must"]),
            needs=entry["needs"],
            pictures=tuple(entry["pictures"]),
            name=entry["name"],
            group=entry.get("group", ""),
            copies=frozenset(heading_key(title) for title in entry.get("copies", ())),
            note=entry["note"],
            seen=entry["seen"],
        )
        for entry in document["platforms"]
    )
