"""Where the links of a cell begin and end, whatever stands between them.

A link ends where the next one begins. What is stripped from its end is what parts links: blanks, punctuation, `<br>`,
quotes and brackets. A link in the path or the query of another, behind `/`, `=` or `?`, belongs to it: then one link
is kept and the cell is told of. Everything takes time linear in the characters of the cell: each place is looked at
from its nearest neighbours only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from chassis.egress.link_repairs import trimmed


@dataclass(frozen=True, slots=True)
class CellPieces:
    """What a cell was taken apart into.

    `joint` is what stood between two links where it is not among the usual separators, else None. `nested` says that
    a link was kept within another; `ignored` is text that is no link; `wrapped` says that quotes, brackets or invisible
    characters stood around the links.
    """

    texts: tuple[str, ...]
    joint: str | None = None
    nested: bool = False
    ignored: str = ""
    wrapped: bool = False


_USUAL = " \t\r\n\v\f\u00a0\u3000,;|"
_PARTING = frozenset(_USUAL + "，；｜、。·•~^\"'“”„‘’«»`<>[]{}" + "\u200b\ufeff\u2060")
# Parts links only beside something that surely does, or behind the name of a picture.
_WEAK = frozenset("#&+*$@!:.-_(\\")
_ENCODED_PARTING = re.compile(r"%(?:20|2C|3B|7C|0A|0D|09)$", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:nbsp|quot|lt|gt|#39|#34|#160);$", re.IGNORECASE)
_BREAK_IN_LETTERS = ("\\r\\n", "\\n", "\\r", "\\t")
_MAX_TAG_CHARS = 300
_MAX_SCHEME_CHARS = 12
_MAX_WEAK_CHARS = 12
_MAX_ENDING_CHARS = 5
_BEHIND_A_NAME = ",;|)]}\"'"
_PICTURE_NAME = re.compile(r"\.(?:jpe?g|jpe|jfif|png|gif|webp|avif|bmp|tiff?|svg|heic|heif|ico|jxl)$", re.IGNORECASE)
_MARK = re.compile(r"://|(?<![^\s,;|\"'<\[\u200b\ufeff])(?://(?=[^/\s])|www\.(?=\S)|data:(?=image))", re.IGNORECASE)
_SCHEME_CHAR = re.compile(r"[A-Za-z0-9+.-]")
_TAG_BEGIN = re.compile(r"<(?=[A-Za-z/!])")
_LINE_END = re.compile(r"[\r\n\t\v\f\x85\u2028\u2029]")
_BLANKS = re.compile(r"\s+")
_NO_WORD = re.compile(r"<[^<>]*(?:>|$)|&(?:nbsp|quot|lt|gt|#39|#34|#160);|\\[nrt]|%(?:20|2C|3B|7C|0A|0D|09)")
_WORD = re.compile(r"[^\s,;|\"'<>()\[\]{}]+")
_CLOSING = {'"': '"', "'": "'", "<": ">", "“": "”", "«": "»", "`": "`"}
_OPENING = {")": "(", "]": "[", "}": "{", "'": "'", '"': '"'}


def looks_like_picture(name: str) -> bool:
    """Return whether a text ends as the name of a picture's file does."""
    return _PICTURE_NAME.search(name[-_MAX_ENDING_CHARS:]) is not None


def split_cell(cell: str) -> CellPieces:
    """Return the links of a cell in order, and with them file names that stand where a link should be.

    Example:
        >>> split_cell("https://a.example/x(1,0).jpg~https://b.example/y.jpg").texts
        ('https://a.example/x(1,0).jpg', 'https://b.example/y.jpg')
    """
    begins = list(_begins(cell))
    if not begins:
        bare = trimmed(cell.strip(_USUAL))
        return CellPieces((bare,) if bare else ())
    cuts, joint, nested = _cuts(cell, begins)
    texts: list[str] = []
    ignored: list[str] = []
    wrapped = _beside(cell[: cuts[0][0]], texts, ignored)
    for number, (begin, end) in enumerate(cuts):
        following = cuts[number + 1][0] if number + 1 < len(cuts) else len(cell)
        link_end = _end_of_link(cell, begin, end)
        link = _without_loose_end(cell[begin:link_end])
        texts.append(link)
        rest = cell[link_end:following]
        if begin > 1 and cell[begin - 2] == "=" and cell[begin - 1] in "\"'":
            rest = rest.partition(">")[2]  # what else the tag of a page says
        loose = _beside(rest, texts, ignored)
    wrapped = wrapped or loose or bool(cell[begin + len(link) : link_end].strip(_USUAL))
    return CellPieces(tuple(texts), joint, nested, " ".join(ignored), wrapped)


def _begins(cell: str) -> Iterator[int]:
    """Yield where something begins that may be a link."""
    in_data = without_scheme = False
    last = 0
    for found in _MARK.finditer(cell):
        at = found.start()
        if found[0] == "://":
            begin = _begin_of_scheme(cell, at, last)
            if begin is None:
                continue
        elif in_data and not found[0].lower().startswith("data"):
            continue  # base64 has slashes
        else:
            begin = at
            if (
                begin > 0
                and not without_scheme
                and cell[begin - 1] in ",;|"
                and not _ends_as_picture(cell, 0, begin - 1)
            ):
                continue  # a comma in a link may stand before anything
            without_scheme = True
        in_data = cell[begin : begin + 5].lower() == "data:"
        last = found.end()
        yield begin


