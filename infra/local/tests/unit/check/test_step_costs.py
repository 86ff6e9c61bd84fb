"""The figures against what the interpreter counts when it runs the same program."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from localcloud.check.step_costs import Repetition, StepCosts, step_costs
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.failure import ExecutionFailedError
from localcloud.workflows.runtime.interpreter import run_to_end
from localcloud.workflows.runtime.run import Run
from localcloud.workflows.runtime.scripted_host import make_host

STRAIGHT = {
    "assign and return": """
- a:
    assign: [{x: 1}, {y: "${x + 2}"}]
- b:
    return: ${y}
""",
    "functions in expressions, counted and not": """
- a:
    assign:
      - x: ${len([1, 2]) + int("3")}
      - y: ${text.to_upper("a") + text.to_lower("B")}
- b:
    return: ${math.max(x, 3)}
""",
    "call of a function": """
- a:
    call: sys.sleep
    args: {seconds: 1}
- b:
    call: text.to_upper
    args: {source: a}
    result: c
- c:
    return: ${c}
""",
    "subworkflow by step and by expression": """
main:
  steps:
    - a:
        call: twice
        args: {x: 2}
        result: r
    - b:
        return: ${twice(r) + 1}
twice:
  params: [x]
  steps:
    - give:
        return: ${x * 2}
""",
    "loop with known bounds": """
- a:
    for:
      value: i
      range: [1, 7]
      steps:
        - b:
            assign: [{x: "${i}"}]
- c:
    for:
      value: v
      in: [a, b]
      steps:
        - d:
            assign: [{y: "${v}"}]
""",
    "branches": """
- a:
    parallel:
      branches:
        - left:
            steps:
              - l: {assign: [{x: 1}]}
        - right:
            steps:
              - r: {assign: [{y: 1}]}
              - s: {assign: [{z: 1}]}
""",
    "nested steps and a try that succeeds": """
- a:
    steps:
      - b:
          try:
            assign: [{x: 1}]
          except:
            as: e
            steps:
              - c: {assign: [{x: "${e}"}]}
- d:
    next: end
""",
    "first entry of a switch": """
- a:
    switch:
      - condition: ${1 == 1}
        steps:
          - b: {assign: [{x: 1}]}
      - condition: true
        next: end
""",
}

LOOPS = {
    "list": (
        """
main:
  params: [n]
  steps:
    - walk:
        for:
          value: v
          in: ${n}
          steps:
            - b: {assign: [{x: "${string(v)}"}]}
""",
        ["abcdefg"[i] for i in range(7)],
        {"walk": 7},
    ),
    "parallel list inside a list": (
        """
main:
  params: [n]
  steps:
    - outer:
        for:
          value: row
          in: ${n}
          steps:
            - inner:
                parallel:
                  for:
                    value: v
                    in: ${row}
                    steps:
                      - b: {assign: [{x: "${v}"}]}
""",
        [[1, 2], [], [3]],
        {"outer": 3, "inner": 3},
    ),
    "jump back": (
        """
main:
  params: [n]
  steps:
    - begin: {assign: [{i: 0}]}
    - count: {assign: [{i: "${i + 1}"}]}
    - again:
        switch:
          - condition: ${i < n}
            next: count
""",
        5,
        {"again": 4},
    ),
    "recursion": (
        """
main:
  params: [n]
  steps:
    - a: {return: "${down(n)}"}
down:
  params: [n]
  steps:
    - stop:
        switch:
          - condition: ${n == 0}
            return: 0
    - deeper: {return: "${down(n - 1)}"}
""",
        6,
        {"stop": 6},
    ),
}


async def taken(source: str, argument: Any = None) -> int:
    """Run a program and return the steps it took."""
    execution = Run(load_program(source), make_host())
    with contextlib.suppress(ExecutionFailedError):
        await run_to_end(execution, argument)
    return execution.step_count


def figures(source: str) -> StepCosts:
    return step_costs(load_program(source))


def one(source: str) -> Repetition:
    """Return the only repetition of a program."""
    [repetition] = figures(source).repetitions
    return repetition


@pytest.mark.parametrize("name", STRAIGHT)
async def test_program_without_choice_takes_what_is_said(name: str) -> None:
    """The figure is exact where nothing depends on values."""
    costs = figures(STRAIGHT[name])

    assert (costs.once.clean, costs.repetitions) == (await taken(STRAIGHT[name]), ())


@pytest.mark.parametrize("name", LOOPS)
async def test_repetitions_take_at_most_what_is_said(name: str) -> None:
    """Everything once, and each repetition as often as it happens: never passed, and not far above the truth."""
    source, argument, happens = LOOPS[name]
    costs = figures(source)
    said = costs.once.clean + sum(happens[each.step] * each.each.clean for each in costs.repetitions)

    steps = await taken(source, argument)

    assert steps <= said <= 1.5 * steps


RETRIED = """
- a:
    try:
      raise: {code: 503}
    retry:
      predicate: ${may_pass}
      max_retries: 4
      backoff: {initial_delay: 1, max_delay: 2, multiplier: 2}
    except:
      as: e
      steps:
        - b: {assign: [{x: 1}]}
"""
RETRIED_MAIN = (
    "main:\n  steps:"
    + RETRIED.replace("\n", "\n    ").rstrip(" ")
    + """
may_pass:
  params: [e]
  steps:
    - yes: {return: true}
"""
)


async def test_worst_figure_holds_when_every_retry_is_used_up() -> None:
    """Attempts, predicates, waits and the handler: what the interpreter takes when all of it fails."""
    assert figures(RETRIED_MAIN).once.worst == await taken(RETRIED_MAIN)


def test_retries_whose_number_is_computed_are_a_repetition() -> None:
    """Only an execution knows how many there are; without failures they cost nothing."""
    source = RETRIED_MAIN.replace("max_retries: 4", "max_retries: ${2 + 2}")
    repetition = one(source)

    assert (repetition.what, repetition.step) == ("retry", "a")
    assert (repetition.each.clean, repetition.each.worst > 0) == (0, True)


def test_jump_out_of_a_nested_block_is_found() -> None:
    """The jump stands in a switch inside a loop-less group; its target is a step of the routine."""
    source = """
- first: {assign: [{i: 0}]}
- group:
    steps:
      - look:
          switch:
            - condition: ${i == 0}
              next: first
"""
    repetition = one(source)

    assert (repetition.what, repetition.step, repetition.line) == ("jump back to first", "look", 6)


def test_jump_forward_is_no_repetition() -> None:
    """It skips steps; the figure stays a bound."""
    source = "- a:\n    next: c\n- b:\n    assign: [{x: 1}]\n- c:\n    return: 1\n"

    assert figures(source).repetitions == ()


@pytest.mark.parametrize(("parameters", "polls"), [("{}", ["poll"]), ("{skip_polling: true}", [])])
def test_polls_of_a_connector_that_waits_are_a_repetition(parameters: str, polls: list[str]) -> None:
    """Each is a step; a call that skips polling has none."""
    name = "googleapis.workflowexecutions.v1.projects.locations.workflows.executions.run"
    source = f"- a:\n    call: {name}\n    args: {{workflow_id: w, connector_params: {parameters}}}\n"
    costs = step_costs(load_program(source, connectors=[name]))

    assert [each.what for each in costs.repetitions] == polls
