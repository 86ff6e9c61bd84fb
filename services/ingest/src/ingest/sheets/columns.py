"""Which column is which: titles and cells are judged together, and each choice has a reason that is told."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.sheets.evidence import Evidence, Look
from ingest.sheets.header import (
    ERRORS_KEYS,
    OPTION_NAMES,
    OUTPUT_KEYS,
    ROLE_TITLES,
    ColumnChoice,
    Role,
    chosen_columns,
    columns_titled,
    cut,
    shown_titles,
)
from ingest.sheets.heading import heading_as_read, heading_key
from ingest.sheets.model import ColumnReason, Columns, Problem, ProblemCode, ProblemList
from ingest.sheets.picture_columns import choose_pictures
from ingest.sheets.platforms import Platform
from ingest.sheets.row_options import can_be_option
from ingest.sheets.titles import keys_of

_NAME_TIERS = ("name1", "name2", "name3")
_SERIAL_TIERS = ("serial1", "serial2")
_NEAR_TITLES = 50
_NEAR_CHARS = 60
_CHOSEN = "the request names it"


@dataclass(frozen=True, slots=True)
class Judged:
    """The columns of a sheet, why each was chosen, and which others look like pictures."""

    columns: Columns
    reasons: tuple[ColumnReason, ...]
    other_pictures: tuple[ColumnReason, ...]
    warnings: tuple[Problem, ...]


@dataclass(slots=True)
class _Case:
    """A header with what its columns hold, and what has been decided so far."""

    header: Sequence[str]
    evidence: Sequence[Evidence]
    row: int
    taken: set[int]
    reasons: list[ColumnReason] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def take(self, what: str, index: int, reason: str) -> None:
        """Give a column a role."""
        self.taken.add(index)
        self.reasons.append(ColumnReason(what, index, self.header[index], reason))

    def warn(self, index: int, code: ProblemCode, message: str) -> None:
        """Add a warning about a column."""
        self.warnings.append(Problem(self.row, self.header[index], code, message))


def judge_columns(
    header: Sequence[str],
    evidence: Sequence[Evidence],
    chosen: ColumnChoice,
    problems: ProblemList,
    row: int,
    platform: Platform | None = None,
) -> Judged | None:
    """Return the columns of a header, or None after telling `problems` why not.

    `evidence` is that of each column, from a sample of the rows; `row` is the number of the header's row.
    """
    before = problems.count
    by_choice = chosen_columns(header, chosen, problems, row)
    if problems.count > before:
        return None
    case = _Case(header, evidence, row, {index for indexes in by_choice.values() for index in indexes})
    for what, indexes in by_choice.items():
        for index in indexes:
            case.take(what, index, _CHOSEN)
    output = _exact(case, by_choice, Role.OUTPUT, OUTPUT_KEYS)
    errors = _exact(case, by_choice, Role.ERRORS, ERRORS_KEYS)
    options = _options(case, by_choice)
    name = _name(case, by_choice, platform)
    serial = _only(by_choice[Role.SERIAL]) if Role.SERIAL in by_choice else _by_tiers(case, Role.SERIAL, _SERIAL_TIERS)
    urls = by_choice.get(Role.URLS)
    pictures = choose_pictures(header, evidence, case.taken, None if platform is None else platform.copies)
    if urls is None:
        urls = pictures.chosen
        for index in urls:
            case.take(Role.URLS, index, pictures.reasons[index])
        for index in pictures.doubted:
            case.warn(
                index,
                ProblemCode.LINKS_MAY_BE_PAGES,
                f"The links of '{cut(header[index])}' do not look like those of pictures; perhaps they are pages. The"
                " urls column can be named in `columns`.",
            )
    if not urls:
        problems.add(_no_pictures(header, pictures.pages, row))
        return None
    _refuse_links_as_titles(header, pictures.links_in_header, problems, row)
    if problems.count > before:
        return None
    looks = pictures.others | {index: pictures.reasons[index] for index in pictures.chosen if evidence[index].has_links}
    others = tuple(
        ColumnReason(Role.URLS, index, header[index], reason)
        for index, reason in sorted(looks.items())
        if index not in urls
    )
    for other in others:
        case.warn(
            other.index,
            ProblemCode.PICTURES_NOT_USED,
            f"The column '{cut(other.title)}' is not used although {other.reason}. Name it in `columns` to use it.",
        )
    group = _group(case, platform)
    columns = Columns(serial, name, tuple(urls), output, errors, options, group)
    return Judged(columns, tuple(sorted(case.reasons, key=lambda reason: reason.index)), others, tuple(case.warnings))


def _only(indexes: tuple[int, ...]) -> int | None:
    return indexes[0] if indexes else None


def _free_keys(case: _Case) -> list[tuple[int, str]]:
    return [(index, heading_key(title)) for index, title in enumerate(case.header) if index not in case.taken]


def _exact(case: _Case, by_choice: Mapping[str, tuple[int, ...]], role: Role, keys: frozenset[str]) -> int | None:
    if role in by_choice:
        return _only(by_choice[role])
    found = [index for index, key in _free_keys(case) if key in keys]
    for index in found:
        case.taken.add(index)
    if found:
        case.take(role, found[0], "its title is ours")
    return found[0] if found else None


def _options(case: _Case, by_choice: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    options: dict[str, int] = {}
    for index, key in _free_keys(case):
        option = OPTION_NAMES.get(key)
        if option is None or option in by_choice or option in options:
            continue
        if can_be_option(option, case.evidence[index].texts):
            options[option] = index
            case.take(option, index, "its title is that of an option and its cells can be one")
        else:
            cell = cut(min(case.evidence[index].texts))
            case.warn(
                index,
                ProblemCode.NO_OPTION,
                f"The column '{cut(case.header[index])}' holds '{cell}' and the like, so it is not the option"
                f" {option}. If it is meant, say so in `columns`.",
            )
    return options | {what: by_choice[what][0] for what in OPTION_NAMES.values() if by_choice.get(what)}


def _name(case: _Case, by_choice: Mapping[str, tuple[int, ...]], platform: Platform | None) -> int | None:
    if Role.NAME in by_choice:
        return _only(by_choice[Role.NAME])
    found = _by_tiers(case, Role.NAME, _NAME_TIERS)
    if found is None and platform is not None and platform.name:
        found = _only(tuple(index for index in columns_titled(platform.name, case.header) if index not in case.taken))
        if found is not None:
            case.take(Role.NAME, found, f"it says most of a product in a {platform.title}")
    if found is None:
        near = _nearest(case.header, {heading_key(ROLE_TITLES[Role.NAME]), "productname", "title"}, case.taken)
        hint = f" Did you mean '{cut(near)}'? Name it in `columns`." if near else ""
        case.warnings.append(
            Problem(
                case.row,
                ROLE_TITLES[Role.NAME],
                ProblemCode.NO_NAME_COLUMN,
                f"No column holds the names of products; the rows have none.{hint}",
            )
        )
    return found


def _by_tiers(case: _Case, role: Role, tiers: Sequence[str]) -> int | None:
    """Return the column of the strongest title; of several the one whose cells are words, then the first."""
    free = _free_keys(case)
    for tier in tiers:
        keys = keys_of(tier)
        found = [index for index, key in free if key in keys and not case.evidence[index].has_links]
        if not found:
            continue
        index = max(found, key=lambda index: (_words(case.evidence[index]), -index))
        reason = f"its title is one of a {role.value}"
        if len(found) > 1:
            _tell_equal(case, index, found)
            reason += f"; of {len(found)} such columns it comes first or holds the most words"
        case.take(role, index, reason)
        return index
    return None


def _words(evidence: Evidence) -> int:
    return evidence.looks[Look.TEXT]


def _tell_equal(case: _Case, index: int, found: Sequence[int]) -> None:
    read = heading_as_read(case.header[index])
    equal = [other for other in found if other != index and heading_as_read(case.header[other]) == read]
    filled = [other for other in equal if case.evidence[other].texts - case.evidence[index].texts]
    if filled:
        case.warn(
            index,
            ProblemCode.DUPLICATE_HEADER,
            f"Columns {index + 1} and {filled[0] + 1} are both titled '{cut(case.header[index])}'; column {index + 1}"
            " is used.",
        )


def _group(case: _Case, platform: Platform | None) -> int | None:
    """Return the column whose equal cells say that rows belong to one product."""
    keys = keys_of("group")
    if platform is not None and platform.group:
        keys |= {heading_key(platform.group)}
    return next((index for index, title in enumerate(case.header) if heading_key(title) in keys), None)


def _refuse_links_as_titles(header: Sequence[str], links: Sequence[int], problems: ProblemList, row: int) -> None:
    if not links:
        return
    message = (
        f"Row {row} holds a link where the title of a column should be. Put a row of titles above it, such as"
        " 'Product Name' and 'Input Image Urls'."
    )
    problems.add(Problem(row, cut(header[links[0]]), ProblemCode.MISSING_COLUMN, message))


def _no_pictures(header: Sequence[str], pages: Sequence[int], row: int) -> Problem:
    title = ROLE_TITLES[Role.URLS]
    message = f"No column holds links of pictures (image URLs). The columns found are {shown_titles(header)}."
    near = _nearest(header, keys_of("own") | keys_of("picture"), set())
    if pages:
        message += f" '{cut(header[pages[0]])}' holds links of pages."
    elif near:
        message += f" Did you mean '{cut(near)}' to be it?"
    message += " Name the column in `columns`, or add one titled 'Input Image Urls'."
    return Problem(row, title, ProblemCode.MISSING_COLUMN, message)


def _nearest(header: Sequence[str], keys: frozenset[str] | set[str], taken: set[int]) -> str | None:
    for index, title in enumerate(header[:_NEAR_TITLES]):
        key = heading_key(title)[:_NEAR_CHARS]
        if key and index not in taken and difflib.get_close_matches(key, keys, n=1, cutoff=0.8):
            return title
    return None
