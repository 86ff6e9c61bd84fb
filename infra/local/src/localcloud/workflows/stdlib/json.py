"""`json`: between values and JSON text.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/json
"""

from __future__ import annotations

from localcloud.workflows.errors import value_error
from localcloud.workflows.functions.arguments import text_of, wrong_type
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.jsontext import (
    JsonDecodeError,
    JsonEncodeError,
    decode_json,
    encode_json,
    encode_json_indented,
)
from localcloud.workflows.values import Value

_DEFAULT_INDENT = "    "
_MAX_INDENT = 64


def _decode(data: Value) -> Value:
    match data:
        case str():
            text = data
        case bytes():
            try:
                text = data.decode()
            except UnicodeDecodeError:
                raise value_error("json.decode: data is not UTF-8") from None
        case _:
            raise wrong_type("data", data, "a string or bytes")
    try:
        return decode_json(text)
    except JsonDecodeError as error:
        raise value_error(f"json.decode: {error}") from None


def _encode_to_string(data: Value, indent: Value) -> str:
    try:
        match indent:
            case None | False:
                return encode_json(data)
            case True:
                return encode_json_indented(data, prefix="", indent=_DEFAULT_INDENT)
            case dict():
                return _encode_with(data, indent)
            case _:
                raise wrong_type("indent", indent, "a boolean or a map")
    except JsonEncodeError as error:
        raise value_error(f"json.encode: {error}") from None


def _encode_with(data: Value, options: dict[str, Value]) -> str:
    unknown = options.keys() - {"prefix", "indent"}
    if unknown:
        raise value_error(f"json.encode: unknown indent option '{min(unknown)}'")
    prefix = text_of("prefix", options.get("prefix", ""))
    indent = text_of("indent", options.get("indent", _DEFAULT_INDENT))
    if len(prefix) + len(indent) > _MAX_INDENT:
        # Repeated on every line, a long one would fill the machine's memory.
        raise value_error(f"json.encode: prefix and indent are longer than {_MAX_INDENT} characters")
    return encode_json_indented(data, prefix=prefix, indent=indent)


def _encode(data: Value, indent: Value) -> bytes:
    return _encode_to_string(data, indent).encode()


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("json.decode", parameters("data"), _decode),
    PureFunction("json.encode", parameters("data", indent=None), _encode),
    PureFunction("json.encode_to_string", parameters("data", indent=None), _encode_to_string),
)
