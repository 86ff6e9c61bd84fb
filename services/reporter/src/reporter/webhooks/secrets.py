"""The signing secrets of webhook endpoints: derived from a key of the deployment, so that no table holds any. Pure.

A row keeps a random salt and the id of the key. The secret is HMAC-SHA256 of endpoint and salt under that key, hence
a copy of the database tells nobody how to sign; encryption would not do more, and would need a library more.

Several keys may be given: the first makes new secrets, the others keep those made with them working. A key is retired
once every endpoint made with it has been rotated.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from reporter.webhooks.signature import SECRET_PREFIX

MIN_KEY_CHARS = 32
_SALT_BYTES = 16
_SECRET_LABEL = b"pressroom.webhook-endpoint-secret.v1"
_KEY_ID_LABEL = b"pressroom.webhook-endpoint-key-id.v1"


class UnknownKeyError(Exception):
    """A secret was derived from a key that the service is not given any more."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the key {key_id} is not among WEBHOOK_ENDPOINT_KEYS")
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class SecretSeed:
    """What a row keeps of a secret; worthless without the key."""

    key_id: str
    salt: bytes


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


class EndpointSecrets:
    """Makes seeds and reveals the secrets behind them.

    Args:
        keys: at least one; the first makes new secrets.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = {_key_id(key): key.encode() for key in keys}
        self._newest = next(iter(self._keys))

    def new_seed(self) -> SecretSeed:
        """Return the seed of a secret that nobody has."""
        return SecretSeed(self._newest, secrets.token_bytes(_SALT_BYTES))

    def reveal(self, endpoint_id: UUID, seed: SecretSeed) -> str:
        """Return the secret, `whsec_` and 32 bytes in base64.

        Raises:
            UnknownKeyError: its key is gone.
        """
        if seed.key_id not in self._keys:
            raise UnknownKeyError(seed.key_id)
        content = _SECRET_LABEL + endpoint_id.bytes + seed.salt
        digest = hmac.new(self._keys[seed.key_id], content, hashlib.sha256).digest()
        return SECRET_PREFIX + base64.b64encode(digest).decode()


def _key_id(key: str) -> str:
    return hmac.new(key.encode(), _KEY_ID_LABEL, hashlib.sha256).hexdigest()[:16]
