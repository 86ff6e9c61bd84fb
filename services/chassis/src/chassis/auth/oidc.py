"""Who calls, and who we are: Google-signed OIDC tokens verified on internal routes and minted for outgoing calls.

Source: https://cloud.google.com/run/docs/authenticating/service-to-service and google-auth's `id_token` module,
which leaves three things to the caller: an audience of None is not checked at all, `email` is never checked, and the
certificates are fetched on every call. All three are dealt with here; an outage of the issuer is told apart from a
forgery.
"""

from __future__ import annotations

import json
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
_CERTS_STALE_S = 86_400.0  # while the issuer is away, its keys of yesterday still tell a right token from a forged one
_CERTS_RENEW_S = 60.0  # unknown keys make us ask again no more often than this
_CERTS_PAUSE_S = 5.0  # after a failed fetch, so that forged tokens cannot keep every thread waiting for the issuer
_TOKEN_REUSE_S = 3000.0  # tokens live 3600 s; a fresh one is taken well before that

F = TypeVar("F", bound=Callable[..., Any])


class CachedCerts:
    """A google-auth transport for the issuer's certificates, which are kept for an hour, or a day while it is away.

    A fetch that fails never costs what is kept.
    """

    def __init__(self, clock: Clock) -> None:
        session = requests.Session()
        session.trust_env = False
        self._fetch = google.auth.transport.requests.Request(session)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, Any] | None = None
        self._failed_at: float | None = None

    def __call__(self, url: str, method: str = "GET", **_kwargs: Any) -> Any:
        """Answer from memory while that is fresh, from the issuer, or in its absence from memory.

        Raises:
            google.auth.exceptions.TransportError: the issuer is away and nothing usable is kept.
        """
        kept = self._younger_than(_CERTS_TTL_S)
        if kept is not None:
            return kept
        try:
            return self._fetched(url, method)
        except google.auth.exceptions.TransportError:
            stale = self._younger_than(_CERTS_STALE_S)
            if stale is None:
                raise
            return stale

    def look_for(self, url: str, key_id: object) -> None:
        """Ask the issuer again if this key is unknown: it may have rotated its keys.

        Raises:
            google.auth.exceptions.TransportError: it is away, so nothing can be said of the key.
        """
        certificates = json.loads(self(url).data)
        known = (
            {key.get("kid") for key in certificates["keys"]}  # a JWK set
            if isinstance(certificates.get("keys"), list)
            else certificates
        )
        if key_id not in known and self._younger_than(_CERTS_RENEW_S) is None:
            self._fetched(url, "GET")

    def _younger_than(self, age_s: float) -> Any:
        with self._lock:
            kept = self._kept
        return kept[1] if kept and self._clock.monotonic() - kept[0] < age_s else None

    def _fetched(self, url: str, method: str) -> Any:
        with self._lock:
            failed_at = self._failed_at
        if failed_at is not None and self._clock.monotonic() - failed_at < _CERTS_PAUSE_S:
            message = "the issuer did not answer a moment ago"
            raise google.auth.exceptions.TransportError(message)
        try:
            answer = self._fetch(url=url, method=method, timeout=5)
            if answer.status != 200:
                message = f"the issuer answered HTTP {answer.status}"
                raise google.auth.exceptions.TransportError(message)
        except google.auth.exceptions.TransportError:
            with self._lock:
                self._failed_at = self._clock.monotonic()
            raise
        with self._lock:
            self._kept, self._failed_at = (self._clock.monotonic(), answer), None
        return answer


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
            self._certs.look_for(self._certs_url, google.auth.jwt.decode_header(token).get("kid"))
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
