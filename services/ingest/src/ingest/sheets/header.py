"""Which column is which: header names as people really write them, reduced to letters and digits and looked up."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ingest.sheets.model import Columns, Problem, ProblemCode, ProblemList


class Role(StrEnum):
    """What a column can mean to us."""

    SERIAL = "serial"
    NAME = "name"
    URLS = "urls"
    OUTPUT = "output"
    ERRORS = "errors"


@dataclass(frozen=True, slots=True)
class _RoleNames:
    """Normalised names in tiers: a weaker tier counts only where no column has a name of a stronger one.

    So `SKU` beside `Product Name` is an extra column, while `SKU` alone is the name.
    """

    title: str
    tiers: tuple[frozenset[str], ...]


ROLE_NAMES: dict[Role, _RoleNames] = {
    Role.SERIAL: _RoleNames(
        "S. No.",
        (frozenset({"sno", "slno", "srno", "serial", "serialno", "serialnumber"}), frozenset({"no", "index"})),
    ),
    Role.NAME: _RoleNames(
        "Product Name",
        (frozenset({"productname"}), frozenset({"product", "name", "title"}), frozenset({"sku", "handle"})),
    ),
    Role.URLS: _RoleNames(
        "Input Image Urls",
        (
            frozenset({"inputimageurls", "inputimageurl", "inputimageurlsurls", "inputurls", "inputurl"}),
            frozenset({"imageurls", "imageurl", "coverimageurl", "images", "image", "imagesrc", "imagelink"})
            | frozenset({"additionalimagelink", "additionalimages", "urls", "url"}),
        ),
    ),
    Role.OUTPUT: _RoleNames("Output Image Urls", (frozenset({"outputimageurls", "outputimageurl", "outputurls"}),)),
    Role.ERRORS: _RoleNames("Image Errors", (frozenset({"imageerrors"}),)),
}
_REQUIRED = (Role.NAME, Role.URLS)
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
"""Normalised header to option: columns that set an option for their row.

The last three say `image`, because catalogues have columns such as `Background` that are about the product.
"""

OPTION_TITLES: dict[str, str] = {option: option for option in OPTION_NAMES.values()} | {
    "metadata": "image_metadata",
    "background": "image_background",
    "animated": "image_animated",
}
"""Option to the title of its column in sheets that we write."""

ColumnChoice = Mapping[str, Sequence[str]]
"""What a request says about columns: role or option to header names, e.g. `{"urls": ["Bild"], "format": []}`.

