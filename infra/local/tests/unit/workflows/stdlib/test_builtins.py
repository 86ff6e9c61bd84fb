"""Conversions: what a value's text reads back as."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localcloud.workflows.stdlib.builtins import to_double, to_integer
from localcloud.workflows.values import to_text


@given(number=st.integers(-(2**63), 2**63 - 1))
def test_an_integer_survives_its_text(number: int) -> None:
    """`int(string(n))` is `n`."""
    assert to_integer(to_text(number)) == number


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_survives_its_text(number: float) -> None:
    """`double(string(x))` is `x`, in every notation that `string` chooses."""
    assert to_double(to_text(number)) == number
