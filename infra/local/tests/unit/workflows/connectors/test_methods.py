"""The tables: what each connector sends, and which arguments it takes."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.errors import WorkflowError
from localcloud.workflows.runtime.host import HttpResponse

LOCATION = "projects/demo/locations/us-central1"
QUEUE = f"{LOCATION}/queues/q"
TASK = f"{QUEUE}/tasks/t"
WORKFLOW = f"{LOCATION}/workflows/w"
EXECUTION = f"{WORKFLOW}/executions/e"

QUEUES = "cloudtasks.v2.projects.locations.queues"
EXECUTIONS = "workflowexecutions.v1.projects.locations.workflows.executions"
WORKFLOWS = "workflows.v1.projects.locations.workflows"
VERSIONS = "secretmanager.v1.projects.secrets.versions"

TASKS_V2 = "https://cloudtasks.googleapis.com/v2"
EXECUTIONS_V1 = "https://workflowexecutions.googleapis.com/v1"
STORAGE = "https://storage.googleapis.com"


@pytest.mark.parametrize(
    ("name", "arguments", "sent"),
    [
        (f"{QUEUES}.create", {"parent": LOCATION, "body": {}}, ("POST", f"{TASKS_V2}/{LOCATION}/queues")),
        (f"{QUEUES}.get", {"name": QUEUE}, ("GET", f"{TASKS_V2}/{QUEUE}")),
        (f"{QUEUES}.delete", {"name": QUEUE}, ("DELETE", f"{TASKS_V2}/{QUEUE}")),
        (
            f"{QUEUES}.list",
            {"parent": LOCATION, "pageSize": 5},
            ("GET", f"{TASKS_V2}/{LOCATION}/queues?pageSize=5"),
        ),
        (
            f"{QUEUES}.patch",
            {"name": QUEUE, "updateMask": "rateLimits", "body": {}},
            ("PATCH", f"{TASKS_V2}/{QUEUE}?updateMask=rateLimits"),
        ),
        (f"{QUEUES}.pause", {"name": QUEUE}, ("POST", f"{TASKS_V2}/{QUEUE}:pause")),
        (f"{QUEUES}.resume", {"name": QUEUE}, ("POST", f"{TASKS_V2}/{QUEUE}:resume")),
        (f"{QUEUES}.purge", {"name": QUEUE}, ("POST", f"{TASKS_V2}/{QUEUE}:purge")),
        (f"{QUEUES}.tasks.create", {"parent": QUEUE, "body": {"task": {}}}, ("POST", f"{TASKS_V2}/{QUEUE}/tasks")),
        (f"{QUEUES}.tasks.get", {"name": TASK}, ("GET", f"{TASKS_V2}/{TASK}")),
        (f"{QUEUES}.tasks.delete", {"name": TASK}, ("DELETE", f"{TASKS_V2}/{TASK}")),
        (
            f"{QUEUES}.tasks.list",
            {"parent": QUEUE, "responseView": "FULL"},
            ("GET", f"{TASKS_V2}/{QUEUE}/tasks?responseView=FULL"),
        ),
        (f"{QUEUES}.tasks.run", {"name": TASK}, ("POST", f"{TASKS_V2}/{TASK}:run")),
        (f"{EXECUTIONS}.get", {"name": EXECUTION, "view": "FULL"}, ("GET", f"{EXECUTIONS_V1}/{EXECUTION}?view=FULL")),
        (f"{EXECUTIONS}.list", {"parent": WORKFLOW}, ("GET", f"{EXECUTIONS_V1}/{WORKFLOW}/executions")),
        (f"{EXECUTIONS}.cancel", {"name": EXECUTION}, ("POST", f"{EXECUTIONS_V1}/{EXECUTION}:cancel")),
        (f"{WORKFLOWS}.get", {"name": WORKFLOW}, ("GET", f"https://workflows.googleapis.com/v1/{WORKFLOW}")),
        (
            f"{WORKFLOWS}.list",
            {"parent": LOCATION},
            ("GET", f"https://workflows.googleapis.com/v1/{LOCATION}/workflows"),
        ),
        (f"{WORKFLOWS}.delete", {"name": WORKFLOW}, ("DELETE", f"https://workflows.googleapis.com/v1/{WORKFLOW}")),
        (
            f"{WORKFLOWS}.patch",
            {"name": WORKFLOW, "updateMask": "labels", "body": {}},
            ("PATCH", f"https://workflows.googleapis.com/v1/{WORKFLOW}?updateMask=labels"),
        ),
        (
            f"{VERSIONS}.access",
            {"name": "projects/demo/secrets/s/versions/1"},
            ("GET", "https://secretmanager.googleapis.com/v1/projects/demo/secrets/s/versions/1:access"),
        ),
        (
            "storage.v1.objects.get",
            {"bucket": "b", "object": "dir%2Ffile.csv", "alt": "media"},
            ("GET", f"{STORAGE}/storage/v1/b/b/o/dir%2Ffile.csv?alt=media"),
        ),
        (
            "storage.v1.objects.insert",
            {"bucket": "b", "name": "dir/file", "uploadType": "media", "body": "x", "ifGenerationMatch": 0},
            ("POST", f"{STORAGE}/upload/storage/v1/b/b/o?uploadType=multipart&name=dir%2Ffile&ifGenerationMatch=0"),
        ),
        (
            "storage.v1.objects.list",
            {"bucket": "b", "prefix": "a b", "versions": True},
            ("GET", f"{STORAGE}/storage/v1/b/b/o?prefix=a%20b&versions=true"),
        ),
        ("storage.v1.objects.delete", {"bucket": "b", "object": "o"}, ("DELETE", f"{STORAGE}/storage/v1/b/b/o/o")),
        (
            "storage.v1.objects.patch",
            {"bucket": "b", "object": "o", "body": {"metadata": {}}},
            ("PATCH", f"{STORAGE}/storage/v1/b/b/o/o"),
        ),
        (
            "storage.v1.objects.copy",
            {"sourceBucket": "a", "sourceObject": "o", "destinationBucket": "b", "destinationObject": "p"},
            ("POST", f"{STORAGE}/storage/v1/b/a/o/o/copyTo/b/b/o/p"),
        ),
        (
            "storage.v1.objects.compose",
            {"destinationBucket": "b", "destinationObject": "p", "body": {"sourceObjects": []}},
            ("POST", f"{STORAGE}/storage/v1/b/b/o/p/compose"),
        ),
        (
            "storage.v1.buckets.insert",
            {"project": "demo", "body": {"name": "b"}},
            ("POST", f"{STORAGE}/storage/v1/b?project=demo"),
        ),
        ("storage.v1.buckets.get", {"bucket": "b"}, ("GET", f"{STORAGE}/storage/v1/b/b")),
        ("storage.v1.buckets.list", {"project": "demo"}, ("GET", f"{STORAGE}/storage/v1/b?project=demo")),
        ("storage.v1.buckets.delete", {"bucket": "b"}, ("DELETE", f"{STORAGE}/storage/v1/b/b")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_connector_sends(caller: Any, name: str, arguments: dict[str, Any], sent: tuple[str, str]) -> None:
    """Verb, path and query are those of the API's reference."""
    caller.http.answers({"name": "o", "done": True})

    await caller.call(name, **arguments)

    assert caller.sent == sent


