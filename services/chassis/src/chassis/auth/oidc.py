"""Who calls, and who we are: Google-signed OIDC tokens verified on internal routes and minted for outgoing calls.

Source: https://cloud.google.com/run/docs/authenticating/service-to-service and google-auth's `id_token` module,
which leaves three things to the caller: an audience of None is not checked at all, `email` is never checked, and the
certificates are fetched on every call. All three are dealt with here; an outage of the issuer is told apart from a
forgery.
"""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, Protocol

import google.auth.exceptions
import google.auth.jwt
import google.auth.transport
import google.auth.transport.requests
import google.oauth2.id_token
import requests

from chassis.clock import Clock
from chassis.errors import ApiError, SharedReason, Status, unavailable
from chassis.limited import Limited

_ISSUERS = ("https://accounts.google.com", "accounts.google.com")
_CLOCK_SKEW_S = 10
_CERTS_TTL_S = 3600.0
_CERTS_STALE_S = 86_400.0  # while the issuer is away, its keys of yesterday still tell a right token from a forged one
_CERTS_RENEW_S = 60.0  # unknown keys make us ask again no more often than this
_CERTS_TIMEOUT_S = 3.0  # so that a silent issuer is a 503 within 5 s
_METADATA_TIMEOUT_S = 2.0  # the metadata server is asked twice for a token
MAX_TOKEN_CHARS: Annotated[
    int, Limited("characters", "401 `TOKEN_INVALID`", "Longest OIDC token of an internal call", internal=True)
] = 8192
_CERTS_PAUSE_S = 5.0  # after a failed fetch, so that forged tokens cannot keep every thread waiting for the issuer
_VERIFIED_S = 60.0  # a token that comes again within it is not verified again, unless it has expired
_MAX_VERIFIED = 256
_TOKEN_REUSE_S = 3000.0  # tokens live 3600 s; a fresh one is taken well before that


# The library reads header and claims as if their JSON had the right shape; a stranger's may have any, and any depth.
_WHAT_TOKENS_CAUSE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
    OverflowError,
    google.auth.exceptions.GoogleAuthError,
)


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
            answer = self._fetch(url=url, method=method, timeout=_CERTS_TIMEOUT_S)
            if answer.status != 200 or not _is_object(answer.data):
                message = f"the issuer answered HTTP {answer.status} without certificates"
                raise google.auth.exceptions.TransportError(message)
        except google.auth.exceptions.TransportError:
            with self._lock:
                self._failed_at = self._clock.monotonic()
            raise
        with self._lock:
            self._kept, self._failed_at = (self._clock.monotonic(), answer), None
        return answer


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


class TokenVerifier:
    """Tells by its token which service account calls. Knows no HTTP framework: it is given the header's text.

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
        self._clock = clock
        self._known: dict[str, tuple[float, dict[str, Any]]] = {}

    def account_of(self, authorization: str) -> str:
        """Return the email of the service account whose token the header `Authorization` carries.

        Raises:
            ApiError: 401 TOKEN_MISSING or TOKEN_INVALID; 503 CERTIFICATES_UNAVAILABLE when nothing can be said of it.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _refused(SharedReason.TOKEN_MISSING, "This route needs an OIDC token: Authorization: Bearer ...")
        if len(token) > MAX_TOKEN_CHARS:
            raise _refused(
                SharedReason.TOKEN_INVALID, f"The token has {len(token)} characters; the limit is {MAX_TOKEN_CHARS}."
            )
        claims = self._claims(token)
        if claims.get("iss") not in _ISSUERS or claims.get("aud") != self._audience:
            raise _refused(SharedReason.TOKEN_INVALID, f"The token was not issued by Google for {self._audience}.")
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            raise _refused(SharedReason.TOKEN_INVALID, "The token names no verified service account.")
        return email

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            if self._mode == "platform":
                return dict(google.auth.jwt.decode(token, verify=False))
            until, claims = self._known.get(token, (0.0, {}))
            if self._clock.monotonic() < until:
                return claims
            self._certs.look_for(self._certs_url, google.auth.jwt.decode_header(token).get("kid"))
            claims = self._verified(token)
            self._remember(token, claims)
            return claims
        except google.auth.exceptions.TransportError as error:
            raise unavailable(
                SharedReason.CERTIFICATES_UNAVAILABLE, "The issuer's certificates cannot be fetched."
            ) from error
        except _WHAT_TOKENS_CAUSE as error:
            raise _refused(
                SharedReason.TOKEN_INVALID, "The token is malformed, expired, forged or for another service."
            ) from error

    def _remember(self, token: str, claims: dict[str, Any]) -> None:
        """Keep what a token says until it expires, for a minute at most: callers use one for an hour."""
        left_s = float(claims["exp"]) - self._clock.now().timestamp()
        if len(self._known) >= _MAX_VERIFIED:
            self._known.clear()
        self._known[token] = (self._clock.monotonic() + min(_VERIFIED_S, left_s), claims)

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


class SingleTry:
    """A google-auth transport for the metadata server that asks once, and for a bounded time.

    google-auth tries up to five times with growing waits, longer than anybody here may wait; it repeats what it knows
    as errors of a transport, so a failure is raised as what it is for our caller.
    """

    def __init__(self, timeout_s: float) -> None:
        self._request = google.auth.transport.requests.Request()
        self._timeout_s = timeout_s

    def __call__(self, url: str, method: str = "GET", headers: Any = None, **_kwargs: Any) -> Any:
        """Ask once, without a body.

        Raises:
            ApiError: 503 IDENTITY_UNAVAILABLE when there is no answer in time, or one of trouble.
        """
        try:
            answer = self._request(url=url, method=method, headers=headers, timeout=self._timeout_s)
        except google.auth.exceptions.TransportError as error:
            raise unavailable(SharedReason.IDENTITY_UNAVAILABLE, "The metadata server does not answer.") from error
        if answer.status == 429 or answer.status >= 500:
            raise unavailable(SharedReason.IDENTITY_UNAVAILABLE, f"The metadata server answered HTTP {answer.status}.")
        return answer


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
            fetched = str(google.oauth2.id_token.fetch_id_token(SingleTry(_METADATA_TIMEOUT_S), audience))
        except google.auth.exceptions.GoogleAuthError as error:
            raise unavailable(SharedReason.IDENTITY_UNAVAILABLE, "No identity token could be had.") from error
        with self._lock:
            self._kept[audience] = (self._clock.monotonic(), fetched)
        return fetched
