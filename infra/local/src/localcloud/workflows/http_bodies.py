"""Bodies and headers of HTTP messages as workflow values: the one rule for `http.*`, connectors and callbacks.

Documented is that `application/json` is parsed (https://cloud.google.com/workflows/docs/http-requests); a kinder
emulator, which parsed `application/problem+json` too, would hide a bug that production shows. The rest is assumed.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message

from localcloud.workflows.jsontext import JsonDecodeError, decode_json
from localcloud.workflows.values import Value

_JSON_TYPE = "application/json"


def value_from_body(body: bytes, content_type: str) -> Value:
    """Return a body by its Content-Type: JSON for `application/json`, text for `text/*`, otherwise bytes.

    Without a type, UTF-8 becomes text. Blank JSON is null, JSON that does not parse stays text, and text that its
    charset does not decode stays bytes.
    """
    message = Message()
    message["Content-Type"] = content_type or "text/plain"
    if message.get_content_type() == _JSON_TYPE:
        return _json(body)
    if message.get_content_maintype() == "text":
        return _text(body, message.get_content_charset("utf-8"))
    return body


def canonical_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by canonical name (`X-Cloud-Trace-Context`), duplicates joined with a comma (RFC 9110 5.3)."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        canonical = "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
        values.setdefault(canonical, []).append(value)
    return {name: ", ".join(of_one) for name, of_one in values.items()}


def _json(body: bytes) -> Value:
    if not body.strip():
        return None
    text = _text(body, "utf-8")
    if not isinstance(text, str):
        return text
    try:
        return decode_json(text)
    except JsonDecodeError:
        return text


def _text(body: bytes, charset: str) -> str | bytes:
    try:
        return body.decode(charset)
    except (LookupError, UnicodeError):
        return body