def test_every_connector_has_a_full_name() -> None:
    """Names are what a workflow writes."""
    assert all(name.startswith("googleapis.") and name.count(".") >= 4 for name in connector_methods())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing argument 'parent'"),
        ({"parent": ""}, "must be a non-empty string"),
        ({"parent": 1}, "must be a non-empty string"),
        ({"parent": QUEUE, "colour": "red"}, "unknown argument 'colour'"),
        ({"parent": QUEUE, "body": "text"}, "'body' must be a map"),
        ({"parent": QUEUE, "body": {"a": b"raw"}}, "bytes"),
    ],
    ids=["missing", "empty", "not a string", "unknown", "body", "body without JSON form"],
)
async def test_wrong_argument_is_an_error(caller: Any, arguments: dict[str, Any], message: str) -> None:
    """Nothing is sent."""
    with pytest.raises(WorkflowError) as caught:
        await caller.call(f"{QUEUES}.tasks.create", **arguments)

    assert message in caught.value.value["message"]
    assert caller.http.requests == []


async def test_query_argument_must_be_scalar(caller: Any) -> None:
    """A map cannot be a query parameter."""
    with pytest.raises(WorkflowError, match="cannot be a query parameter"):
        await caller.call(f"{QUEUES}.list", parent=LOCATION, pageSize={})


