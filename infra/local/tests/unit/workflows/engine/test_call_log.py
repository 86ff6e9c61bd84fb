"""Call logging: which calls an execution's log has at each level, and what an entry says."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from localcloud.core.clock import ManualClock
from localcloud.workflows.engine.call_log import LOG_ID, CallLog, call_log
from localcloud.workflows.engine.execution_log import ENTRIES, ExecutionLog
from localcloud.workflows.enums import CallLogLevel
from localcloud.workflows.jsontext import MAX_DEPTH
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.interpreter import run_program
from localcloud.workflows.runtime.scripted_host import make_host

NAME = "projects/demo/locations/us-central1/workflows/w/executions/e"

ALL_STATES = [("BEGUN", "good"), ("SUCCEEDED", "good"), ("BEGUN", "bad"), ("EXCEPTION_RAISED", "bad")]


def entries(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the payloads of the call log, whose severity is always that of Google's list of platform logs."""
    written = [json.loads(record.message) for record in caplog.records if record.name == ENTRIES]
    calls = [entry for entry in written if entry["logName"] == f"projects/demo/logs/{quote(LOG_ID, safe='')}"]
    assert {entry["severity"] for entry in calls} <= {"DEBUG"}
    return [entry["jsonPayload"] for entry in calls]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=ENTRIES)
    return caplog


@pytest.fixture
def calls() -> CallLog:
    return CallLog(ExecutionLog(NAME, "000001-abc", ManualClock()), ManualClock(), CallLogLevel.LOG_ALL_CALLS)


@pytest.mark.parametrize(
    ("of_workflow", "of_execution", "expected"),
    [
        ("LOG_ALL_CALLS", "CALL_LOG_LEVEL_UNSPECIFIED", ALL_STATES),
        ("LOG_NONE", "LOG_ALL_CALLS", ALL_STATES),
        ("LOG_ALL_CALLS", "LOG_ERRORS_ONLY", [("EXCEPTION_RAISED", "bad")]),
        ("LOG_ALL_CALLS", "LOG_NONE", []),
        ("CALL_LOG_LEVEL_UNSPECIFIED", "CALL_LOG_LEVEL_UNSPECIFIED", []),
    ],
)
async def test_call_log_level_decides_what_is_logged(
    emulator: Any,
    logged: pytest.LogCaptureFixture,
    of_workflow: str,
    of_execution: str,
    expected: list[tuple[str, str]],
) -> None:
    """The execution's level wins; without one the workflow's applies."""

    async def calling(argument: object, host: Any) -> None:
        if host.calls is None:
            return
        good = host.calls.call_started(routine="main", step="good", function="f", arguments={})
        host.calls.call_returned(good, 1)
        bad = host.calls.call_started(routine="main", step="bad", function="f", arguments={})
        host.calls.call_raised(bad, "no", origin=None)

    emulator.programs["calling"] = calling
    emulator.deploy("calling", callLogLevel=of_workflow)
    await emulator.finish(emulator.start(callLogLevel=of_execution))

    assert [(entry["state"], entry["step"]) for entry in entries(logged)] == expected


def test_begun_entry_names_function_and_arguments(calls: CallLog, logged: pytest.LogCaptureFixture) -> None:
    """It is an EngineCallLog; arguments that are null are those that nobody gave."""
    calls.call_started(routine="main", step="ask", function="http.get", arguments={"url": "u", "timeout": None})

    assert entries(logged) == [
        {
            "@type": "type.googleapis.com/google.cloud.workflows.type.EngineCallLog",
            "executionId": "e",
            "activityTime": "2023-11-14T22:13:20Z",
            "state": "BEGUN",
            "step": "ask",
            "callee": "http.get",
            "begun": {"namedArgs": {"url": "u"}},
        }
    ]


def test_succeeded_entry_has_the_response_as_text(calls: CallLog, logged: pytest.LogCaptureFixture) -> None:
    """The proto's response is a string."""
    calls.call_returned(calls.call_started(routine="main", step="s", function="f", arguments={}), {"code": 200})

    assert entries(logged)[-1]["succeeded"] == {"callStartTime": "2023-11-14T22:13:20Z", "response": '{"code":200}'}


@pytest.mark.parametrize(
    ("raised", "text"),
    [({"message": "no luck", "code": 7}, "no luck"), ("plain", '"plain"'), ({"code": 7}, '{"code":7}')],
    ids=["map with message", "text", "map without message"],
)
def test_exception_entry_has_message_and_origin(
    calls: CallLog, logged: pytest.LogCaptureFixture, raised: Any, text: str
) -> None:
    """What has no message is shown whole."""
    call = calls.call_started(routine="main", step="outer", function="sub", arguments={})
    calls.call_raised(call, raised, origin="inner")

    assert entries(logged)[-1]["exceptionRaised"] == {
        "callStartTime": "2023-11-14T22:13:20Z",
        "exception": text,
        "origin": "inner",
    }


def test_authorization_headers_are_redacted(calls: CallLog, logged: pytest.LogCaptureFixture) -> None:
    """Neither arguments nor responses show one, in whatever case and depth."""
    headers = {"task": [{"headers": {"authorization": "Bearer s3cret", "X-Ok": "shown"}}]}
    call = calls.call_started(routine="main", step="s", function="f", arguments={"body": headers})
    calls.call_returned(call, {"headers": {"Authorization": "Bearer s3cret"}})

    text = json.dumps(entries(logged))
    assert "s3cret" not in text
    assert "shown" in text


def test_value_that_nests_without_end_is_cut(calls: CallLog, logged: pytest.LogCaptureFixture) -> None:
    """Logging never fails the execution that is logged."""
    value: Any = "bottom"
    for _ in range(MAX_DEPTH):
        value = [value]

    call = calls.call_started(routine="main", step="s", function="f", arguments={"data": value})
    calls.call_returned(call, value)
    ExecutionLog(NAME, "000001-abc", ManualClock()).write("INFO", {"data": value})

    assert [entry.get("state") for entry in entries(logged)[:2]] == ["BEGUN", "SUCCEEDED"]


def test_nothing_observes_calls_that_are_not_logged() -> None:
    """Without a level the interpreter has no observer to tell."""
    assert call_log(ExecutionLog(NAME, "000001-abc", ManualClock()), ManualClock(), CallLogLevel.LOG_NONE) is None


async def test_calls_of_a_real_program_are_logged(logged: pytest.LogCaptureFixture) -> None:
    """Subworkflows and library functions; calls in expressions are not, and an exception names where it began."""
    source = """
    main:
      steps:
        - say: {call: sys.log, args: {text: '${text.to_upper("a")}'}}
        - ask: {try: {call: sub, args: {n: 0}}, except: {as: e, steps: [{done: {return: '${e.message}'}}]}}
    sub: {params: [n], steps: [{divide: {return: '${1 // n}'}}]}
    """
    host = make_host()
    calls = CallLog(ExecutionLog(NAME, "000001-abc", ManualClock()), host.clock, CallLogLevel.LOG_ALL_CALLS)

    await run_program(load_program(source), None, replace(host, calls=calls))

    seen = [(entry["state"], entry["step"], entry["callee"]) for entry in entries(logged)]
    assert seen == [
        ("BEGUN", "say", "sys.log"),
        ("SUCCEEDED", "say", "sys.log"),
        ("BEGUN", "ask", "sub"),
        ("EXCEPTION_RAISED", "ask", "sub"),
    ]
    assert entries(logged)[-1]["exceptionRaised"]["origin"] == "divide"
