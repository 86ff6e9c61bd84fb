"""Memory accounting: the documented sizes, and the shortcut for growing lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.limits import MAX_MEMORY_BYTES, MAX_STRING_BYTES
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.memory import MemoryMeter, size_after, size_of
from localcloud.workflows.runtime.run import Activation, Run
from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.runtime.scripted_host import make_host
from localcloud.workflows.values import Value

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
)


async def never(scope: Scope, name: str, arguments: object) -> Value:
    """Stand for calls that these tests do not make."""
    raise AssertionError((scope, name, arguments))


def make_scope(*names: str) -> Scope:
    """Return a scope of an execution of its own."""
    execution = Run(load_program("[{a: {return: 1}}]"), make_host())
    return Scope(Activation(execution, "main"), never, names)


def used_by(scope: Scope) -> int:
    """Return what the scope's execution is charged for."""
    return scope.activation.run.memory.used_bytes


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 8),
        (1.5, 8),
        (True, 8),
        ("a" * 28, 36),
        ("é", 10),
        (b"abc", 11),
        ([], 8),
        ([1, 2], 24),
        ({}, 8),
        ({"ab": 1}, 26),
        ({"a": ["bc", {}]}, 8 + 9 + 8 + 10 + 8),
    ],
)
def test_a_value_has_the_documented_size(value: Value, size: int) -> None:
    """Eight bytes per scalar and container, plus lengths and contents."""
    assert size_of(value) == size


@given(old=st.lists(VALUES, max_size=5), more=st.lists(VALUES, max_size=3))
def test_the_shortcut_for_grown_lists_agrees_with_measuring(old: list[Value], more: list[Value]) -> None:
    """Appended or prepended, the size is that of the whole."""
    assert size_after(old, size_of(old), [*old, *more]) == size_of([*old, *more])
    assert size_after(old, size_of(old), [*more, *old]) == size_of([*more, *old])


@given(first=VALUES, second=VALUES)
def test_a_scope_is_charged_for_what_it_holds(first: Value, second: Value) -> None:
    """Storing, replacing and leaving keep the books."""
    scope = make_scope("x")

    scope.store("x", first)
    scope.store("x", second)
    held = used_by(scope)
    scope.release()

    assert held == size_of(second)
    assert used_by(scope) == 0


@given(values=st.lists(st.tuples(st.sampled_from("abc"), VALUES), max_size=6))
def test_element_assignments_keep_the_books(values: list[tuple[str, Value]]) -> None:
    """The charge after many of them is the size of the variable."""
    scope = make_scope("m")
    scope.store("m", {"l": [1, "two"]})

    for key, value in values:
        scope.store_element("m", [key] if key in scope.lookup("m") else [key, "inner"], value)
    scope.store_element("m", ["l", 1], "another")

    assert used_by(scope) == size_of(scope.lookup("m"))


def test_an_element_assignment_leaves_other_variables_alone() -> None:
    """A copy made before keeps what it had."""
    scope = make_scope("a", "b")
    scope.store("a", {"l": [1]})
    scope.store("b", scope.lookup("a"))

    scope.store_element("b", ["l", 0], 2)

    assert (scope.lookup("a"), scope.lookup("b")) == ({"l": [1]}, {"l": [2]})


def test_memory_is_limited() -> None:
    """The last byte fits, the next does not, and giving back always works."""
    meter = MemoryMeter()
    meter.change(MAX_MEMORY_BYTES)

    with pytest.raises(WorkflowError) as caught:
        meter.change(1)
    meter.change(-1)

    assert not caught.value.catchable


def test_a_string_is_limited() -> None:
    """The last byte fits, the next does not."""
    assert size_of("a" * MAX_STRING_BYTES)
    with pytest.raises(WorkflowError, match="string is longer"):
        size_of("a" * (MAX_STRING_BYTES + 1))
