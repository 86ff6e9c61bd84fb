"""The REST surface: what is on the wire besides the JSON of the APIs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

LOCATION = "/v1/projects/demo/locations/us-central1"
WORKFLOW = f"{LOCATION}/workflows/w"


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha1"])
async def test_every_track_of_gcloud_is_answered(emulator: Any, version: str) -> None:
    """The prefix is all that the tracks differ in."""
    emulator.deploy()

    async with (
        emulator.rest() as client,
        client.get(f"/{version}/projects/demo/locations/us-central1/workflows/w") as r,
    ):
        shown = await r.json()

    assert (r.status, shown["state"]) == (200, "ACTIVE")


@pytest.mark.parametrize("query", ["$alt=json;enum-encoding=int", "%24alt=json%3Benum-encoding%3Dint"])
async def test_enums_are_numbers_when_asked(emulator: Any, query: str) -> None:
    """Google's Python clients ask for numbers."""
    emulator.deploy(callLogLevel="LOG_NONE")

    async with emulator.rest() as client, client.get(f"{WORKFLOW}?{query}") as response:
        shown = await response.json()

    assert (shown["state"], shown["callLogLevel"]) == (1, 3)


async def test_project_number_is_the_project(emulator: Any) -> None:
    """A name may use the project's number; the answer uses its id."""
    emulator.deploy()

    async with emulator.rest() as client:
        response = await client.get("/v1/projects/123456789012/locations/us-central1/workflows/w")
        shown = await response.json()

    assert shown["name"] == "projects/demo/locations/us-central1/workflows/w"


async def test_workflow_is_deployed_run_and_cancelled_over_rest(emulator: Any) -> None:
    """The paths and verbs are those that gcloud sends."""
    async with emulator.rest() as client:
        created = await client.post(f"{LOCATION}/workflows?alt=json&workflowId=w", json={"sourceContents": "wait"})
        operation = (await created.json())["name"]
        polled = await (await client.get(f"/v1/{operation}?alt=json")).json()
        execution = await (await client.post(f"{WORKFLOW}/executions?alt=json", json={})).json()
        cancelled = await (await client.post(f"/v1/{execution['name']}:cancel?alt=json", json={})).json()

    assert (polled["done"], execution["state"], cancelled["state"]) == (True, "ACTIVE", "CANCELLED")


async def test_error_is_an_aip_193_body(emulator: Any) -> None:
    """Errors have one shape."""
    async with emulator.rest() as client, client.get(WORKFLOW) as response:
        body = await response.json()

    assert response.status == 404
    assert body == {
        "error": {
            "code": 404,
            "message": "Resource 'projects/demo/locations/us-central1/workflows/w' was not found",
            "status": "NOT_FOUND",
        }
    }


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/", "NOT_FOUND"),
        ("GET", "/v2/projects/demo/locations", "NOT_FOUND"),
        ("PUT", WORKFLOW, "NOT_FOUND"),
        ("GET", f"{WORKFLOW}?nonsense=1", "INVALID_ARGUMENT"),
        ("GET", f"{WORKFLOW}?fields=name,,", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/workflows?pageSize=many", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/workflows?pageSize=%C2%B2", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/workflows?pageSize={'9' * 5000}", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/workflows?pageToken=bad", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/workflows?pageToken=NQ==", "INVALID_ARGUMENT"),
        ("GET", f"{WORKFLOW}/executions?view=ALL", "INVALID_ARGUMENT"),
        ("POST", f"{WORKFLOW}:triggerPubsubExecution", "INVALID_ARGUMENT"),
        ("GET", f"{WORKFLOW}/executions/none", "NOT_FOUND"),
        ("GET", f"{WORKFLOW}/executions/none/stepEntries", "NOT_FOUND"),
        ("GET", f"{WORKFLOW}/executions/none/callbacks", "NOT_FOUND"),
        ("GET", f"{WORKFLOW}/executions/none/stepEntries?view=EXECUTION_ENTRY_VIEW_HUGE", "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/operations/none", "NOT_FOUND"),
    ],
)
async def test_request_that_cannot_be_answered_says_why(emulator: Any, verb: str, path: str, status: str) -> None:
    """No route, bad parameters and unsupported methods are errors by name."""
    emulator.deploy()

    async with emulator.rest() as client, client.request(verb, path) as response:
        body = await response.json()

    assert body["error"]["status"] == status


