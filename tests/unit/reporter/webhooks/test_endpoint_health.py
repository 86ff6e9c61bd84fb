"""Endpoints that do not answer: disabled when they are gone or failing for days, visibly, and enabled again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chassis.times import rfc3339
from reporter.state.deliveries import lease
from reporter.webhooks.attempt import LEASE_S
from support.reporter_service import SCHEDULER, Answer, Subscriber, World
from support.webhook_subscriptions import deliver_until_over, endpoint, log_of, patch, reason, subscribe

DAY_S = 86400


def fail_for(world: World, days: float) -> None:
    """Let an event fail now, and another one after some days, each once."""
    world.notify()
    world.deliver(world.queue.last[0])
    world.clock.advance(days * DAY_S)
    world.notify()
    world.deliver(world.queue.last[0])


@pytest.mark.feature("60")
@pytest.mark.fault("H6")
def test_a_410_disables_the_endpoint(world: World, subscriber: Subscriber) -> None:
    """At once, visibly; what else waited for it is not sent."""
    subscriber.answer = lambda _got: Answer(410)
    created = subscribe(world, subscriber.url)
    world.notify()
    world.notify()
    first, second = world.queue.hints
    world.deliver(first)
    world.deliver(second)

    shown = endpoint(world, created["id"])
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "GONE")
    assert shown["disabled_at"] == rfc3339(world.clock.now())
    assert len(subscriber.received) == 1
    assert {delivery["end_reason"] for delivery in log_of(world, created["id"])} == {"GONE", "ENDPOINT_DISABLED"}


def test_a_410_of_a_former_url_does_not_disable(world: World, subscriber: Subscriber) -> None:
    """The URL was changed while the old one was answering."""
    created = subscribe(world, subscriber.url)

    def gone(_got: object) -> Answer:
        patch(world, created["id"], url=f"{subscriber.url}/new")
        return Answer(410)

    subscriber.answer = gone
    world.notify()
    world.deliver(world.queue.last[0])

    assert endpoint(world, created["id"])["enabled"]


def test_an_endpoint_that_was_paused_meanwhile_is_not_called_again(world: World, subscriber: Subscriber) -> None:
    """An attempt under way ends as it ends; the next one is not made."""
    created = subscribe(world, subscriber.url)

    def pause(_got: object) -> Answer:
        patch(world, created["id"], enabled=False)
        return Answer(500)

    subscriber.answer = pause
    world.notify()
    world.deliver(world.queue.last[0])
    world.deliver(world.queue.last[0])

    delivery = log_of(world, created["id"])[0]
    assert (delivery["state"], delivery["end_reason"], len(delivery["attempts"])) == ("FAILED", "ENDPOINT_DISABLED", 1)
    assert len(subscriber.received) == 1


def test_the_first_failure_is_visible(world: World, subscriber: Subscriber) -> None:
    """failing_since is its time, and stays while failures follow."""
    subscriber.answer = lambda _got: Answer(503)
    created = subscribe(world, subscriber.url)
    begin = world.clock.now()
    fail_for(world, days=1)

    assert endpoint(world, created["id"])["failing_since"] == rfc3339(begin)


@pytest.mark.feature("60")
@pytest.mark.parametrize(("days", "disabled_reason"), [(4.99, None), (5, "FAILING")])
def test_five_days_of_nothing_but_failures_disable(
    world: World, subscriber: Subscriber, days: float, disabled_reason: str | None
) -> None:
    """Counted from the first failure after the last success."""
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days)

    assert endpoint(world, created["id"])["disabled_reason"] == disabled_reason


def test_the_whole_schedule_fails_before_the_endpoint_is_disabled(world: World, subscriber: Subscriber) -> None:
    """One event uses its ten attempts in three days; the next one's failures reach the fifth day."""
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    begin = world.clock.now()
    world.notify()
    first = deliver_until_over(world)
    exhausted = world.clock.now() - begin
    world.notify()
    second = deliver_until_over(world)

    ended = [(delivery["state"], delivery["end_reason"]) for delivery in log_of(world, created["id"])]
    shown = endpoint(world, created["id"])
    assert (first, exhausted) == (10, timedelta(hours=75, minutes=35, seconds=5))
    assert ended == [("FAILED", "ENDPOINT_DISABLED"), ("FAILED", "EXHAUSTED")]
    assert shown["disabled_reason"] == "FAILING"
    assert timedelta(days=5) <= world.clock.now() - begin < timedelta(days=6)
    assert second < 10


