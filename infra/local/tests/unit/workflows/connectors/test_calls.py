"""What all connectors share: retries, limits, polling, parameters and errors."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.workflows.connectors.calls import ConnectorParams, connector_params
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import (
    HttpConnectionBroken,
    HttpConnectionFailed,
    HttpResponse,
    HttpTimedOut,
)

QUEUE = "projects/demo/locations/us-central1/queues/q"
GET = "cloudtasks.v2.projects.locations.queues.get"
PAUSE = "cloudtasks.v2.projects.locations.queues.pause"
CREATE = "workflowexecutions.v1.projects.locations.workflows.executions.create"
WORKFLOW = "projects/demo/locations/us-central1/workflows/w"
DEPLOY = "workflows.v1.projects.locations.workflows.create"


async def test_answer_is_the_body_itself(caller: Any) -> None:
    """A connector returns the API's response, not a map with code and headers."""
    caller.http.answers({"name": QUEUE, "state": "RUNNING"})

    assert await caller.call(GET, name=QUEUE) == {"name": QUEUE, "state": "RUNNING"}


async def test_request_is_authorized_and_named(caller: Any) -> None:
    """Each request carries the account's access token and Workflows' user agent."""
    caller.http.answers({})

    await caller.call(GET, name=QUEUE, connector_params={"scopes": "a, b"})

    request = caller.http.requests[0]
    assert request.headers == {
        "Authorization": "Bearer access:a,b",
        "User-Agent": "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)",
    }
    assert (request.body, request.timeout_s) == (None, 1800.0)


async def test_get_is_retried_with_the_default_backoff(caller: Any) -> None:
    """429, 502, 503, 504 and broken connections are retried five times, from one second on by 1.25."""
    caller.http.answers({}, code=429)
    caller.http.answers({}, code=502)
    caller.http.script += [HttpConnectionBroken("reset"), HttpTimedOut("slow"), HttpConnectionFailed("refused")]
    caller.http.answers({"ok": True})

    answer = await caller.call(GET, name=QUEUE)

    assert (answer, caller.clock.slept) == ({"ok": True}, [1.0, 1.25, 1.5625, 1.953125, 2.44140625])


async def test_retries_end_with_the_last_error(caller: Any) -> None:
    """The sixth failure is raised."""
    for _ in range(6):
        caller.http.answers({"error": "busy"}, code=503)

    with pytest.raises(WorkflowError) as caught:
        await caller.call(GET, name=QUEUE)

    assert caught.value.value == {
        "body": {"error": "busy"},
        "code": 503,
        "headers": {"Content-Type": "application/json; charset=UTF-8"},
        "message": "HTTP server responded with error code 503",
        "tags": ["HttpError"],
    }


@pytest.mark.parametrize("failure", [429, 503, HttpConnectionFailed("refused")], ids=str)
async def test_other_methods_retry_what_surely_did_not_happen(caller: Any, failure: Any) -> None:
    """A POST is retried when the request was refused or never arrived."""
    caller.http.script.append(failure if isinstance(failure, Exception) else HttpResponse(failure, {}, b""))
    caller.http.answers({"ok": True})

    assert await caller.call(PAUSE, name=QUEUE) == {"ok": True}


@pytest.mark.parametrize(
    ("failure", "tag"),
    [
        (502, "HttpError"),
        (500, "HttpError"),
        (404, "HttpError"),
        (HttpConnectionBroken("reset"), "ConnectionError"),
        (HttpTimedOut("slow"), "TimeoutError"),
    ],
    ids=str,
)
async def test_other_methods_do_not_repeat_what_may_have_happened(caller: Any, failure: Any, tag: str) -> None:
    """A POST that may have had its effect is raised at once."""
    caller.http.script.append(failure if isinstance(failure, Exception) else HttpResponse(failure, {}, b""))

    with pytest.raises(WorkflowError) as caught:
        await caller.call(PAUSE, name=QUEUE)

    assert (list(caught.value.tags), caller.clock.slept) == ([tag], [])


async def test_timeout_covers_the_retries(caller: Any) -> None:
    """The call ends when its time is over, though a retry is due."""
    for _ in range(3):
        caller.http.answers({}, code=503)

    with pytest.raises(WorkflowError) as caught:
        await caller.call(GET, name=QUEUE, connector_params={"timeout": 2})

    assert (list(caught.value.tags), sum(caller.clock.slept)) == (["TimeoutError"], 2.0)


async def test_execution_is_polled_to_its_end(caller: Any) -> None:
    """`executions.create` waits with the polling policy and returns the execution."""
    name = f"{WORKFLOW}/executions/e"
    caller.http.answers({"name": name, "state": "ACTIVE"}, {"name": name, "state": "ACTIVE"})
    caller.http.answers({"name": name, "state": "SUCCEEDED", "result": "1"})

    ended = await caller.call(CREATE, parent=WORKFLOW, body={"argument": "{}"})

    assert (ended["state"], caller.clock.slept) == ("SUCCEEDED", [1.0, 1.25])
    assert caller.sent == ("GET", f"https://workflowexecutions.googleapis.com/v1/{name}")


