"""`text`: searching, replacing, splitting and encoding of strings.

Indices count code points. Regular expressions are RE2's and of equal starts the longest match wins, which Python's
own engine does not do.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/text
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

import re2

from localcloud.workflows.errors import resource_limit_error, value_error
from localcloud.workflows.functions.arguments import bytes_of, integer_of, text_of
from localcloud.workflows.functions.signatures import Function, PureFunction, parameters
from localcloud.workflows.limits import MAX_MEMORY_BYTES
from localcloud.workflows.values import Value

_ONLY_PYTHON = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
_BAD_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")


def _regexp(pattern: Value) -> re2._Regexp:
    options = re2.Options()
    options.longest_match = True
    options.log_errors = False
    try:
        return re2.compile(text_of("regexp", pattern), options=options)
    except re2.error as error:
        raise value_error(f"invalid regular expression: {_reason(error)}") from None


def _reason(error: re2.error) -> str:
    """Return what the library says, which it gives as bytes."""
    reason = error.args[0] if error.args else ""
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)


def _matches(source: str, pattern: Value) -> Iterator[tuple[int, int]]:
    """Yield start and end of every match from the left; an empty one never touches the match before it."""
    previous_end = -1
    for found in _regexp(pattern).finditer(source):
        start, end = found.span()
        if not start == end == previous_end:
            yield start, end
        previous_end = end


def _find_all(source: Value, substr: Value) -> list[Value]:
    text, wanted = text_of("source", source), text_of("substr", substr)
    if not wanted:
        return list(range(len(text) + 1))
    found: list[Value] = []
    index = text.find(wanted)
    while index >= 0:
        found.append(index)
        index = text.find(wanted, index + len(wanted))
    return found


def _find_all_regex(source: Value, regexp: Value) -> list[Value]:
    text = text_of("source", source)
    return [{"index": start, "match": text[start:end]} for start, end in _matches(text, regexp)]


def _match_regex(source: Value, regexp: Value) -> bool:
    text = text_of("source", source)
    return _regexp(regexp).search(text) is not None


def _replace_all(source: Value, substr: Value, repl: Value) -> str:
    text, wanted, replacement = text_of("source", source), text_of("substr", substr), text_of("repl", repl)
    _check_growth(text.count(wanted), replacement)
    return text.replace(wanted, replacement)


def _replace_all_regex(source: Value, regexp: Value, repl: Value) -> str:
    # The replacement is literal: production does not know backreferences.
    text, replacement = text_of("source", source), text_of("repl", repl)
    matches = list(_matches(text, regexp))
    _check_growth(len(matches), replacement)
    parts: list[str] = []
    position = 0
    for start, end in matches:
        parts += [text[position:start], replacement]
        position = end
    return "".join([*parts, text[position:]])


def _check_growth(count: int, replacement: str) -> None:
    """Refuse a replacement whose result no execution could hold, before it fills the machine's memory."""
    if count * len(replacement) > MAX_MEMORY_BYTES:
        raise resource_limit_error("Memory usage limit exceeded")


def _split(source: Value, separator: Value) -> list[Value]:
    text, between = text_of("source", source), text_of("separator", separator)
    return list(text.split(between)) if between else list(text)


def _substring(source: Value, start: Value, end: Value) -> str:
    # Negative indices count from the end and ones outside are clamped: as Python's slices do.
    return text_of("source", source)[integer_of("start", start) : integer_of("end", end)]


def _to_lower(source: Value) -> str:
    return text_of("source", source).lower()


def _to_upper(source: Value) -> str:
    return text_of("source", source).upper()


def _codec(charset: Value) -> str:
    name = text_of("charset", charset)
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        raise value_error(f"unknown charset '{name}'") from None
    # Python also registers transformations such as rot13 and base64 under codec names.
    if not info._is_text_encoding or info.name in _ONLY_PYTHON:  # noqa: SLF001 - the only place where Python tells
        raise value_error(f"unknown charset '{name}'")
    return info.name


def _encode(text: Value, charset: Value) -> bytes:
    try:
        return text_of("text", text).encode(_codec(charset))
    except UnicodeError:
        raise value_error(f"text cannot be encoded in charset '{charset}'") from None


def _decode(data: Value, charset: Value) -> str:
    try:
        return bytes_of("data", data).decode(_codec(charset))
    except UnicodeError:
        raise value_error(f"data is not text in charset '{charset}'") from None


def _url_encode(source: Value) -> str:
    return quote(text_of("source", source), safe="")


def _url_encode_plus(source: Value) -> str:
    return quote(text_of("source", source), safe=" ").replace(" ", "+")


def _url_decode(source: Value) -> str:
    text = text_of("source", source)
    if _BAD_PERCENT.search(text):
        raise value_error("text.url_decode: '%' without two hexadecimal digits")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise value_error("text.url_decode: the result is not UTF-8") from None


FUNCTIONS: tuple[Function, ...] = (
    PureFunction("text.decode", parameters("data", charset="UTF-8"), _decode),
    PureFunction("text.encode", parameters("text", charset="UTF-8"), _encode),
    PureFunction("text.find_all", parameters("source", "substr"), _find_all),
    PureFunction("text.find_all_regex", parameters("source", "regexp"), _find_all_regex),
    PureFunction("text.match_regex", parameters("source", "regexp"), _match_regex),
    PureFunction("text.replace_all", parameters("source", "substr", "repl"), _replace_all),
    PureFunction("text.replace_all_regex", parameters("source", "regexp", "repl"), _replace_all_regex),
    PureFunction("text.split", parameters("source", "separator"), _split),
    PureFunction("text.substring", parameters("source", "start", "end"), _substring),
    PureFunction("text.to_lower", parameters("source"), _to_lower),
    PureFunction("text.to_upper", parameters("source"), _to_upper),
    PureFunction("text.url_decode", parameters("source"), _url_decode),
    PureFunction("text.url_encode", parameters("source"), _url_encode),
    PureFunction("text.url_encode_plus", parameters("source"), _url_encode_plus),
)
