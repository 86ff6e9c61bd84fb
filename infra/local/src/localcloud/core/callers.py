"""Which HTTP requests may come in: those of programs, not those that a web page makes a browser send.

The ports have no passwords, and a browser on the same machine reaches them. Three things tell a page's request from a
program's: the name that the browser was given (`Host`: DNS rebinding gives it a name of the page's site), the site that
the page is from (`Origin`, `Sec-Fetch-Site`), and a body of a type that needs no permission of the server.

Source: https://fetch.spec.whatwg.org/#cors-safelisted-request-header, https://www.w3.org/TR/fetch-metadata/
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from aiohttp import web

from localcloud.core.google_errors import GoogleError

_MAX_HOST_CHARS = 300
_MAX_NAMED_CHARS = 100
_TYPES_OF_PROGRAMS = ("application/json", "application/x-protobuf")
"""No page can make a browser send them to another site without asking that first."""
_READING_METHODS = ("GET", "HEAD")


def _never(_path: str) -> bool:
    return False


class Callers:
    """Decides about the requests of one port.

    Args:
        host_names: names that the port is reached by, beside `localhost`, names below it and addresses.
        is_page: tells paths of pages for people: links of other sites may lead there, and their forms may be sent.
        takes_any_body: tells paths whose requests may have a body of any type.
    """

    def __init__(
        self,
        host_names: Collection[str] = (),
        *,
        is_page: Callable[[str], bool] = _never,
        takes_any_body: Callable[[str], bool] = _never,
    ) -> None:
        self._host_names = frozenset(name.lower().rstrip(".") for name in host_names)
        self._is_page = is_page
        self._takes_any_body = takes_any_body

    def check(self, request: web.BaseRequest) -> None:
        """Accept a request that no page of another site can have sent.

        Raises:
            GoogleError: PERMISSION_DENIED with the reason HOST_NOT_LOCAL or FOREIGN_ORIGIN; INVALID_ARGUMENT with the
                reason BODY_NOT_JSON.
        """
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            raise GoogleError(
                "PERMISSION_DENIED",
                f"Host {_shown(', '.join(hosts))} is not a name of this server. Names other than localhost and"
                " addresses are given with --allow-host NAME, or allow_hosts in a stack file.",
                reason="HOST_NOT_LOCAL",
            )
        if self._is_foreign(request, hosts[0]):
            raise GoogleError(
                "PERMISSION_DENIED",
                "The request comes from a web page of another site, which may not use this server.",
                reason="FOREIGN_ORIGIN",
            )
        if request.body_exists and not self._may_have_type(request):
            raise GoogleError(
                "INVALID_ARGUMENT",
                f"A body must be application/json, not {_shown(request.headers.get('Content-Type', '(no type)'))}.",
                reason="BODY_NOT_JSON",
            )

    def _is_own(self, host: str) -> bool:
        if len(host) > _MAX_HOST_CHARS:
            return False
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name == "localhost" or name.endswith(".localhost") or name in self._host_names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_foreign(self, request: web.BaseRequest, host: str) -> bool:
        origins = request.headers.getall("Origin", [])
        if any(origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()) for origin in origins):
            return True
        if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
            return False
        is_link = request.headers.get("Sec-Fetch-Mode") == "navigate" and request.method in _READING_METHODS
        return not (is_link and self._is_page(request.path))

    def _may_have_type(self, request: web.BaseRequest) -> bool:
        if self._is_page(request.path) or self._takes_any_body(request.path):
            return True
        if "Content-Type" not in request.headers:
            # Cloud Tasks adds no type to a task for one of the APIs here, and no page can send this header unasked.
            return "X-CloudTasks-TaskName" in request.headers
        return request.content_type in _TYPES_OF_PROGRAMS


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_NAMED_CHARS else f"{text[:_MAX_NAMED_CHARS]}...")