def _begin_of_scheme(cell: str, at: int, after: int) -> int | None:
    begin = at
    while begin > after and at - begin < _MAX_SCHEME_CHARS and _SCHEME_CHAR.match(cell[begin - 1]):
        begin -= 1
    word = cell[begin:at].lower()
    for scheme in ("https", "http"):
        if word.endswith(scheme):
            begin = at - len(scheme)
            return begin - 5 if cell[max(0, begin - 5) : begin].lower() == "blob:" else begin
    if not word[:1].isalpha() or (begin > 0 and cell[begin - 1] not in _PARTING):
        return None
    return begin


def _cuts(cell: str, begins: list[int]) -> tuple[list[tuple[int, int]], str | None, bool]:
    """Return (begin, end) of each link, what parted two of them if it was unusual, and whether one holds another."""
    cuts: list[tuple[int, int]] = []
    joint: str | None = None
    nested = False
    outer = begins[0]
    for begin in begins[1:]:
        end = _end_before(cell, outer, begin)
        if end is None:
            nested = True
            continue
        between = cell[end:begin]
        if joint is None and (not between or between.strip(_USUAL)):
            joint = between
        cuts.append((outer, end))
        outer = begin
    cuts.append((outer, len(cell)))
    return cuts, joint, nested


def _end_before(cell: str, outer: int, begin: int) -> int | None:
    """Return where a link ends that another one follows at `begin`; None when that one is a part of it."""
    end, parted = begin, False
    while end > outer:
        step = _parting_chars(cell, outer, end)
        if step:
            end, parted = end - step, True
        elif cell[end - 1] in _WEAK and end - 1 > outer and (cell[end - 2] in _PARTING or cell[end - 2].isspace()):
            end -= 1
        else:
            break
    if end - outer <= len("http://"):
        return None
    if not parted and (encoded := _ENCODED_PARTING.search(cell[max(outer, begin - 3) : begin])):
        end = begin - len(encoded[0])
        return end if _ends_as_picture(cell, outer, end) else None
    bare = end
    while bare > outer and end - bare < _MAX_WEAK_CHARS and cell[bare - 1] in _WEAK:
        bare -= 1
    if bare < end and _ends_as_picture(cell, outer, bare):
        return bare
    if parted:
        return end
    return begin if cell[begin - 1].isalnum() else None


def _ends_as_picture(cell: str, begin: int, end: int) -> bool:
    return looks_like_picture(cell[max(begin, end - _MAX_ENDING_CHARS) : end])


def _parting_chars(cell: str, outer: int, end: int) -> int:
    """Return how many characters before `end` surely part links."""
    last = cell[end - 1]
    if last == ">":
        tag = cell.rfind("<", max(outer, end - _MAX_TAG_CHARS), end)
        return end - tag if tag >= 0 else 1
    if last.isspace() or last in _PARTING:
        entity = _ENTITY.search(cell[max(outer, end - 6) : end]) if last == ";" else None
        return len(entity[0]) if entity else 1
    if last in "nrt":
        return next((len(text) for text in _BREAK_IN_LETTERS if cell.endswith(text, outer, end)), 0)
    return 0


def _end_of_link(cell: str, begin: int, end: int) -> int:
    """Return where the link at `begin` ends: at the quote around it, a line end, a tag, or a blank behind a picture."""
    closing = _CLOSING.get(cell[begin - 1]) if begin else None
    if closing is not None:
        at = cell.find(closing, begin, end)
        if at >= 0:
            return at
    for pattern in (_LINE_END, _TAG_BEGIN):
        found = pattern.search(cell, begin, end)
        if found is not None:
            end = found.start()
    for blanks in _BLANKS.finditer(cell, begin, end):
        at = blanks.start()
        while at > begin and cell[at - 1] in _BEHIND_A_NAME:
            at -= 1
        if _ends_as_picture(cell, begin, at) or "|" in cell[blanks.start() - 1 : blanks.end() + 1]:
            return blanks.start()
    return end


def _without_loose_end(link: str) -> str:
    """Return the link without separators at its end, and without a bracket or quote there that it does not open."""
    link = trimmed(link.rstrip(_USUAL + "，；｜、"))
    counts = Counter(char for char in link if char in _OPENING or char in "([{")
    end = len(link)
    while end and (opening := _OPENING.get(link[end - 1])):
        char = link[end - 1]
        if counts[char] % 2 == 0 if opening == char else counts[char] <= counts[opening]:
            break
        counts[char] -= 1
        end -= 1
    return link[:end]


def _beside(text: str, texts: list[str], ignored: list[str]) -> bool:
    """Sort what stands beside links: names of pictures are kept to be told, other words are ignored.

    Returns whether there was something, and no word in it.
    """
    if not text.strip(_USUAL):
        return False
    wordless = True
    for found in _WORD.finditer(_NO_WORD.sub(" ", text)):
        word = found[0]
        if looks_like_picture(word):
            texts.append(word)
            wordless = False
        elif any(char.isalnum() for char in word):
            ignored.append(word)
            wordless = False
    return wordless