async def test_method_without_body_takes_none(caller: Any) -> None:
    """A body where the API has none is a mistake."""
    with pytest.raises(WorkflowError, match="unknown argument 'body'"):
        await caller.call(f"{QUEUES}.get", name=QUEUE, body={})


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ("text", "text/plain; charset=utf-8", b"text"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        ({"b": 1, "a": [True]}, "application/json", b'{"a":[true],"b":1}'),
        ([1], "application/json", b"[1]"),
    ],
    ids=["text", "bytes", "map", "list"],
)
async def test_object_content_is_sent_by_its_type(caller: Any, body: Any, content_type: str, sent: bytes) -> None:
    """Text, bytes and values become an object's content."""
    caller.http.answers({"name": "o"})

    await caller.call("storage.v1.objects.insert", bucket="b", name="o", uploadType="media", body=body)

    request = caller.http.requests[0]
    boundary = request.headers["Content-Type"].removeprefix("multipart/related; boundary=").encode()
    _, metadata, content, end = request.body.split(b"--" + boundary)
    assert metadata == b"\r\nContent-Type: application/json\r\n\r\n{}\r\n"
    assert content == b"\r\nContent-Type: " + content_type.encode() + b"\r\n\r\n" + sent + b"\r\n"
    assert end == b"--\r\n"


@pytest.mark.parametrize(
    "arguments", [{"uploadType": "resumable", "name": "o"}, {"name": "o"}, {"uploadType": "media"}], ids=repr
)
async def test_upload_of_another_type_or_without_a_name_is_refused(caller: Any, arguments: dict[str, str]) -> None:
    """What is not built is refused."""
    with pytest.raises(WorkflowError):
        await caller.call("storage.v1.objects.insert", bucket="b", body="x", **arguments)

    assert caller.http.requests == []


async def test_object_content_is_decoded_by_its_type(caller: Any) -> None:
    """`alt: media` of a text object is text."""
    caller.http.script.append(HttpResponse(200, {"Content-Type": "text/csv"}, b"a,b\n"))

    assert await caller.call("storage.v1.objects.get", bucket="b", object="o", alt="media") == "a,b\n"


async def test_unencoded_slash_in_an_object_name_is_not_found(caller: Any) -> None:
    """Production answers 404, so the emulator does too."""
    with pytest.raises(WorkflowError) as caught:
        await caller.call("storage.v1.objects.get", bucket="b", object="dir/file")

    assert (caught.value.value["code"], caller.http.requests) == (404, [])


async def test_empty_answer_is_null(caller: Any) -> None:
    """A 204 has no value."""
    caller.http.script.append(HttpResponse(204, {}, b""))

    assert await caller.call("storage.v1.objects.delete", bucket="b", object="o") is None


async def test_created_execution_does_not_use_the_backlog(caller: Any) -> None:
    """Connectors have the backlog off unless the body says otherwise."""
    caller.http.answers({"name": "n", "state": "SUCCEEDED"})
    await caller.call(f"{EXECUTIONS}.create", parent=WORKFLOW, body={"argument": "1"})
    off = caller.sent_json
    caller.http.answers({"name": "n", "state": "SUCCEEDED"})
    body = {"disableConcurrencyQuotaOverflowBuffering": False}
    await caller.call(f"{EXECUTIONS}.create", parent=WORKFLOW, body=body)

    assert off == {"argument": "1", "disableConcurrencyQuotaOverflowBuffering": True}
    assert caller.sent_json == body


async def test_run_takes_a_value_and_gives_a_value(caller: Any) -> None:
    """The helper encodes the argument, waits, and decodes the result."""
    caller.http.answers({"name": "n", "state": "SUCCEEDED", "result": '{"a":[1]}'})

    result = await caller.call(f"{EXECUTIONS}.run", workflow_id="w", argument={"x": 1.5})

    assert result == {"a": [1]}
    assert caller.sent == ("POST", f"https://workflowexecutions.googleapis.com/v1/{WORKFLOW}/executions")
    assert caller.sent_json["argument"] == '{"x":1.5}'


async def test_run_elsewhere_uses_the_given_place(caller: Any) -> None:
    """Project and location can be named."""
    caller.http.answers({"name": "n", "state": "SUCCEEDED", "result": "1"})

    await caller.call(f"{EXECUTIONS}.run", workflow_id="w", project_id="p", location="l")

    assert "/projects/p/locations/l/workflows/w/" in caller.sent[1]


