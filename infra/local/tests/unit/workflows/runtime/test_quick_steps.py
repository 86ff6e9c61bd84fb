"""Steps as functions: they leave the same entries, counts, results and errors as the interpreter's own way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.failure import ExecutionFailedError
from localcloud.workflows.runtime.interpreter import run_to_end
from localcloud.workflows.runtime.quick_steps import Prepared
from localcloud.workflows.runtime.run import Run
from localcloud.workflows.runtime.scripted_host import make_host
from localcloud.workflows.source.builder import transparent_blocks
from localcloud.workflows.source.steps import Block, Except, For, Parallel, Program, Try
from localcloud.workflows.step_history import History

PROGRAMS = {
    "loop": """
- init: {assign: [{sum: 0}, {seen: []}]}
- each:
    for:
      value: v
      index: i
      in: [1, 2, 3]
      steps:
        - add: {assign: [{sum: '${sum + v * i}'}, {"seen": '${list.concat(seen, v)}'}]}
        - again: {assign: [{last: '${v}'}]}
- done: {return: ['${sum}', '${seen}']}
""",
    "jumps": """
- init: {assign: [{i: 0}]}
- count: {assign: [{i: '${i + 1}'}]}
- more: {switch: [{condition: '${i < 5}', next: count}]}
- skip: {next: done}
- never: {assign: [{i: 100}]}
- done: {return: '${i}'}
""",
    "failure in a loop": """
- init: {assign: [{m: {}}]}
- each:
    for:
      value: v
      in: [1, 0]
      steps:
        - fine: {assign: [{x: '${v}'}]}
        - part: {assign: [{y: 1}, {z: '${1 / v}'}]}
""",
    "failure of a target": "- init: {assign: [{l: [1]}]}\n- put: {assign: [{a: 1}, {'l[5]': 2}]}\n",
    "caught": """
- init: {assign: [{x: 1}, {why: null}]}
- careful:
    try: {steps: [{a: {assign: [{x: 2}]}}, {b: {assign: [{x: '${"a" - 1}'}]}}]}
    except: {as: e, steps: [{c: {assign: [{why: '${e.tags}'}]}}]}
- done: {return: ['${x}', '${why}']}
""",
    "overflow": "- a: {assign: [{x: 9223372036854775807}, {y: '${x + 1}'}]}\n",
}


def blocks_of(block: Block) -> Iterator[Block]:
    """Yield a block and all blocks inside of it."""
    yield block
    for step in block.steps:
        inner = list(transparent_blocks(step))
        match step.action:
            case For(body=body) | Parallel(work=For(body=body)) | Try(handler=Except(body=body)):
                inner.append(body)
        for each in inner:
            yield from blocks_of(each)


def without_quick_steps(program: Program) -> Program:
    """Tell every block that none of its steps is a function."""
    for routine in program.routines.values():
        for block in blocks_of(routine.body):
            block.prepared.append(Prepared((None,) * len(block.steps), is_whole=False))
    return program


def told(program: Program, *, is_detailed: bool) -> dict[str, Any]:
    """Run a program and return all that can be seen of it, but the times."""
    history = History(records_variables=is_detailed)
    run = Run(program, replace(make_host(), observer=history))
    outcome: Any
    try:
        outcome = asyncio.run(run_to_end(run, None)).text
    except ExecutionFailedError as error:
        outcome = (error.payload, error.context, error.stack_trace)
    return {"outcome": outcome, "steps": run.step_count, "memory": run.memory.used_bytes, "entries": history.entries}


@pytest.mark.parametrize("is_detailed", [False, True], ids=["basic", "detailed"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_quick_way_cannot_be_told_from_the_other(name: str, is_detailed: bool) -> None:
    """Result or error with its frames, step count, memory, and every entry of the history."""
    quick = told(load_program(PROGRAMS[name]), is_detailed=is_detailed)
    slow = told(without_quick_steps(load_program(PROGRAMS[name])), is_detailed=is_detailed)

    assert quick == slow
