"""The interpreter from outside: bugs and cancellation, observation, waiting, step counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from coroutine_tests import until
from localcloud.core.clock import ManualClock
from localcloud.workflows.limits import MAX_CALL_DEPTH, MAX_STEPS
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.host import Host, HttpRequest, HttpResponse
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program, run_to_end
from localcloud.workflows.runtime.run import Run
from localcloud.workflows.runtime.scripted_host import ObservedStep, RememberedSteps, make_host
from localcloud.workflows.values import Value

CONNECTOR = "googleapis.shop.v1.orders.get"


OBSERVED = """main:
  steps:
    - set:
        assign: [{x: 1}]
    - group:
        steps:
          - again:
              try:
                call: sub
              except:
                as: e
                steps:
                  - keep: {assign: [{x: 2}]}
    - loop:
        for: {value: v, in: [1], steps: [{choose: {switch: [{condition: true, next: continue}]}}]}
    - both:
        parallel: {branches: [{one: {steps: [{log: {call: sys.log, args: {text: a}}}]}}]}
    - done: {return: 1}
sub: {steps: [{oh: {raise: no}}]}
"""


class BrokenHttp:
    """An HTTP caller with a bug."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Fail in a way that no port allows."""
        raise ZeroDivisionError(request.url)


class RememberedCalls:
    """Keeps what a call observer was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def call_started(self, *, routine: str, step: str, function: str, arguments: Mapping[str, Value]) -> int:
        """Keep a call and return its index."""
        self.heard.append(("started", f"{routine}.{step}", function, dict(arguments)))
        return len(self.heard) - 1

    def call_returned(self, call: int, response: Value) -> None:
        """Keep a response."""
        self.heard.append(("returned", call, response))

    def call_raised(self, call: int, error: Value, *, origin: str | None) -> None:
        """Keep a raised value and where it began."""
        self.heard.append(("raised", call, error, origin))


async def run(source: str, argument: Value = None, host: Host | None = None, connectors: tuple[str, ...] = ()) -> Value:
    """Deploy and run a source."""
    return await run_program(load_program(source, connectors=connectors), argument, host or make_host())


async def test_a_bug_is_not_caught_by_the_workflow() -> None:
    """What is not the workflow's own error goes past every retry and except."""
    source = """
    - a:
        try: {call: http.get, args: {url: 'http://a.example'}}
        retry: {predicate: '${retry.always}'}
        except: {as: e, steps: [{r: {return: caught}}]}
    """

    with pytest.raises(ZeroDivisionError):
        await run(source, host=make_host(http=BrokenHttp()))


async def test_a_bug_in_a_branch_ends_the_execution() -> None:
    """It leaves the parallel step as itself, not in a group."""
    source = """
    - p:
        parallel:
          branches:
            - one: {steps: [{a: {call: http.get, args: {url: 'http://a.example'}}}]}
            - two: {steps: [{b: {call: sys.sleep, args: {seconds: 60}}}]}
    """
    host = make_host(http=BrokenHttp(), clock=ManualClock())

    with pytest.raises(ZeroDivisionError):
        await run(source, host=host)


async def test_cancellation_ends_all_threads_and_every_observed_step() -> None:
    """No step stays open and no task stays behind."""
    source = """
    - p:
        parallel:
          for:
            value: v
            range: [1, 3]
            steps:
              - s:
                  try: {call: sys.sleep, args: {seconds: 60}}
                  except: {as: e, steps: [{x: {assign: [{y: 1}]}}]}
    """
    clock, observer = ManualClock(), RememberedSteps()
    task = asyncio.create_task(run(source, host=make_host(clock=clock, observer=observer)))
    await until(lambda: clock.sleeper_count == 3)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(observer.failed) == len(observer.started)
    assert len(asyncio.all_tasks()) == 2  # the test and the hook that runs it


async def test_an_execution_sleeps_until_the_clock_says_so() -> None:
    """Waiting goes through the clock alone."""
    clock = ManualClock()
    task = asyncio.create_task(
        run(
            "[{a: {call: sys.sleep, args: {seconds: 3600}}}, {b: {return: '${sys.now()}'}}]",
            host=make_host(clock=clock),
        )
    )
    await until(lambda: clock.sleeper_count == 1)
    started = clock.now()

    await clock.advance(3599)
    assert not task.done()
    await clock.advance(1)

    assert await task == started + 3600


