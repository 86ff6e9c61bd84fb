"""Programs put together at random: what deploys also runs, to a result or to an error of the workflow."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_to_end
from localcloud.workflows.runtime.run import Run
from localcloud.workflows.runtime.scripted_host import RememberedSteps, make_host
from localcloud.workflows.source.errors import SourceError

VARIABLES = st.sampled_from(["a", "b", "c"])
VALUES = st.sampled_from(
    [0, 1, True, None, "t", [1, 2], {"k": 1}, "${a}", "${b}", "${[a, b]}", "${a + 1}", "${a.k}", "${b[0]}", "${sub(a)}",
     "${1 / a}", ["${c}"], {"${string(a)}": "${c}"}, "${len(b)}", "${not c}"]
)  # fmt: skip
TARGETS = st.sampled_from(["a", "b", "c", "a.k", "b[0]", "c[a]"])
ENDINGS = st.sampled_from([{}, {}, {}, {"next": "break"}, {"next": "continue"}, {"raise": "${a}"}, {"return": "${b}"}])


def one(key: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return maps of one key."""
    return st.builds(lambda each: {key: each}, value)


def containers(bodies: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Return steps that hold other steps; none of them jumps back, so every program ends."""
    steps = st.lists(one("s", bodies), min_size=1, max_size=3)
    entry = st.builds(lambda taken, body: {"condition": taken, **body}, st.sampled_from([True, False, "${c}"]), bodies)
    loop = st.builds(lambda over, inner: {"value": "v", **over, "steps": inner}, OVER, steps)
    branch = st.builds(lambda number, inner: {f"x{number}": {"steps": inner}}, st.integers(), steps)
    branches = one("branches", st.lists(branch, min_size=1, max_size=2))
    parallel = st.builds(lambda work, shared: {**work, "shared": shared}, branches | one("for", loop), SHARED)
    handler = st.builds(lambda inner: {"as": "e", "steps": inner}, steps)
    handled = st.builds(lambda inner, except_: {"try": {"steps": inner}, "except": except_}, steps, handler)
    retried = st.builds(lambda inner: {"try": {"steps": inner}, "retry": RETRY}, steps)
    return st.one_of(
        one("steps", steps),
        one("switch", st.lists(entry, min_size=1, max_size=2)),
        one("for", loop),
        one("parallel", parallel),
        handled,
        retried,
    )


OVER = st.sampled_from([{"in": [1, 2]}, {"in": "${b}"}, {"range": [1, 2]}, {"range": ["${a}", 2]}])
SHARED = st.lists(VARIABLES, unique=True)
RETRY = {"predicate": "${retry.always}", "max_retries": 1}
ASSIGNMENTS = st.lists(st.builds(lambda target, value: {target: value}, TARGETS, VALUES), min_size=1, max_size=3)
LEAVES = st.builds(lambda entries, ending: {"assign": entries, **ending}, ASSIGNMENTS, ENDINGS)
BODIES = st.recursive(LEAVES, containers, max_leaves=6)
SUB = {"params": ["x"], "steps": [{"r": {"switch": [{"condition": "${x == 0}", "raise": "zero"}], "return": "${[x]}"}}]}


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(bodies=st.lists(BODIES, min_size=1, max_size=3))
def test_what_deploys_also_runs(bodies: list[dict[str, Any]]) -> None:
    """It ends as a workflow ends, every observed step has ended, and all memory is given back."""
    start = {"assign": [{"a": 0}, {"b": [1]}, {"c": {"k": True}}]}
    main = {"steps": [{"start": start}, *({f"step{index}": body} for index, body in enumerate(bodies))]}
    try:
        program = load_program(json.dumps({"main": main, "sub": SUB}))
    except SourceError:
        reject()
    observer = RememberedSteps()
    execution = Run(program, make_host(observer=observer))

    with contextlib.suppress(ExecutionFailedError):
        asyncio.run(run_to_end(execution, None))

    assert len(observer.failed) == len(observer.started)
    assert execution.memory.used_bytes == 0