def test_one_success_ends_the_count(world: World, subscriber: Subscriber) -> None:
    """Sporadic failures never disable."""
    created = subscribe(world, subscriber.url)
    answers = iter([Answer(500), Answer(200), Answer(500)])
    subscriber.answer = lambda _got: next(answers)
    for _ in range(3):
        world.notify()
        world.deliver(world.queue.last[0])
        world.clock.advance(4 * DAY_S)

    assert endpoint(world, created["id"])["disabled_reason"] is None


def test_a_vanished_worker_is_no_failure_of_the_receiver(world: World, subscriber: Subscriber) -> None:
    """Its attempt is used up; the endpoint is not blamed."""
    created = subscribe(world, subscriber.url)
    world.notify()
    with world.engine.begin() as connection:
        lease(connection, world.queue.hints[0].delivery_id, attempt=1, url=None, lease_s=LEASE_S)
    world.clock.advance(60)
    world.internal("/internal/sweep", account=SCHEDULER)

    assert log_of(world, created["id"])[0]["attempts"][0]["failure"] == "WORKER_LOST"
    assert endpoint(world, created["id"])["failing_since"] is None


def test_patience_is_a_setting(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """WEBHOOK_DISABLE_AFTER_S=60: a minute."""
    world = make_world(WEBHOOK_DISABLE_AFTER_S="60")
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days=60 / DAY_S)

    assert endpoint(world, created["id"])["disabled_reason"] == "FAILING"


def test_enabling_begins_afresh(world: World, subscriber: Subscriber) -> None:
    """No reason, no count: the next failure is the first."""
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days=5)
    enabled = patch(world, created["id"], enabled=True)
    begin = world.clock.now()
    fail_for(world, days=4)

    shown = endpoint(world, created["id"])
    assert (enabled["enabled"], enabled["disabled_reason"], enabled["failing_since"]) == (True, None, None)
    assert (shown["enabled"], shown["failing_since"]) == (True, rfc3339(begin))


@pytest.mark.parametrize("disabled_reason", ["GONE", "FAILING"])
def test_pausing_a_disabled_endpoint_keeps_the_reason(
    world: World, subscriber: Subscriber, disabled_reason: str
) -> None:
    """Why it was disabled is worth more than that somebody asked for what was so already."""
    subscriber.answer = lambda _got: Answer(410 if disabled_reason == "GONE" else 500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days=5)

    assert patch(world, created["id"], enabled=False)["disabled_reason"] == disabled_reason


def test_eight_failures_at_once_disable_once(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """Workers and an owner who pauses meet at one row; none waits for another for ever."""
    world = make_world(WEBHOOK_DISABLE_AFTER_S="1", WEBHOOK_CONCURRENCY="8", DATABASE_POOL_SIZE="10")
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days=0)
    for _ in range(8):
        world.notify()
    world.clock.advance(1)
    hints = world.queue.hints[-8:]

    with ThreadPoolExecutor(9) as pool:
        attempts = [pool.submit(world.deliver, hint) for hint in hints]
        paused = pool.submit(world.client.patch, f"/webhooks/{created['id']}", json={"enabled": False})
        assert paused.result().status_code == 200
        for attempt in attempts:
            attempt.result()
    for hint in hints:
        world.deliver(hint)

    assert endpoint(world, created["id"])["disabled_reason"] in {"FAILING", "PAUSED"}
    for delivery in log_of(world, created["id"]):
        assert delivery["state"] == "FAILED" or len(delivery["attempts"]) == 1


def test_a_disabled_endpoint_is_sent_no_test_event(world: World, subscriber: Subscriber) -> None:
    """The answer says why."""
    created = subscribe(world, subscriber.url, enabled=False)

    answer = world.client.post(f"/webhooks/{created['id']}/test")

    assert reason(answer) == (400, "ENDPOINT_DISABLED")
    assert answer.get_json()["error"]["details"][0]["metadata"] == {"disabled_reason": "PAUSED"}


def test_another_url_begins_afresh_and_the_same_one_does_not(world: World, subscriber: Subscriber) -> None:
    """Failures of the old URL say nothing of the new one; naming the same URL again, or another field, is no change."""
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    fail_for(world, days=1)

    same = patch(world, created["id"], url=subscriber.url)["failing_since"]
    described = patch(world, created["id"], description="x")["failing_since"]
    moved = patch(world, created["id"], url=f"{subscriber.url}/new")["failing_since"]

    assert same is not None
    assert (described, moved) == (same, None)