No name means that the sheet has no such column, whatever its headers look like.
"""

CHOOSABLE = (*(role.value for role in Role), *OPTION_NAMES.values())
"""The roles and options a request may choose columns for."""


def normalise(header: str) -> str:
    """Return only the letters and digits, in NFKC and lower case: `S. No.` becomes `sno`."""
    return "".join(char for char in unicodedata.normalize("NFKC", header).lower() if char.isalnum())


def roles_found(header: Sequence[str], chosen: ColumnChoice) -> int:
    """Return how many of the roles that every sheet needs are in a header."""
    names = [normalise(title) for title in header]
    return sum(
        any(normalise(title) in names for title in chosen[role.value])
        if role.value in chosen
        else any(name in tier for tier in ROLE_NAMES[role].tiers for name in names)
        for role in _REQUIRED
    )


def find_columns(header: Sequence[str], problems: ProblemList, chosen: ColumnChoice) -> Columns | None:
    """Return the roles of the columns, or None after telling `problems` why not."""
    before = problems.count
    names = [normalise(title) for title in header]
    _refuse_repeated(header, names, problems)
    by_choice = {what: _chosen(what, titles, header, names, problems) for what, titles in chosen.items()}
    _refuse_two_roles(by_choice, header, problems)
    # A column that was chosen for one role is not found for another by its name.
    taken = {index for indexes in by_choice.values() for index in indexes}
    free = ["" if index in taken else name for index, name in enumerate(names)]
    found: dict[Role, tuple[int, ...]] = {}
    for role in Role:
        if role.value in by_choice:
            found[role] = by_choice[role.value]
        else:
            index = _find(role, header, free, problems)
            found[role] = () if index is None else (index,)
    options = {OPTION_NAMES[name]: index for index, name in enumerate(free) if name in OPTION_NAMES}
    options = {option: index for option, index in options.items() if option not in chosen}
    options |= {what: by_choice[what][0] for what in OPTION_NAMES.values() if by_choice.get(what)}
    if problems.count > before:
        return None
    return Columns(
        serial=_only(found[Role.SERIAL]),
        name=_only(found[Role.NAME]),
        urls=found[Role.URLS],
        output=_only(found[Role.OUTPUT]),
        errors=_only(found[Role.ERRORS]),
        options=options,
    )


def _only(indexes: tuple[int, ...]) -> int | None:
    return indexes[0] if indexes else None


def _chosen(
    what: str, titles: Sequence[str], header: Sequence[str], names: Sequence[str], problems: ProblemList
) -> tuple[int, ...]:
    """Return the columns a request names for a role, exact spelling first."""
    indexes: list[int] = []
    for title in titles:
        wanted = normalise(title)
        exact = [index for index, found in enumerate(header) if found == title.strip()]
        alike = [index for index, name in enumerate(names) if wanted and name == wanted]
        if exact or alike:
            indexes.append((exact or alike)[0])
            continue
        shown = ", ".join(f"'{column}'" for column in header[:20]) or "none"
        problems.add(
            Problem(
                1,
                title,
                ProblemCode.MISSING_COLUMN,
                f"The request names '{title}' as the {what} column; the columns found are {shown}.",
            )
        )
    return tuple(indexes)


def _refuse_two_roles(by_choice: Mapping[str, tuple[int, ...]], header: Sequence[str], problems: ProblemList) -> None:
    seen: dict[int, str] = {}
    for what, indexes in by_choice.items():
        for index in indexes:
            if index in seen:
                message = f"The request names '{header[index]}' as the {seen[index]} and as the {what} column."
                problems.add(Problem(1, header[index], ProblemCode.AMBIGUOUS_COLUMN, message))
            seen[index] = what


def _find(role: Role, header: Sequence[str], names: Sequence[str], problems: ProblemList) -> int | None:
    for tier in ROLE_NAMES[role].tiers:
        matches = [index for index, name in enumerate(names) if name in tier]
        if len(matches) > 1:
            both = " and ".join(f"'{header[index]}'" for index in matches)
            # The same words twice are told once, as a repeated header.
            if len({names[index] for index in matches}) > 1:
                problems.add(
                    Problem(
                        1,
                        header[matches[1]],
                        ProblemCode.AMBIGUOUS_COLUMN,
                        f"The columns {both} could both be the {role} column; rename one, or say which in `columns`.",
                    )
                )
        if matches:
            return matches[0]
    if role in _REQUIRED:
        problems.add(_missing(role, header, names))
    return None


def _missing(role: Role, header: Sequence[str], names: Sequence[str]) -> Problem:
    title = ROLE_NAMES[role].title
    aliases = [alias for tier in ROLE_NAMES[role].tiers for alias in tier]
    near = [
        header[index] for index, name in enumerate(names) if difflib.get_close_matches(name, aliases, n=1, cutoff=0.75)
    ]
    shown = ", ".join(f"'{column}'" for column in header[:20]) or "none"
    hint = f" Did you mean '{near[0]}' to be it?" if near else ""
    return Problem(
        1, title, ProblemCode.MISSING_COLUMN, f"There is no column '{title}'. The columns found are {shown}.{hint}"
    )


def _refuse_repeated(header: Sequence[str], names: Sequence[str], problems: ProblemList) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        # Columns without a name are common (trailing commas) and harm nobody.
        if not name:
            continue
        if name in seen:
            first = seen[name]
            problems.add(
                Problem(
                    1,
                    header[index],
                    ProblemCode.DUPLICATE_HEADER,
                    f"Columns {first + 1} and {index + 1} have the same name: '{header[first]}' and '{header[index]}'.",
                )
            )
        else:
            seen[name] = index