async def test_a_connector_gets_the_named_arguments() -> None:
    """It is called with the host and the arguments, and its result is the step's."""
    seen: list[Mapping[str, Value]] = []

    async def get(host: Host, arguments: Mapping[str, Value]) -> Value:
        seen.append(arguments)
        return {"project": host.env["PROJECT"]}

    call = {"call": CONNECTOR, "args": {"name": "${1 + 1}", "view": "FULL"}, "result": "r"}
    source = json.dumps([{"a": call}, {"b": {"return": "${r}"}}])
    host = make_host(env={"PROJECT": "demo"}, connectors={CONNECTOR: get})

    assert await run(source, host=host, connectors=(CONNECTOR,)) == {"project": "demo"}
    assert seen == [{"name": 2, "view": "FULL"}]


async def test_a_connector_can_count_steps() -> None:
    """Its polls count toward the limit of the execution, which no except can catch."""

    async def poll(host: Host, arguments: Mapping[str, Value]) -> Value:
        for _ in range(MAX_STEPS):
            host.count_step()

    source = json.dumps([{"a": {"try": {"call": CONNECTOR}, "except": {"as": "e", "steps": [{"b": {"next": "end"}}]}}}])
    host = make_host(connectors={CONNECTOR: poll})

    with pytest.raises(ExecutionFailedError, match="ResourceLimitError: step limit exceeded"):
        await run(source, host=host, connectors=(CONNECTOR,))


async def test_the_call_observer_hears_of_call_steps_only() -> None:
    """Function, named arguments, response or raised value; calls in expressions are not told."""
    source = """
    main:
      steps:
        - a: {call: sub, args: [1], result: x}
        - b: {call: text.to_upper, args: {source: '${text.to_lower("A") + string(x)}'}}
        - c: {try: {call: sub, args: {n: 0}}, except: {as: e, steps: [{d: {assign: [{y: 1}]}}]}}
    sub: {params: [n, {m: 2}], steps: [{s: {return: '${m // n}'}}]}
    """
    calls = RememberedCalls()

    await run(source, host=replace(make_host(), calls=calls))

    assert calls.heard == [
        ("started", "main.a", "sub", {"n": 1, "m": 2}),
        ("returned", 0, 2),
        ("started", "main.b", "text.to_upper", {"source": "a2"}),
        ("returned", 2, "A2"),
        ("started", "main.c", "sub", {"n": 0, "m": 2}),
        ("raised", 4, {"message": "ZeroDivisionError: division by zero", "tags": ["ZeroDivisionError"]}, "s"),
    ]


async def test_the_observer_hears_of_every_step_in_order() -> None:
    """Routine, step, type, line and thread of every step, and whether it failed."""
    source = OBSERVED
    observer = RememberedSteps()

    await run(source, host=make_host(observer=observer))

    assert observer.started == [
        ObservedStep("main", "set", "STEP_ASSIGN", 4, "main"),
        ObservedStep("main", "again", "STEP_TRY_RETRY_EXCEPT", 8, "main"),
        ObservedStep("main", "again", "STEP_TRY", 8, "main"),
        ObservedStep("main", "again", "STEP_SUBWORKFLOW_CALL", 9, "main"),
        ObservedStep("sub", "oh", "STEP_RAISE", 19, "main"),
        ObservedStep("main", "again", "STEP_EXCEPT", 8, "main"),
        ObservedStep("main", "keep", "STEP_ASSIGN", 13, "main"),
        ObservedStep("main", "loop", "STEP_FOR", 15, "main"),
        ObservedStep("main", "loop", "STEP_FOR_ITERATION", 15, "main"),
        ObservedStep("main", "choose", "STEP_SWITCH", 15, "main"),
        ObservedStep("main", "choose", "STEP_CONDITION", 15, "main"),
        ObservedStep("main", "choose", "STEP_GOTO", 15, "main"),
        ObservedStep("main", "both", "STEP_PARALLEL_BRANCH", 17, "main"),
        ObservedStep("main", "both", "STEP_PARALLEL_BRANCH_ENTRY", 17, "main/both:one"),
        ObservedStep("main", "log", "STEP_STD_LIB_CALL", 17, "main/both:one"),
        ObservedStep("main", "done", "STEP_RETURN", 18, "main"),
    ]
    assert [entry for entry, failed in observer.failed.items() if failed] == [4, 3, 2]


