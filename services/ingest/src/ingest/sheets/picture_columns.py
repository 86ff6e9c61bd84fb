"""Which columns hold the pictures. Titles say what is meant, cells what is there; both are needed.

Several columns play the role together, in the order of the sheet. A stronger group of columns leaves out the weaker
ones, which are told when they hold links of pictures:

1. our own titles;
2. titles of pictures, known or by their words, unless their cells are something else;
3. whatever title, if the cells are links of pictures;
4. titles of small copies, logos and the like;
5. titles of links, or none, if the cells are links of nothing in particular.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ingest.sheets.evidence import LINKS, Evidence, Look, look_of
from ingest.sheets.heading import heading_key
from ingest.sheets.titles import TitleKind, kind_of_title

_BY_TITLE = "its title is one of pictures"
_BY_BOTH = "its title is one of pictures and its cells are links"
_BY_CELLS = "its cells are links of pictures"
_BY_LINKS = "its cells are links, and no other column has any"
_BY_FILES = "its title is one of pictures; its cells are names of files"


@dataclass(frozen=True, slots=True)
class PictureColumns:
    """The columns chosen with their reasons, and what was seen beside them.

    `doubted` are chosen ones whose links may be pages; `others` are columns that are not used and why they look like
    pictures; `pages` hold links of pages; `links_in_header` are columns whose very title is a link.
    """

    chosen: tuple[int, ...]
    reasons: dict[int, str]
    doubted: tuple[int, ...]
    others: dict[int, str]
    pages: tuple[int, ...]
    links_in_header: tuple[int, ...]


@dataclass(slots=True)
class _Groups:
    own: list[int] = field(default_factory=list)
    titled: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)
    filled_with_pictures: list[int] = field(default_factory=list)
    small: list[int] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    untitled_links: list[int] = field(default_factory=list)
    link_titles: list[int] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)


def choose_pictures(
    header: Sequence[str], evidence: Sequence[Evidence], taken: Collection[int], copies: Collection[str] | None = None
) -> PictureColumns:
    """Return which columns hold the pictures; `copies` are keys of titles that a platform gives to smaller copies."""
    free = [index for index in range(len(header)) if index not in taken]
    kinds = {index: _kind(header[index], copies or ()) for index in free}
    groups = _grouped(free, kinds, evidence)
    chosen, doubted = _chosen(groups, [heading_key(title) for title in header])
    reasons = {index: _reason(kinds[index], evidence[index]) for index in chosen}
    others = {
        index: _other_reason(kinds[index], evidence[index])
        for index in free
        if index not in chosen and _looks_like_pictures(kinds[index], evidence[index])
    }
    in_header = tuple(index for index, title in enumerate(header) if title and look_of(title) in LINKS)
    return PictureColumns(tuple(sorted(chosen)), reasons, tuple(doubted), others, tuple(groups.pages), in_header)


def _kind(title: str, copies: Collection[str]) -> TitleKind:
    kind = kind_of_title(title)
    return TitleKind.SMALL if kind is TitleKind.PICTURE and heading_key(title) in copies else kind


def _grouped(free: Sequence[int], kinds: dict[int, TitleKind], evidence: Sequence[Evidence]) -> _Groups:
    groups = _Groups()
    for index in free:
        kind, seen = kinds[index], evidence[index]
        match kind:
            case TitleKind.OWN:
                groups.own.append(index)
            case TitleKind.PICTURE | TitleKind.LIKE_PICTURE:
                _group_titled(groups, index, kind, seen)
            case TitleKind.SMALL if seen.has_links or not seen.filled:
                groups.small.append(index)
            case _ if seen.has_pictures:
                groups.filled_with_pictures.append(index)
            case TitleKind.PAGE if seen.has_links:
                groups.pages.append(index)
            case TitleKind.LINK if seen.has_links:
                groups.links.append(index)
            case TitleKind.LINK if not seen.filled:
                groups.link_titles.append(index)
            case TitleKind.OTHER if seen.has_links:
                (groups.pages if seen.has_only_pages else groups.untitled_links).append(index)
            case _:
                pass
    return groups


def _group_titled(groups: _Groups, index: int, kind: TitleKind, seen: Evidence) -> None:
    if seen.has_links:
        groups.titled.append(index)
    elif not seen.filled:
        # Words alone do not make a column of pictures that is empty so far.
        (groups.empty if kind is TitleKind.PICTURE else groups.odd).append(index)
    elif seen.has_files or any(seen.looks[look] for look in LINKS):
        groups.files.append(index)
    elif kind is TitleKind.PICTURE:
        groups.odd.append(index)


def _chosen(groups: _Groups, keys: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the columns of the strongest group, and those of them that may hold pages."""
    if groups.own:
        return groups.own, []
    if groups.titled:
        # Of numbered columns one may hold names of files by mistake; that costs its slots and is told.
        titled = {keys[index] for index in groups.titled}
        alike = [index for index in (*groups.files, *groups.odd) if keys[index] in titled]
        return [*groups.titled, *groups.empty, *alike], []
    if groups.filled_with_pictures:
        return [*groups.filled_with_pictures, *groups.empty], []
    for group in (groups.files, groups.empty, groups.small):
        if group:
            return group, []
    if groups.links:
        return groups.links[:1], groups.links[:1]
    for group in (groups.odd, groups.link_titles):
        if group:
            return group[:1], []
    return groups.untitled_links[:1], groups.untitled_links[:1]


def _reason(kind: TitleKind, seen: Evidence) -> str:
    match kind:
        case TitleKind.OWN:
            return "its title is ours"
        case TitleKind.PICTURE | TitleKind.LIKE_PICTURE | TitleKind.SMALL:
            if seen.has_links:
                return _BY_BOTH
            return _BY_FILES if seen.has_files else _BY_TITLE
        case _:
            return _BY_CELLS if seen.has_pictures else _BY_LINKS


def _looks_like_pictures(kind: TitleKind, seen: Evidence) -> bool:
    if kind in {TitleKind.PICTURE, TitleKind.LIKE_PICTURE}:
        return seen.filled > 0 and (seen.has_links or seen.has_files or bool(seen.looks[Look.PICTURE]))
    if kind is TitleKind.SMALL:
        return seen.has_links
    return bool(seen.looks[Look.PICTURE])


def _other_reason(kind: TitleKind, seen: Evidence) -> str:
    if seen.has_files:
        return "its title is one of pictures; its cells are names of files, not links"
    if kind is TitleKind.SMALL and seen.has_links:
        return "its cells are links; its title says small copies or something else than the product"
    return "it holds links of pictures"