async def test_partial_response_has_what_was_asked_for(emulator: Any) -> None:
    """The system parameter `fields`, on a list."""
    emulator.deploy()

    async with emulator.rest() as client, client.get(f"{LOCATION}/workflows?fields=workflows/state") as response:
        body = await response.json()

    assert body == {"workflows": [{"state": "ACTIVE"}]}


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100_000], ids=["open", "bytes", "deep"])
async def test_body_that_is_not_json_is_refused(emulator: Any, data: bytes) -> None:
    """A broken body is the caller's fault."""
    headers = {"Content-Type": "application/json"}

    async with (
        emulator.rest() as client,
        client.post(f"{LOCATION}/workflows?workflowId=w", data=data, headers=headers) as response,
    ):
        body = await response.json()

    assert (response.status, body["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("body", [[], "text", 3], ids=repr)
async def test_body_that_is_no_object_is_refused(emulator: Any, body: Any) -> None:
    """A resource is a JSON object."""
    async with emulator.rest() as client, client.post(f"{LOCATION}/workflows?workflowId=w", json=body) as response:
        answer = await response.json()

    assert answer["error"]["message"] == "Invalid JSON payload received. Workflow must be an object"


async def test_largest_source_passes(emulator: Any) -> None:
    """128 KB of source may be escaped to much more."""
    source = "\x01" * (128 * 1024)

    async with emulator.rest() as client:
        response = await client.post(f"{LOCATION}/workflows?workflowId=w", json={"sourceContents": source})
        operation = await response.json()

    assert operation["error"]["code"] == 3


async def test_bug_in_the_server_is_a_500_without_details(emulator: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is logged and not shown."""
    emulator.workflows.get = None

    async with emulator.rest() as client, client.get(WORKFLOW) as response:
        body = await response.json()

    assert (response.status, body["error"]["status"]) == (500, "INTERNAL")
    assert "TypeError" in caplog.text
    assert "TypeError" not in str(body)


SECRETS = {
    "one.yaml": "token: s3cret\nmany:\n  1: old\n  10: new\n",
    "bad.yaml": "- a list\n",
    "broken.yaml": "a: [",
}


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("token/versions/latest", ("1", "czNjcmV0")),
        ("many/versions/latest", ("10", "bmV3")),
        ("many/versions/1", ("1", "b2xk")),
    ],
)
async def test_secret_versions_come_from_the_file(
    emulator: Any, tmp_path: Path, secret: str, expected: tuple[str, str]
) -> None:
    """Latest is the highest number; the payload is base64."""
    emulator.secrets_file = tmp_path / "one.yaml"
    emulator.secrets_file.write_text(SECRETS["one.yaml"])

    async with emulator.rest() as client, client.get(f"/v1/projects/demo/secrets/{secret}:access") as response:
        body = await response.json()

    assert (body["name"].rsplit("/", 1)[1], body["payload"]["data"]) == expected


@pytest.mark.parametrize(
    ("file", "secret", "status"),
    [
        (None, "token/versions/1", "NOT_FOUND"),
        ("missing.yaml", "token/versions/1", "FAILED_PRECONDITION"),
        ("bad.yaml", "token/versions/1", "FAILED_PRECONDITION"),
        ("broken.yaml", "token/versions/1", "FAILED_PRECONDITION"),
        ("one.yaml", "none/versions/1", "NOT_FOUND"),
        ("one.yaml", "token/versions/2", "NOT_FOUND"),
    ],
)
async def test_secret_that_cannot_be_read_says_why(
    emulator: Any, tmp_path: Path, file: str | None, secret: str, status: str
) -> None:
    """A missing file, a broken one, an unknown secret and an unknown version differ."""
    for name, content in SECRETS.items():
        (tmp_path / name).write_text(content)
    emulator.secrets_file = tmp_path / file if file else None

    async with emulator.rest() as client, client.get(f"/v1/projects/demo/secrets/{secret}:access") as response:
        body = await response.json()

    assert body["error"]["status"] == status
