"""Executions: their life, their views, and what a list of them can be asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from localcloud.core.google_errors import GoogleError
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.api.resources import to_wire
from localcloud.workflows.errors import StackFrame
from localcloud.workflows.runtime.failure import ExecutionFailedError

PARENT = "projects/demo/locations/us-central1"
WORKFLOW = f"{PARENT}/workflows/w"


async def test_execution_succeeds_with_its_result_as_json_text(emulator: Any) -> None:
    """An ended execution has Google's fields, keys of the result sorted."""
    revision = emulator.deploy()["response"]["revisionId"]
    name = emulator.start(argument='{"b": 1, "a": [true, null, 1.5]}')

    shown = to_wire(await emulator.finish(name))

    assert shown == {
        "name": name,
        "createTime": "2023-11-14T22:13:20Z",
        "startTime": "2023-11-14T22:13:20Z",
        "endTime": "2023-11-14T22:13:20Z",
        "duration": "0s",
        "state": "SUCCEEDED",
        "argument": '{"b": 1, "a": [true, null, 1.5]}',
        "result": '{"a":[true,null,1.5],"b":1}',
        "workflowRevisionId": revision,
    }


async def test_execution_without_argument_gets_null(emulator: Any) -> None:
    """No argument is the argument null, and a program without a result gives null."""
    emulator.deploy()

    shown = await emulator.finish(emulator.start())

    assert (shown["argument"], shown["result"]) == ("null", "null")


async def test_running_execution_shows_its_current_step(emulator: Any) -> None:
    """`status.currentSteps` is the innermost running step; time has passed on the emulator's clock."""
    emulator.deploy("wait")
    name = emulator.start()

    await emulator.clock.advance(2.5)
    shown = to_wire(emulator.executions.get(name))

    assert (shown["state"], shown["duration"]) == ("ACTIVE", "2.500s")
    assert shown["status"] == {"currentSteps": [{"routine": "main", "step": "doze"}]}
    await emulator.executor.stop()


async def test_ended_execution_shows_its_last_step(emulator: Any) -> None:
    """`status.currentSteps` stays the last step."""
    emulator.deploy("wait")
    name = emulator.start()

    await emulator.clock.advance(60)
    shown = await emulator.finish(name)

    assert shown["status"] == {"currentSteps": [{"routine": "main", "step": "doze"}]}


async def test_failed_execution_shows_payload_context_and_stack(emulator: Any) -> None:
    """Positions are strings, as proto3 JSON has 64-bit integers."""

    async def fail(argument: object, host: object) -> object:
        frame = StackFrame("raise_error", "main", 18, 9, 24)
        raise ExecutionFailedError(
            '"no"', 'RuntimeError: "no"\nin step "raise_error", routine "main", line: 18', [frame]
        )

    emulator.programs["fail"] = fail
    emulator.deploy("fail")

    shown = to_wire(await emulator.finish(emulator.start()))

    assert shown["state"] == "FAILED"
    assert shown["error"] == {
        "payload": '"no"',
        "context": 'RuntimeError: "no"\nin step "raise_error", routine "main", line: 18',
        "stackTrace": {
            "elements": [
                {
                    "step": "raise_error",
                    "routine": "main",
                    "position": {"line": "18", "column": "9", "length": "24"},
                }
            ]
        },
    }


