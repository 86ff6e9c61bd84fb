"""What surrounds the services misbehaves, one thing at a time; what comes out is what an undisturbed run gives.

Queue, engine, storage and database do what production does rarely. docs/faults.md says what is expected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from support.killed_stack import Bench, Result, check
from support.shop_client import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OUTAGE_S = 10.0
ANSWER_WITHIN_S = 5.0
QUEUE = "v2/projects/demo/locations/us-central1/queues/images"

FAULTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "dispatched-twice": ("tasks", [{"route": "tasks.dispatch", "fault": "deliver-twice", "count": 5}]),
    "dispatch-answer-lost": ("tasks", [{"route": "tasks.dispatch", "fault": "drop-response", "count": 3}]),
    "created-answer-lost": (
        "tasks",
        # Whichever way `CREATE_TASKS_BY` makes the workflow create them.
        [
            {"route": route, "queue": "images", "fault": "drop-response", "count": 2}
            for route in ("tasks.batchCreate", "tasks.create")
        ],
    ),
    "first-tasks-come-last": ("tasks", [{"queue": "images", "fault": "delay", "delay_s": 1.5, "count": 3}]),
    "execution-answer-lost": ("workflows", [{"route": "executions.create", "fault": "drop-response"}]),
    "execution-doubled": ("workflows", [{"route": "executions.create", "fault": "deliver-twice"}]),
    "executions-refused": ("workflows", [{"route": "executions.create", "fault": "fail", "code": 429, "count": 2}]),
    "callback-lost": ("workflows", [{"route": "callbacks.send", "fault": "lose"}]),
    "callback-answer-lost": ("workflows", [{"route": "callbacks.send", "fault": "drop-response"}]),
    "callback-twice": ("workflows", [{"route": "callbacks.send", "fault": "deliver-twice"}]),
}
"""Case -> emulated server and its orders."""

UPLOAD = "POST /upload/storage/v1/b/pressroom-images/o"


@pytest.mark.fault("A3", "A9", "A11", "A12", "A14", "A16", "A17")
@pytest.mark.threat("T17")
@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_platform_changes_nothing(case: str, bench: Bench, undisturbed: Result) -> None:
    """Tasks, executions and callbacks are lost, doubled, late or refused."""
    server, orders = FAULTS[case]
    for order in orders:
        bench.order(server, **order)

    request_id, result = bench.run()
    fired = bench.fired(server)
    bench.calm()

    assert fired >= 1
    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("C1", "C5")
@pytest.mark.parametrize(
    ("code", "count"),
    [pytest.param(503, 3, id="503"), pytest.param(429, 3, id="429"), pytest.param(403, 1, id="403")],
)
def test_a_refusing_storage_changes_nothing(code: int, count: int, bench: Bench, undisturbed: Result) -> None:
    """An image is never blamed for what Cloud Storage refuses: its task comes again."""
    refusals: list[str] = []
    lock = threading.Lock()

    def refuse(route: str) -> int | None:
        with lock:
            if route != UPLOAD or len(refusals) == count:
                return None
            refusals.append(route)
            return code

    bench.taps["storage"].instead = refuse

    request_id, result = bench.run()
    bench.calm()

    assert len(refusals) == count
    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("C2")
def test_a_storage_whose_answers_get_lost_changes_nothing(bench: Bench, undisturbed: Result) -> None:
    """The object was created; the repeated upload meets 412 and takes what lies there."""
    losses: list[str] = []

    def lose(route: str) -> None:
        if route == UPLOAD and len(losses) < 3:
            losses.append(route)
            raise ConnectionAbortedError

    bench.taps["storage"].before_answer = lose

    request_id, result = bench.run()
    bench.calm()

    assert len(losses) == 3
    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("A7", "A10")
@pytest.mark.threat("T16")
def test_a_purged_queue_changes_nothing(bench: Bench, undisturbed: Result) -> None:
    """Every task of the batch vanishes; the leases end and the images are dispatched again."""
    queue = f"{bench.stack.url('tasks')}/{QUEUE}"
    requests.post(f"{queue}:pause", json={}, timeout=10).raise_for_status()

    def purge(_request_id: str) -> None:
        eventually(
            lambda: requests.get(f"{queue}/tasks", timeout=10).json().get("tasks"), within_s=30, what="tasks wait"
        )
        for verb in ("purge", "resume"):
            requests.post(f"{queue}:{verb}", json={}, timeout=10).raise_for_status()

    request_id, result = bench.run(after_upload=purge)

    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("A14")
def test_a_cancelled_execution_changes_nothing(bench: Bench, undisturbed: Result) -> None:
    """The sweeper finds the batch without a living execution and starts another."""
    parent = f"{bench.stack.url('workflows')}/v1/projects/demo/locations/us-central1/workflows/batch/executions"

    def cancel(request_id: str) -> None:
        def running() -> str | None:
            found = requests.get(parent, params={"filter": 'state="ACTIVE"'}, timeout=10).json()
            return next((str(execution["name"]) for execution in found.get("executions", [])), None)

        name = eventually(running, within_s=30, what="an execution runs")
        requests.post(f"{bench.stack.url('workflows')}/v1/{name}:cancel", timeout=10)

    request_id, result = bench.run(after_upload=cancel)

    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("B1", "J6")
def test_a_database_that_is_away_for_ten_seconds_changes_nothing(bench: Bench, undisturbed: Result) -> None:
    """Uploads and reads are 503 with Retry-After within seconds, the processes stay healthy, and all goes on."""
    answers: list[tuple[int, bool, float]] = []
    ingest = bench.stack.url("ingest")

    def ask(call: Callable[[], requests.Response]) -> None:
        began = time.monotonic()
        answer = call()
        answers.append((answer.status_code, "Retry-After" in answer.headers, time.monotonic() - began))

    def outage(request_id: str) -> None:
        bench.stack.stop_one("postgres")
        over = time.monotonic() + OUTAGE_S
        while time.monotonic() < over:
            ask(lambda: requests.post(f"{ingest}/upload", files={"file": ("s.csv", bench.sheet)}, timeout=30))
            ask(lambda: requests.get(f"{ingest}/status/{request_id}", timeout=30))
            assert requests.get(f"{ingest}/health", timeout=10).status_code == 200
            time.sleep(0.5)
        bench.stack.start_one("postgres")

    request_id, result = bench.run(after_upload=outage)

    assert {(code, says_when) for code, says_when, _ in answers} == {(503, True)}
    assert max(seconds for *_, seconds in answers) < ANSWER_WITHIN_S
    check(bench, request_id, result, undisturbed)


@pytest.mark.fault("B2")
def test_a_database_that_cuts_every_connection_changes_nothing(bench: Bench, undisturbed: Result) -> None:
    """All sessions are ended again and again while the batch runs."""
    cuts = 0

    def cut(_request_id: str) -> None:
        nonlocal cuts
        for _ in range(10):
            for database in ("pressroom_ingest", "pressroom_reporter"):
                cuts += bench.cut_connections(database)
            time.sleep(0.1)

    request_id, result = bench.run(after_upload=cut)

    assert cuts >= 10
    check(bench, request_id, result, undisturbed)
