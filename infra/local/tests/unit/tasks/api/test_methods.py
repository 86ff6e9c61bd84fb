"""The REST surface: names, limits, refusals, deduplication, queue updates."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import quote

import pytest

LOCATION = "projects/demo/locations/us-central1"


def _create(lab: Any, task: Any = None, **request: Any) -> Any:
    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            return await cloud.create(task, **request)

    return asyncio.run(scenario())


def _calls(lab: Any, *calls: Any, **options: Any) -> Any:
    """Make calls one after another and return the answers."""

    async def scenario() -> Any:
        async with lab(**options) as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            return [await cloud.call(*call) for call in calls]

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("task", "request_fields"),
    [
        pytest.param({"name": f"{LOCATION}/queues/q/tasks/a b"}, {}, id="task-id-characters"),
        pytest.param({"name": f"{LOCATION}/queues/q/tasks/{'a' * 501}"}, {}, id="task-id-length"),
        pytest.param({"name": f"{LOCATION}/queues/other/tasks/a"}, {}, id="task-of-another-queue"),
        pytest.param({"scheduleTime": "2023-12-15T00:00:00Z"}, {}, id="horizon-30-days"),
        pytest.param({"scheduleTime": "tomorrow"}, {}, id="schedule-time-format"),
        pytest.param({"dispatchDeadline": "14.9s"}, {}, id="deadline-too-short"),
        pytest.param({"dispatchDeadline": "1801s"}, {}, id="deadline-too-long"),
        pytest.param({"retryConfig": {"maxAttempts": -2}}, {}, id="attempts-below-minus-one"),
        pytest.param({"surprise": 1}, {}, id="unknown-field"),
        pytest.param({}, {"url": "ftp://host/"}, id="scheme"),
        pytest.param({}, {"url": "http://"}, id="no-host"),
        pytest.param({}, {"url": "http://h/" + "a" * 2083}, id="url-length"),
        pytest.param({}, {"httpMethod": "GET", "body": "YQ=="}, id="body-with-get"),
        pytest.param({}, {"httpMethod": "BREW"}, id="method"),
        pytest.param({}, {"body": "*"}, id="base64"),
        pytest.param({}, {"body": base64.b64encode(b"a" * 1024 * 1024).decode()}, id="one-mebibyte"),
        pytest.param({}, {"headers": {"A": "b" * 81920}}, id="headers-80KB"),
        pytest.param({}, {"headers": {"A": "b\r\nC: d"}}, id="header-injection"),
        pytest.param({}, {"oidcToken": {"serviceAccountEmail": ""}}, id="no-account"),
    ],
)
def test_task_beyond_a_limit_is_refused(lab: Any, task: Any, request_fields: Any) -> None:
    """Every documented limit answers INVALID_ARGUMENT."""
    status, body = _create(lab, task, **request_fields)

    assert (status, body["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_created_task_shows_its_defaults_without_its_body(lab: Any) -> None:
    """BASIC is the default view; method, deadline and times are filled in."""
    status, task = _create(lab, {"name": f"{LOCATION}/queues/q/tasks/t"}, url="https://h/x", body="YQ==")

    assert status == 200
    assert task == {
        "name": f"{LOCATION}/queues/q/tasks/t",
        "httpRequest": {"url": "https://h/x", "httpMethod": "POST", "headers": {"User-Agent": "Google-Cloud-Tasks"}},
        "scheduleTime": "2023-11-14T22:13:20Z",
        "createTime": "2023-11-14T22:13:20Z",
        "dispatchDeadline": "600s",
        "view": "BASIC",
    }


def test_task_without_name_gets_one(lab: Any) -> None:
    """Generated ids differ."""
    _, first = _create(lab)
    _, second = _create(lab)

    assert first["name"] != second["name"]


def test_name_stays_taken_for_a_day_after_the_task_is_done(lab: Any) -> None:
    """Conflict while the task lives, after it was deleted and until 24 hours are over."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            named = {"name": f"{cloud.queue}/tasks/t"}
            codes = [(await cloud.create(named))[0], (await cloud.create(named))[0]]
            await cloud.call("DELETE", f"{cloud.queue}/tasks/t")
            codes.append((await cloud.create(named))[0])
            await cloud.clock.advance(24 * 3600 + 1)
            codes.append((await cloud.create(named))[0])
            return codes

    assert asyncio.run(scenario()) == [200, 409, 409, 200]


def test_full_view_includes_the_body(lab: Any) -> None:
    """A view works by name and by number, in create, get and list."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create({"name": f"{cloud.queue}/tasks/t"}, body="YQ==")
            bodies = []
            for view in ("BASIC", "FULL", "2"):
                _, task = await cloud.call("GET", f"{cloud.queue}/tasks/t?responseView={view}")
                bodies.append(task["httpRequest"].get("body"))
            return bodies

    assert asyncio.run(scenario()) == [None, "YQ==", "YQ=="]


def test_missing_queue_and_missing_task_are_not_found(lab: Any) -> None:
    """What does not exist answers NOT_FOUND with Google's error body."""
    answers = _calls(
        lab,
        ("GET", f"{LOCATION}/queues/none"),
        ("POST", f"{LOCATION}/queues/none/tasks", {"task": {"httpRequest": {"url": "http://h"}}}),
        ("GET", f"{LOCATION}/queues/q/tasks/none"),
        ("DELETE", f"{LOCATION}/queues/q/tasks/none"),
        ("GET", "nonsense"),
    )

    assert [(status, body["error"]["status"]) for status, body in answers] == [(404, "NOT_FOUND")] * 5


