"""Test events, the list of deliveries, and events that are sent again under their old id."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chassis.errors import unavailable
from chassis.times import rfc3339
from reporter.errors import Reason
from reporter.state.deliveries import lease
from reporter.webhooks.attempt import LEASE_S
from reporter.webhooks.redeliver import HINTS_AT_ONCE
from support.reporter_service import SCHEDULER, Answer, Subscriber, World
from support.webhook_subscriptions import deliver_until_over, log_of, opens, patch, reason, subscribe

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def redeliver(world: World, delivery_id: str) -> dict[str, Any]:
    answer = world.client.post(f"/deliveries/{delivery_id}/redeliver")
    assert answer.status_code == 202, answer.text
    delivery: dict[str, Any] = answer.get_json()
    return delivery


def redeliver_since(world: World, endpoint_id: str, since: str, **fields: Any) -> int:
    answer = world.client.post(f"/webhooks/{endpoint_id}/redeliver", json={"since": since, **fields})
    assert answer.status_code == 202, answer.text
    count: int = answer.get_json()["redelivered"]
    return count


def test_a_test_event_is_signed_and_obeys_the_contract(world: World, subscriber: Subscriber, repository: Path) -> None:
    """Whatever the endpoint has subscribed to; it says what it is, and counts nothing."""
    created = subscribe(world, subscriber.url, event_types=["batch.failed"])

    answer = world.client.post(f"/webhooks/{created['id']}/test")
    world.deliver(world.queue.last[0])

    schema = json.loads((repository / "workflows/contracts/webhook_event.schema.json").read_text())
    event, got = subscriber.events[0], subscriber.received[0]
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(event)
    assert (answer.status_code, answer.get_json()["state"]) == (202, "PENDING")
    assert (event["type"], event["data"]["counts"]["total"]) == ("batch.test", 0)
    assert opens(created["secret"], got)
    assert got.headers["webhook-id"] == answer.get_json()["message_id"]
    assert log_of(world, created["id"])[0]["attempts"][0]["status_code"] == 204


def test_two_test_events_are_two(world: World, subscriber: Subscriber) -> None:
    """Each has an id of its own."""
    created = subscribe(world, subscriber.url)
    for _ in range(2):
        world.client.post(f"/webhooks/{created['id']}/test")

    assert len({delivery["message_id"] for delivery in log_of(world, created["id"])}) == 2


def test_deliveries_are_listed_in_pages_newest_first(world: World, subscriber: Subscriber) -> None:
    """Each once, with its attempts."""
    created = subscribe(world, subscriber.url)
    made = []
    for _ in range(5):
        made.append(world.notify())
        world.deliver(world.queue.last[0])
        world.clock.advance(1)
    seen, token = [], ""
    while True:
        query = {"page_size": 2, "page_token": token}
        page = world.client.get(f"/webhooks/{created['id']}/deliveries", query_string=query).get_json()
        seen += page["deliveries"]
        token = page["next_page_token"]
        if not token:
            break

    assert [delivery["request_id"] for delivery in seen] == made[::-1]
    assert {delivery["endpoint_id"] for delivery in seen} == {created["id"]}
    assert [len(delivery["attempts"]) for delivery in seen] == [1] * 5


def test_deliveries_are_filtered_by_state(world: World, subscriber: Subscriber) -> None:
    """One of each."""
    created = subscribe(world, subscriber.url)
    for status in (200, 500):
        subscriber.answer = partial(lambda status, _got: Answer(status), status)
        world.notify()
        world.deliver(world.queue.last[0])
    world.notify()
    patch(world, created["id"], enabled=False)
    patch(world, created["id"], enabled=True)
    world.notify()

    counts = {state: len(log_of(world, created["id"], state=state)) for state in ("PENDING", "DELIVERED", "FAILED")}
    assert counts == {"PENDING": 1, "DELIVERED": 1, "FAILED": 2}


def test_a_page_token_belongs_to_its_list(world: World, subscriber: Subscriber) -> None:
    """That of another filter is refused, as is an unknown state."""
    created = subscribe(world, subscriber.url)
    for _ in range(2):
        world.notify()
    path = f"/webhooks/{created['id']}/deliveries"
    token = world.client.get(path, query_string={"page_size": 1}).get_json()["next_page_token"]

    foreign = world.client.get(path, query_string={"page_size": 1, "page_token": token, "state": "FAILED"})
    unknown = world.client.get(path, query_string={"state": "LOST"})

    assert reason(foreign) == (400, "PAGE_TOKEN_INVALID")
    assert reason(unknown) == (400, "FIELD_INVALID")


@pytest.mark.feature("61")
def test_a_delivered_event_can_be_sent_again(world: World, subscriber: Subscriber) -> None:
    """Same id, same bytes; attempts are numbered on."""
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])

    again = redeliver(world, log_of(world, created["id"])[0]["id"])
    world.deliver(world.queue.last[0])

    first, second = subscriber.received
    delivery = log_of(world, created["id"])[0]
    assert again["state"] == "PENDING"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert [attempt["number"] for attempt in delivery["attempts"]] == [1, 2]
    assert delivery["state"] == "DELIVERED"


@pytest.mark.fault("H11")
def test_an_exhausted_event_has_the_whole_schedule_again(world: World, subscriber: Subscriber) -> None:
    """Ten more attempts with the first delay of five seconds; numbers 11 to 20."""
    subscriber.answer = lambda _got: Answer(500)
    request_id = world.notify(webhook_url=subscriber.url)
    deliver_until_over(world)
    redeliver(world, world.deliveries(request_id)[0]["id"])
    world.deliver(world.queue.last[0])
    not_before = world.queue.last[1]
    rest = deliver_until_over(world)

    delivery = world.deliveries(request_id)[0]
    assert not_before is not None
    assert [attempt["number"] for attempt in delivery["attempts"]] == list(range(1, 21))
    assert (rest, delivery["end_reason"]) == (9, "EXHAUSTED")
    assert rfc3339(not_before) > delivery["attempts"][10]["started_at"]


def test_a_waiting_event_can_be_sent_at_once(world: World, subscriber: Subscriber) -> None:
    """Its next attempt need not wait; the task that was made for it finds it done."""
    answers = iter([Answer(500), Answer(200)])
    subscriber.answer = lambda _got: next(answers)
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])
    waiting = world.queue.last[0]

    redeliver(world, log_of(world, created["id"])[0]["id"])
    now, not_before = world.queue.last
    states = [world.deliver(now)["state"], world.deliver(waiting)["state"]]

    assert not_before is None
    assert (states, len(subscriber.received)) == (["DELIVERED", "DELIVERED"], 2)


def test_an_event_that_is_being_sent_is_not_sent_again(world: World, subscriber: Subscriber) -> None:
    """409: ask again when the attempt is recorded."""
    created = subscribe(world, subscriber.url)
    world.notify()
    hint = world.queue.last[0]
    with world.engine.begin() as connection:
        lease(connection, hint.delivery_id, attempt=1, url=None, lease_s=LEASE_S)

    answer = world.client.post(f"/deliveries/{log_of(world, created['id'])[0]['id']}/redeliver")

    assert reason(answer) == (409, "DELIVERY_UNDER_WAY")


def test_eight_redeliveries_at_once_send_once(world: World, subscriber: Subscriber) -> None:
    """Eight tasks for one attempt, of which a lease lets one through."""
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])
    delivery_id = log_of(world, created["id"])[0]["id"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: redeliver(world, delivery_id), range(8)))
    for hint in world.queue.hints[1:]:
        world.deliver(hint)

    assert len(subscriber.received) == 2


def test_nothing_is_redelivered_to_a_disabled_endpoint(world: World, subscriber: Subscriber) -> None:
    """One or all: it must be enabled first."""
    created = subscribe(world, subscriber.url)
    world.notify()
    patch(world, created["id"], enabled=False)
    delivery_id = log_of(world, created["id"])[0]["id"]

    one = world.client.post(f"/deliveries/{delivery_id}/redeliver")
    many = world.client.post(f"/webhooks/{created['id']}/redeliver", json={"since": "2026-01-01T00:00:00Z"})

    assert {reason(one), reason(many)} == {(400, "ENDPOINT_DISABLED")}


def test_a_delivery_to_a_deleted_endpoint_is_not_there(world: World, subscriber: Subscriber) -> None:
    """Nor is one that never was."""
    created = subscribe(world, subscriber.url)
    world.notify()
    delivery_id = log_of(world, created["id"])[0]["id"]
    world.client.delete(f"/webhooks/{created['id']}")

    answers = {reason(world.client.post(f"/deliveries/{known}/redeliver")) for known in (delivery_id, UNKNOWN)}

    assert answers == {(404, "DELIVERY_NOT_FOUND")}


def test_a_delivery_of_an_owners_batch_is_not_there(world: World, subscriber: Subscriber) -> None:
    """Without API keys nobody may have it sent again."""
    world.notify(webhook_url=subscriber.url, owner="alice")
    delivery_id = world.queue.hints[0].delivery_id

    assert reason(world.client.post(f"/deliveries/{delivery_id}/redeliver")) == (404, "DELIVERY_NOT_FOUND")


@pytest.mark.feature("61")
def test_what_was_missed_can_be_sent_since_a_time(world: World, subscriber: Subscriber) -> None:
    """What failed, and what happened while the endpoint was disabled; nothing older, nothing delivered."""
    created = subscribe(world, subscriber.url)
    subscriber.answer = lambda _got: Answer(410)
    before = world.notify()
    world.deliver(world.queue.last[0])
    world.clock.advance(10)
    since = rfc3339(world.clock.now())
    missed = []
    for _ in range(2):
        missed.append(world.notify())
        world.clock.advance(1)
    patch(world, created["id"], enabled=True)
    subscriber.answer = lambda _got: Answer(200)
    delivered = world.notify()
    world.deliver(world.queue.last[0])
    asked = len(subscriber.received)

    count = redeliver_since(world, created["id"], since)
    for hint in world.queue.hints[-count:]:
        world.deliver(hint)

    states = {delivery["request_id"]: delivery["state"] for delivery in log_of(world, created["id"])}
    assert count == 2
    assert [event["request_id"] for event in subscriber.events[asked:]] == missed
    assert states == {before: "FAILED", delivered: "DELIVERED", **dict.fromkeys(missed, "DELIVERED")}


def test_everything_can_be_sent_since_a_time(world: World, subscriber: Subscriber) -> None:
    """only_failed false: for a receiver that has lost what it was told."""
    created = subscribe(world, subscriber.url)
    since = rfc3339(world.clock.now())
    for _ in range(3):
        world.notify()
        world.deliver(world.queue.last[0])

    counts = [
        redeliver_since(world, created["id"], since),
        redeliver_since(world, created["id"], since, only_failed=False),
    ]
    for hint in world.queue.hints[-3:]:
        world.deliver(hint)

    assert counts == [0, 3]
    assert len(subscriber.received) == 6
    assert len({got.headers["webhook-id"] for got in subscriber.received}) == 3


@pytest.mark.parametrize(
    ("since", "count"), [("0001-01-01T00:00:00+14:00", 1), ("9999-12-31T23:59:59-14:00", 0)], ids=["first", "last"]
)
def test_since_the_ends_of_the_calendar(world: World, subscriber: Subscriber, since: str, count: int) -> None:
    """Times that are beyond it in UTC are times still."""
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])

    assert redeliver_since(world, created["id"], since, only_failed=False) == count


def test_another_endpoints_deliveries_are_left_alone(world: World, subscriber: Subscriber) -> None:
    """Also where the URL is the same."""
    first, second = (subscribe(world, subscriber.url) for _ in range(2))
    since = rfc3339(world.clock.now())
    world.notify()
    for hint in world.queue.hints:
        world.deliver(hint)

    assert redeliver_since(world, first["id"], since, only_failed=False) == 1
    assert [delivery["state"] for delivery in log_of(world, second["id"])] == ["DELIVERED"]


def test_a_large_redelivery_leaves_most_tasks_to_the_sweeper(world: World, subscriber: Subscriber) -> None:
    """The first in order have a task at once; all others are due for the next sweep, and none is hinted twice."""
    created = subscribe(world, subscriber.url, enabled=False)
    since = rfc3339(world.clock.now())
    for _ in range(HINTS_AT_ONCE + 7):
        world.notify()
    patch(world, created["id"], enabled=True)

    count = redeliver_since(world, created["id"], since)
    at_once = len(world.queue.hints)
    swept = world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"]["lost_deliveries"]

    assert (count, at_once, swept) == (HINTS_AT_ONCE + 7, HINTS_AT_ONCE, 7)
    assert len({hint.delivery_id for hint in world.queue.hints}) == count


def test_a_queue_that_is_down_does_not_lose_a_redelivery(world: World, subscriber: Subscriber) -> None:
    """The row is due; the sweeper brings the task."""
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])
    world.queue.error = unavailable(Reason.TASKS_UNAVAILABLE, "down")
    redeliver(world, log_of(world, created["id"])[0]["id"])
    world.queue.error = None
    world.clock.advance(121)

    world.internal("/internal/sweep", account=SCHEDULER)
    world.deliver(world.queue.last[0])

    assert len(subscriber.received) == 2


@pytest.mark.parametrize("body", [{}, {"since": "yesterday"}, {"since": "2026-11-22T10:00:00"}, {"since": 5}], ids=str)
def test_a_redelivery_needs_a_time_with_a_zone(
    make_world: Callable[..., World], subscriber: Subscriber, body: dict[str, Any]
) -> None:
    """RFC 3339, nothing else."""
    world = make_world()
    created = subscribe(world, subscriber.url)

    answer = world.client.post(f"/webhooks/{created['id']}/redeliver", json=body)

    violations = answer.get_json()["error"]["details"][2]["fieldViolations"]
    assert reason(answer) == (400, "FIELD_INVALID")
    assert [violation["field"] for violation in violations] == ["since"]


def test_all_deliveries_are_listed_newest_first_page_by_page(world: World, subscriber: Subscriber) -> None:
    """Those of every batch, with attempts, each once; the pages are not for the list of one batch."""
    subscribe(world, subscriber.url)
    batches = [world.notify() for _ in range(3)]
    made = [delivery["id"] for batch in batches for delivery in world.deliveries(batch)]

    first = world.client.get("/deliveries?page_size=2").get_json()
    rest = world.client.get("/deliveries", query_string={"page_token": first["next_page_token"]}).get_json()

    listed = [delivery["id"] for delivery in first["deliveries"] + rest["deliveries"]]
    assert (first["request_id"], len(first["deliveries"]), rest["next_page_token"]) == (None, 2, "")
    assert sorted(listed) == sorted(made)
    times = [delivery["created_at"] for delivery in first["deliveries"] + rest["deliveries"]]
    assert times == sorted(times, reverse=True)
    mixed = world.client.get(f"/deliveries?request_id={batches[0]}&page_size=2")
    assert reason(mixed) == (400, "FIELD_INVALID")
