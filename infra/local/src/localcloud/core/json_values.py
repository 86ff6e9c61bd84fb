"""Protocol-buffer JSON of durations, timestamps, bytes and enums, and strict access to request objects.

Clients differ: gcloud sends enum names, Google's Python client over REST sends enum numbers. Both are read here.

Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
import sys
from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar

from localcloud.core.google_errors import invalid_argument

_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s")
_BASE64_URL_TO_STANDARD = str.maketrans("-_", "+/")
EnumT = TypeVar("EnumT", bound=enum.IntEnum)

Json = dict[str, Any]
"""A JSON object."""


def camel_case(name: str) -> str:
    """Return `sourceContents` for `source_contents`; proto3 JSON parsers take both."""
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def object_from_json(value: Any, *, at: str, allowed: Collection[str]) -> dict[str, Any]:
    """Return `value` if it is a JSON object with no other than the `allowed` keys.

    Raises:
        GoogleError: INVALID_ARGUMENT naming the field, as production words it.
    """
    if not isinstance(value, dict):
        raise invalid_argument(f"Invalid value at '{at}': expected a JSON object.")
    for key in value:
        if key not in allowed:
            raise invalid_argument(
                f"Invalid JSON payload received. Unknown name \"{key}\" at '{at}': Cannot find field."
            )
    return value


def text_from_json(value: Any, *, at: str) -> str:
    """Return a JSON string; raise INVALID_ARGUMENT for anything else."""
    if not isinstance(value, str):
        raise invalid_argument(f"Invalid value at '{at}' (TYPE_STRING): {value!r}")
    return value


def integer_from_json(value: Any, *, at: str) -> int:
    """Return a 32-bit integer, also from its decimal text; raise INVALID_ARGUMENT for anything else."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif (isinstance(value, float) and value.is_integer()) or (
        isinstance(value, str) and re.fullmatch(r"-?\d{1,10}", value)
    ):
        number = int(value)
    if number is None or not -(2**31) <= number < 2**31:
        raise invalid_argument(f"Invalid value at '{at}' (TYPE_INT32): {value!r}")
    return number


def number_from_json(value: Any, *, at: str) -> float:
    """Return a finite number; raise INVALID_ARGUMENT for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return float(value)
    raise invalid_argument(f"Invalid value at '{at}' (TYPE_DOUBLE): {value!r}")


def duration_from_json(value: Any, *, at: str) -> float:
    """Return the seconds of a duration such as `"3.5s"`; raise INVALID_ARGUMENT for anything else."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise invalid_argument(
            f"Invalid value at '{at}' (google.protobuf.Duration), expected seconds like \"3.5s\": {value!r}"
        )
    sign, seconds, fraction = match.groups()
    return (-1 if sign else 1) * float(f"{seconds}.{fraction or 0}")


def timestamp_from_json(value: Any, *, at: str) -> float:
    """Return the seconds since the epoch of an RFC 3339 time; raise INVALID_ARGUMENT for anything else."""
    if isinstance(value, str) and "T" in value.upper():
        try:
            moment = datetime.fromisoformat(value.upper())
            if moment.tzinfo is not None:
                return moment.timestamp()
        except (ValueError, OverflowError):
            pass
    raise invalid_argument(f"Invalid value at '{at}' (google.protobuf.Timestamp), expected RFC 3339: {value!r}")


def bytes_from_json(value: Any, *, at: str) -> bytes:
    """Return bytes from base64, standard or URL-safe, padded or not; raise INVALID_ARGUMENT for anything else."""
    try:
        text = value.translate(_BASE64_URL_TO_STANDARD)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (AttributeError, ValueError, binascii.Error) as error:
        raise invalid_argument(f"Invalid value at '{at}' (TYPE_BYTES), Base64 decoding failed.") from error


def enum_from_json(value: Any, kind: type[EnumT], *, at: str) -> EnumT | None:
    """Return a member by name or number, None for the unspecified value 0; raise INVALID_ARGUMENT for anything else."""
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    if isinstance(value, str) and value.endswith("_UNSPECIFIED"):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value == 0:
            return None
        if value in kind.__members__.values():
            return kind(value)
    raise invalid_argument(f"Invalid value at '{at}' (TYPE_ENUM): {value!r}")