@pytest.mark.parametrize(
    ("body", "cost"),
    [
        ({"assign": [{"x": 1}]}, 1),
        ({"assign": [{"x": "${len([1]) + int(2.0)}"}]}, 1),
        ({"assign": [{"x": '${sys.get_env("A")}'}]}, 2),
        ({"assign": [{"x": 1}], "next": "following"}, 2),
        ({"call": "sys.now", "result": "x"}, 1),
        ({"switch": [{"condition": False, "next": "end"}]}, 1),
        ({"for": {"value": "v", "in": [1, 2], "steps": [{"s": {"assign": [{"x": 1}]}}]}}, 5),
        ({"parallel": {"for": {"value": "v", "in": [1, 2], "steps": [{"s": {"assign": [{"x": 1}]}}]}}}, 4),
        ({"try": {"call": "sys.now"}, "retry": {"predicate": "${retry.always}"}}, 3),
        ({"try": {"raise": 1}, "except": {"as": "e", "steps": [{"s": {"assign": [{"x": 1}]}}]}}, 5),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else str(value),
)
async def test_a_step_costs_what_the_best_practices_count(body: dict[str, Any], cost: int) -> None:
    """What counts toward the limit of 100,000, and what does not."""
    program = load_program(json.dumps([{"step": body}, {"following": {"assign": [{"y": 1}]}}]))
    execution = Run(program, make_host())

    await run_to_end(execution, None)

    assert execution.step_count == cost + 1  # and one for the following step


async def test_the_call_stack_is_twenty_deep() -> None:
    """Main and nineteen calls fit; the trace of the twentieth call has every frame."""
    source = """
    main: {params: [n], steps: [{a: {return: '${sub(n)}'}}]}
    sub:
      params: [n]
      steps:
        - s: {switch: [{condition: '${n > 1}', return: '${sub(n - 1)}'}]}
        - r: {return: bottom}
    """

    assert await run(source, MAX_CALL_DEPTH - 1) == "bottom"
    with pytest.raises(ExecutionFailedError) as caught:
        await run(source, MAX_CALL_DEPTH)
    assert len(caught.value.stack_trace) == MAX_CALL_DEPTH


async def test_the_call_stack_may_lead_through_deeply_nested_steps() -> None:
    """Twenty calls through twenty blocks each do not exhaust Python's own stack."""
    body: dict[str, Any] = {"return": "${sub(n - 1)}"}
    for level in range(5):
        body = {"try": {"steps": [{f"a{level}": body}]}, "retry": {"predicate": "${retry.never}"}}
        body = {"for": {"value": f"v{level}", "in": [1], "steps": [{f"b{level}": body}]}}
        body = {"switch": [{"condition": True, "steps": [{f"c{level}": body}]}]}
        body = {"steps": [{f"d{level}": body}]}
    stop = {"switch": [{"condition": "${n == 1}", "return": "bottom"}]}
    routine = {"params": ["n"], "steps": [{"stop": stop}, {"deeper": body}]}
    main = {"steps": [{"a": {"return": f"${{sub({MAX_CALL_DEPTH - 1})}}"}}]}

    assert await run(json.dumps({"main": main, "sub": routine})) == "bottom"


async def test_a_thousand_executions_sleep_at_once() -> None:
    """Executions are coroutines: they wait for one clock together."""
    program = load_program("[{a: {call: sys.sleep, args: {seconds: 5}}}, {b: {return: done}}]")
    clock = ManualClock()
    host = make_host(clock=clock)
    tasks = [asyncio.create_task(run_program(program, None, host)) for _ in range(1000)]
    await until(lambda: clock.sleeper_count == 1000)

    await clock.advance(5)

    assert await asyncio.gather(*tasks) == ["done"] * 1000


async def test_a_busy_execution_lets_others_run() -> None:
    """A loop that never waits still gives the event loop a turn."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count_turns())
    await run("[{l: {for: {value: v, range: [1, 5000], steps: [{s: {assign: [{x: 1}]}}]}}}]")
    counter.cancel()

    assert turns > 10
