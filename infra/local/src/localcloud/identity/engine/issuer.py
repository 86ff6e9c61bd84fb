"""Mints the tokens of service accounts: Google-shaped OIDC identity tokens and opaque access tokens.

Knows nothing of HTTP. The claims are those of a Google-signed token, `iss` included, so that a verifier needs only
another certificate URL: https://cloud.google.com/docs/authentication/token-types#id.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import jwt

from localcloud.core.clock import Clock
from localcloud.identity.engine.keys import SigningKey, generate_signing_key

ISSUER: Final = "https://accounts.google.com"
"""The `iss` claim, the same as Google's."""

TOKEN_LIFETIME_S: Final = 3600
"""Lifetime of both kinds of token, in seconds."""

TOKEN_REUSE_S: Final = 300
"""How long the same identity token is handed out again: signing is the dearest part of a dispatch."""

DEFAULT_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class TokenIssuer:
    """Signs tokens for any service account with one key that lives as long as this object."""

    def __init__(self, clock: Clock, key: SigningKey | None = None) -> None:
        self.clock = clock
        self.key = key if key is not None else generate_signing_key(clock.now())
        self._minted: dict[tuple[str, str], tuple[int, str]] = {}

    def mint_id_token(self, email: str, audience: str) -> str:
        """Return a signed JWT that says "I am `email`", valid at `audience` for 55 minutes at least.

        Raises:
            ValueError: `email` or `audience` is empty.
        """
        if not email or not audience:
            raise ValueError("an identity token needs an email and an audience")
        issued_s = int(self.clock.now())
        minted_s, minted = self._minted.get((email, audience), (0, ""))
        if 0 <= issued_s - minted_s < TOKEN_REUSE_S:
            return minted
        subject = unique_id(email)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": email,
            "email_verified": True,
            "iat": issued_s,
            "exp": issued_s + TOKEN_LIFETIME_S,
        }
        token = jwt.encode(claims, self.key.private_key, algorithm="RS256", headers={"kid": self.key.key_id})
        self._minted[email, audience] = (issued_s, token)
        return token

    def mint_access_token(self, email: str, scopes: Iterable[str] = DEFAULT_SCOPES) -> str:
        """Return an opaque access token for `email`; its middle part is base64 of account and scopes.

        No local emulator checks permissions, so the token is not registered anywhere.
        """
        text = f"{email} {' '.join(scopes)}"
        readable = base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode("ascii")
        return f"ya29.localcloud.{readable}.{secrets.token_urlsafe(12)}"

    def certificates(self) -> dict[str, str]:
        """Return `{key id: X.509 PEM}`, the body of `/oauth2/v1/certs`."""
        return {self.key.key_id: self.key.certificate_pem}

    def key_set(self) -> dict[str, Any]:
        """Return the JWKS `{"keys": [...]}`, the body of `/oauth2/v3/certs`."""
        return {"keys": [self.key.to_jwk()]}


@dataclass(frozen=True, slots=True)
class AccountTokens:
    """The tokens of one service account: the `TokenSource` an execution is given."""

    issuer: TokenIssuer
    email: str

    def oidc_token(self, audience: str) -> str:
        """Return a signed identity token for `audience`."""
        return self.issuer.mint_id_token(self.email, audience)

    def access_token(self, scopes: list[str]) -> str:
        """Return an OAuth2 access token; no scopes means cloud-platform."""
        return self.issuer.mint_access_token(self.email, scopes or DEFAULT_SCOPES)


def unique_id(email: str) -> str:
    """Return the account's 21-digit id, derived from the email so that it survives restarts."""
    digest = int.from_bytes(hashlib.sha256(email.encode()).digest(), "big")
    return f"1{digest % 10**20:020d}"
