"""The guard of routes for owners on an internal door: a service of ours asks for an owner whom it has signed in.

The same views stand behind `KeyGuard` on the public door. The service that asks has looked at the owner's key and its
scopes; who is not that service gets nothing here, whatever owner it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from flask import g, request

from chassis.auth.api_keys import OWNER_PATTERN, Scope
from chassis.auth.callers import OWNER_HEADER, SEES_ALL_HEADER, Caller
from chassis.errors import FieldViolation, field_invalid
from chassis.http.caller_guard import CallerGuard

F = TypeVar("F", bound=Callable[..., Any])


class RouteGuard(Protocol):
    """What the routes for owners need of their guard."""

    def needs(self, scope: Scope) -> Callable[[F], F]:
        """Return a decorator for a view that needs this scope."""
        ...


class OwnerGuard:
    """Admits one service account to routes for owners.

    Args:
        guard: checks the account's token.
        account: the service that asks.
    """

    def __init__(self, guard: CallerGuard, account: str) -> None:
        self._guard = guard
        self._account = account

    def needs(self, scope: Scope) -> Callable[[F], F]:  # noqa: ARG002 - the service that asks has checked it
        """Return a decorator for a view that acts for the owner of the headers.

        Raises (in the request):
            ApiError: what `CallerGuard.only` raises, and 400 FIELD_INVALID for an owner that cannot be one.
        """

        def decorate(view: F) -> F:
            @wraps(view)
            def for_owner(*args: Any, **kwargs: Any) -> Any:
                owner = request.headers.get(OWNER_HEADER)
                if owner is not None and not re.fullmatch(OWNER_PATTERN, owner):
                    raise field_invalid([FieldViolation(OWNER_HEADER, "is not what an owner may be called")])
                g.caller = Caller(owner, sees_all=request.headers.get(SEES_ALL_HEADER) == "1")
                return view(*args, **kwargs)

            return self._guard.only(self._account)(cast(F, for_owner))

        return decorate
