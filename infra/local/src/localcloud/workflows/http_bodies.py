"""Bodies and headers of HTTP messages as workflow values, for callbacks and connectors.

Only what the type declares as JSON is parsed: a kinder emulator would hide a bug that production shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from localcloud.workflows.jsontext import JsonDecodeError, decode_json
from localcloud.workflows.runtime.host import Value

_JSON_TYPE = re.compile(r"application/(?:json|[\w.-]+\+json)", re.IGNORECASE)


def value_from_body(body: bytes, content_type: str) -> Value:
    """Return the JSON value, text, or bytes of a body; None when it is empty.

    Text that is not UTF-8 stays bytes, and JSON that does not parse stays text, as their documentation says nothing.
    """
    if not body:
        return None
    media_type = content_type.partition(";")[0].strip()
    if _JSON_TYPE.fullmatch(media_type):
        try:
            return decode_json(body.decode("utf-8"))
        except (JsonDecodeError, UnicodeDecodeError):
            return _text(body)
    if not media_type or media_type.lower().startswith("text/"):
        return _text(body)
    return body


def canonical_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by canonical name (`X-Cloud-Trace-Context`), duplicates joined with a comma (RFC 9110 5.3)."""
    merged: dict[str, str] = {}
    for name, value in pairs:
        canonical = "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
        merged[canonical] = f"{merged[canonical]}, {value}" if canonical in merged else value
    return merged


def _text(body: bytes) -> Value:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body
