"""Who looks at a page: the guard of the console's routes, by a cookie instead of a header.

Pages use the same keys and scopes as the JSON routes. Because a browser sends its cookie by itself, whatever changes
something must come from a page of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import quote, urlsplit

import structlog
from flask import Response, g, redirect, request

from chassis.auth.api_keys import ApiKey, Scope
from chassis.auth.callers import ANONYMOUS, Caller
from chassis.auth.sessions import SESSION_S, key_of_session, new_session
from chassis.errors import ApiError, SharedReason, Status
from ingest.dependencies import Dependencies
from ingest.errors import Reason

F = TypeVar("F", bound=Callable[..., Any])

FRAGMENT_HEADER = "X-Console-Fragment"
"""Sent by the script of the pages: it wants an error code, not the page that asks for a key."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and what the pages show of him; `key` is None where there are no keys."""

    caller: Caller
    key: ApiKey | None

    def may(self, scope: str) -> bool:
        """Return whether the visitor may do what needs the scope."""
        return self.key is None or self.key.allows(Scope(scope))


class VisitorGuard:
    """Admits visitors to the console.

    Args:
        dependencies: the keys and the clock.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        self._keys = dependencies.settings.keys_of_callers
        self._clock = dependencies.clock
        self._https = dependencies.settings.ingest_url.startswith("https:")

    @property
    def open(self) -> bool:
        """Return whether there are no keys, so that everybody is let in."""
        return not self._keys

    @property
    def cookie(self) -> str:
        """Return the name of the cookie; browsers take `__Host-` over https only."""
        return "__Host-pressroom" if self._https else "pressroom"

    def visitor(self) -> Visitor | None:
        """Return who makes the present request, None when nobody is signed in."""
        if self.open:
            return Visitor(ANONYMOUS, None)
        key = key_of_session(self._keys, request.cookies.get(self.cookie, ""), self._clock.now())
        if key is None:
            return None
        structlog.contextvars.bind_contextvars(owner=key.owner, api_key=key.name)
        return Visitor(Caller(key.owner, sees_all=Scope.ADMIN in key.scopes), key)

    def needs(self, scope: Scope) -> Callable[[F], F]:
        """Return a decorator for a view that needs a visitor whose key has this scope.

        Without a session a page leads to the sign-in. Raises (in the request):
            ApiError: 403 SCOPE_MISSING, 403 OTHER_ORIGIN; 401 API_KEY_MISSING for what the script asks and for forms.
        """

        def decorate(view: F) -> F:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                refuse_other_origins()
                visitor = self.visitor()
                if visitor is None:
                    if request.method == "GET" and FRAGMENT_HEADER not in request.headers:
                        return _sign_in()
                    raise ApiError(
                        Status.UNAUTHENTICATED, SharedReason.API_KEY_MISSING, "Sign in to the console again."
                    )
                if not visitor.may(scope):
                    raise ApiError(
                        Status.PERMISSION_DENIED,
                        SharedReason.SCOPE_MISSING,
                        f"Your API key does not have the scope {scope.value}.",
                        metadata={"scope": scope.value},
                    )
                g.visitor = visitor
                return view(*args, **kwargs)

            guarded.needed_scope = scope  # type: ignore[attr-defined]
            return cast(F, guarded)

        return decorate

    def start_session(self, response: Response, key: ApiKey) -> None:
        """Let an answer sign the browser in."""
        response.set_cookie(
            self.cookie,
            new_session(key, self._clock.now()),
            max_age=SESSION_S,
            secure=self._https,
            httponly=True,
            samesite="Strict",
            path="/",
        )

    def end_session(self, response: Response) -> None:
        """Let an answer sign the browser out."""
        response.delete_cookie(self.cookie, secure=self._https, httponly=True, samesite="Strict", path="/")


def current_visitor() -> Visitor:
    """Return who makes the present request; only behind `VisitorGuard.needs`."""
    return cast(Visitor, g.visitor)


def refuse_other_origins() -> None:
    """Refuse a request that may change something unless a page of this origin made it.

    Browsers say so in Sec-Fetch-Site, or else in Origin (https://www.w3.org/TR/fetch-metadata/); whoever says neither
    is no browser and has the JSON routes.

    Raises:
        ApiError: 403 OTHER_ORIGIN.
    """
    if request.method in {"GET", "HEAD"}:
        return
    site = request.headers.get("Sec-Fetch-Site")
    own = urlsplit(request.headers.get("Origin", "")).netloc == request.host if site is None else site == "same-origin"
    if not own:
        raise ApiError(
            Status.PERMISSION_DENIED,
            Reason.OTHER_ORIGIN,
            "Forms of the console are taken from its own pages only; programs use the JSON routes.",
        )


def _sign_in() -> Response:
    wanted = request.full_path.rstrip("?")
    return cast(Response, redirect(f"/console/login?next={quote(wanted)}", code=303))
