"""What every execution has in its log: `sys.log`, its start and its end, as Cloud Logging gets them in production."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from localcloud.log_lines import LineFormatter
from localcloud.workflows.engine.execution_log import ENTRIES
from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.errors import StackFrame
from localcloud.workflows.runtime.failure import ExecutionFailedError

TYPE = "type.googleapis.com/google.cloud.workflows.type.ExecutionsSystemLog"
NOON = "2023-11-14T22:13:20Z"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=ENTRIES)
    return caplog


def lines(logged: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the entries as the process prints them."""
    formatter = LineFormatter()
    return [json.loads(formatter.format(record)) for record in logged.records if record.name == ENTRIES]


def system_entries(logged: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the payloads of the log of starts and ends, without what the tests know."""
    of_system = [line["jsonPayload"] for line in lines(logged) if line["logName"].endswith("%2Fexecutions_system")]
    assert {(entry.pop("@type"), entry.pop("activityTime")) for entry in of_system} <= {(TYPE, NOON)}
    return of_system


@pytest.mark.parametrize(("payload", "kind"), [({"a": 1}, "jsonPayload"), ("text", "textPayload")], ids=["map", "text"])
async def test_sys_log_is_an_entry_of_cloud_logging(
    emulator: Any, logged: pytest.LogCaptureFixture, payload: Any, kind: str
) -> None:
    """One line of JSON with the log, resource and labels by which production finds an execution's entries."""

    async def log(argument: object, host: Any) -> None:
        host.log.write("DEBUG", payload)

    emulator.programs["log"] = log
    emulator.deploy("log")
    name = emulator.start()
    await emulator.finish(name)

    assert lines(logged)[1] == {
        "logName": "projects/demo/logs/Workflows",
        "timestamp": NOON,
        "severity": "DEBUG",
        "resource": {
            "type": "workflows.googleapis.com/Workflow",
            "labels": {"resource_container": "demo", "location": "us-central1", "workflow_id": "w"},
        },
        "labels": {
            "workflows.googleapis.com/execution_id": name.rpartition("/")[2],
            "workflows.googleapis.com/revision_id": emulator.store.execution(name).revision.revision_id,
        },
        kind: payload,
    }


async def test_start_and_success_have_argument_and_result(emulator: Any, logged: pytest.LogCaptureFixture) -> None:
    """Also when no calls are logged: these are platform logs."""
    emulator.deploy("echo", callLogLevel="LOG_NONE")
    await emulator.finish(emulator.start(argument='{"n": 1}'))

    assert system_entries(logged) == [
        {"message": "The execution started.", "state": "ACTIVE", "start": {"argument": '{"n": 1}'}},
        {"message": "The execution succeeded.", "state": "SUCCEEDED", "success": {"result": '{"n":1}'}},
    ]


@pytest.mark.parametrize(
    ("payload", "text"),
    [('{"message":"KeyError: key not found: k","tags":["KeyError"]}', "KeyError: key not found: k"), ("[7]", "[7]")],
    ids=["map with message", "other value"],
)
async def test_failure_has_message_and_innermost_step(
    emulator: Any, logged: pytest.LogCaptureFixture, payload: str, text: str
) -> None:
    """Severity ERROR; the source is `routine.step`, as the proto says."""

    async def fail(argument: object, host: Any) -> None:
        frames = [StackFrame("inner", "sub", 9, 1, 1), StackFrame("outer", "main", 4, 1, 1)]
        raise ExecutionFailedError(payload, "context", frames)

    emulator.programs["fail"] = fail
    emulator.deploy("fail")
    await emulator.finish(emulator.start())

    assert [line["severity"] for line in lines(logged)] == ["INFO", "ERROR"]
    assert system_entries(logged)[-1] == {
        "message": f"The execution failed: {text}",
        "state": "FAILED",
        "failure": {"exception": text, "source": "sub.inner"},
    }


async def test_long_exception_is_cut_to_what_the_proto_allows(emulator: Any, logged: pytest.LogCaptureFixture) -> None:
    """1 kB, and no half character."""

    async def fail(argument: object, host: Any) -> None:
        raise ExecutionFailedError(json.dumps({"message": "x" + "é" * 1000}), "context", [])

    emulator.programs["fail"] = fail
    emulator.deploy("fail")
    await emulator.finish(emulator.start())

    assert system_entries(logged)[-1]["failure"] == {"exception": "x" + "é" * 511}


async def test_cancelled_execution_ends_in_the_log_once(emulator: Any, logged: pytest.LogCaptureFixture) -> None:
    """Its task ends later and writes nothing more."""
    emulator.deploy("wait")
    name = emulator.start()
    await emulator.clock.advance(0)
    emulator.executions.cancel(name)
    await emulator.executor.stop()

    assert [entry["state"] for entry in system_entries(logged)] == ["ACTIVE", "CANCELLED"]
    assert emulator.store.execution(name).state == ExecutionState.CANCELLED
