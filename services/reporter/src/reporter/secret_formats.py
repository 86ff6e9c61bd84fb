"""The forms of the two secrets that settings hold: a Standard Webhooks secret, and keys of endpoints' secrets. Pure."""

from __future__ import annotations

import base64
import binascii

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a secret
MIN_KEY_CHARS = 32
_SECRET_BYTES = range(24, 65)


def check_secret(secret: str) -> None:
    """Refuse what is not a Standard Webhooks secret; the message never holds the secret.

    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    Raises:
        ValueError: no `whsec_` before it, no base64, or not 24 to 64 bytes.
    """
    if not secret.startswith(SECRET_PREFIX):
        message = f"must begin with {SECRET_PREFIX}"
        raise ValueError(message)
    encoded = secret.removeprefix(SECRET_PREFIX)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        message = f"must be base64 after {SECRET_PREFIX}"
        raise ValueError(message) from None
    if len(raw) not in _SECRET_BYTES:
        message = f"must hold 24 to 64 bytes, not {len(raw)}"
        raise ValueError(message)


def split_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a setting written as `new,old`; the message of an error never holds a key.

    Raises:
        ValueError: there is none, one is too short, or one is there twice.
    """
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    if not keys:
        message = "must hold a key"
        raise ValueError(message)
    if any(len(key) < MIN_KEY_CHARS for key in keys):
        message = f"every key must have at least {MIN_KEY_CHARS} characters"
        raise ValueError(message)
    if len(set(keys)) < len(keys):
        message = "holds a key twice"
        raise ValueError(message)
    return keys
