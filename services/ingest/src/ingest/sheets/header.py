"""The roles that columns play, the titles we give them, and what a request says about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

from chassis.limited import Limited
from ingest.sheets.heading import heading_as_read, heading_key
from ingest.sheets.model import Problem, ProblemCode, ProblemList

MAX_SHOWN_TITLES: Annotated[
    int,
    Limited("titles", "the first ones", "Titles that a problem of the header names"),
] = 10
_MAX_TITLE_CHARS = 30
_MAX_SHOWN_CHARS = 160


class Role(StrEnum):
    """What a column can mean to us."""

    SERIAL = "serial"
    NAME = "name"
    URLS = "urls"
    OUTPUT = "output"
    ERRORS = "errors"


ROLE_TITLES: dict[Role, str] = {
    Role.SERIAL: "S. No.",
    Role.NAME: "Product Name",
    Role.URLS: "Input Image Urls",
    Role.OUTPUT: "Output Image Urls",
    Role.ERRORS: "Image Errors",
}
"""The titles of our own sheets."""

OUTPUT_KEYS = frozenset({"outputimageurls", "outputimageurl", "outputurls"})
ERRORS_KEYS = frozenset({"imageerrors"})

OPTION_NAMES: dict[str, str] = {
    "quality": "quality",
    "format": "format",
    "maxwidth": "max_width",
    "maxheight": "max_height",
    "targetbytes": "target_bytes",
    "imagemetadata": "metadata",
    "imagebackground": "background",
    "imageanimated": "animated",
}
"""Key of a title to option: columns that set an option for their row, if their cells can.

The last three say `image`, because catalogues have columns such as `Background` that are about the product.
"""

OPTION_TITLES: dict[str, str] = {option: option for option in OPTION_NAMES.values()} | {
    "metadata": "image_metadata",
    "background": "image_background",
    "animated": "image_animated",
}
"""Option to the title of its column in sheets that we write."""

ColumnChoice = Mapping[str, Sequence[str]]
"""What a request says about columns: role or option to titles, e.g. `{"urls": ["Bild"], "format": []}`.

No title means that the sheet has no such column, whatever its headings look like.
"""

CHOOSABLE = (*(role.value for role in Role), *OPTION_NAMES.values())
"""The roles and options a request may choose columns for."""


def normalise(header: str) -> str:
    """Return what titles are compared by; see `heading_key`."""
    return heading_key(header)


def columns_titled(title: str, header: Sequence[str]) -> list[int]:
    """Return the columns that a title names: those spelled alike, else those read alike, else those of its key.

    A number at the end tells columns apart as long as one has it.
    """
    exact = [index for index, found in enumerate(header) if found.strip() == title.strip()]
    if exact:
        return exact
    read = heading_as_read(title)
    alike = [index for index, found in enumerate(header) if heading_as_read(found) == read]
    if alike:
        return alike
    whole, key = _letters(title), heading_key(title)
    same = [index for index, found in enumerate(header) if whole and _letters(found) == whole]
    return same or [index for index, found in enumerate(header) if key and heading_key(found) == key]


def chosen_columns(
    header: Sequence[str], chosen: ColumnChoice, problems: ProblemList, row: int
) -> dict[str, tuple[int, ...]]:
    """Return the columns that a request names, by role or option; what it names in vain goes to `problems`."""
    found = {
        what: _chosen(what, titles, header, problems, row, several=what == Role.URLS.value)
        for what, titles in chosen.items()
    }
    seen: dict[int, str] = {}
    for what, indexes in found.items():
        for index in indexes:
            if index in seen:
                message = f"The request names '{cut(header[index])}' as the {seen[index]} and as the {what} column."
                problems.add(Problem(row, header[index], ProblemCode.AMBIGUOUS_COLUMN, message))
            seen[index] = what
    return found


def shown_titles(header: Sequence[str]) -> str:
    """Return the first titles of a header in quotes, at most about 160 characters."""
    named = [title for title in header if title]
    if not named:
        return "none"
    shown: list[str] = []
    for title in named[:MAX_SHOWN_TITLES]:
        if shown and sum(map(len, shown)) > _MAX_SHOWN_CHARS:
            break
        shown.append(f"'{cut(title)}'")
    left = len(named) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


def cut(title: str) -> str:
    """Return a title, cut where it is too long for a message."""
    return title if len(title) <= _MAX_TITLE_CHARS else title[: _MAX_TITLE_CHARS - 1] + "…"


def _letters(title: str) -> str:
    return "".join(char for char in heading_as_read(title) if char.isalnum())


def _chosen(
    what: str, titles: Sequence[str], header: Sequence[str], problems: ProblemList, row: int, *, several: bool
) -> tuple[int, ...]:
    indexes: list[int] = []
    for title in titles:
        found = columns_titled(title, header)
        if found:
            indexes += [index for index in (found if several else found[:1]) if index not in indexes]
            continue
        message = (
            f"The request names '{cut(title)}' as the {what} column; the columns found are {shown_titles(header)}."
        )
        problems.add(Problem(row, title, ProblemCode.MISSING_COLUMN, message))
    return tuple(indexes)
