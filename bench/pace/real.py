"""`python -m bench.pace.real [CASE ...]`: claims and outcomes of ingest on a real PostgreSQL, with stubs around them.

In the place of Cloud Tasks and the compressors stand threads that run each task at its time, ask one of the simulated
origins, wait as long as it takes to answer, and report the outcome. Nothing is fetched or compressed. Each case prints
how long it took beside the best fixed pace, what was refused, and whether any image was handed out without need.
"""

from __future__ import annotations

import heapq
import logging
import random
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import Engine, text

from bench.pace.origins import Answer, Dying, Fast, Limited, Noisy, Origin, Queueing
from bench.pace.rule import Kind
from chassis.db.engine import new_engine
from ingest.batches.sheet_errors import limits_from
from ingest.batches.submit import Submission, submit_upload
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.dispatch.tasks import ClaimedImage
from ingest.migrate import upgrade
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import read_sheet
from ingest.state.images import Outcome
from localcloud.stack.postgres import Postgres

THREADS = 64
"""Tasks that the queue `images` has under way at once."""

DEPLOYED_PER_S = 100.0
"""Tasks that the queue `images` starts in a second, as it is deployed."""

_CODES = {Kind.GOOD: "OK", Kind.REFUSED: "RATE_LIMITED", Kind.TROUBLE: "HTTP_5XX", Kind.DEAD: "CONNECT_FAILED"}


@dataclass
class Run:
    """What came out of one run; moments are seconds since its begin."""

    seconds: float = 0.0
    answers: list[tuple[float, Kind, float]] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    handed_back: int = 0
    claims: int = 0
    status: Counter[str] = field(default_factory=Counter)
    needless: int = 0
    good_at: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)


class Stub:
    """Runs tasks at their times against an origin, as the queue and the compressors would."""

    def __init__(self, engine: Engine, settings: IngestSettings, origin: Origin, run: Run, per_s: float) -> None:
        self._gap_s, self._next = 1 / per_s, 0.0
        self._engine, self._settings, self._origin, self._run = engine, settings, origin, run
        self._lock = threading.Lock()
        self._due: list[tuple[float, int, ClaimedImage]] = []
        self._serial = 0
        self._closed_until = 0.0
        self._begun = time.monotonic()
        self._pool = ThreadPoolExecutor(THREADS)
        self._stopped = threading.Event()
        self._clock = threading.Thread(target=self._dispatch)
        self._clock.start()

    def now(self) -> float:
        """Return the seconds since the begin."""
        return time.monotonic() - self._begun

    def add(self, images: list[ClaimedImage]) -> None:
        """Take the tasks of claimed images."""
        with self._lock:
            for image in images:
                wait_s = image.start_at.timestamp() - time.time()
                self._serial += 1
                heapq.heappush(self._due, (self.now() + wait_s, self._serial, image))

    def stop(self) -> None:
        """Run what is due and end."""
        self._stopped.set()
        self._clock.join()
        self._pool.shutdown()

    def _dispatch(self) -> None:
        while not self._stopped.is_set():
            with self._lock:
                while self._due and max(self._next, self._due[0][0]) <= self.now():
                    # As a bucket that holds what is missed in a tenth of a second: the thread may be late.
                    self._next = max(self._next, self.now() - 0.1) + self._gap_s
                    self._pool.submit(self._compress, heapq.heappop(self._due)[2])
            time.sleep(0.005)

    def _compress(self, image: ClaimedImage) -> None:
        if self._closed_until > self.now():
            self._run.handed_back += 1
            self._report(image, Answer(Kind.TROUBLE, 0.0), deferred=True)
            return
        with self._lock:
            answer = self._origin.ask(self.now())
            self._run.answers.append((self.now(), answer.kind, answer.seconds))
            self._run.attempts[image.payload["image_id"]] += 1
        time.sleep(answer.seconds)
        self._report(image, answer, deferred=False)

    def _report(self, image: ClaimedImage, answer: Answer, *, deferred: bool) -> None:
        good = answer.kind is Kind.GOOD
        outcome = Outcome(
            request_id=UUID(image.payload["request_id"]),
            attempt=image.payload["attempt"],
            succeeded=good,
            transient=not good,
            code="HOST_CLOSED" if deferred else _CODES[answer.kind],
            detail="",
            retry_after_s=answer.retry_after_s,
            output_url="https://images.example/x.jpg" if good else None,
            bytes_in=1000 if good else None,
            bytes_out=400 if good else None,
            first_byte_ms=round(answer.seconds * 1000) if answer.kind is not Kind.DEAD else None,
            deferred=deferred,
        )
        recorded = record_outcome(self._engine, self._settings, UUID(image.payload["image_id"]), outcome)
        if good:
            self._run.good_at.append(self.now())
        if recorded.host_closed_s > 0:
            self._closed_until = max(self._closed_until, self.now() + recorded.host_closed_s)


