"""`base64`: between bytes and Base64 text.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/base64
"""

from __future__ import annotations

import base64
import binascii

from localcloud.workflows.errors import value_error
from localcloud.workflows.functions.arguments import boolean_of, bytes_of, text_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.values import Value

_GROUP = 4


def _decode(data: Value, padding: Value) -> bytes:
    text = text_of("data", data).replace("\r", "").replace("\n", "")
    if not boolean_of("padding", padding):
        if "=" in text:
            raise value_error("base64.decode: padding characters in data without padding")
        text += "=" * (-len(text) % _GROUP)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise value_error(f"base64.decode: {error}") from None


def _encode(data: Value, padding: Value) -> str:
    text = base64.b64encode(bytes_of("data", data)).decode()
    return text if boolean_of("padding", padding) else text.rstrip("=")


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("base64.decode", parameters("data", padding=True), _decode),
    PureFunction("base64.encode", parameters("data", padding=True), _encode),
)
