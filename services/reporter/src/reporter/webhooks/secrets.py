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
from uuid import UUID

from reporter.secret_formats import SECRET_PREFIX
from reporter.state.secrets import SecretSeed

_SALT_BYTES = 16
_SECRET_LABEL = b"pressroom.webhook-endpoint-secret.v1"
_KEY_ID_LABEL = b"pressroom.webhook-endpoint-key-id.v1"


class UnknownKeyError(Exception):
    """A secret was derived from a key that the service is not given any more."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the key {key_id} is not among WEBHOOK_ENDPOINT_KEYS")
        self.key_id = key_id


def new_seed(keys: Sequence[str]) -> SecretSeed:
    """Return the seed of a secret that nobody has, made with the first key."""
    return SecretSeed(_key_id(keys[0]), secrets.token_bytes(_SALT_BYTES))


def reveal_secret(keys: Sequence[str], endpoint_id: UUID, seed: SecretSeed) -> str:
    """Return the secret of a seed, `whsec_` and 32 bytes in base64.

    Raises:
        UnknownKeyError: its key is not among the keys.
    """
    key = next((key for key in keys if _key_id(key) == seed.key_id), None)
    if key is None:
        raise UnknownKeyError(seed.key_id)
    content = _SECRET_LABEL + endpoint_id.bytes + seed.salt
    return SECRET_PREFIX + base64.b64encode(hmac.new(key.encode(), content, hashlib.sha256).digest()).decode()


def _key_id(key: str) -> str:
    return hmac.new(key.encode(), _KEY_ID_LABEL, hashlib.sha256).hexdigest()[:16]