async def test_failed_child_is_an_operation_error_with_the_execution(caller: Any) -> None:
    """The parent can read why its child failed."""
    child = {"name": "n", "state": "FAILED", "error": {"payload": "1"}}
    caller.http.answers(child)

    with pytest.raises(WorkflowError) as caught:
        await caller.call(f"{EXECUTIONS}.run", workflow_id="w")

    assert caught.value.value == {
        "message": "Execution failed or cancelled.",
        "operation": child,
        "tags": ["OperationError"],
    }


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (f"{EXECUTIONS}.run", {}),
        (f"{EXECUTIONS}.run", {"workflow_id": "w", "colour": "red"}),
        (f"{EXECUTIONS}.run", {"workflow_id": "w", "argument": b"raw"}),
        (f"{EXECUTIONS}.create", {"parent": WORKFLOW, "body": "text"}),
        (f"{VERSIONS}.accessString", {}),
        (f"{VERSIONS}.accessString", {"secret_id": "s", "colour": "red"}),
    ],
    ids=["no id", "unknown", "bytes", "body", "no secret", "unknown secret argument"],
)
async def test_helper_refuses_wrong_arguments(caller: Any, name: str, arguments: dict[str, Any]) -> None:
    """Helpers check their arguments before anything is sent."""
    with pytest.raises(WorkflowError):
        await caller.call(name, **arguments)

    assert caller.http.requests == []


async def test_secret_is_read_as_text(caller: Any) -> None:
    """`accessString` decodes the latest version of the caller's project."""
    caller.http.answers({"payload": {"data": "w6k="}})

    assert await caller.call(f"{VERSIONS}.accessString", secret_id="s") == "é"
    assert caller.sent[1].endswith("/projects/demo/secrets/s/versions/latest:access")


async def test_run_passes_the_call_log_level_on(caller: Any) -> None:
    """The child's own level, as the reference lists it."""
    caller.http.answers({"name": "n", "state": "SUCCEEDED", "result": "1"})

    await caller.call(
        "workflowexecutions.v1.projects.locations.workflows.executions.run",
        workflow_id="child",
        callLogLevel="LOG_ALL_CALLS",
    )

    assert caller.sent_json["callLogLevel"] == "LOG_ALL_CALLS"


@pytest.mark.parametrize(
    "answer", [None, "text", [1], {}, {"payload": None}, {"payload": {}}, {"payload": {"data": 1}}], ids=repr
)
async def test_answer_without_a_secret_is_a_response_type_error(caller: Any, answer: Any) -> None:
    """The program is told, whatever an API answers."""
    caller.http.answers(answer)

    with pytest.raises(WorkflowError, match="ResponseTypeError"):
        await caller.call(f"{VERSIONS}.accessString", secret_id="s")


@pytest.mark.parametrize("data", ["é", "w", "/w=="], ids=["not ASCII", "not base64", "not UTF-8"])
async def test_secret_that_cannot_be_decoded_is_a_value_error(caller: Any, data: str) -> None:
    """Its bytes are not known, or are no text."""
    caller.http.answers({"payload": {"data": data}})

    with pytest.raises(WorkflowError, match="ValueError"):
        await caller.call(f"{VERSIONS}.accessString", secret_id="s", version=3)


@pytest.mark.parametrize("result", ["{", 1, None], ids=repr)
async def test_result_that_is_no_json_is_a_response_type_error(caller: Any, result: Any) -> None:
    """An execution's result is JSON text."""
    caller.http.answers({"name": "n", "state": "SUCCEEDED", "result": result})

    with pytest.raises(WorkflowError, match="ResponseTypeError"):
        await caller.call("workflowexecutions.v1.projects.locations.workflows.executions.run", workflow_id="w")


@pytest.mark.parametrize("answer", ["the result", 1, None, [1]], ids=repr)
async def test_answer_that_is_no_execution_is_a_response_type_error(caller: Any, answer: Any) -> None:
    """With skip_polling, nobody else looks at it."""
    caller.http.answers(answer)

    with pytest.raises(WorkflowError, match="ResponseTypeError"):
        await caller.call(
            "workflowexecutions.v1.projects.locations.workflows.executions.run",
            workflow_id="w",
            connector_params={"skip_polling": True},
        )
