"""Tokens: the claims and signatures that Google's verifiers look at."""

from __future__ import annotations

import base64
from pathlib import Path

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from localcloud.core.clock import ManualClock, SystemClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer, unique_id
from localcloud.identity.engine.keys import kept_signing_key

EMAIL = "ingest@demo.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer(ManualClock())


def certificate(issuer: TokenIssuer) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issuer.certificates()[issuer.key.key_id].encode())


def test_identity_token_has_the_claims_of_a_google_token(issuer: TokenIssuer) -> None:
    """Every claim a Google identity token carries is there, for one hour."""
    token = issuer.mint_id_token(EMAIL, "http://127.0.0.1:8080")

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims == {
        "iss": "https://accounts.google.com",
        "aud": "http://127.0.0.1:8080",
        "azp": unique_id(EMAIL),
        "sub": unique_id(EMAIL),
        "email": EMAIL,
        "email_verified": True,
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    }


def test_identity_token_header_names_the_published_key(issuer: TokenIssuer) -> None:
    """The `kid` of a token is found in both public forms of the keys."""
    header = jwt.get_unverified_header(issuer.mint_id_token(EMAIL, "a"))

    assert header == {"alg": "RS256", "typ": "JWT", "kid": issuer.key.key_id}
    assert [key["kid"] for key in issuer.key_set()["keys"]] == [issuer.key.key_id]


def test_identity_token_verifies_against_the_json_web_key(issuer: TokenIssuer) -> None:
    """A verifier that knows only the JWKS accepts the signature."""
    key = jwt.PyJWK.from_dict(issuer.key_set()["keys"][0])
    token = issuer.mint_id_token(EMAIL, "a")

    claims = jwt.decode(token, key, algorithms=["RS256"], audience="a", options={"verify_exp": False})

    assert claims["email"] == EMAIL


def test_identity_token_verifies_against_the_certificate(issuer: TokenIssuer) -> None:
    """A verifier that knows only the X.509 certificate accepts the signature."""
    signed, _, signature = issuer.mint_id_token(EMAIL, "a").rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))

    key = certificate(issuer).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_certificate_is_valid_at_the_clocks_time(issuer: TokenIssuer) -> None:
    """The certificate is valid when it was made by the emulator's clock."""
    moment = certificate(issuer)

    assert moment.not_valid_before_utc.timestamp() < 1_700_000_000 < moment.not_valid_after_utc.timestamp()


@pytest.mark.parametrize(("email", "audience"), [("", "a"), (EMAIL, "")], ids=["no email", "no audience"])
def test_identity_token_without_email_or_audience_is_refused(issuer: TokenIssuer, email: str, audience: str) -> None:
    """There is no token for nobody or for everywhere."""
    with pytest.raises(ValueError, match="an identity token needs"):
        issuer.mint_id_token(email, audience)


def test_unique_id_has_twenty_one_digits_and_differs_between_accounts() -> None:
    """Subjects look like Google's and tell accounts apart."""
    assert len(unique_id(EMAIL)) == 21
    assert unique_id(EMAIL) != unique_id("other@demo.iam.gserviceaccount.com")


def test_access_tokens_are_opaque_and_never_repeat(issuer: TokenIssuer) -> None:
    """Two access tokens of an account differ and carry Google's prefix."""
    tokens = AccountTokens(issuer, EMAIL)

    first, second = tokens.access_token([]), tokens.access_token([])

    assert first.startswith("ya29.")
    assert first != second


def test_issuer_keeps_its_key_over_restarts(tmp_path: Path) -> None:
    """What was minted before a restart is good after it, and nobody else can read the key."""
    before = TokenIssuer(SystemClock(), kept_signing_key(tmp_path / "issuer.pem", 1_700_000_000.0))
    after = TokenIssuer(SystemClock(), kept_signing_key(tmp_path / "issuer.pem", 1_800_000_000.0))

    assert after.certificates() == before.certificates()
    assert after.key.private_key.private_numbers() == before.key.private_key.private_numbers()
    assert (tmp_path / "issuer.pem").stat().st_mode & 0o077 == 0