async def test_bug_of_the_emulator_is_marked_and_logged(emulator: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What no workflow can cause has a tag of its own, and its traceback is in the log."""
    emulator.deploy("broken")

    shown = await emulator.finish(emulator.start())

    assert json.loads(shown["error"]["payload"]) == {
        "message": "LocalcloudBug: ZeroDivisionError: the emulator divided by zero",
        "tags": ["LocalcloudBug"],
    }
    assert "ZeroDivisionError: the emulator divided by zero" in caplog.text


async def test_cancelled_execution_stops_at_once(emulator: Any) -> None:
    """Cancel answers CANCELLED and the program does not go on."""
    emulator.deploy("wait")
    name = emulator.start()
    await emulator.clock.advance(1)

    cancelled = to_wire(emulator.executions.cancel(name))
    await emulator.clock.advance(120)

    assert cancelled["state"] == "CANCELLED"
    assert emulator.executions.get(name)["endTime"] == "2023-11-14T22:13:21Z"


async def test_execution_cancelled_before_its_first_turn_stays_cancelled(emulator: Any) -> None:
    """A task that has not run yet cannot bring a cancelled execution back."""
    emulator.deploy()
    name = emulator.start()

    emulator.executions.cancel(name)
    await asyncio.sleep(0)

    assert to_wire(emulator.executions.get(name))["state"] == "CANCELLED"


async def test_ended_execution_cannot_be_cancelled(emulator: Any) -> None:
    """Cancelling what has ended is a failed precondition."""
    emulator.deploy()
    name = emulator.start()
    await emulator.finish(name)

    with pytest.raises(GoogleError) as caught:
        emulator.executions.cancel(name)

    assert caught.value.status == "FAILED_PRECONDITION"


async def test_execution_keeps_the_revision_it_was_created_with(emulator: Any) -> None:
    """A later deploy does not reach an execution that runs."""
    emulator.deploy("wait")
    name = emulator.start()
    emulator.workflows.patch(WORKFLOW, "sourceContents", {"sourceContents": "echo"})

    await emulator.clock.advance(60)
    shown = await emulator.finish(name)

    assert (shown["result"], shown["workflowRevisionId"][:7]) == ('"slept"', "000001-")


async def test_execution_sees_the_documented_environment(emulator: Any) -> None:
    """Built-in and user variables come in through the host."""

    async def environment(argument: object, host: Any) -> object:
        return dict(host.env)

    emulator.programs["env"] = environment
    operation = emulator.deploy("env", userEnvVars={"A": "1"}, serviceAccount="me@demo.iam.gserviceaccount.com")
    name = emulator.start()

    shown = await emulator.finish(name)

    assert json.loads(shown["result"]) == {
        "A": "1",
        "GOOGLE_CLOUD_LOCATION": "us-central1",
        "GOOGLE_CLOUD_PROJECT_ID": "demo",
        "GOOGLE_CLOUD_PROJECT_NUMBER": "123456789012",
        "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": "me@demo.iam.gserviceaccount.com",
        "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": name.rsplit("/", 1)[1],
        "GOOGLE_CLOUD_WORKFLOW_ID": "w",
        "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": operation["response"]["revisionId"],
    }


async def test_execution_speaks_as_the_workflows_account(emulator: Any) -> None:
    """Tokens are those of the service account of the revision."""

    async def token(argument: object, host: Any) -> object:
        return host.tokens.oidc_token("aud")

    emulator.programs["token"] = token
    emulator.deploy("token", serviceAccount="me@demo.iam.gserviceaccount.com")

    shown = await emulator.finish(emulator.start())

    assert shown["result"] == '"id:me@demo.iam.gserviceaccount.com:aud"'


async def test_execution_inherits_and_overrides_labels(emulator: Any) -> None:
    """Labels of the execution win over those of the workflow."""
    emulator.deploy(labels={"team": "a", "env": "test"})

    name = emulator.start(labels={"team": "b"})

    assert emulator.executions.get(name)["labels"] == {"team": "b", "env": "test"}
    await emulator.finish(name)


async def test_full_concurrency_queues_and_then_starts(make_emulator: Any) -> None:
    """An execution over the limit waits as QUEUED, and starts when a place is free."""
    emulator = make_emulator(max_concurrent=1)
    emulator.deploy("wait")
    emulator.start()
    second = emulator.start()
    queued = to_wire(emulator.executions.get(second))

    await emulator.clock.advance(60)
    started = to_wire(emulator.executions.get(second))

    assert (queued["state"], "startTime" in queued) == ("QUEUED", False)
    assert (started["state"], started["startTime"]) == ("ACTIVE", "2023-11-14T22:14:20Z")
    await emulator.executor.stop()


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ({"max_concurrent": 1}, {"disableConcurrencyQuotaOverflowBuffering": True}),
        ({"max_concurrent": 1, "max_backlog": 0}, {}),
    ],
    ids=["backlog refused", "backlog full"],
)
async def test_full_concurrency_without_backlog_is_429(make_emulator: Any, limits: Any, fields: Any) -> None:
    """Without a place in the backlog the request is refused."""
    emulator = make_emulator(**limits)
    emulator.deploy("wait")
    emulator.start()

    with pytest.raises(GoogleError) as caught:
        emulator.start(**fields)

    assert caught.value.http_code == 429
    await emulator.executor.stop()


async def test_cancelled_queued_execution_never_starts(make_emulator: Any) -> None:
    """Its place in the backlog is skipped."""
    emulator = make_emulator(max_concurrent=1)
    emulator.deploy("wait")
    emulator.start()
    second = emulator.start()
    emulator.executions.cancel(second)

    await emulator.clock.advance(61)

    assert to_wire(emulator.executions.get(second))["state"] == "CANCELLED"
    await emulator.executor.stop()


async def test_oldest_finished_executions_are_forgotten(make_emulator: Any) -> None:
    """Finished executions are kept up to a number."""
    emulator = make_emulator(max_finished=2)
    emulator.deploy()
    names = [emulator.start() for _ in range(3)]

    await emulator.finish(names[2])

    listed = emulator.executions.list(WORKFLOW, ListQuery())["executions"]
    assert [execution["name"] for execution in listed] == [names[2], names[1]]


async def test_executions_with_the_oldest_steps_are_forgotten(make_emulator: Any) -> None:
    """Finished executions are kept up to a number of step entries, the last one in any case."""
    emulator = make_emulator(max_entries=2)

    async def steps(count: int, host: Any) -> None:
        for _ in range(count):
            entry = host.observer.step_started(routine="main", step="s", step_type="STEP_ASSIGN", line=1, thread="main")
            host.observer.step_ended(entry, failed=False)

    emulator.programs["steps"] = steps
    emulator.deploy("steps")
    kept = []
    for count in ("1", "1", "1", "5"):
        await emulator.finish(emulator.start(argument=count))
        kept.append(len(emulator.executions.list(WORKFLOW, ListQuery())["executions"]))

    assert kept == [1, 2, 2, 1]


async def test_deleting_a_workflow_ends_its_executions(emulator: Any) -> None:
    """Executions go with their workflow."""
    emulator.deploy("wait")
    name = emulator.start()
    await emulator.clock.advance(1)

    emulator.workflows.delete(WORKFLOW)
    await emulator.clock.advance(0)

    assert emulator.clock.sleeper_count == 0
    with pytest.raises(GoogleError, match="was not found"):
        emulator.executions.get(name)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"argument": "{no json"}, "INVALID_ARGUMENT"),
        ({"argument": {"a": 1}}, "INVALID_ARGUMENT"),
        ({"argument": "NaN"}, "INVALID_ARGUMENT"),
        ({"argument": '"' + "x" * 512 * 1024 + '"'}, "INVALID_ARGUMENT"),
        ({"nonsense": 1}, "INVALID_ARGUMENT"),
        ({"executionHistoryLevel": 9}, "INVALID_ARGUMENT"),
    ],
    ids=["not json", "not a string", "not a number", "too large", "unknown field", "unknown level"],
)
def test_bad_execution_is_refused(emulator: Any, fields: dict[str, Any], status: str) -> None:
    """A create request is checked before anything starts."""
    emulator.deploy()

    with pytest.raises(GoogleError) as caught:
        emulator.executions.create(WORKFLOW, fields)

    assert caught.value.status == status


def test_execution_of_a_missing_workflow_is_not_found(emulator: Any) -> None:
    """The workflow must exist."""
    with pytest.raises(GoogleError) as caught:
        emulator.executions.create(WORKFLOW, {})

    assert caught.value.status == "NOT_FOUND"


async def test_list_is_newest_first_and_basic(emulator: Any) -> None:
    """A list shows six fields of each execution unless the view is FULL."""
    emulator.deploy()
    first, second = emulator.start(), emulator.start()
    await emulator.finish(second)

    basic = emulator.executions.list(WORKFLOW, ListQuery())["executions"]
    full = emulator.executions.list(WORKFLOW, ListQuery(), "FULL")["executions"]

    assert [execution["name"] for execution in basic] == [second, first]
    assert set(basic[0]) == {"name", "startTime", "endTime", "duration", "state", "workflowRevisionId"}
    assert full[0]["result"] == "null"


@pytest.mark.parametrize(
    ("of_workflow", "of_execution", "expected"),
    [
        ("EXECUTION_HISTORY_LEVEL_UNSPECIFIED", "EXECUTION_HISTORY_LEVEL_UNSPECIFIED", "false"),
        ("EXECUTION_HISTORY_DETAILED", "EXECUTION_HISTORY_LEVEL_UNSPECIFIED", "true"),
        ("EXECUTION_HISTORY_BASIC", "EXECUTION_HISTORY_DETAILED", "true"),
        ("EXECUTION_HISTORY_DETAILED", "EXECUTION_HISTORY_BASIC", "false"),
    ],
)
async def test_history_level_of_the_execution_wins(
    emulator: Any, of_workflow: str, of_execution: str, expected: str
) -> None:
    """Variables are recorded at the detailed level; without an own level the workflow's applies."""

    async def records(argument: object, host: Any) -> Any:
        return host.observer.records_variables

    emulator.programs["records"] = records
    emulator.deploy("records", executionHistoryLevel=of_workflow)
    name = emulator.start(executionHistoryLevel=of_execution)

    assert (await emulator.finish(name))["result"] == expected


async def test_list_filters_by_the_name_of_the_current_step(emulator: Any) -> None:
    """`stepName` is what `status.currentSteps` shows."""
    emulator.deploy("wait")
    name = emulator.start()
    await emulator.clock.advance(1)

    here = emulator.executions.list(WORKFLOW, ListQuery(filter='stepName = "doze"'))
    elsewhere = emulator.executions.list(WORKFLOW, ListQuery(filter='stepName = "other"'))
    await emulator.clock.advance(60)

    assert ([shown["name"] for shown in here["executions"]], elsewhere) == ([name], {})


async def test_list_filters_by_state_and_label(emulator: Any) -> None:
    """Terms joined with AND all have to hold."""
    emulator.deploy()
    wanted, other = emulator.start(labels={"team": "a"}), emulator.start(labels={"team": "b"})
    await emulator.finish(other)

    query = ListQuery(filter='state = "SUCCEEDED" AND label.team="a"')

    assert [e["name"] for e in emulator.executions.list(WORKFLOW, query)["executions"]] == [wanted]


async def test_list_orders_by_creation(emulator: Any) -> None:
    """`orderBy` turns the default around."""
    emulator.deploy("wait")
    first = emulator.start()
    await emulator.clock.advance(1)
    second = emulator.start()

    listed = emulator.executions.list(WORKFLOW, ListQuery(order_by="createTime"))["executions"]

    assert [execution["name"] for execution in listed] == [first, second]
    await emulator.executor.stop()


async def test_exported_data_holds_the_execution(emulator: Any) -> None:
    """`exportData` is JSON text with the whole execution."""
    emulator.deploy()
    name = emulator.start()
    await emulator.finish(name)

    data = json.loads(emulator.executions.export_data(name)["data"])

    assert (data["execution"]["name"], data["stepEntries"]) == (name, [])