def test_queue_that_exists_is_not_created_again(lab: Any) -> None:
    """Creating a queue twice is ALREADY_EXISTS."""
    [(status, body)] = _calls(lab, ("POST", f"{LOCATION}/queues", {"name": f"{LOCATION}/queues/q"}))

    assert (status, body["error"]["status"]) == (409, "ALREADY_EXISTS")


def test_new_queue_has_the_documented_defaults(lab: Any) -> None:
    """Zero and missing fields are defaults."""
    [(status, queue)] = _calls(
        lab, ("POST", f"{LOCATION}/queues", {"name": f"{LOCATION}/queues/new", "retryConfig": {"maxAttempts": 0}})
    )

    assert status == 200
    assert queue == {
        "name": f"{LOCATION}/queues/new",
        "rateLimits": {"maxDispatchesPerSecond": 500.0, "maxBurstSize": 500, "maxConcurrentDispatches": 1000},
        "retryConfig": {"maxAttempts": 100, "minBackoff": "0.100s", "maxBackoff": "3600s", "maxDoublings": 16},
        "state": "RUNNING",
    }


def test_patch_changes_only_what_the_mask_names(lab: Any) -> None:
    """Other fields of the body are ignored; names in the mask may be camelCase or snake_case."""
    body = {
        "rateLimits": {"maxConcurrentDispatches": 7, "maxDispatchesPerSecond": 9},
        "retryConfig": {"maxAttempts": 3},
    }
    path = f"{LOCATION}/queues/q?updateMask=rateLimits.maxConcurrentDispatches,retry_config.max_attempts"
    [(status, queue)] = _calls(lab, ("PATCH", path, body))

    assert status == 200
    assert queue["rateLimits"] == {
        "maxDispatchesPerSecond": 500.0,
        "maxBurstSize": 500,
        "maxConcurrentDispatches": 7,
    }
    assert queue["retryConfig"]["maxAttempts"] == 3
    assert queue["state"] == "PAUSED"


def test_patch_of_a_missing_queue_creates_it(lab: Any) -> None:
    """UpdateQueue creates the queue when it does not exist."""
    [(status, queue)] = _calls(lab, ("PATCH", f"{LOCATION}/queues/new", {"rateLimits": {"maxDispatchesPerSecond": 2}}))

    assert (status, queue["rateLimits"]["maxBurstSize"]) == (200, 2)


@pytest.mark.parametrize(
    "body",
    [
        {"rateLimits": {"maxDispatchesPerSecond": 501}},
        {"rateLimits": {"maxConcurrentDispatches": 5001}},
        {"retryConfig": {"minBackoff": "10s", "maxBackoff": "1s"}},
        {"retryConfig": {"minBackoff": 10}},
        {"retryConfig": {"maxDoublings": -1}},
    ],
    ids=["rate", "concurrency", "backoff-order", "duration-format", "doublings"],
)
def test_queue_beyond_a_limit_is_refused(lab: Any, body: Any) -> None:
    """Maxima of rates and the shape of retries are enforced."""
    [(status, answer)] = _calls(lab, ("PATCH", f"{LOCATION}/queues/q", body))

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "call",
    [
        ("GET", f"{LOCATION}/cmekConfig"),
        ("PATCH", f"{LOCATION}/queues/q", {"appEngineRoutingOverride": {"service": "s"}}),
        ("POST", f"{LOCATION}/queues/q/tasks", {"task": {"appEngineHttpRequest": {}}}),
    ],
    ids=lambda call: f"{call[0]} {call[1].rpartition('/')[2]} {list(call[2]) if len(call) > 2 else ''}",
)
def test_what_is_not_emulated_is_refused_by_name(lab: Any, call: Any) -> None:
    """Nothing is accepted and ignored: 501 UNIMPLEMENTED."""
    [(status, body)] = _calls(lab, call)

    assert (status, body["error"]["status"]) == (501, "UNIMPLEMENTED")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_beta_of_the_api_is_like_v2(lab: Any, method: str) -> None:
    """What gcloud beta sends for a queue that v2 could have."""
    body = {"name": f"{LOCATION}/queues/beta", "appEngineHttpQueue": {}, "type": "PUSH"}

    async def scenario() -> Any:
        async with lab() as cloud:
            url = f"{cloud.server.base_url}/v2beta3/{LOCATION}/queues"
            async with cloud.client.request(method, url, json=body if method == "POST" else None) as response:
                return response.status, await response.json()

    status, answer = asyncio.run(scenario())
    assert status == 200
    assert (answer if method == "POST" else answer["queues"][0])["type"] == "PUSH"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("state:PAUSED", ["q"]),
        ("state=RUNNING", ["slow"]),
        ("state!=PAUSED AND name:slow", ["slow"]),
        ("rateLimits.maxDispatchesPerSecond<=2", ["slow"]),
        ("rate_limits.max_dispatches_per_second > 2", ["q"]),
        ("retryConfig.minBackoff>=5s OR state:PAUSED", ["q", "slow"]),
    ],
)
def test_queues_are_listed_by_filter(lab: Any, text: str, ids: list[str]) -> None:
    """The reference's own sample, `state: PAUSED`, and the parts of rates and retries."""
    slow = {
        "name": f"{LOCATION}/queues/slow",
        "rateLimits": {"maxDispatchesPerSecond": 2},
        "retryConfig": {"minBackoff": "5s"},
    }
    _, (_, answer) = _calls(
        lab, ("POST", f"{LOCATION}/queues", slow), ("GET", f"{LOCATION}/queues?filter={quote(text)}")
    )

    assert [queue["name"].rpartition("/")[2] for queue in answer["queues"]] == ids


