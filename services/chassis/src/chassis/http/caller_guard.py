"""The guard of internal routes: each names the service accounts that may call it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import structlog
from flask import request

from chassis.auth.oidc import TokenVerifier
from chassis.clock import Clock
from chassis.errors import ApiError, SharedReason, Status

F = TypeVar("F", bound=Callable[..., Any])


class CallerGuard:
    """Admits a request to an internal route only with a valid token of a named service account.

    Args:
        audience: this service's root URL; tokens for anything else are refused.
        certs_url: where the issuer's certificates are.
        mode: `verify` checks the signature; `platform` trusts Cloud Run IAM to have checked it.
        clock: ages the cached certificates.

    Raises:
        ValueError: the audience is empty, which would switch its check off.
    """

    def __init__(self, *, audience: str, certs_url: str, mode: str, clock: Clock) -> None:
        self._verifier = TokenVerifier(audience=audience, certs_url=certs_url, mode=mode, clock=clock)

    def only(self, *accounts: str) -> Callable[[F], F]:
        """Return a decorator for a view that only these service accounts may call.

        The view gets an attribute `allowed_callers`, by which a test walks every internal route.

        Raises (in the request):
            ApiError: what `TokenVerifier.account_of` raises, and 403 CALLER_NOT_ALLOWED.
        """
        allowed = frozenset(account for account in accounts if account)
        if not allowed:
            message = "an internal route needs at least one caller"
            raise ValueError(message)

        def decorate(view: F) -> F:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                email = self._verifier.account_of(request.headers.get("Authorization", ""))
                if email not in allowed:
                    raise ApiError(
                        Status.PERMISSION_DENIED, SharedReason.CALLER_NOT_ALLOWED, f"{email} may not call this route."
                    )
                structlog.contextvars.bind_contextvars(caller=email)
                return view(*args, **kwargs)

            guarded.allowed_callers = allowed  # type: ignore[attr-defined]
            return cast(F, guarded)

        return decorate
