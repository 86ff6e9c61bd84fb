"""Notifications: one delivery per event and endpoint, however often the workflow tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from chassis.errors import unavailable
from chassis.times import rfc3339
from reporter.errors import Reason
from support.reporter_service import INGEST, Subscriber, World, notification


@pytest.fixture(name="event_schema")
def _event_schema(repository: Path) -> Draft202012Validator:
    text = (repository / "workflows/contracts/webhook_event.schema.json").read_text()
    return Draft202012Validator(json.loads(text), format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.feature("58")
@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        ("COMPLETED", "batch.completed"),
        ("COMPLETED_WITH_ERRORS", "batch.completed_with_errors"),
        ("FAILED", "batch.failed"),
        ("CANCELLED", "batch.cancelled"),
    ],
)
def test_each_ending_is_an_event_of_its_own(
    world: World, subscriber: Subscriber, event_schema: Draft202012Validator, status: str, event_type: str
) -> None:
    """The type follows from the status, and the body obeys the contract."""
    request_id = world.notify(status=status, webhook_url=subscriber.url)

    world.deliver(world.queue.hints[0])

    event = subscriber.events[0]
    event_schema.validate(event)
    assert (event["type"], event["status"], event["request_id"]) == (event_type, status, request_id)


def test_the_seeds_keys_come_first(world: World, subscriber: Subscriber) -> None:
    """Receivers of the first release find what they knew, in front."""
    world.notify(webhook_url=subscriber.url, message="Processed successfully")

    world.deliver(world.queue.hints[0])

    event = subscriber.events[0]
    assert list(event)[:3] == ["request_id", "status", "message"]
    assert event["message"] == "Processed successfully"
    assert event["timestamp"] == "2026-11-22T10:00:00.000000Z"


@pytest.mark.parametrize("finished_at", [None, "yesterday"], ids=str)
def test_an_event_without_a_usable_time_has_the_present_one(
    world: World, subscriber: Subscriber, finished_at: str | None
) -> None:
    """A timestamp is always a time."""
    world.notify(webhook_url=subscriber.url, finished_at=finished_at)

    world.deliver(world.queue.hints[0])

    assert subscriber.events[0]["timestamp"] == rfc3339(world.clock.now())


def test_a_batch_without_endpoints_tells_nobody(world: World) -> None:
    """Zero deliveries, zero tasks."""
    answer = world.internal("/internal/notifications", notification())

    assert (answer.get_json()["deliveries"], world.queue.hints) == (0, [])


def test_the_deployments_endpoint_is_told_too(make_world: Callable[..., World]) -> None:
    """WEBHOOK_URL and the batch's own URL are two endpoints with a message each."""
    world = make_world(WEBHOOK_URL="https://ops.test/hook")

    request_id = world.notify(webhook_url="https://shop.test/hook")

    told = world.deliveries(request_id)
    assert {delivery["url_host"] for delivery in told} == {"ops.test", "shop.test"}
    assert len({delivery["message_id"] for delivery in told}) == 2


def test_one_url_given_twice_is_told_once(make_world: Callable[..., World]) -> None:
    """The batch's URL may be the deployment's."""
    world = make_world(WEBHOOK_URL="https://shop.test/hook")

    answer = world.internal("/internal/notifications", notification(webhook_url="https://shop.test/hook"))

    assert answer.get_json()["deliveries"] == 1
    assert len(world.queue.hints) == 1


def test_a_repeated_notification_adds_no_delivery(world: World) -> None:
    """Same batch, run and type: the first body stands, also when the repetition differs."""
    body = notification(webhook_url="https://shop.test/hook")
    world.internal("/internal/notifications", body)

    again = world.internal("/internal/notifications", {**body, "message": "other"}, account=INGEST)

    assert again.get_json() == {"request_id": body["request_id"], "deliveries": 1}
    assert len(world.deliveries(body["request_id"])) == 1
    assert len(world.queue.hints) == 1


def test_concurrent_notifications_make_one_delivery(world: World) -> None:
    """Workflow and sweeper may tell at once."""
    body = notification(webhook_url="https://shop.test/hook")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.internal("/internal/notifications", body).status_code, range(8)))

    assert set(answers) == {200}
    assert len(world.deliveries(body["request_id"])) == 1
    assert len(world.queue.hints) == 1


def test_another_generation_is_another_event(world: World) -> None:
    """A retried batch ends again, and its subscribers hear of it."""
    request_id = str(uuid4())
    world.notify(request_id=request_id, webhook_url="https://shop.test/hook", generation=1)
    world.notify(request_id=request_id, webhook_url="https://shop.test/hook", generation=2)

    assert [delivery["generation"] for delivery in world.deliveries(request_id)] == [1, 2]


def test_a_long_url_is_an_endpoint_like_any_other(world: World) -> None:
    """2,083 characters of any script fit."""
    url = "https://shop.test/" + "春" * 2065

    request_id = world.notify(webhook_url=url)

    assert world.deliveries(request_id)[0]["url_host"] == "shop.test"


def test_a_queue_that_is_down_does_not_lose_the_event(world: World, subscriber: Subscriber) -> None:
    """The row stands, the answer is 200, and the sweeper hints again once the task is overdue."""
    world.queue.error = unavailable(Reason.TASKS_UNAVAILABLE, "down")
    request_id = world.notify(webhook_url=subscriber.url)
    world.queue.error = None
    world.clock.advance(121)

    swept = world.internal("/internal/sweep", account="scheduler@demo.iam.gserviceaccount.com").get_json()
    world.deliver(world.queue.hints[0])

    assert (swept["swept"]["expired_leases"], swept["swept"]["lost_deliveries"]) == (0, 1)
    assert subscriber.events[0]["request_id"] == request_id


@pytest.mark.parametrize("status", ["SEALING", "DONE"])
def test_other_statuses_are_no_events(world: World, status: str) -> None:
    """Neither one that is not shown outside, nor one that does not exist."""
    answer = world.internal("/internal/notifications", notification(status=status))

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (400, "STATUS_IS_NO_EVENT")


def test_a_malformed_notification_names_its_fields(world: World) -> None:
    """All of them at once."""
    body: dict[str, Any] = {**notification(), "request_id": "x", "generation": 0}

    answer = world.internal("/internal/notifications", body)

    violations = answer.get_json()["error"]["details"][2]["fieldViolations"]
    assert {violation["field"] for violation in violations} == {"request_id", "generation"}
