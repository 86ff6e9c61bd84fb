"""The guard of public routes: each says which scope it needs, or that it is open to all.

Where there are no keys, everybody is let in as the anonymous caller. A view that says neither has no attribute
`needed_scope`, by which a test finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import structlog
from flask import g, request

from chassis.auth.api_keys import MAX_KEY_CHARS, ApiKey, Scope, find_key
from chassis.auth.callers import ANONYMOUS, Caller
from chassis.clock import Clock
from chassis.errors import ApiError, SharedReason, Status
from chassis.limits import over_limit_facts

F = TypeVar("F", bound=Callable[..., Any])


class KeyGuard:
    """Admits a request to a public route with a key of the scope that the route needs.

    Args:
        keys: the entries; none opens the routes to everybody.
        clock: says which keys are over.
    """

    def __init__(self, keys: Sequence[ApiKey], clock: Clock) -> None:
        self._keys = tuple(keys)
        self._clock = clock

    def needs(self, scope: Scope) -> Callable[[F], F]:
        """Return a decorator for a view that needs a key with this scope where there are keys.

        Raises (in the request):
            ApiError: 401 API_KEY_MISSING, API_KEY_INVALID or API_KEY_EXPIRED, 403 SCOPE_MISSING.
        """

        def decorate(view: F) -> F:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                g.caller = self._admitted(scope)
                return view(*args, **kwargs)

            guarded.needed_scope = scope  # type: ignore[attr-defined]
            return cast(F, guarded)

        return decorate

    def _admitted(self, scope: Scope) -> Caller:
        if not self._keys:
            return ANONYMOUS
        given = given_key()
        if not given:
            raise _refused(
                SharedReason.API_KEY_MISSING,
                "This route needs an API key: Authorization: Bearer prk_..., or X-API-Key: prk_...",
            )
        if len(given) > MAX_KEY_CHARS:
            raise _refused(
                SharedReason.API_KEY_INVALID,
                f"The API key has {len(given)} characters; the limit is {MAX_KEY_CHARS}.",
                **over_limit_facts("max_api_key_characters", limit=MAX_KEY_CHARS, value=len(given)),
            )
        key = find_key(self._keys, given)
        if key is None:
            raise _refused(SharedReason.API_KEY_INVALID, "The API key is unknown or was revoked.")
        structlog.contextvars.bind_contextvars(owner=key.owner, api_key=key.name)
        if key.has_expired(self._clock.now()):
            raise _refused(SharedReason.API_KEY_EXPIRED, "The API key has expired.")
        if not key.allows(scope):
            raise ApiError(
                Status.PERMISSION_DENIED,
                SharedReason.SCOPE_MISSING,
                f"The API key does not have the scope {scope.value}.",
                metadata={"scope": scope.value},
            )
        g.api_key = key
        return Caller(key.owner, sees_all=Scope.ADMIN in key.scopes)

    def keys_of(self, owner: str | None) -> tuple[ApiKey, ...]:
        """Return the entries of an owner; none where there are no keys."""
        return tuple(key for key in self._keys if key.owner == owner)


def open_to_all(view: F) -> F:
    """Mark a view that nobody needs a key for: it tells nothing of anybody's, or what it needs is in its URL."""
    view.needed_scope = None  # type: ignore[attr-defined]
    return view


def caller() -> Caller:
    """Return who makes the present request; only behind `KeyGuard.needs`."""
    return cast(Caller, g.caller)


def used_key() -> ApiKey | None:
    """Return the entry of the key of the present request; None where there are no keys. Behind `KeyGuard.needs`."""
    return cast("ApiKey | None", g.get("api_key"))


def given_key() -> str:
    """Return the API key of the present request as it was sent; empty without one."""
    named = request.headers.get("X-API-Key", "").strip()
    if named:
        return named
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _refused(reason: str, message: str, **metadata: str) -> ApiError:
    return ApiError(Status.UNAUTHENTICATED, reason, message, metadata=metadata)
