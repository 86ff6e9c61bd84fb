"""Deliveries: attempted until taken or used up, signed anew each time, once per attempt whoever races."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from uuid import uuid4

import psycopg2
import pytest

from chassis.auth.api_keys import new_key
from reporter.state.attempts import abandoned_attempts
from reporter.state.deliveries import Hint, lease
from reporter.webhooks.attempt import LEASE_S, record_worker_lost
from support.reporter_service import SCHEDULER, SECRET, TASKS, Answer, Subscriber, World, loopback

SCHEDULE_S = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


def sweep(world: World) -> dict[str, int]:
    answer = world.internal("/internal/sweep", account=SCHEDULER)
    assert answer.status_code == 200
    swept: dict[str, int] = answer.get_json()["swept"]
    return swept


def moved(world: World) -> tuple[int, int]:
    """Sweep; return how many leases had expired and how many tasks were lost."""
    swept = sweep(world)
    return swept["expired_leases"], swept["lost_deliveries"]


def test_a_2xx_delivers(world: World, subscriber: Subscriber) -> None:
    """One request, signed so that the public library accepts it, and the delivery is over."""
    request_id = world.notify(webhook_url=subscriber.url)

    answer = world.deliver(world.queue.hints[0])

    delivery = world.deliveries(request_id)[0]
    assert (answer["state"], answer["attempts"]) == ("DELIVERED", 1)
    assert subscriber.verified == [True]
    assert subscriber.received[0].headers["content-type"] == "application/json"
    assert delivery["attempts"][0]["status_code"] == 204
    assert delivery["next_attempt_at"] is None
    assert len(world.queue.hints) == 1


@pytest.mark.fault("H15")
def test_the_body_is_sent_as_it_was_signed(world: World, subscriber: Subscriber) -> None:
    """A signature recomputed by hand over the raw bytes matches, also for text beyond ASCII."""
    world.notify(webhook_url=subscriber.url, message="fertig – 春")

    world.deliver(world.queue.hints[0])

    got = subscriber.received[0]
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256).digest()
    assert got.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.feature("60")
@pytest.mark.fault("H3", "H11")
def test_the_whole_schedule_is_walked(world: World, subscriber: Subscriber) -> None:
    """Ten attempts, each after its delay by a task of its own, then FAILED and no further task."""
    subscriber.answer = lambda _got: Answer(500, b"broken")
    request_id = world.notify(webhook_url=subscriber.url)
    delays = []

    for number in range(1, 11):
        hint, not_before = world.queue.last
        assert hint.attempt == number
        if not_before is not None:
            delays.append((not_before - world.clock.now()).total_seconds())
            world.clock.time = not_before
        world.deliver(hint)

    delivery = world.deliveries(request_id)[0]
    assert delays == SCHEDULE_S
    assert (delivery["state"], delivery["end_reason"], len(delivery["attempts"])) == ("FAILED", "EXHAUSTED", 10)
    assert len(world.queue.hints) == 10


@pytest.mark.fault("H3")
@pytest.mark.threat("T13")
def test_every_attempt_has_the_same_id_and_its_own_signature(world: World, subscriber: Subscriber) -> None:
    """The id is the receiver's key against repetition; time and signature are the attempt's; the bytes never change."""
    subscriber.answer = lambda _got: Answer(503)
    world.notify(webhook_url=subscriber.url)
    for _ in range(3):
        world.clock.advance(60)
        world.deliver(world.queue.last[0])

    got = subscriber.received
    assert len({g.headers["webhook-id"] for g in got}) == 1
    assert len({g.headers["webhook-timestamp"] for g in got}) == 3
    assert len({g.headers["webhook-signature"] for g in got}) == 3
    assert len({g.body for g in got}) == 1
    assert got[0].headers["webhook-id"].startswith("msg_")


@pytest.mark.fault("H3")
def test_a_receiver_that_recovers_is_told(world: World, subscriber: Subscriber) -> None:
    """500, then 200: delivered at the second attempt, and the schedule ends."""
    answers = iter([Answer(500), Answer(200)])
    subscriber.answer = lambda _got: next(answers)
    world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.last[0])

    answer = world.deliver(world.queue.last[0])

    assert (answer["state"], answer["attempts"], len(world.queue.hints)) == ("DELIVERED", 2, 2)


def test_the_schedule_is_a_setting(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """WEBHOOK_RETRY_SCHEDULE_S=7 gives two attempts."""
    world = make_world(WEBHOOK_RETRY_SCHEDULE_S="7")
    subscriber.answer = lambda _got: Answer(500)
    world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.last[0])
    hint, not_before = world.queue.last

    answer = world.deliver(hint)

    assert not_before is not None
    assert (not_before - world.clock.now()).total_seconds() == 7
    assert (answer["state"], answer["attempts"]) == ("FAILED", 2)


@pytest.mark.fault("H7")
def test_retry_after_is_heard(world: World, subscriber: Subscriber) -> None:
    """A wish between one and two delays is granted."""
    subscriber.answer = lambda _got: Answer(429, headers={"Retry-After": "8"})
    world.notify(webhook_url=subscriber.url)

    world.deliver(world.queue.last[0])

    not_before = world.queue.last[1]
    assert not_before is not None
    assert (not_before - world.clock.now()).total_seconds() == 8


def test_gone_ends_it(world: World, subscriber: Subscriber) -> None:
    """410: FAILED at once, no further attempt."""
    subscriber.answer = lambda _got: Answer(410)
    request_id = world.notify(webhook_url=subscriber.url)

    answer = world.deliver(world.queue.hints[0])

    assert (answer["state"], world.deliveries(request_id)[0]["end_reason"]) == ("FAILED", "GONE")
    assert len(world.queue.hints) == 1


@pytest.mark.fault("H5")
@pytest.mark.threat("T2")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(world: World, subscriber: Subscriber, status: int) -> None:
    """The target is never visited."""
    visits: list[object] = []

    def note(got: object) -> Answer:
        visits.append(got)
        return Answer(200)

    with loopback(note) as target:
        subscriber.answer = lambda _got: Answer(status, headers={"Location": target})
        request_id = world.notify(webhook_url=subscriber.url)
        answer = world.deliver(world.queue.hints[0])

    assert (answer["state"], visits) == ("PENDING", [])
    assert world.deliveries(request_id)[0]["attempts"][0]["status_code"] == status


@pytest.mark.fault("H4")
def test_a_slow_receiver_is_cut(
    make_world: Callable[..., World], subscriber: Subscriber, hold: Callable[[], None]
) -> None:
    """One deadline spans the whole call; here half a second."""
    world = make_world(WEBHOOK_TIMEOUT_S="0.5")

    def wait(_got: object) -> Answer:
        hold()
        return Answer(200)

    subscriber.answer = wait
    request_id = world.notify(webhook_url=subscriber.url)
    started = time.monotonic()

    world.deliver(world.queue.hints[0])

    assert time.monotonic() - started < 5
    assert world.deliveries(request_id)[0]["attempts"][0]["failure"] == "TIMEOUT"


@pytest.mark.fault("H4")
def test_a_dribbling_answer_is_cut(
    make_world: Callable[..., World], subscriber: Subscriber, hold: Callable[[], None]
) -> None:
    """Headers in time do not excuse a body that never ends."""
    world = make_world(WEBHOOK_TIMEOUT_S="0.5")

    def dribble() -> Iterator[bytes]:
        yield b"a"
        hold()
        yield b"b"

    subscriber.answer = lambda _got: Answer(200, dribble())
    request_id = world.notify(webhook_url=subscriber.url)

    answer = world.deliver(world.queue.hints[0])

    assert answer["state"] == "PENDING"
    assert world.deliveries(request_id)[0]["attempts"][0]["failure"] == "TIMEOUT"


@pytest.mark.fault("H4")
def test_an_endless_answer_is_read_to_20_kb_only(world: World, subscriber: Subscriber) -> None:
    """A 2xx counts, however much the receiver has to say."""
    subscriber.answer = lambda _got: Answer(200, repeat(b"x" * 10_000))
    world.notify(webhook_url=subscriber.url)

    answer = world.deliver(world.queue.hints[0])

    assert answer["state"] == "DELIVERED"


def test_the_beginning_of_an_answer_is_kept(world: World, subscriber: Subscriber, database_url: str) -> None:
    """2 kB as text, whatever the bytes are; the public log does not show it."""
    subscriber.answer = lambda _got: Answer(500, b"\x00\xff" + b"y" * 5000)
    request_id = world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.hints[0])

    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM delivery_attempts")
        kept = cursor.fetchone()
    connection.close()

    assert kept == ("\ufffd\ufffd" + "y" * 2046,)
    assert "yyy" not in str(world.deliveries(request_id))


@pytest.mark.feature("61")
def test_whose_endpoint_it_is_may_read_what_its_receiver_answered(
    make_world: Callable[..., World], subscriber: Subscriber
) -> None:
    """With an API key, in the endpoint's log: status, latency, the first 2 KB. The batch's log never shows it."""
    alice = new_key(owner="alice", scopes=["read", "write"])
    world = make_world(API_KEYS=alice.line)
    headers = {"Authorization": f"Bearer {alice.key}"}
    subscriber.answer = lambda _got: Answer(500, b"out of ink " + b"y" * 5000)
    created = world.client.post("/webhooks", json={"url": subscriber.url}, headers=headers).get_json()
    request_id = world.notify(owner="alice")
    world.deliver(world.queue.hints[0])

    of_endpoint = world.client.get(f"/webhooks/{created['id']}/deliveries", headers=headers).get_json()
    of_batch = world.client.get("/deliveries", query_string={"request_id": request_id}, headers=headers).get_json()

    [attempt] = of_endpoint["deliveries"][0]["attempts"]
    assert (attempt["number"], attempt["status_code"], attempt["answer"]) == (1, 500, "out of ink " + "y" * 2037)
    assert attempt["elapsed_ms"] >= 0
    assert of_batch["deliveries"][0]["attempts"][0]["answer"] is None


@pytest.mark.fault("G10")
@pytest.mark.threat("T2")
def test_without_keys_nobody_reads_what_a_receiver_answered(world: World, subscriber: Subscriber) -> None:
    """Whoever reaches the service could otherwise read other hosts through it."""
    subscriber.answer = lambda _got: Answer(500, b"out of ink")
    created = world.client.post("/webhooks", json={"url": subscriber.url}).get_json()
    world.notify()
    world.deliver(world.queue.hints[0])

    log = world.client.get(f"/webhooks/{created['id']}/deliveries").get_json()

    assert log["deliveries"][0]["attempts"][0]["status_code"] == 500
    assert log["deliveries"][0]["attempts"][0]["answer"] is None


def test_a_refused_connection_is_tried_again(world: World, free_port: int) -> None:
    """Nobody listens: recorded by its code, scheduled again."""
    request_id = world.notify(webhook_url=f"http://127.0.0.1:{free_port}/hook")

    world.deliver(world.queue.hints[0])

    delivery = world.deliveries(request_id)[0]
    assert (delivery["state"], delivery["attempts"][0]["failure"]) == ("PENDING", "CONNECT_FAILED")


def test_a_malformed_url_fails_at_once(world: World) -> None:
    """It will never be an address."""
    request_id = world.notify(webhook_url="ftp://shop.test/hook")

    world.deliver(world.queue.hints[0])

    delivery = world.deliveries(request_id)[0]
    assert (delivery["state"], delivery["end_reason"]) == ("FAILED", "URL_INVALID")


@pytest.mark.threat("T2")
@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "http://169.254.169.254/computeMetadata/v1/",
        "http://metadata.google.internal/",
        "http://[::1]/",
        "http://10.0.0.1/",
        "http://localhost/",
        "http://user:pass@93.184.215.14/",
    ],
)
def test_internal_addresses_are_never_dialled(make_world: Callable[..., World], url: str) -> None:
    """Without EGRESS_ALLOWED_NETWORKS a webhook reaches the public internet only."""
    world = make_world(EGRESS_ALLOWED_NETWORKS="")
    request_id = world.notify(webhook_url=url)

    world.deliver(world.queue.hints[0])

    assert world.deliveries(request_id)[0]["attempts"][0]["failure"] == "URL_FORBIDDEN"


def test_a_task_delivered_twice_sends_once(world: World, subscriber: Subscriber) -> None:
    """Cloud Tasks delivers at least once; the second delivery answers how things stand."""
    world.notify(webhook_url=subscriber.url)
    first = world.deliver(world.queue.hints[0])

    second = world.deliver(world.queue.hints[0])

    assert second == first
    assert len(subscriber.received) == 1


@pytest.mark.fault("H10")
def test_eight_racing_tasks_send_once(world: World, subscriber: Subscriber) -> None:
    """A lease lets one of them through."""
    subscriber.answer = lambda _got: Answer(500)
    request_id = world.notify(webhook_url=subscriber.url)
    hint = world.queue.hints[0]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.deliver(hint), range(8)))

    assert len(subscriber.received) == 1
    assert {answer["state"] for answer in answers} == {"PENDING"}
    assert len(world.deliveries(request_id)[0]["attempts"]) == 1


def test_a_task_of_the_future_sends_nothing(world: World, subscriber: Subscriber) -> None:
    """Only the next attempt may be made."""
    world.notify(webhook_url=subscriber.url)

    answer = world.deliver(Hint(world.queue.hints[0].delivery_id, attempt=2))

    assert (answer["state"], answer["attempts"], subscriber.received) == ("PENDING", 0, [])


def test_an_unknown_delivery_is_a_404(world: World) -> None:
    """Nothing was recorded, so nothing is claimed to be."""
    answer = world.internal("/internal/deliveries", {"delivery_id": str(uuid4()), "attempt": 1}, account=TASKS)

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (404, "DELIVERY_NOT_FOUND")


def test_a_healthy_subscriber_does_not_wait_for_a_dead_one(
    make_world: Callable[..., World], subscriber: Subscriber, free_port: int
) -> None:
    """Each endpoint has a delivery and tasks of its own."""
    world = make_world(WEBHOOK_URL=f"http://127.0.0.1:{free_port}/dead")
    request_id = world.notify(webhook_url=subscriber.url)
    for hint in world.queue.hints[:2]:
        world.deliver(hint)

    assert sorted(delivery["state"] for delivery in world.deliveries(request_id)) == ["DELIVERED", "PENDING"]


@pytest.mark.fault("H14")
def test_slow_subscribers_do_not_take_every_thread(
    make_world: Callable[..., World], subscriber: Subscriber, hold: Callable[[], None]
) -> None:
    """Beyond WEBHOOK_CONCURRENCY a task is answered 429 at once and comes again; nothing is used up."""
    world = make_world(WEBHOOK_CONCURRENCY="1", WEBHOOK_TIMEOUT_S="1")
    arrived = threading.Event()

    def wait(_got: object) -> Answer:
        arrived.set()
        hold()
        return Answer(200)

    subscriber.answer = wait
    world.notify(webhook_url=subscriber.url)
    request_id = world.notify(webhook_url=subscriber.url)
    slow, next_one = world.queue.hints

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(world.deliver, slow)
        assert arrived.wait(5)
        body = {"delivery_id": str(next_one.delivery_id), "attempt": 1}
        refused = world.internal("/internal/deliveries", body, account=TASKS)
        first.result()

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert world.deliveries(request_id)[0]["attempts"] == []


@pytest.mark.fault("H14")
def test_one_hanging_subscriber_delays_none_of_fifty(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """While it is being waited for, all the others are told, each at its first attempt."""
    world = make_world(WEBHOOK_TIMEOUT_S="15")
    arrived, leave = threading.Event(), threading.Event()

    def hang(_got: object) -> Answer:
        arrived.set()
        leave.wait(15)
        return Answer(200)

    with loopback(hang) as dead, ThreadPoolExecutor(1) as pool:
        world.notify(webhook_url=dead)
        healthy = [world.notify(webhook_url=subscriber.url) for _ in range(50)]
        hanging, *others = world.queue.hints
        waiting = pool.submit(world.deliver, hanging)
        assert arrived.wait(5)
        states = [world.deliver(hint)["state"] for hint in others]
        was_still_waiting = not waiting.done()
        leave.set()

    assert was_still_waiting
    assert states == ["DELIVERED"] * len(healthy)


class TestSweep:
    """The sweeper finds what no task will move."""

    def test_a_lost_task_is_made_again_under_another_name(self, world: World, subscriber: Subscriber) -> None:
        """The old name may be taken for a day, so the repeated hint has a new one; then it waits again."""
        world.notify(webhook_url=subscriber.url)
        world.clock.advance(121)

        found = [sweep(world)["lost_deliveries"], sweep(world)["lost_deliveries"]]

        first, again = world.queue.hints
        assert found == [1, 0]
        assert (again.delivery_id, again.attempt) == (first.delivery_id, first.attempt)

    def test_a_delivery_that_is_not_due_is_left_alone(self, world: World, subscriber: Subscriber) -> None:
        """Neither fresh ones, nor those waiting for their next attempt, nor those that are over."""
        subscriber.answer = lambda _got: Answer(500)
        world.notify(webhook_url=subscriber.url)
        world.deliver(world.queue.last[0])
        world.deliver(world.queue.last[0])
        world.clock.advance(299)

        assert moved(world) == (0, 0)

    @pytest.mark.fault("H9")
    def test_a_vanished_worker_has_used_its_attempt(self, world: World, subscriber: Subscriber) -> None:
        """A crash between sending and recording: the lease runs out, the next attempt follows with the same id."""
        request_id = world.notify(webhook_url=subscriber.url)
        with world.engine.begin() as connection:
            # What a worker does before it sends; this one never comes back.
            lease(connection, world.queue.hints[0].delivery_id, attempt=1, url=None, lease_s=LEASE_S)
        before = moved(world)
        world.clock.advance(60)

        assert moved(world) == (1, 0)
        world.deliver(world.queue.last[0])

        delivery = world.deliveries(request_id)[0]
        assert before == (0, 0)
        assert [attempt["failure"] for attempt in delivery["attempts"]] == ["WORKER_LOST", None]
        assert delivery["state"] == "DELIVERED"

    @pytest.mark.fault("H10")
    def test_a_new_lease_is_not_recorded_as_lost(self, world: World, subscriber: Subscriber) -> None:
        """A sweep that found a lease expired comes too late when a second task leased the delivery meanwhile."""
        request_id = world.notify(webhook_url=subscriber.url)
        hint = world.queue.hints[0]
        with world.engine.begin() as connection:
            lease(connection, hint.delivery_id, attempt=1, url=None, lease_s=LEASE_S)
        world.clock.advance(LEASE_S)
        with world.engine.begin() as connection:
            (left,) = abandoned_attempts(connection, limit=10)
            lease(connection, hint.delivery_id, attempt=1, url=None, lease_s=LEASE_S)

        record_worker_lost(world.dependencies, left.hint, earlier_attempts=left.earlier_attempts)

        assert world.deliveries(request_id)[0]["attempts"] == []
        world.clock.advance(LEASE_S)
        record_worker_lost(world.dependencies, left.hint, earlier_attempts=left.earlier_attempts)
        assert [attempt["failure"] for attempt in world.deliveries(request_id)[0]["attempts"]] == ["WORKER_LOST"]

    def test_a_worker_that_still_holds_its_lease_is_not_disturbed(self, world: World, subscriber: Subscriber) -> None:
        """Its task, delivered a second time meanwhile, is answered and sends nothing."""
        world.notify(webhook_url=subscriber.url)
        hint = world.queue.hints[0]
        with world.engine.begin() as connection:
            lease(connection, hint.delivery_id, attempt=1, url=None, lease_s=LEASE_S)

        answer = world.deliver(hint)

        assert (answer["state"], answer["attempts"], subscriber.received) == ("PENDING", 0, [])

    @pytest.mark.fault("H10")
    def test_two_sweepers_at_once_hint_once(self, world: World, subscriber: Subscriber) -> None:
        """Rows under one sweeper's hand are skipped by the other."""
        for _ in range(5):
            world.notify(webhook_url=subscriber.url)
        world.clock.advance(121)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: sweep(world)["lost_deliveries"], range(4)))

        assert sum(found) == 5
        assert len(world.queue.hints) == 10
