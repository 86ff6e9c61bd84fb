"""`hash`: checksums and HMACs of bytes.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/hash
"""

from __future__ import annotations

import hashlib
import hmac

from localcloud.workflows.errors import value_error
from localcloud.workflows.functions.arguments import bytes_of, text_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value

_ALGORITHMS = ("MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512")


def _digest_name(algorithm: Value) -> str:
    name = text_of("algorithm", algorithm)
    if name not in _ALGORITHMS:
        raise value_error(f"unsupported hash algorithm '{name}' (expecting one of {', '.join(_ALGORITHMS)})")
    return name.lower()


def _checksum(data: Value, algorithm: Value) -> bytes:
    content = bytes_of("data", data)
    return hashlib.new(_digest_name(algorithm), content, usedforsecurity=False).digest()


def _hmac(key: Value, data: Value, algorithm: Value) -> bytes:
    secret, content = bytes_of("key", key), bytes_of("data", data)
    return hmac.new(secret, content, _digest_name(algorithm)).digest()


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("hash.compute_checksum", parameters("data", "algorithm"), _checksum),
    PureFunction("hash.compute_hmac", parameters("key", "data", "algorithm"), _hmac),
)
