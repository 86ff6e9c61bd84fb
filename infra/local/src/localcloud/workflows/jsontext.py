"""JSON text of workflow values: compact, keys sorted, doubles as Go prints them.

Does not know about: steps, HTTP, and the options of `json.encode` beyond an indentation.

Source: results and payloads recorded from the real service (compact, sorted); the double format is Go's (assumed).
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

MAX_DEPTH = 200
"""How deeply lists and maps may nest; the real bound is not documented."""

_EXPONENT_BELOW = 1e-6
_EXPONENT_FROM = 1e21
_INT64_MAX_DIGITS = 20


class JsonEncodeError(Exception):
    """The value has no JSON form: bytes, a double that is not finite, or nesting without end."""


class JsonDecodeError(Exception):
    """The text is not JSON."""


def format_double(number: float) -> str:
    """Return the shortest text that reads back as `number`: `80.6`, `2` for 2.0, `1e+21`."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
    magnitude = abs(number)
    if magnitude and not _EXPONENT_BELOW <= magnitude < _EXPONENT_FROM:
        mantissa, _, exponent = repr(number).partition("e")
        sign, digits = exponent[0], exponent[1:].lstrip("0")
        return f"{mantissa}e{sign}{digits}"
    text = repr(number)
    if "e" in text:
        text = format(Decimal(text), "f")
    return text.removesuffix(".0")


def encode_json(value: Any) -> str:
    """Return compact JSON with sorted keys.

    Raises:
        JsonEncodeError: see there.
    """
    parts: list[str] = []
    _write(value, parts.append, _refuse_bytes, 0)
    return "".join(parts)


def encode_json_leniently(value: Any) -> str:
    """Return compact JSON for reports about a failure: bytes become base64 text, odd doubles strings."""
    parts: list[str] = []
    _write(value, parts.append, _bytes_as_base64, 0)
    return "".join(parts)


def _refuse_bytes(value: Any) -> str:
    if type(value) is float:
        raise JsonEncodeError(f"{format_double(value)} has no JSON form")
    raise JsonEncodeError("a value of type bytes has no JSON form")


def _bytes_as_base64(value: Any) -> str:
    text = base64.b64encode(value).decode() if isinstance(value, bytes) else format_double(value)
    return encode_basestring(text)


def _write(value: Any, put: Callable[[str], None], odd: Callable[[Any], str], depth: int) -> None:
    kind = type(value)
    if kind is str:
        put(encode_basestring(value))
    elif kind is bool:
        put("true" if value else "false")
    elif kind is int:
        put(str(value))
    elif value is None:
        put("null")
    elif kind is float:
        put(format_double(value) if math.isfinite(value) else odd(value))
    elif kind is list or kind is dict:
        if depth >= MAX_DEPTH:
            raise JsonEncodeError(f"nested deeper than {MAX_DEPTH} levels")
        if kind is list:
            separator = "["
            for item in value:
                put(separator)
                _write(item, put, odd, depth + 1)
                separator = ","
            put("]" if value else "[]")
        else:
            separator = "{"
            for key in sorted(value):
                put(f"{separator}{encode_basestring(key)}:")
                _write(value[key], put, odd, depth + 1)
                separator = ","
            put("}" if value else "{}")
    else:
        put(odd(value))


def encode_json_indented(value: Any, *, prefix: str, indent: str) -> str:
    """Return JSON with every element on a line of its own: newline, `prefix`, `indent` per level (Go's MarshalIndent).

    Raises:
        JsonEncodeError: see there.
    """
    return _indented(value, prefix, indent, 0)


def _indented(value: Any, prefix: str, indent: str, depth: int) -> str:
    if not value or type(value) not in (list, dict):
        return encode_json(value)
    if depth >= MAX_DEPTH:
        raise JsonEncodeError(f"nested deeper than {MAX_DEPTH} levels")
    inner = "\n" + prefix + indent * (depth + 1)
    outer = "\n" + prefix + indent * depth
    if type(value) is list:
        items = [_indented(item, prefix, indent, depth + 1) for item in value]
        return "[" + ",".join(inner + item for item in items) + outer + "]"
    entries = [f"{encode_basestring(key)}: {_indented(value[key], prefix, indent, depth + 1)}" for key in sorted(value)]
    return "{" + ",".join(inner + entry for entry in entries) + outer + "}"


def decode_json(text: str) -> Any:
    """Return the value of a JSON text; integers beyond 64 bits become doubles, lone surrogates U+FFFD.

    Raises:
        JsonDecodeError: the text is not JSON or nests too deeply.
    """
    try:
        value = json.loads(text, parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise JsonDecodeError(str(error)) from error
    if depth_of(value) > MAX_DEPTH:
        raise JsonDecodeError(f"nested deeper than {MAX_DEPTH} levels")
    return _without_surrogates(value) if "\\u" in text else value


def depth_of(value: Any) -> int:
    """Return how many lists and maps are nested in one another; 0 for a scalar."""
    depth = 0
    layer = [value]
    while containers := [item for item in layer if isinstance(item, list | dict)]:
        depth += 1
        layer = [inner for item in containers for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _parse_int(digits: str) -> int | float:
    if len(digits) > _INT64_MAX_DIGITS:
        return _finite(digits)
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(number)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _without_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_without_surrogates(item) for item in value]
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case _:
            return value
