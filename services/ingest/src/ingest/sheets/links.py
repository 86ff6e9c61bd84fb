"""The image links of one cell: where a cell may be split without breaking a URL, and which URLs are acceptable."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from ingest.sheets.model import ProblemCode

MAX_URL_CHARS = 2083
# A separator counts only where a new URL begins behind it, so commas, semicolons and bars inside URLs are safe.
_BETWEEN = re.compile(r"[\s,;|]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_EDGES = " \t\r\n\v\f\u00a0\u3000,;|"
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")
_AUTHORITY = re.compile(r"[A-Za-z]+://[^/?#]*")
_NESTED = re.compile(r"\?.*://")


@dataclass(frozen=True, slots=True)
class LinkFault:
    """Why a URL is not accepted."""

    code: ProblemCode
    message: str


def split_links(cell: str) -> tuple[str, ...]:
    """Return the URLs of a cell in order.

    Example:
        >>> split_links("https://a.example/x(1,0).jpg, https://b.example/y.jpg")
        ('https://a.example/x(1,0).jpg', 'https://b.example/y.jpg')
    """
    stripped = cell.strip(_EDGES)
    if not stripped:
        return ()
    return tuple(_BETWEEN.split(stripped))


def may_be_cut_wrongly(links: tuple[str, ...], cell: str) -> bool:
    """Return whether a URL with another URL in its query is followed by a bare separator.

    `https://a/?urls=https://b,https://c` can mean one link or two; two is what it is read as.
    """
    return any(
        _NESTED.search(link) and re.search(re.escape(link) + r"[,;|](?=[A-Za-z])", cell) is not None
        for link in links[:-1]
    )


def host_of(url: str) -> str:
    """Return the host of a URL without fault: in lower case, in ASCII, without a last dot, with an unusual port.

    It names whose server is asked, so other spellings of the same name and port are the same host.

    Example:
        >>> host_of("https://CDN.Example.:443/a.jpg"), host_of("http://bücher.example:8080/b.jpg")
        ('cdn.example', 'xn--bcher-kva.example:8080')
    """
    found = _AUTHORITY.match(url)
    return "" if found is None else _normal_host(found[0])


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


def link_fault(url: str) -> LinkFault | None:
    """Return what is wrong with the form of a URL; None when it may be tried."""
    if len(url) > MAX_URL_CHARS:
        return LinkFault(ProblemCode.URL_INVALID, f"The URL has {len(url)} characters; the limit is {MAX_URL_CHARS}.")
    if _BLANK_OR_CONTROL.search(url) or "\\" in url:
        return LinkFault(
            ProblemCode.URL_INVALID, "The URL has blanks, control characters or backslashes (encode a blank as %20)."
        )
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return LinkFault(ProblemCode.URL_INVALID, "The URL cannot be parsed.")
    if parts.scheme not in {"http", "https"} or not url[len(parts.scheme) :].startswith("://"):
        return LinkFault(ProblemCode.URL_INVALID, "The URL does not begin with http:// or https://.")
    if not host:
        return LinkFault(ProblemCode.URL_INVALID, "The URL has no host.")
    if "@" in parts.netloc:
        return LinkFault(ProblemCode.URL_FORBIDDEN, "The URL carries a user name or password.")
    return None