def run_batches(
    engine: Engine,
    origin: Origin,
    batches: list[tuple[int, float]],
    *,
    hosts: int = 1,
    environ: Mapping[str, str] | None = None,
    per_s: float = 10_000.0,
) -> Run:
    """Run batches, given as images and the second of their upload, to their ends, each supervised by a thread.

    Args:
        engine: a migrated database.
        origin: behind all hosts.
        batches: images and begin of each.
        hosts: over which the images of each batch are spread.
        environ: settings that differ from what everybody gets.
        per_s: tasks that the queue starts in a second.
    """
    settings = IngestSettings.from_environ({**ENVIRON, **(environ or {})})
    run = Run()
    root = uuid.uuid4().hex[:8]
    stub = Stub(engine, settings, origin, run, per_s)

    def supervise(number: int, images: int, begins_s: float) -> None:
        time.sleep(begins_s)
        cells = (f"https://{root}-{n % hosts}.example/{number}-{n}.jpg" for n in range(images))
        body = ("Product Name,Input Image Urls\r\n" + "".join(f"p,{url}\r\n" for url in cells)).encode()
        request_id, execution = uuid.uuid4(), f"projects/p/locations/l/workflows/w/executions/{number}"
        submission = Submission(read_sheet(body, limits_from(settings)), body, "a.csv", ImageOptions(), None)
        submit_upload(engine, settings, submission, request_id=request_id, response={}, key=None)
        _change(engine, "UPDATE batches SET execution = :e WHERE request_id = :b", e=execution, b=request_id)
        while True:
            page = claim_page(engine, settings, request_id, execution=execution, max_rows=100)
            run.claims += 1
            if page.batch.pending == 0:
                break
            stub.add(list(page.images))
            time.sleep(min(page.next_claim_s, 2.0))
        with engine.connect() as connection:
            query = text("SELECT extract(epoch FROM sealed_at - created_at)::float FROM batches WHERE request_id = :b")
            run.took_s.append(connection.execute(query, {"b": request_id}).scalar_one())
            query = text("SELECT status, count(*) FROM images WHERE batch = :b GROUP BY status")
            run.status.update({row[0]: row[1] for row in connection.execute(query, {"b": request_id})})

    threads = [threading.Thread(target=supervise, args=(n, *batch)) for n, batch in enumerate(batches)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.seconds = max(run.good_at) - min(begins_s for _, begins_s in batches)
    stub.stop()
    bad = sum(1 for _, kind, _ in run.answers if kind is not Kind.GOOD)
    run.needless = sum(run.attempts.values()) - len(run.attempts) - bad
    return run


def main() -> int:
    """Print a line for each case; return the exit status."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wanted = sys.argv[1:] or [*_CASES, "small", "many"]
    seed = int(wanted.pop()) if wanted[-1].isdigit() else 1
    for name in wanted or list(_CASES):
        # A new database for each: a run must not pay for what others left.
        with new_database() as engine:
            print(_line(engine, name, seed), flush=True)
    return 0


def _line(engine: Engine, name: str, seed: int) -> str:
    rng = random.Random(seed)
    if name == "many":
        run = run_batches(engine, Fast(rng), [(100, 0.0)] * 20, hosts=20)
        return f"20 batches of 100 images on 20 hosts: {run.seconds:.1f} s, {_facts(run)}"
    if name == "small":
        run = run_batches(engine, Limited(rng), [(300, 0.0), (10, 10.0)])
        return f"ten images behind 300 of a host that bears 8/s: {min(run.took_s):.1f} s, {_facts(run)}"
    if name == "behind":
        run = run_batches(engine, Fast(rng), [(10_000, 0.0), (10, 10.0)], per_s=DEPLOYED_PER_S)
        return f"ten images behind 10,000 of a fast host: {min(run.took_s):.1f} s, {_facts(run)}"
    case = _CASES[name]
    best_s = case.best_s
    if best_s is None:
        lifted = run_batches(engine, case.steady(rng), [(case.images, 0.0)], environ=_LIFTED, per_s=case.per_s)
        best_s = lifted.seconds + case.dead_s
    run = run_batches(engine, case.make(rng), [(case.images, 0.0)], per_s=case.per_s)
    line = f"{case.title}: {run.seconds:.1f} s, best {best_s:.1f} s, share {best_s / run.seconds:.2f}, {_facts(run)}"
    if case.dead_s:
        line += f", half of the pace again {_back_s(run, _DIES_AT_S, case.dead_s):.0f} s after its end"
    by_second = Counter(int(at) for at in run.good_at)
    return line + f"\n    ended by second: {[by_second[second] for second in range(min(30, int(run.seconds) + 1))]}"


@dataclass(frozen=True, slots=True)
class _Case:
    """An origin, the images on it, and how long they take at the best fixed pace; None: with limits lifted."""

    title: str
    make: Callable[[random.Random], Origin]
    images: int = 2000
    best_s: float | None = None
    dead_s: float = 0.0
    per_s: float = 10_000.0

    def steady(self, rng: random.Random) -> Origin:
        """Return the origin as it would be if it did not die."""
        return Fast(rng) if self.dead_s else self.make(rng)


_DIES_AT_S = 6.0
_CASES = {
    "a": _Case("fast", Fast),
    "a100": _Case("fast, a queue of 100/s as deployed", Fast, per_s=DEPLOYED_PER_S),
    "b": _Case("8/s", Limited, 400, 400 / 8),
    "c": _Case("4 x 200 ms", Queueing, 1000, 1000 / 20),
    "d": _Case("dead 20 s", lambda rng: Dying(rng, at=_DIES_AT_S), dead_s=20.0, per_s=DEPLOYED_PER_S),
    "e": _Case("noisy", Noisy, per_s=DEPLOYED_PER_S),
}


def _back_s(run: Run, died_at_s: float, dead_s: float) -> float:
    """Return the seconds from a host's recovery to the first second with half of the images before its death."""
    by_second = Counter(int(at - died_at_s - dead_s) for at in run.good_at if at >= died_at_s + dead_s)
    before = sum(died_at_s - 1 <= at < died_at_s for at in run.good_at)
    return next((second for second in range(200) if by_second[second] >= before / 2), 999)


def _facts(run: Run) -> str:
    late = [kind for at, kind, _ in run.answers if at > 10]
    refused = sum(kind is not Kind.GOOD for kind in late) / max(1, len(late))
    first_byte = sorted(seconds for at, kind, seconds in run.answers if kind is Kind.GOOD and at > 15) or [0.0]
    return (
        f"refused after 10 s {refused:.1%}, p95 {first_byte[int(len(first_byte) * 0.95)]:.2f} s, claims {run.claims}, "
        f"handed back {run.handed_back}, handed out without need {run.needless}, {dict(run.status)}"
    )


_LIFTED = {"INGEST_HOST_FIRST_RATE": "9999", "INGEST_HOST_MAX_RATE": "9999", "INGEST_HOST_MAX_CONCURRENCY": "1000"}
_QUEUES = "projects/demo/locations/us-central1/queues"
ENVIRON = {
    "GOOGLE_CLOUD_PROJECT": "demo",
    "GOOGLE_CLOUD_LOCATION": "us-central1",
    "DATABASE_URL": "postgresql://unused",
    "INGEST_URL": "http://ingest.test",
    "INGEST_INTERNAL_URL": "http://ingest-internal.test",
    "COMPRESSOR_URL": "http://compressor.test",
    "REPORTER_URL": "http://reporter.test",
    "REPORTER_INTERNAL_URL": "http://reporter-internal.test",
    "WORKFLOW_ID": "batch",
    "BATCHES_QUEUE": f"{_QUEUES}/batches",
    "IMAGES_QUEUE": f"{_QUEUES}/images",
    "COMPRESSOR_TASKS_SERVICE_ACCOUNT": "images@demo.example",
    **{
        f"{name}_SERVICE_ACCOUNT": f"{name.lower()}@demo.example"
        for name in ("WORKFLOW", "TASKS", "SCHEDULER", "COMPRESSOR", "REPORTER")
    },
}


@contextmanager
def new_database() -> Iterator[Engine]:
    """Give the engine of a migrated database without batches, on a server of its own."""
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        server = Postgres(Path(folder) / "data", port, fsync=False)
        try:
            server.start()
            server.create_database("ingest")
            upgrade(server.url("ingest"))
            engine = new_engine(server.url("ingest"), pool_size=THREADS, application_name="bench")
            yield engine
            engine.dispose()
        finally:
            server.remove()


def _change(engine: Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


if __name__ == "__main__":
    raise SystemExit(main())
