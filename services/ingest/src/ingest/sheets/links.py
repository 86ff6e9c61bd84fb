"""The image links of one cell, found, repaired and judged; and which URLs are acceptable."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit

from chassis.egress.link_repairs import Repair, repair_link
from chassis.limited import Limited
from ingest.sheets.link_kinds import known_link
from ingest.sheets.link_splitting import CellPieces, looks_like_picture, split_cell
from ingest.sheets.links_in_json import links_in_json
from ingest.sheets.model import ProblemCode

MAX_URL_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "400 `SHEET_INVALID` with `URL_INVALID` and the row",
        "Longest URL of an image or webhook",
        name="max_url_characters",
    ),
] = 2083
_SHOWN_CHARS = 80
_MAX_HOST_CHARS = 100
_PLAIN = re.compile(r"https?://[A-Za-z0-9._~:/?#!$()*+=%-]+\Z")
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"[A-Za-z]+://[^/?#]*")
_LOCAL_PATH = re.compile(r"[a-z]:[\\/]|\\\\")
_HOST_AND_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,12}(?::[0-9]{1,5})?/")


@dataclass(frozen=True, slots=True)
class LinkFault:
    """Why a URL is not accepted."""

    code: ProblemCode
    message: str


@dataclass(frozen=True, slots=True)
class LinkNotice:
    """What the owner of a cell should know of its links; `value` shows what it is about."""

    code: ProblemCode
    message: str
    value: str


@dataclass(frozen=True, slots=True)
class CellLink:
    """One link: as it was written, as it is asked for, and what is wrong with it."""

    text: str
    url: str
    fault: LinkFault | None = None


@dataclass(frozen=True, slots=True)
class CellLinks:
    """The links of one cell in the order of slots."""

    links: tuple[CellLink, ...] = ()
    notices: tuple[LinkNotice, ...] = ()


def read_links(cell: str) -> CellLinks:
    """Return the links of a cell, found, repaired and judged; of everything that was done there is a notice.

    Example:
        >>> [link.url for link in read_links("//a.example/My x.jpg<br>www.b.example/y.jpg").links]
        ['https://a.example/My%20x.jpg', 'https://www.b.example/y.jpg']
    """
    if _PLAIN.match(cell) and cell.count("://") == 1:
        # Most cells by far; the rest of the way would find nothing else in them.
        return _judged(CellPieces((cell,)), listed=False)
    listed = links_in_json(cell)
    if listed is not None:
        return _judged(CellPieces(listed), listed=True)
    escaped = ":\\/\\/" in cell
    return _judged(split_cell(cell.replace("\\/", "/") if escaped else cell), listed=False, escaped=escaped)


def read_listed_links(links: tuple[str, ...]) -> CellLinks:
    """Return links that the sender listed one by one, repaired and judged."""
    return _judged(CellPieces(links), listed=False)


def _judged(pieces: CellPieces, *, listed: bool, escaped: bool = False) -> CellLinks:
    links: list[CellLink] = []
    notices: list[LinkNotice] = []
    repaired: dict[Repair, int] = {}
    if pieces.wrapped:
        repaired[Repair.WRAPPED] = 1
    if escaped:
        repaired[Repair.SLASHES] = 1
    shown = ""
    for text in pieces.texts:
        repair = repair_link(text)
        fault = link_fault(repair.url, text)
        known = known_link(repair.url) if fault is None else None
        links.append(CellLink(text, repair.url if known is None else known.url, fault))
        if known is not None:
            notices.append(LinkNotice(known.code, known.note, text))
        shown = shown or repair.url
        if fault is None:
            for done in repair.repairs:
                repaired[done] = repaired.get(done, 0) + 1
    if repaired:
        notices.append(LinkNotice(ProblemCode.LINK_REPAIRED, repairs_told(repaired), shown))
    return CellLinks(tuple(links), (*_of_the_cell(pieces, len(links), listed=listed), *notices))


def repairs_told(counts: Mapping[Repair, int]) -> str:
    """Return what was repaired, and how often where it was more than once, as one sentence."""
    told = "; ".join(f"{done.value} ({count} x)" if count > 1 else done.value for done, count in counts.items())
    return f"Repaired: {told}."


def _of_the_cell(pieces: CellPieces, count: int, *, listed: bool) -> Iterator[LinkNotice]:
    first = pieces.texts[0] if pieces.texts else ""
    links = "1 link" if count == 1 else f"{count} links"
    if listed and count:
        yield LinkNotice(ProblemCode.LINKS_SPLIT, f"The cell holds a list in JSON; read as {links}.", first)
    elif pieces.joint is not None:
        between = repr(pieces.joint[:_SHOWN_CHARS]) if pieces.joint else "nothing"
        message = f"Between the links of the cell stands {between}; read as {links}."
        yield LinkNotice(ProblemCode.LINKS_SPLIT, message, first)
    if pieces.nested:
        message = f"A link holds another link in its path or query and was kept as one; read as {links}."
        yield LinkNotice(
            ProblemCode.AMBIGUOUS_URLS, message, next((t for t in pieces.texts if t.count("://") > 1), first)
        )
    if pieces.ignored:
        shown = pieces.ignored[:_SHOWN_CHARS]
        yield LinkNotice(ProblemCode.TEXT_IGNORED, f"The text {shown!r} beside the links was left out.", pieces.ignored)


def host_of(url: str) -> str:
    """Return the host of a URL without fault: in lower case, in ASCII, without a last dot, with an unusual port.

    It names whose server is asked, so other spellings of the same name and port are the same host.

    Example:
        >>> host_of("https://CDN.Example.:443/a.jpg"), host_of("http://bücher.example:8080/b.jpg")
        ('cdn.example', 'xn--bcher-kva.example:8080')
    """
    found = _AUTHORITY.match(url)
    return "" if found is None else _normal_host(found[0])


def ending_of(url: str) -> str:
    """Return the ending of the last name in a URL's path, in lower case and with its dot; empty without one.

    Example:
        >>> ending_of("https://cdn.example/a/1.PNG?width=2.5"), ending_of("https://cdn.png")
        ('.png', '')
    """
    path = url.partition("#")[0].partition("?")[0].partition("://")[2].partition("/")[2]
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    return f"{dot}{ending}".lower() if dot else ""


@lru_cache(maxsize=4096)
def _normal_host(authority: str) -> str:
    parts = urlsplit(authority)
    name = (parts.hostname or "").rstrip(".")
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            # No name that can be looked up; as a key it is as good as any.
            name = name.casefold()
    if ":" in name:
        name = f"[{name}]"
    return name if parts.port in {None, 80, 443} else f"{name}:{parts.port}"


def link_fault(url: str, written: str = "") -> LinkFault | None:
    """Return what is wrong with the form of a repaired URL; None when it may be tried.

    `written` is the text that it was made of: a message speaks of that, if it has to show it.
    """
    if len(url) > MAX_URL_CHARS and not _is_data(url):
        return LinkFault(ProblemCode.URL_INVALID, f"The URL has {len(url)} characters; the limit is {MAX_URL_CHARS}.")
    scheme, mark, _ = url.partition(":")
    if not mark or scheme.lower() not in {"http", "https"} or not url[len(scheme) :].startswith("://"):
        return LinkFault(ProblemCode.URL_INVALID, _no_web_link(written or url))
    if _BLANK_OR_CONTROL.search(url) or "\\" in url:
        return LinkFault(
            ProblemCode.URL_INVALID, "The URL has control characters, backslashes or, in its host, blanks."
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return LinkFault(ProblemCode.URL_INVALID, "The URL cannot be parsed.")
    if not host:
        return LinkFault(ProblemCode.URL_INVALID, "The URL has no host.")
    if "@" in parts.netloc:
        return LinkFault(ProblemCode.URL_FORBIDDEN, "The URL carries a user name or password.")
    return None


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def _no_web_link(text: str) -> str:
    """Say what stands where a link should be, and what to do."""
    shown = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    begin = text[:16].lower()
    if _is_data(text):
        return (
            "The cell holds a picture itself (a data: URL), not a link. Put the picture on a web server and write its"
            " link, which begins with https://."
        )
    if begin.startswith(("blob:", "cid:", "about:", "chrome")):
        return f"'{shown}' exists only inside one program. Write the picture's own link, which begins with https://."
    if begin.startswith(("file:", "/users/", "/home/", "~/")) or _LOCAL_PATH.match(begin):
        return f"'{shown}' is a file on one computer. Put it on a web server and write its link with https://."
    if "://" not in text and _HOST_AND_PATH.match(text[:_MAX_HOST_CHARS]) and "/" in text:
        return f"The link does not say http:// or https://. Did you mean https://{shown}?"
    if "://" not in text and looks_like_picture(text):
        return f"'{shown}' is the name of a file, not a link. Write the whole link, which begins with https://."
    return "The URL does not begin with http:// or https://."