async def test_polling_follows_its_policy(caller: Any) -> None:
    """Delays start, grow and stop growing as the call says."""
    name = f"{WORKFLOW}/executions/e"
    caller.http.answers(*[{"name": name, "state": "QUEUED"}] * 4, {"name": name, "state": "SUCCEEDED"})
    policy = {"initial_delay": 2, "multiplier": 3, "max_delay": 10}

    await caller.call(CREATE, parent=WORKFLOW, connector_params={"polling_policy": policy})

    assert caller.clock.slept == [2.0, 6.0, 10.0, 10.0]


async def test_skipped_polling_returns_the_first_answer(caller: Any) -> None:
    """`skip_polling` does not wait."""
    caller.http.answers({"name": "n", "state": "ACTIVE"})

    answer = await caller.call(CREATE, parent=WORKFLOW, connector_params={"skip_polling": True})

    assert (answer["state"], caller.clock.slept) == ("ACTIVE", [])


async def test_operation_gives_its_response(caller: Any) -> None:
    """A deploy is polled at its operation and gives the workflow."""
    operation = "projects/demo/locations/us-central1/operations/o"
    caller.http.answers({"name": operation}, {"name": operation, "done": True, "response": {"name": WORKFLOW}})

    answer = await caller.call(
        DEPLOY, parent="projects/demo/locations/us-central1", workflowId="w", body={"sourceContents": "x"}
    )

    assert answer == {"name": WORKFLOW}
    assert caller.sent == ("GET", f"https://workflows.googleapis.com/v1/{operation}")


async def test_failed_operation_is_an_operation_error(caller: Any) -> None:
    """The error holds the operation and its error."""
    error = {"code": 3, "message": "bad source"}
    caller.http.answers({"name": "o", "done": True, "error": error})

    with pytest.raises(WorkflowError) as caught:
        await caller.call(DEPLOY, parent="projects/demo/locations/us-central1", workflowId="w")

    assert caught.value.value == {
        "message": "Operation failed: bad source",
        "operation": {"name": "o", "done": True, "error": error},
        "error": error,
        "tags": ["OperationError"],
    }


@pytest.mark.parametrize("bodies", [([],), ({"name": "o"}, [])], ids=["first answer", "poll"])
@pytest.mark.parametrize("name", [DEPLOY, CREATE])
async def test_answer_that_is_no_operation_is_a_response_type_error(caller: Any, name: str, bodies: Any) -> None:
    """What cannot be polled is refused."""
    caller.http.answers(*[{**body, "state": "ACTIVE"} if body else body for body in bodies])

    with pytest.raises(WorkflowError) as caught:
        await caller.call(name, parent=WORKFLOW)

    assert list(caught.value.tags) == ["ResponseTypeError"]


def test_parameters_have_documented_defaults() -> None:
    """Half an hour, and polls from one second on."""
    assert connector_params(None) == ConnectorParams(1800.0, 1.0, 1.25, 60.0, skip_polling=False, scopes=())


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("fast", "TypeError"),
        ({"polling_policy": 1}, "TypeError"),
        ({"skip_polling": "yes"}, "TypeError"),
        ({"timeout": "1"}, "TypeError"),
        ({"timeout": True}, "TypeError"),
        ({"timeout": 0}, "ValueError"),
        ({"timeout": 31_536_001}, "ValueError"),
        ({"scopes": 1}, "TypeError"),
        ({"speed": 1}, "ValueError"),
        ({"polling_policy": {"delay": 1}}, "ValueError"),
    ],
    ids=repr,
)
def test_bad_parameters_are_refused(value: Any, tag: str) -> None:
    """Nothing is accepted and ignored."""
    with pytest.raises(WorkflowError) as caught:
        connector_params(value)

    assert list(caught.value.tags) == [tag]


async def test_answer_over_two_megabytes_cannot_be_caught(caller: Any) -> None:
    """The documented response limit ends the execution."""
    caller.http.script.append(HttpResponse(200, {}, b"x" * (2 * 1024 * 1024 + 1)))

    with pytest.raises(WorkflowError) as caught:
        await caller.call(GET, name=QUEUE)

    assert (list(caught.value.tags), caught.value.catchable) == (["ResourceLimitError"], False)


async def test_account_without_credentials_is_an_auth_error(caller: Any) -> None:
    """A token that cannot be made fails the call as Workflows does."""
    caller.host.tokens.access_token = _no_token

    with pytest.raises(WorkflowError) as caught:
        await caller.call(GET, name=QUEUE)

    assert list(caught.value.tags) == ["AuthError"]


def _no_token(scopes: list[str]) -> str:
    raise ValueError("no such account")


async def test_every_poll_counts_as_a_step(caller: Any) -> None:
    """Waiting for a long operation uses up the 100,000 steps; retries and the first request do not."""
    caller.http.answers({"name": "e", "state": "ACTIVE"}, {"name": "e", "state": "ACTIVE"})
    caller.http.script.append(HttpTimedOut("slow"))
    caller.http.answers({"name": "e", "state": "SUCCEEDED", "result": "1"})

    await caller.call(CREATE, parent=WORKFLOW)

    assert caller.counted_steps == 2
