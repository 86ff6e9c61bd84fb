"""What people and programs write where a link should be, put right: one list of repairs for every link we are given.

Cells of sheets, fields of requests and the `Location` of a redirect all pass here, so that the same spelling means the
same everywhere. A repair never changes which server is meant: what stands before the path is only trimmed. What is
not on the list stays as it is and is judged by whoever uses the link. Everything takes time linear in its characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote


class Repair(StrEnum):
    """What was done to a link; the value says it to a person."""

    TRIMMED = "blanks or invisible characters around it were taken off"
    INVISIBLE = "invisible characters in it were taken out"
    WRAPPED = "quotes, brackets or invisible characters around it were taken off"
    SLASHES = "\\/ was read as /"
    AMPERSAND = "&amp; was read as &"
    SCHEME = "https: was put in front of it"
    BLANKS = "blanks in it were encoded"
    PERCENT = "a % that encodes nothing was encoded"


@dataclass(frozen=True, slots=True)
class RepairedLink:
    """A link as it is used, and what was done to it."""

    url: str
    repairs: tuple[Repair, ...] = ()


# Marks of writing direction, word joiners, byte order marks, soft hyphens: no editor shows them.
_NEVER_SEEN = "\u00ad\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2066\u2067\u2068\u2069\ufeff"
# Joiners shape letters and emoji within a name; at its ends they are nothing.
_EDGES = _NEVER_SEEN + "\u200c\u200d"
_NEVER_SEEN_INSIDE = re.compile(f"[{_NEVER_SEEN}]")
_AMPERSAND = re.compile(r"&(?:amp|AMP|#0{0,5}38|#[xX]0{0,5}26);")
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BLANK_INSIDE = re.compile(r"[^\S\r\n\t\v\f]")
_PAIRS = {'"': '"', "'": "'", "<": ">", "(": ")", "[": "]", "“": "”", "‘": "’", "«": "»", "„": "“", "`": "`"}
_MAX_ROUNDS = 4


def trimmed(text: str) -> str:
    """Return a text without the blanks and invisible characters at its ends."""
    begin, end = 0, len(text)
    while begin < end and (text[begin].isspace() or text[begin] in _EDGES):
        begin += 1
    while begin < end and (text[end - 1].isspace() or text[end - 1] in _EDGES):
        end -= 1
    return text[begin:end]


def repair_link(text: str) -> RepairedLink:
    """Return a link that stands alone, put right.

    Example:
        >>> repair_link(" //cdn.example/My photo.jpg?w=1&amp;h=2").url
        'https://cdn.example/My%20photo.jpg?w=1&h=2'
    """
    repairs: list[Repair] = []
    url = _bare(text, repairs)
    if ":\\/\\/" in url or url.startswith("\\/\\/"):
        url = url.replace("\\/", "/")
        repairs.append(Repair.SLASHES)
    if url.startswith("//") and not url.startswith("///"):
        url = "https:" + url
        repairs.append(Repair.SCHEME)
    elif url[:4].lower() == "www." and len(url) > len("www."):
        url = "https://" + url
        repairs.append(Repair.SCHEME)
    return RepairedLink(_encoded(url, repairs), tuple(repairs))


def repair_location(value: str) -> str:
    """Return the `Location` of a redirect, put right; it may be relative.

    Header bytes arrive as Latin-1 (PEP 3333 and http.client); what is not ASCII among them is encoded byte by byte,
    as browsers do, whatever the server meant.
    """
    repairs: list[Repair] = []
    url = _bare(value, repairs)
    try:
        raw = url.encode("latin-1")
    except UnicodeEncodeError:
        raw = url.encode()
    url = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
    return _encoded(url, repairs)


def _bare(text: str, repairs: list[Repair]) -> str:
    """Return the text without what stands around it and without what nobody sees in it."""
    url = trimmed(text)
    if url != text:
        repairs.append(Repair.TRIMMED)
    for _ in range(_MAX_ROUNDS):
        if len(url) < 2 or _PAIRS.get(url[0]) != url[-1] or not _is_link_inside(url[1:-1]):
            break
        url = trimmed(url[1:-1])
        if Repair.WRAPPED not in repairs:
            repairs.append(Repair.WRAPPED)
    seen = _NEVER_SEEN_INSIDE.sub("", url)
    if seen != url:
        repairs.append(Repair.INVISIBLE)
    return seen


def _is_link_inside(text: str) -> bool:
    """Return whether taking off a pair leaves a link: `[::1]` and `(1).jpg` keep theirs."""
    begin = text.lstrip()[:12].lower()
    return begin.startswith(("http", "//", "www.", '"', "'", "<", "(", "[", "/"))


def _encoded(url: str, repairs: list[Repair]) -> str:
    """Return the URL with `&amp;`, blanks and lone percent signs put right behind its authority."""
    scheme, mark, rest = url.partition("://")
    if mark and scheme.isalnum():
        stripped = rest.lstrip(" \u00a0")
        if stripped != rest:
            repairs.append(Repair.BLANKS)
        at = min((index for index in map(stripped.find, "/?#") if index >= 0), default=len(stripped))
        head, tail = f"{scheme}://{stripped[:at]}", stripped[at:]
    else:
        head, tail = "", url
    for _ in range(_MAX_ROUNDS):  # exports of exports hold &amp;amp;
        read = _AMPERSAND.sub("&", tail)
        if read == tail:
            break
        tail = read
        if Repair.AMPERSAND not in repairs:
            repairs.append(Repair.AMPERSAND)
    if _BLANK_INSIDE.search(tail):
        tail = _BLANK_INSIDE.sub(lambda found: quote(found[0]), tail)
        repairs.append(Repair.BLANKS)
    # Alone it is encoded when the link is asked for; beside escapes nobody could tell the two apart any more.
    if _BARE_PERCENT.search(tail) and _ESCAPE.search(tail):
        tail = _BARE_PERCENT.sub("%25", tail)
        repairs.append(Repair.PERCENT)
    return head + tail