def test_filter_of_a_field_that_no_filter_has_is_refused(lab: Any) -> None:
    """It is not ignored."""
    [(status, answer)] = _calls(lab, ("GET", f"{LOCATION}/queues?filter=httpTarget:x"))

    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_older_beta_is_refused_by_its_name(lab: Any) -> None:
    """Gcloud alpha uses it."""

    async def scenario() -> Any:
        async with (
            lab() as cloud,
            cloud.client.get(f"{cloud.server.base_url}/v2beta2/{LOCATION}/queues") as response,
        ):
            return await response.json()

    error = asyncio.run(scenario())["error"]
    assert error["status"] == "UNIMPLEMENTED"
    assert "v2beta2" in error["message"]


def test_purge_deletes_tasks_and_sets_the_purge_time(lab: Any) -> None:
    """A purged queue is empty and says when."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            await cloud.create()
            _, queue = await cloud.call("POST", f"{cloud.queue}:purge", {})
            return queue["purgeTime"], await cloud.task_ids()

    assert asyncio.run(scenario()) == ("2023-11-14T22:13:20Z", [])


@pytest.mark.parametrize("size", ["many", "--1", "%C2%B2", "9" * 5000], ids=["word", "signs", "superscript", "digits"])
def test_page_size_that_is_no_number_is_refused(lab: Any, size: int) -> None:
    """Whatever Python's `int` makes of it, the answer is INVALID_ARGUMENT."""
    [(status, body)] = _calls(lab, ("GET", f"{LOCATION}/queues?pageSize={size}"))

    assert (status, body["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_list_pages_cover_every_task_once(lab: Any) -> None:
    """Following nextPageToken visits all tasks."""

    async def scenario() -> Any:
        async with lab() as cloud:
            await cloud.call("POST", f"{cloud.queue}:pause", {})
            for number in range(5):
                await cloud.create({"name": f"{cloud.queue}/tasks/t{number}"})
            seen, token = [], ""
            while True:
                _, page = await cloud.call("GET", f"{cloud.queue}/tasks?pageSize=2&pageToken={token}")
                seen.append([task["name"].rpartition("/")[2] for task in page["tasks"]])
                token = page.get("nextPageToken", "")
                if not token:
                    return seen

    assert asyncio.run(scenario()) == [["t0", "t1"], ["t2", "t3"], ["t4"]]


def test_deleted_queue_takes_its_tasks_along_and_can_be_made_again(lab: Any) -> None:
    """Locally a queue's name is free at once, but the names of its tasks stay taken."""
    name = f"{LOCATION}/queues/q"
    task = {"task": {"name": f"{name}/tasks/t", "httpRequest": {"url": "http://127.0.0.1:1/"}}}
    answers = _calls(
        lab,
        ("POST", f"{name}/tasks", task),
        ("DELETE", name),
        ("GET", name),
        ("POST", f"{LOCATION}/queues", {"name": name}),
        ("POST", f"{name}/tasks", task),
    )

    assert [status for status, _ in answers] == [200, 200, 404, 200, 409]


def test_deleted_queue_name_is_blocked_when_asked_for(lab: Any) -> None:
    """With a queue tombstone the name cannot be reused, as in production."""
    name = f"{LOCATION}/queues/q"
    answers = _calls(lab, ("DELETE", name), ("POST", f"{LOCATION}/queues", {"name": name}), queue_tombstone_s=60)

    assert [status for status, _ in answers] == [200, 400]


def test_locations_list_names_the_one_region(lab: Any) -> None:
    """`gcloud tasks locations list` works."""
    [(_, answer)] = _calls(lab, ("GET", "projects/demo/locations"))

    assert [location["locationId"] for location in answer["locations"]] == ["us-central1"]
