"""Cookies within one call: what one hop of a redirect sets is sent with the next, and then forgotten.

Some servers redirect to the same URL until their cookie comes back. Where a cookie goes is decided by host, domain,
path and `Secure` (RFC 6265, 5.3 and 5.4). Its age is not looked at, as no call lasts longer than a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_MAX_COOKIES = 20
_MAX_COOKIE_CHARS = 4096  # RFC 6265, 6.1: what browsers keep at least


@dataclass(frozen=True, slots=True)
class _Cookie:
    text: str
    """`name=value`."""
    host: str
    with_subdomains: bool
    path: str
    secure: bool

    def goes_to(self, scheme: str, host: str, path: str) -> bool:
        if self.secure and scheme != "https":
            return False
        if host != self.host and not (self.with_subdomains and host.endswith(f".{self.host}")):
            return False
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


class CallCookies:
    """The cookies of one call."""

    def __init__(self) -> None:
        self._cookies: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, url: str, set_cookies: Sequence[str]) -> None:
        """Remember what an answer sets; what is too long, too much or not meant for its host is left out."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        for text in set_cookies:
            cookie = _parsed(text, host, path) if len(text) <= _MAX_COOKIE_CHARS else None
            if cookie is not None and len(self._cookies) < _MAX_COOKIES:
                self._cookies[cookie.text.partition("=")[0], cookie.host, cookie.path] = cookie

    def header(self, url: str) -> dict[str, str]:
        """Return the `Cookie` header for a URL, or nothing."""
        if not self._cookies:
            return {}
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path or "/"
        going = [cookie.text for cookie in self._cookies.values() if cookie.goes_to(parts.scheme, host, path)]
        return {"Cookie": "; ".join(going)} if going else {}


def _parsed(text: str, host: str, path: str) -> _Cookie | None:
    pair, *attributes = (item.strip() for item in text.split(";"))
    name, equals, value = pair.partition("=")
    if not (name and equals and value) or not (pair.isascii() and pair.isprintable()):
        return None
    said = {key.strip().lower(): value.strip() for key, _, value in (item.partition("=") for item in attributes)}
    domain = said.get("domain", "").lower().lstrip(".")
    if domain and domain != host and not (host.endswith(f".{domain}") and "." in domain):
        return None
    own_path = said.get("path", "")
    if not own_path.startswith("/"):
        own_path = path.rpartition("/")[0] or "/"
    return _Cookie(f"{name.strip()}={value.strip()}", domain or host, bool(domain), own_path, "secure" in said)
