"""Who calls, and who we are: Google-signed OIDC tokens verified on internal routes and minted for outgoing calls.

Source: https://cloud.google.com/run/docs/authenticating/service-to-service and google-auth's `id_token` module,
which leaves three things to the caller: an audience of None is not checked at all, `email` is never checked, and the
certificates are fetched on every call. All three are dealt with here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import google.auth.exceptions
import google.auth.jwt
import google.auth.transport
import google.auth.transport.requests
import google.oauth2.id_token
import requests
import structlog
from flask import request

from chassis.clock import Clock
from chassis.errors import ApiError, Status, unavailable

_ISSUERS = frozenset({"https://accounts.google.com", "accounts.google.com"})
_CLOCK_SKEW_S = 10
_CERTS_TTL_S = 3600.0
_TOKEN_REUSE_S = 3000.0  # tokens live 3600 s; a fresh one is taken well before that

F = TypeVar("F", bound=Callable[..., Any])


class CachedCerts:
    """A google-auth transport that keeps the issuer's certificates for an hour.

    An unknown key id makes the verifier ask again at most once a minute (key rotation).
    """

    def __init__(self, clock: Clock) -> None:
        session = requests.Session()
        session.trust_env = False
        self._fetch = google.auth.transport.requests.Request(session)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any]] = {}

    def __call__(self, url: str, method: str = "GET", **kwargs: Any) -> Any:
        """Answer from memory while it is fresh."""
        with self._lock:
            kept = self._kept.get(url)
            if kept and self._clock.monotonic() - kept[0] < _CERTS_TTL_S:
                return kept[1]
        answer = self._fetch(url=url, method=method, timeout=5, **kwargs)
        if answer.status == 200:
            with self._lock:
                self._kept[url] = (self._clock.monotonic(), answer)
        return answer

    def forget(self, *, older_than_s: float) -> bool:
        """Drop certificates older than that; return whether any was dropped."""
        limit = self._clock.monotonic() - older_than_s
        with self._lock:
            stale = [url for url, (at, _) in self._kept.items() if at <= limit]
            for url in stale:
                del self._kept[url]
        return bool(stale)


class CallerGuard:
    """Admits a request to an internal route only with a valid token of a named service account.

    Args:
        audience: this service's root URL; tokens for anything else are refused.
        certs_url: where the issuer's certificates are.
        mode: `verify` checks the signature; `platform` trusts Cloud Run IAM to have checked it (the platform may strip
            the signature) and still checks issuer, audience and account.
        clock: ages the cached certificates.

    Raises:
        ValueError: the audience is empty, which would switch its check off.
    """

    def __init__(self, *, audience: str, certs_url: str, mode: str, clock: Clock) -> None:
        if not audience:
            message = "the audience of internal calls must be set"
            raise ValueError(message)
        self._audience = audience
        self._certs_url = certs_url
        self._mode = mode
        self._certs = CachedCerts(clock)

    def only(self, *accounts: str) -> Callable[[F], F]:
        """Return a decorator for a view that only these service accounts may call.

        The view gets an attribute `allowed_callers`, by which a test walks every internal route.
        """
        allowed = frozenset(account for account in accounts if account)
        if not allowed:
            message = "an internal route needs at least one caller"
            raise ValueError(message)

        def decorate(view: F) -> F:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                email = self._caller(request.headers.get("Authorization", ""))
                if email not in allowed:
                    raise ApiError(Status.PERMISSION_DENIED, "CALLER_NOT_ALLOWED", f"{email} may not call this route.")
                structlog.contextvars.bind_contextvars(caller=email)
                return view(*args, **kwargs)

            guarded.allowed_callers = allowed  # type: ignore[attr-defined]
            return cast(F, guarded)

        return decorate

    def _caller(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _refused("TOKEN_MISSING", "This route needs an OIDC token: Authorization: Bearer ...")
        claims = self._claims(token)
        if claims.get("iss") not in _ISSUERS or claims.get("aud") != self._audience:
            raise _refused("TOKEN_INVALID", f"The token was not issued by Google for {self._audience}.")
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise _refused("TOKEN_INVALID", "The token names no verified service account.")
        return email

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            if self._mode == "platform":
                return dict(google.auth.jwt.decode(token, verify=False))
            try:
                return self._verified(token)
            except (ValueError, google.auth.exceptions.MalformedError):
                # Perhaps the issuer rotated its keys: ask again, but not for every forged token.
                if not self._certs.forget(older_than_s=60.0):
                    raise
                return self._verified(token)
        except google.auth.exceptions.TransportError as error:
            raise unavailable("CERTIFICATES_UNAVAILABLE", "The issuer's certificates cannot be fetched.") from error
        except (ValueError, google.auth.exceptions.GoogleAuthError) as error:
            raise _refused(
                "TOKEN_INVALID", "The token is malformed, expired, forged or for another service."
            ) from error

    def _verified(self, token: str) -> dict[str, Any]:
        return dict(
            google.oauth2.id_token.verify_token(
                token,
                self._certs,
                audience=self._audience,
                certs_url=self._certs_url,
                clock_skew_in_seconds=_CLOCK_SKEW_S,
            )
        )


def _refused(reason: str, message: str) -> ApiError:
    return ApiError(Status.UNAUTHENTICATED, reason, message)


class TokenSource(Protocol):
    """Gives identity tokens for outgoing calls."""

    def token(self, audience: str) -> str:
        """Return a token that the service at `audience` accepts."""
        ...


class MetadataTokens:
    """Tokens of the running service's own account from the metadata server, each used for 50 minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, str]] = {}

    def token(self, audience: str) -> str:
        """Return a token for `audience`.

        Raises:
            ApiError: 503 IDENTITY_UNAVAILABLE when the metadata server does not answer.
        """
        with self._lock:
            kept = self._kept.get(audience)
            if kept and self._clock.monotonic() - kept[0] < _TOKEN_REUSE_S:
                return kept[1]
        try:
            fetched = str(google.oauth2.id_token.fetch_id_token(google.auth.transport.requests.Request(), audience))
        except google.auth.exceptions.GoogleAuthError as error:
            raise unavailable("IDENTITY_UNAVAILABLE", "No identity token could be had.") from error
        with self._lock:
            self._kept[audience] = (self._clock.monotonic(), fetched)
        return fetched
