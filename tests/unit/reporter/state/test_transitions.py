"""Transitions of deliveries and secrets, each with what it must leave alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from reporter.settings import ReporterSettings
from reporter.state.attempts import Attempt, record_delivered, record_given_up, record_try_again
from reporter.state.deliveries import EndReason, Hint, lease, standing, take_unhinted
from reporter.state.reports import Report, find_report, latest_report, record_report
from reporter.state.secrets import add_secret
from reporter.webhooks.attempt import LEASE_S
from reporter.webhooks.secrets import new_seed
from support.reporter_service import SCHEDULER, Answer, Got, Subscriber, World, notification
from support.webhook_subscriptions import log_of, opens, patch, subscribe

GRACE_S = ReporterSettings.model_fields["webhook_hint_grace_s"].default


def sweep(world: World) -> dict[str, int]:
    """Sweep and return what was moved."""
    swept: dict[str, int] = world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"]
    return swept


def leased(world: World, hint: Hint) -> bool:
    """Lease the first attempt of a delivery; return whether it was to be had."""
    with world.engine.begin() as connection:
        return lease(connection, hint.delivery_id, attempt=1, url=None, lease_s=LEASE_S) is not None


def rows(world: World, table: str) -> int:
    """Return how many rows a table has."""
    with world.engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_repeated_notification_hints_no_attempt_that_is_under_way(world: World, subscriber: Subscriber) -> None:
    """Its worker needs no second task; one that waits still gets its hint again."""
    body = notification(webhook_url=subscriber.url)
    world.internal("/internal/notifications", body)
    (hint,) = world.queue.hints
    world.queue.tasks.clear()
    world.internal("/internal/notifications", body)
    again = world.queue.hints
    world.queue.tasks.clear()
    assert leased(world, hint)

    world.internal("/internal/notifications", body)

    assert (again, world.queue.hints) == ([hint], [])


def test_each_hint_in_place_of_a_lost_one_is_another_one(world: World, subscriber: Subscriber) -> None:
    """Cloud Tasks would take the same name for a repetition."""
    world.internal("/internal/notifications", notification(webhook_url=subscriber.url))
    (hint,) = world.queue.hints
    sent: list[Hint] = []
    for _ in range(2):
        with world.engine.begin() as connection:
            connection.execute(text("UPDATE deliveries SET sweep_time = now()"))
            sent += take_unhinted(connection, hint_grace_s=GRACE_S, limit=10)

    assert sent == [replace(hint, resend=1), replace(hint, resend=2)]


def test_the_task_of_a_next_attempt_has_its_grace_too(world: World, subscriber: Subscriber) -> None:
    """Cloud Tasks may be late: it counts as lost only some time after the attempt is due."""
    subscriber.answer = lambda _got: Answer(500)
    world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.last[0])
    world.clock.advance(5 + GRACE_S - 1)
    early = sweep(world)["lost_deliveries"]
    world.clock.advance(1)

    assert (early, sweep(world)["lost_deliveries"]) == (0, 1)


def test_a_redelivery_has_its_grace(world: World, subscriber: Subscriber) -> None:
    """One event or many: those that have a task now are not hinted again at once."""
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])
    delivery = log_of(world, created["id"])[0]
    body = {"since": delivery["created_at"], "only_failed": False}

    world.client.post(f"/webhooks/{created['id']}/redeliver", json=body)
    many = sweep(world)["lost_deliveries"]
    world.deliver(world.queue.last[0])
    world.client.post(f"/deliveries/{delivery['id']}/redeliver")
    one = sweep(world)["lost_deliveries"]
    world.clock.advance(GRACE_S)

    assert (many, one, sweep(world)["lost_deliveries"]) == (0, 0, 1)


RECORDS: dict[str, Callable[..., Any]] = {
    "delivered": record_delivered,
    "given up": lambda connection, attempt: record_given_up(connection, attempt, reason=EndReason.GONE),
    "tried again": lambda connection, attempt: record_try_again(connection, attempt, delay_s=5, hint_grace_s=GRACE_S),
}


@pytest.mark.parametrize("record", RECORDS)
def test_a_late_record_does_not_revive_what_has_ended(world: World, subscriber: Subscriber, record: str) -> None:
    """A worker that outlived its lease finds the delivery ended with its paused endpoint."""
    created = subscribe(world, subscriber.url)
    world.notify()
    (hint,) = world.queue.hints
    assert leased(world, hint)
    world.clock.advance(LEASE_S)
    patch(world, created["id"], enabled=False)

    with world.engine.begin() as connection:
        recorded = RECORDS[record](connection, Attempt(hint.delivery_id, 1, status_code=204))
        found = standing(connection, hint.delivery_id)

    assert not recorded
    assert found is not None
    assert (found.state, found.attempts) == ("FAILED", 0)
    assert log_of(world, created["id"])[0]["end_reason"] == "ENDPOINT_DISABLED"


@pytest.mark.parametrize("record", RECORDS)
def test_an_attempt_ends_its_lease(world: World, subscriber: Subscriber, record: str) -> None:
    """Whatever came of it, the sweep finds no lease, and a redelivery can be had at once."""
    world.notify(webhook_url=subscriber.url)
    (hint,) = world.queue.hints
    assert leased(world, hint)
    with world.engine.begin() as connection:
        assert RECORDS[record](connection, Attempt(hint.delivery_id, 1, status_code=204))
        found = connection.execute(text("SELECT lease_until FROM deliveries")).scalar_one()

    assert found is None
    assert world.client.post(f"/deliveries/{hint.delivery_id}/redeliver").status_code == 202


def test_secrets_that_have_expired_leave_no_row(world: World, subscriber: Subscriber) -> None:
    """The next rotation deletes them; with an overlap of nothing at once."""
    created = subscribe(world, subscriber.url)
    path = f"/webhooks/{created['id']}/rotate_secret"
    world.client.post(path, json={"overlap_s": 60})
    both = rows(world, "webhook_secrets")
    world.clock.advance(60)
    world.client.post(path, json={"overlap_s": 60})
    after_expiry = rows(world, "webhook_secrets")
    world.client.post(path, json={"overlap_s": 0})

    assert (both, after_expiry, rows(world, "webhook_secrets")) == (2, 2, 1)


def test_the_newest_secret_signs_first(world: World, subscriber: Subscriber) -> None:
    """Receivers that look at one signature only are helped most by the newest."""
    created = subscribe(world, subscriber.url)
    path = f"/webhooks/{created['id']}/rotate_secret"
    for _ in range(3):
        world.clock.advance(1)
        newest = world.client.post(path).get_json()["secret"]
    world.notify()
    world.deliver(world.queue.last[0])
    (got,) = subscriber.received
    headers = {**got.headers, "webhook-signature": got.headers["webhook-signature"].split()[0]}

    assert len(got.headers["webhook-signature"].split()) == 4
    assert opens(newest, type(got)(got.method, got.path, headers, got.body))


def test_seeds_are_too_many_to_guess() -> None:
    """Sixteen random bytes each."""
    seeds = [new_seed(["k" * 32]) for _ in range(100)]

    assert {len(seed.salt) for seed in seeds} == {16}
    assert len({seed.salt for seed in seeds}) == 100


def test_deleting_an_endpoint_deletes_its_secrets_and_no_others(world: World, subscriber: Subscriber) -> None:
    """At once, not with its deliveries."""
    gone, kept = subscribe(world, subscriber.url), subscribe(world, subscriber.url)
    world.client.delete(f"/webhooks/{gone['id']}")

    with world.engine.connect() as connection:
        left = list(connection.scalars(text("SELECT endpoint_id FROM webhook_secrets")))
    assert left == [UUID(kept["id"])]


@pytest.mark.parametrize("status_code", [204, 500])
def test_what_is_being_sent_is_recorded_although_its_endpoint_is_paused_meanwhile(
    world: World, subscriber: Subscriber, status_code: int
) -> None:
    """Its worker has the lease: the attempt is in the log, and nothing follows a failure."""
    created = subscribe(world, subscriber.url)

    def answer(_got: Got) -> Answer:
        patch(world, created["id"], enabled=False)
        return Answer(status_code)

    subscriber.answer = answer
    world.notify()
    world.deliver(world.queue.last[0])
    world.deliver(Hint(world.queue.last[0].delivery_id, attempt=2))

    (delivery,) = log_of(world, created["id"])
    assert [attempt["status_code"] for attempt in delivery["attempts"]] == [status_code]
    assert delivery["state"] == ("DELIVERED" if status_code == 204 else "FAILED")


def test_an_attempt_goes_to_the_url_that_the_endpoint_has_now(world: World, subscriber: Subscriber) -> None:
    """Also one that was notified before; the log tells the host that was called."""
    created = subscribe(world, "http://127.0.0.1:9/old")
    world.notify()
    patch(world, created["id"], url=subscriber.url)

    assert world.deliver(world.queue.last[0])["state"] == "DELIVERED"
    assert len(subscriber.received) == 1


def test_a_lease_that_ran_out_is_no_lost_task(world: World, subscriber: Subscriber) -> None:
    """Its attempt has to be recorded first; a new hint for it would be an attempt that nobody counts."""
    world.notify(webhook_url=subscriber.url)
    assert leased(world, world.queue.last[0])
    world.clock.advance(LEASE_S + GRACE_S)

    with world.engine.begin() as connection:
        assert take_unhinted(connection, hint_grace_s=GRACE_S, limit=10) == []


@pytest.mark.fault("H9")
@pytest.mark.parametrize("record", RECORDS)
def test_a_worker_that_was_taken_for_lost_records_nothing_any_more(
    world: World, subscriber: Subscriber, record: str
) -> None:
    """Its attempt is in the log as lost, the next one is due, and what it brings changes neither."""
    request_id = world.notify(webhook_url=subscriber.url)
    (hint,) = world.queue.hints
    assert leased(world, hint)
    world.clock.advance(LEASE_S)
    sweep(world)
    before = world.deliveries(request_id)

    with world.engine.begin() as connection:
        recorded = RECORDS[record](connection, Attempt(hint.delivery_id, 1, status_code=204))

    assert not recorded
    assert world.deliveries(request_id) == before
    assert [attempt["failure"] for attempt in before[0]["attempts"]] == ["WORKER_LOST"]


def test_adding_a_secret_twice_is_adding_it_once(world: World, subscriber: Subscriber) -> None:
    """The answer to a commit may be lost: the transaction is run again with the same seed."""
    endpoint_id = UUID(subscribe(world, subscriber.url)["id"])
    seed = new_seed(["k" * 32])
    with world.engine.begin() as connection:
        counts = [add_secret(connection, endpoint_id, seed, overlap_s=60) for _ in range(2)]
        expiring = connection.execute(text("SELECT count(expire_time) FROM webhook_secrets")).scalar_one()

    assert (counts, expiring) == ([2, 2], 1)


def test_a_report_is_found_by_its_very_generation(world: World) -> None:
    """A link to the first run does not open the second; without a generation the newest is meant."""
    request_id = uuid4()
    made = [Report(request_id, n, None, "a.csv", f"o{n}", f"f{n}", f"r{n}", 1, 1) for n in (1, 2)]
    with world.engine.begin() as connection:
        recorded = [record_report(connection, report) for report in made]
        found = [find_report(connection, request_id, generation=n) for n in (1, 2, 3, None)]

    assert recorded == made
    assert found == [made[0], made[1], None, made[1]]


def test_a_report_is_recorded_once_for_its_generation(world: World) -> None:
    """Whoever publishes it again gets what is there, and the files that it names."""
    first = Report(uuid4(), 1, None, "a.csv", "o", "f", "r", 1, 1)
    others = [replace(first, request_id=uuid4()), replace(first, generation=2)]
    with world.engine.begin() as connection:
        for report in (first, *others):
            record_report(connection, report)
        again = record_report(connection, replace(first, output_csv="another"))

    assert again == first


def test_the_latest_report_is_that_of_its_owner_and_of_nobody_else(world: World) -> None:
    """A batch without an owner is nobody's, whoever had one later."""
    reports = {owner: Report(uuid4(), 0, owner, "a.csv", "o", "f", "r", 1, 1) for owner in (None, "alice", "bob")}
    for report in reports.values():
        with world.engine.begin() as connection:
            record_report(connection, report)

    with world.engine.connect() as connection:
        found = {owner: latest_report(connection, owner=owner) for owner in (*reports, "carol")}

    assert found == {**reports, "carol": None}
