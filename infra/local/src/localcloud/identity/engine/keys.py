"""The issuer's RSA key and its two public forms: a self-signed X.509 certificate and a JSON Web Key."""

from __future__ import annotations

import base64
import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_KEY_SIZE_BITS = 2048
_CERTIFICATE_LIFETIME = datetime.timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One RSA key pair, known to verifiers by `key_id` (the `kid` of a token's header)."""

    key_id: str
    private_key: rsa.RSAPrivateKey
    certificate_pem: str

    def to_jwk(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key: `{"kty": "RSA", "alg": "RS256", "kid": ..., "n": ..., "e": ...}`."""
        numbers = self.private_key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.key_id,
            "n": _base64url_uint(numbers.n),
            "e": _base64url_uint(numbers.e),
        }


def kept_signing_key(path: Path, now_s: float) -> SigningKey:
    """Return the key kept in a file readable only by its owner; make it when there is none.

    A restarted issuer keeps its key, as Google's does: tokens and certificates that others hold stay good.
    """
    if path.exists():
        pem = path.read_bytes()
        private_key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            raise ValueError(f"{path} holds no RSA key")
        certificate = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        return _signing_key(private_key, certificate)
    key = generate_signing_key(now_s)
    private_pem = key.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(private_pem + key.certificate_pem.encode("ascii"))
    fresh.replace(path)
    return key


def generate_signing_key(now_s: float) -> SigningKey:
    """Make a fresh key whose certificate is valid from a day before `now_s` (seconds since the epoch) for ten years."""
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_SIZE_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localcloud identity issuer")])
    # A day back, so that a verifier whose clock runs behind still accepts it.
    start = datetime.datetime.fromtimestamp(now_s, datetime.UTC) - datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + _CERTIFICATE_LIFETIME)
        .sign(private_key, hashes.SHA256())
    )
    return _signing_key(private_key, certificate)


def _signing_key(private_key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> SigningKey:
    public_der = private_key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_id = hashlib.sha256(public_der).hexdigest()[:40]
    return SigningKey(key_id, private_key, certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"))


def _base64url_uint(number: int) -> str:
    """Encode a positive integer as RFC 7518 Base64urlUInt."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
