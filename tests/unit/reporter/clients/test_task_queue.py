"""The real queue adapter with Google's client against the Cloud Tasks emulator."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf import duration_pb2
from werkzeug.serving import make_server

from chassis.errors import ApiError
from chassis.google.clients import new_tasks_client
from chassis.google.tasks import CloudTasksQueue
from localcloud.core.clock import SystemClock
from localcloud.tasks.model import Queue, RateLimits, RetryConfig
from localcloud.tasks.server import TasksServer, start_tasks_server
from reporter.clients.task_queue import CloudDeliveryQueue
from reporter.settings import ReporterSettings
from reporter.state.deliveries import Hint
from support.reporter_service import ISSUER, ROOT_URL, TASKS, Answer, Got, Subscriber, World, loopback, notification

QUEUE = "projects/demo/locations/us-central1/queues/webhooks"


@contextmanager
def emulator(target: str) -> Iterator[TasksServer]:
    """Run the Cloud Tasks emulator in a thread; tasks for the reporter are sent to `target`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    server = run(
        start_tasks_server(
            port=0,
            grpc_port=0,
            clock=SystemClock(),
            location="us-central1",
            queues=[Queue(QUEUE, RateLimits(500.0, 500, 100), RetryConfig())],
            mint_id_token=ISSUER.mint_id_token,
            mint_access_token=ISSUER.mint_access_token,
            url_rewrites={ROOT_URL: target},
        )
    )
    try:
        yield server
    finally:
        run(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def served(world: World, port: int) -> Iterator[None]:
    """Serve the reporter on a port."""
    server = make_server("127.0.0.1", port, world.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def delivery_queue(client: Any) -> CloudDeliveryQueue:
    tasks = CloudTasksQueue(client, {QUEUE: TASKS})
    return CloudDeliveryQueue(tasks, queue=QUEUE, root_url=ROOT_URL)


def queue_for(environment: dict[str, str], host: str) -> CloudDeliveryQueue:
    settings = ReporterSettings.from_environ({**environment, "CLOUD_TASKS_EMULATOR_HOST": host})
    return delivery_queue(new_tasks_client(settings))


def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    poll = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        poll.wait(0.01)


def test_a_hint_becomes_a_call_with_our_identity(environment: dict[str, str]) -> None:
    """Path, body and token are what /internal/deliveries expects."""
    calls: list[Got] = []

    def note(got: Got) -> Answer:
        calls.append(got)
        return Answer(200)

    hint = Hint(uuid4(), attempt=3)
    with loopback(note) as target, emulator(target) as server:
        queue_for(environment, f"127.0.0.1:{server.port}").put(hint)
        until(lambda: bool(calls))

    assert (calls[0].method, calls[0].path) == ("POST", "/internal/deliveries")
    assert json.loads(calls[0].body) == {"delivery_id": str(hint.delivery_id), "attempt": 3}
    assert calls[0].headers["authorization"].startswith("Bearer ")


@pytest.mark.fault("A10")
def test_a_hint_put_twice_is_one_task(environment: dict[str, str]) -> None:
    """The name tells a repetition; a resend is another task."""
    hint = Hint(uuid4(), attempt=1)
    later = datetime.now(UTC) + timedelta(hours=1)
    with loopback(lambda _got: Answer(200)) as target, emulator(target) as server:
        settings = ReporterSettings.from_environ(
            {**environment, "CLOUD_TASKS_EMULATOR_HOST": f"127.0.0.1:{server.port}"}
        )
        client = new_tasks_client(settings)
        queue = delivery_queue(client)
        for given in (hint, hint, Hint(hint.delivery_id, attempt=1, resend=1)):
            queue.put(given, not_before=later)
        tasks = list(client.list_tasks(parent=QUEUE))

    assert len(tasks) == 2
    assert {round((task.schedule_time - later).total_seconds()) for task in tasks} == {0}
    assert {task.dispatch_deadline.total_seconds() for task in tasks} == {duration_pb2.Duration(seconds=60).seconds}


def test_a_queue_out_of_reach_is_told(environment: dict[str, str], free_port: int) -> None:
    """503, so that the caller knows that the sweeper must help."""
    queue = queue_for(environment, f"127.0.0.1:{free_port}")

    with pytest.raises(ApiError) as refused:
        queue.put(Hint(uuid4(), attempt=1))

    assert (refused.value.reason, refused.value.http_code) == ("TASKS_UNAVAILABLE", 503)


def test_an_event_travels_from_notification_to_subscriber(
    make_world: Callable[..., World], environment: dict[str, str], subscriber: Subscriber, free_port: int
) -> None:
    """Notification, task, token, attempt, retry, delivery: all real, the first attempt failing."""
    answers = iter([Answer(500), Answer(200)])
    subscriber.answer = lambda _got: next(answers)
    with emulator(f"http://127.0.0.1:{free_port}") as server:
        queue = queue_for(environment, f"127.0.0.1:{server.port}")
        world = make_world(queue=queue, WEBHOOK_RETRY_SCHEDULE_S="1")
        with served(world, free_port):
            world.internal("/internal/notifications", notification(webhook_url=subscriber.url))
            until(lambda: len(subscriber.received) == 2, within_s=10)
            until(lambda: server.dispatcher.in_flight(QUEUE) == 0)

    assert subscriber.verified == [True, True]
    assert len({got.headers["webhook-id"] for got in subscriber.received}) == 1
