"""Checks the bodies of API requests against tables of fields, so that an unknown or unsupported field is an error.

Google's own parser refuses unknown names too; output-only fields are ignored, as AIP-203 wants.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import camel_case
from localcloud.workflows.enums import CallLogLevel, HistoryLevel, enum_from_json
from localcloud.workflows.jsontext import JsonDecodeError, decode_json

Reader = Callable[[Any, str], Any]
"""Checks a JSON value (`value`, `field name`) and returns what the records hold."""

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_ACCOUNT = re.compile(r"(?:projects/[^/]+/serviceAccounts/)?(?P<email>[^/@\s]+@[^/@\s]+)")

_CRYPTO_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")

MAX_LABELS = 64
MAX_TAGS = 50
"""On one resource. Source: https://cloud.google.com/resource-manager/docs/limits"""
MAX_DESCRIPTION_CHARS = 1000
MAX_USER_ENV_VARS = 20
MAX_USER_ENV_BYTES = 4096
MAX_SOURCE_BYTES = 128 * 1024
MAX_ARGUMENT_BYTES = 512 * 1024
"""The memory of an execution, which the argument counts towards; older text says 32 KB (specs disagree)."""


def read_body(body: Any, readers: Mapping[str, Reader], output_only: frozenset[str], kind: str) -> dict[str, Any]:
    """Return the checked fields that `body` sets, by their camelCase names.

    Raises:
        GoogleError: INVALID_ARGUMENT or UNIMPLEMENTED, naming the field.
    """
    if not isinstance(body, Mapping):
        raise invalid_argument(f"Invalid JSON payload received. {kind} must be an object")
    fields: dict[str, Any] = {}
    for name, value in body.items():
        field = camel_case(name)
        if field in readers:
            if value is not None:
                fields[field] = readers[field](value, field)
        elif field not in output_only:
            raise invalid_argument(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    return fields


def text(value: Any, field: str) -> str:
    """Accept any string."""
    if not isinstance(value, str):
        raise invalid_argument(f"Invalid value at '{field}' (TYPE_STRING), {json.dumps(value)}")
    return value


def flag(value: Any, field: str) -> bool:
    """Accept a boolean."""
    if not isinstance(value, bool):
        raise invalid_argument(f"Invalid value at '{field}' (TYPE_BOOL), {json.dumps(value)}")
    return value


def description(value: Any, field: str) -> str:
    """Accept at most 1000 characters."""
    if len(text(value, field)) > MAX_DESCRIPTION_CHARS:
        raise invalid_argument(f"{field} is longer than {MAX_DESCRIPTION_CHARS} characters")
    return str(value)


def labels(value: Any, field: str) -> dict[str, str]:
    """Accept at most 64 labels of lower-case letters, digits, `_` and `-`."""
    pairs = string_map(value, field)
    for key, label in pairs.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(label):
            raise invalid_argument(f"Invalid label {key!r}: {label!r}")
    if len(pairs) > MAX_LABELS:
        raise invalid_argument(f"More than {MAX_LABELS} labels")
    return pairs


def user_env(value: Any, field: str) -> dict[str, str]:
    """Accept at most 20 variables of at most 4 KiB whose names are not reserved."""
    pairs = string_map(value, field)
    if len(pairs) > MAX_USER_ENV_VARS:
        raise invalid_argument(f"More than {MAX_USER_ENV_VARS} user environment variables")
    for key, content in pairs.items():
        if not key or key.startswith(("GOOGLE", "WORKFLOWS")):
            raise invalid_argument(f"Invalid user environment variable name {key!r}: empty or reserved")
        if len(content.encode()) > MAX_USER_ENV_BYTES:
            raise invalid_argument(f"User environment variable {key} is larger than {MAX_USER_ENV_BYTES} bytes")
    return pairs


def source(value: Any, field: str) -> str:
    """Accept at most 128 KB."""
    if len(text(value, field).encode()) > MAX_SOURCE_BYTES:
        raise invalid_argument(f"{field} is larger than {MAX_SOURCE_BYTES} bytes")
    return str(value)


def account_email(value: Any, field: str) -> str:
    """Accept an email or `projects/P/serviceAccounts/EMAIL`; return the email, `` for the default account."""
    if not text(value, field):
        return ""
    match = _ACCOUNT.fullmatch(value)
    if match is None:
        raise invalid_argument(f"Invalid service account {value!r}")
    return match["email"]


def argument(value: Any, field: str) -> str:
    """Accept JSON text; `` is the same as no argument."""
    if not text(value, field):
        return "null"
    if len(value.encode()) > MAX_ARGUMENT_BYTES:
        raise invalid_argument(f"{field} is larger than {MAX_ARGUMENT_BYTES} bytes")
    try:
        decode_json(value)
    except JsonDecodeError as error:
        raise invalid_argument(f"{field} must be a valid JSON string: {error}") from None
    return str(value)


def call_log_level(value: Any, field: str) -> CallLogLevel:
    """Accept a CallLogLevel by name or number."""
    return enum_from_json(CallLogLevel, value, field)


def history_level(value: Any, field: str) -> HistoryLevel:
    """Accept a HistoryLevel by name or number."""
    return enum_from_json(HistoryLevel, value, field)


def crypto_key(value: Any, field: str) -> str:
    """Accept the name of a key of Cloud KMS; `` is none."""
    if text(value, field) and not _CRYPTO_KEY.fullmatch(value):
        raise invalid_argument(
            f"{field} must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, not {value[:200]!r}"
        )
    return str(value)


def tags(value: Any, field: str) -> dict[str, str]:
    """Accept tag bindings: `tagKeys/123` or `PARENT/KEY` to `tagValues/456` or a short name."""
    pairs = string_map(value, field)
    if len(pairs) > MAX_TAGS or not all(key and item for key, item in pairs.items()):
        raise invalid_argument(f"{field} must be at most {MAX_TAGS} pairs of tag keys and tag values")
    return pairs


def string_map(value: Any, field: str) -> dict[str, str]:
    """Accept a map of strings."""
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise invalid_argument(f"Invalid value at '{field}': a map of strings is wanted")
    return dict(value)
