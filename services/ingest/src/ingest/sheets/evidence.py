"""What the cells of a column are: links of pictures, links of pages, file names, numbers, words. A sample is enough."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from chassis.limited import Limited

LOOKED_AT_CHARS = 2200
"""Characters of a cell that are looked at: its first link is enough, and a link has at most 2083."""

MAX_CELLS: Annotated[
    int,
    Limited(
        "cells",
        "it is judged by the first ones",
        "Filled cells of a column that are looked at to judge it",
        name="max_judged_cells",
    ),
] = 40
"""Filled cells of a column that are looked at."""

DASHES = frozenset(
    {"-", "--", "---", "–", "—", "―", "n/a", "na", "#n/a", "n.a.", "none", "null", "nil", "\\n", "/", "."}
)
"""What people write into a cell that is to be empty, in lower case."""

PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".png", ".apng", ".gif", ".webp", ".avif", ".heic", ".heif", ".bmp"),
    *(".tif", ".tiff", ".svg", ".jxl", ".ico"),
)
_ENDINGS = "|".join(ending[1:] for ending in PICTURE_ENDINGS)
_LEAD = " \t\r\n\v\f\u00a0\u3000\ufeff\u200b\"'`“”„‚‘’«»‹›「」『』[({<,;|*-•"
_LINK_STARTS = ("http://", "https://", "//", "www.", "ftp://")
_LABELLED_LINK = re.compile(r"[\w.-]{1,60}[ ]?[:=,;|~#][ ]?https?://")
_PICTURE = re.compile(
    rf"\.(?:{_ENDINGS})(?![a-z0-9])"
    r"|/(?:images?|imgs?|photos?|pictures?|pics?|media|uploads?|cdn-cgi|thumbor|fotos?|bilder|gallery|assets)[/-]"
    r"|//(?:images?|imgs?|img\d{1,3}|photos?|media|pics?|i|res)[.-]"
    r"|[?&](?:format|fm|fmt|ext|imwidth|wid|hei|quality|auto)="
)
_PAGE = re.compile(
    r"\.(?:html?|php|aspx?|jsp|pdf|mp4|mov|webm|avi|zip|docx?|xlsx?|csv|glb|usdz|xml|txt)(?:$|[?#,;|\s])"
    r"|/(?:products?|p|item|itm|dp|shop|collections|category|listing|produkt|produit|producto|watch)/"
)
_NUMBER = re.compile(r"[-+]?[€$£¥]?[ ]?\d[\d.,'  ]{0,25}[ ]?(?:[€$£¥%]|[A-Z]{3})?")


class Look(StrEnum):
    """What one cell looks like."""

    EMPTY = "empty"
    PICTURE = "picture"
    LINK = "link"
    PAGE = "page"
    FILE = "file"
    DATA = "data"
    NUMBER = "number"
    TEXT = "text"


LINKS = frozenset({Look.PICTURE, Look.LINK, Look.PAGE, Look.DATA})


@dataclass(slots=True)
class Evidence:
    """What the filled cells of one column look like."""

    looks: Counter[Look] = field(default_factory=Counter)
    texts: set[str] = field(default_factory=set)

    def add(self, cell: str) -> None:
        """Look at one more cell."""
        if sum(self.looks.values()) >= MAX_CELLS:
            return
        look = look_of(cell)
        if look is not Look.EMPTY:
            self.looks[look] += 1
            self.texts.add(cell[:60].strip())

    @property
    def filled(self) -> int:
        """Return how many cells were looked at."""
        return sum(self.looks.values())

    @property
    def has_links(self) -> bool:
        """Return whether at least a third of the cells are links."""
        return self._share(LINKS) >= 1 / 3

    @property
    def has_pictures(self) -> bool:
        """Return whether at least a third of the cells are links of pictures."""
        return self._share({Look.PICTURE}) >= 1 / 3

    @property
    def has_only_pages(self) -> bool:
        """Return whether the links are those of pages, and none is that of a picture."""
        return self.has_links and not self.looks[Look.PICTURE] and self.looks[Look.PAGE] > 0

    @property
    def has_files(self) -> bool:
        """Return whether at least a third of the cells are names of picture files without an address."""
        return self._share({Look.FILE}) >= 1 / 3

    def _share(self, looks: Iterable[Look]) -> float:
        return sum(self.looks[look] for look in looks) / self.filled if self.filled else 0.0


def look_of(cell: str) -> Look:
    """Return what a cell looks like; of a list of links the first one counts.

    Example:
        >>> look_of("https://a.example/1.jpg"), look_of("lamp.jpg"), look_of("19,90 €"), look_of("—")
        (<Look.PICTURE: 'picture'>, <Look.FILE: 'file'>, <Look.NUMBER: 'number'>, <Look.EMPTY: 'empty'>)
    """
    bare = cell[:LOOKED_AT_CHARS].strip()
    if not bare or is_dash(bare):
        return Look.EMPTY
    text = bare.lstrip(_LEAD).lower()
    if text.startswith("data:"):
        return Look.DATA
    if not text.startswith(_LINK_STARTS):
        labelled = _LABELLED_LINK.match(text)
        if labelled is None:
            return _without_link(bare, text)
        text = text[labelled.end() - 8 :].lstrip("/:")
    link = text.split(None, 1)[0] if text else text
    if _PICTURE.search(link):
        return Look.PICTURE
    return Look.PAGE if _PAGE.search(link) else Look.LINK


def is_dash(cell: str) -> bool:
    """Return whether a cell holds what people write where there is nothing."""
    return len(cell) <= 8 and cell.strip().lower() in DASHES


def evidence_of(width: int, rows: Iterable[Sequence[str]]) -> list[Evidence]:
    """Return what each of `width` columns holds in the rows of a sample."""
    found = [Evidence() for _ in range(width)]
    for cells in rows:
        for evidence, cell in zip(found, cells, strict=False):
            if cell:
                evidence.add(cell)
    return found


def _without_link(bare: str, text: str) -> Look:
    if text.rstrip("\"' ])}>").endswith(PICTURE_ENDINGS) and "<" not in text:
        return Look.FILE
    return Look.NUMBER if len(bare) <= 40 and _NUMBER.fullmatch(bare) else Look.TEXT
