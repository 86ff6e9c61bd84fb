"""The loader: errors with their place, limits of a source, and totality."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from localcloud.workflows.errors import Position
from localcloud.workflows.limits import MAX_ASSIGNMENTS, MAX_CONDITIONS, MAX_SOURCE_BYTES
from localcloud.workflows.loader import load_program
from localcloud.workflows.source.document import MAX_DEPTH, Mapping, compose
from localcloud.workflows.source.errors import SourceError

YAML_FRAGMENTS = [
    "main", "steps", "assign", "call", "args", "switch", "condition", "for", "in", "range", "value", "parallel", "try",
    "except", "as", "retry", "next", "return", "raise", "params", "shared", "branches", "result", ":", ": ", "- ",
    "\n", "\n  ", "\n    ", "\n- ", "[", "]", "{", "}", ", ", "${", "}", "x", "1", "'", '"', "&a", "*a", "!!str ", "|",
    ">", "#", "%", "\t", "~", "é", "\u2028", "---\n", "http.get", "sys.log",
]  # fmt: skip

STEP_KEYS = [
    "assign", "call", "args", "result", "next", "switch", "for", "parallel", "raise", "try", "retry", "except",
    "return", "steps", "condition", "value", "index", "in", "range", "shared", "branches", "as", "predicate",
    "backoff", "max_retries", "params", "main", "concurrency_limit", "x",
]  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(
        ["x", "${x}", "${1 +}", "${f(x)}", "${len(x)}", "${http.default_retry}", "http.get", "sub", "end", "break", ""]
    )
)
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(STEP_KEYS), inner, max_size=4)
)


def refusal(source: str) -> SourceError:
    """Return why a source is refused."""
    with pytest.raises(SourceError) as caught:
        load_program(source)
    return caught.value


def test_a_fault_in_an_expression_is_shown_with_a_caret() -> None:
    """The rendered error points at the character inside the expression."""
    error = refusal("main:\n  steps:\n    - look:\n        return: ${m[special!key]}\n")

    assert error.rendered == (
        "failed to build: error in step look: error evaluating return value: token recognition error at: '!'\n"
        "4 |         return: ${m[special!key]}\n"
        "                               ^"
    )
    assert (error.line, error.column) == (4, 28)


def test_a_fault_in_a_subworkflow_names_it() -> None:
    """Routine and step are in the message."""
    error = refusal("main: {steps: [{a: {call: sub}}]}\nsub:\n  steps:\n    - b:\n        next: nowhere\n")

    assert error.message == "failed to build: error in sub-workflow sub: error in step b: step 'nowhere' does not exist"
    assert (error.line, error.column) == (5, 9)


def test_a_source_has_at_most_128_kilobytes() -> None:
    """One byte more is refused."""
    step = "- a: {return: 1}\n"
    fitting = step + "#" * (MAX_SOURCE_BYTES - len(step))

    assert load_program(fitting)
    assert "larger than" in refusal(fitting + "#").message


@pytest.mark.parametrize("count", [MAX_ASSIGNMENTS, MAX_ASSIGNMENTS + 1])
def test_an_assign_step_has_at_most_50_entries(count: int) -> None:
    """The fifty-first is refused."""
    source = json.dumps([{"a": {"assign": [{"x": 1}] * count}}])

    assert is_deployable(source) is (count <= MAX_ASSIGNMENTS)


@pytest.mark.parametrize("count", [MAX_CONDITIONS, MAX_CONDITIONS + 1])
def test_a_switch_has_at_most_50_conditions(count: int) -> None:
    """The fifty-first is refused."""
    source = json.dumps([{"a": {"switch": [{"condition": True, "return": 1}] * count}}])

    assert is_deployable(source) is (count <= MAX_CONDITIONS)


@pytest.mark.parametrize("length", [400, 401])
def test_an_expression_has_at_most_400_characters(length: int) -> None:
    """The dollar sign and the braces count."""
    source = json.dumps([{"a": {"return": "${" + "1".rjust(length - 3) + "}"}}])

    assert is_deployable(source) is (length <= 400)


def test_a_connector_deploys_where_it_exists() -> None:
    """Only the connectors that the caller names can be called."""
    source = json.dumps([{"a": {"call": "googleapis.x.v1.y.get", "args": {"name": "n"}}}])

    assert load_program(source, connectors={"googleapis.x.v1.y.get"})
    assert "localcloud does not emulate 'googleapis.x.v1.y.get'" in refusal(source).message


def test_endless_nesting_is_refused() -> None:
    """Hostile depth overflows no stack."""
    assert "nested deeper" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).message
    assert refusal("[" * 60_000)
    assert refusal("- " * 60_000)


def test_aliases_cannot_blow_up() -> None:
    """A billion laughs are refused before they are built."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    assert "too many nodes" in refusal("\n".join(lines)).message


def test_positions_are_those_of_the_text() -> None:
    """Lines and columns count from one, lengths are bytes without quotes."""
    root = compose("k: 'é'\nlong: ab\n")

    assert isinstance(root, Mapping)
    assert [entry.value.position for entry in root.entries] == [Position(1, 5, 2), Position(2, 7, 2)]


def is_deployable(source: str) -> bool:
    """Return whether a source deploys."""
    try:
        load_program(source)
    except SourceError:
        return False
    return True


@given(source=st.text(max_size=200) | st.lists(st.sampled_from(YAML_FRAGMENTS), max_size=40).map("".join))
def test_any_text_deploys_or_is_refused(source: str) -> None:
    """The loader never fails in another way than by SourceError."""
    assert is_deployable(source) in {True, False}


@given(document=DOCUMENTS)
def test_any_document_deploys_or_is_refused(document: object) -> None:
    """Nor does it on documents that resemble workflows."""
    assert is_deployable(yaml.safe_dump({"main": {"steps": [{"a": document}]}})) in {True, False}
