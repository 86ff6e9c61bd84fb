"""JSON text of values: sorted, compact, and faithful both ways."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.workflows.jsontext import (
    MAX_DEPTH,
    JsonDecodeError,
    JsonEncodeError,
    decode_json,
    encode_json,
    encode_json_indented,
    encode_json_leniently,
    format_double,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(value=JSON_VALUES)
def test_encoded_values_decode_to_themselves(value: object) -> None:
    """Encoding and decoding are inverse on values without doubles (a whole double comes back as an integer)."""
    assert decode_json(encode_json(value)) == value


@given(value=JSON_VALUES)
def test_the_encoder_agrees_with_the_standard_library(value: object) -> None:
    """Without doubles the text is that of `json.dumps`, compact and sorted."""
    assert encode_json(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(value=JSON_VALUES)
def test_indented_text_is_the_same_value(value: object) -> None:
    """Indentation changes the looks only."""
    assert json.loads(encode_json_indented(value, prefix="", indent="  ")) == value


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_double_reads_back_as_it(number: float) -> None:
    """The shortest text is exact."""
    assert float(format_double(number)) == number


@given(text=st.text())
def test_any_text_decodes_or_is_refused(text: str) -> None:
    """The decoder is total."""
    with contextlib.suppress(JsonDecodeError):
        decode_json(text)


def test_deep_nesting_is_refused_both_ways() -> None:
    """Nesting without end overflows no stack."""
    deep: list[object] = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]

    with pytest.raises(JsonEncodeError):
        encode_json(deep)
    with pytest.raises(JsonDecodeError):
        decode_json("[" * 100_000)
    with pytest.raises(JsonDecodeError):
        decode_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


def test_bytes_have_no_json_except_in_reports() -> None:
    """A payload shows bytes as Base64, since a failure must be reportable; `json.encode` refuses them."""
    with pytest.raises(JsonEncodeError):
        encode_json({"a": b"x"})

    assert encode_json_leniently({"a": b"x", "b": float("inf")}) == '{"a":"eA==","b":"+Inf"}'


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    """Text that UTF-8 cannot hold never enters a workflow."""
    assert decode_json('["\\ud800", "\\ud83d\\ude00"]') == ["\ufffd", "😀"]
