"""Forty-odd programs like those that people publish, each run as its author would test it, with the plugin's fixture.

`programs/NAME.yaml` is a program of ours; `programs/programs.yaml` says what it is run with: the `argument`, `mocks`,
`secrets`, other programs that it `deploys`, `callbacks` (bodies, in order) that somebody sends; and what comes out: the
`result` or an `error` (its message, code or the raised text), how often something was called (`calls`), arguments of a
call that were `sent`, the severities of `logs`, and how many seconds it `takes_s` at least.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.testing import LocalCloud, RunningExecution, WorkflowFailedError
from localcloud.workflows.connectors.mocks import Mock
from localcloud_process import eventually

PROGRAMS = Path(__file__).parent / "programs"
CASES: dict[str, dict[str, Any]] = yaml.safe_load((PROGRAMS / "programs.yaml").read_text(encoding="utf-8"))
KEYS = {
    "argument", "mocks", "secrets", "deploys", "callbacks", "result", "error", "calls", "sent", "logs", "takes_s"
}  # fmt: skip


def deployed(localcloud: LocalCloud, name: str, case: dict[str, Any]) -> dict[str, Mock]:
    """Deploy a program with what it needs, and return its mocks."""
    mocks = {call: localcloud.mock(call, answers=answers) for call, answers in case.get("mocks", {}).items()}
    for secret_id, text in case.get("secrets", {}).items():
        localcloud.secret(secret_id, text)
    for each in (*case.get("deploys", ()), name):
        localcloud.deploy(PROGRAMS / f"{each}.yaml")
    return mocks


def send_callbacks(execution: RunningExecution, bodies: list[Any]) -> None:
    """Send each body to a callback of its own, once all are open."""
    if not bodies:
        return
    addresses = eventually(lambda: execution.callbacks, lambda found: len(found) == len(bodies))
    for address, body in zip(addresses, bodies, strict=True):
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()


def outcome(execution: RunningExecution) -> dict[str, Any]:
    """Return `{"result": ...}` or `{"error": ...}`."""
    try:
        return {"result": execution.result()}
    except WorkflowFailedError as failure:
        error = failure.error
        if isinstance(error, dict):
            error = error["code"] if "code" in error else error["message"]
        return {"error": error}


def part_of(value: Any, wanted: Any) -> Any:
    """Return the fields of `value` that `wanted` names, at every depth."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return {name: part_of(value.get(name), item) for name, item in wanted.items()}
    return value


@pytest.mark.parametrize("name", CASES)
def test_program_does_what_it_says(localcloud: LocalCloud, name: str) -> None:
    """Result or error, calls, arguments, log and time."""
    case = CASES[name]
    program = name.partition(" ")[0]
    mocks = deployed(localcloud, program, case)
    before = localcloud.clock.now()

    execution = localcloud.start(program, case.get("argument"))
    send_callbacks(execution, case.get("callbacks", []))

    assert outcome(execution) == {key: case[key] for key in ("result", "error") if key in case}
    assert {call: len(mocks[call].calls) for call in case.get("calls", {})} == case.get("calls", {})
    for call, wanted in case.get("sent", {}).items():
        assert part_of(mocks[call].calls[0], wanted) == wanted
    assert [entry["severity"] for entry in localcloud.logs] == case.get("logs", [])
    assert localcloud.clock.now() - before >= case.get("takes_s", 0)


def test_children_started_by_tasks_do_their_work(localcloud: LocalCloud) -> None:
    """Each task is an execution of the child, which bills a customer."""
    case = CASES["children-by-tasks"]
    billing = deployed(localcloud, "children-by-tasks", case)["http.post https://billing.example/bills"]

    localcloud.run("children-by-tasks", case["argument"])

    def bills_a_second_later() -> int:
        localcloud.clock.advance(1)
        return len(billing.calls)

    assert eventually(bills_a_second_later, lambda calls: calls == 3) == 3
    assert sorted(call["body"]["customer"] for call in billing.calls) == ["a", "b", "c"]


def test_every_program_is_run_and_every_key_is_known() -> None:
    """None is left out, and no key is misspelt."""
    programs = {path.stem for path in PROGRAMS.glob("*.yaml")} - {"programs"}

    assert programs == {name.partition(" ")[0] for name in CASES}
    assert len(programs) >= 40
    assert [name for name, case in CASES.items() if not case.keys() <= KEYS] == []
    assert [name for name, case in CASES.items() if len(case.keys() & {"result", "error"}) != 1] == []
