"""Workflow values: the laws their operators keep whatever the operands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.workflows import values
from localcloud.workflows.errors import WorkflowError

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS | st.binary(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
BINARY = [
    values.add, values.subtract, values.multiply, values.divide, values.floor_divide, values.modulo, values.equals,
    values.less, values.less_or_equal, values.greater, values.greater_or_equal, values.contains, values.element,
]  # fmt: skip


@settings(max_examples=40)
@given(left=VALUES, right=VALUES)
@pytest.mark.parametrize("operation", BINARY)
def test_an_operator_gives_a_value_or_raises_a_workflow_error(operation: object, left: object, right: object) -> None:
    """No operands whatever make an operator fail in a way that a workflow cannot see."""
    assert callable(operation)
    with contextlib.suppress(WorkflowError):
        assert values.type_name(operation(left, right))


@given(value=VALUES)
def test_a_value_equals_itself(value: object) -> None:
    """Equality is reflexive."""
    assert values.equals(value, value)


@given(left=VALUES, right=VALUES)
def test_equality_does_not_depend_on_the_order(left: object, right: object) -> None:
    """Equality is symmetric."""
    assert values.equals(left, right) is values.equals(right, left)


@given(left=st.integers(-(2**63), 2**63 - 1), right=st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_quotient_and_remainder_make_up_the_dividend(left: int, right: int) -> None:
    """`(a // b) * b + a % b` is `a`, as far as the quotient fits 64 bits."""
    if (left, right) == (-(2**63), -1):
        return

    quotient, remainder = values.floor_divide(left, right), values.modulo(left, right)

    assert quotient * right + remainder == left


def test_an_integer_beyond_64_bits_is_refused() -> None:
    """Arithmetic does not quietly leave the 64-bit range."""
    with pytest.raises(WorkflowError) as caught:
        values.add(2**63 - 1, 1)

    assert caught.value.tags == ["ValueError"]
