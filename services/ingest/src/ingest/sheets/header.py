"""Which column is which: header names as people really write them, reduced to letters and digits and looked up."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
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
        (frozenset({"productname"}), frozenset({"product", "name", "title", "sku", "handle"})),
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


def normalise(header: str) -> str:
    """Return only the letters and digits, in NFKC and lower case: `S. No.` becomes `sno`."""
    return "".join(char for char in unicodedata.normalize("NFKC", header).lower() if char.isalnum())


def find_columns(header: Sequence[str], problems: ProblemList) -> Columns | None:
    """Return the roles of the columns, or None after telling `problems` why not."""
    before = problems.count
    names = [normalise(title) for title in header]
    _refuse_repeated(header, names, problems)
    found = {role: _find(role, header, names, problems) for role in Role}
    if problems.count > before:
        return None
    urls = found[Role.URLS]
    assert urls is not None
    return Columns(
        serial=found[Role.SERIAL],
        name=found[Role.NAME],
        urls=(urls,),
        output=found[Role.OUTPUT],
        errors=found[Role.ERRORS],
    )


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
                        f"The columns {both} could both be the {role} column; rename one.",
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
