"""Batches, their executions, the queue `images` and the compressors as discrete events around ingest's own code.

Submitting, claims and outcomes are ingest's, on PostgreSQL. A stub stands for Cloud Tasks and compressors: a task is
dispatched when its time has come, in the order of times, at the queue's rate and concurrency; then its origin answers,
then its picture waits for a processor and takes its time there. Every attempt succeeds, so nothing may be tried twice.
"""

from __future__ import annotations

import heapq
import itertools
import random
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from bench.simulation.time_of_its_own import OwnTime
from ingest.batches.sheet_errors import limits_from
from ingest.batches.submit import Submission, submit_upload
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.dispatch.tasks import ClaimedImage
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import read_sheet
from ingest.state.images import Outcome

CREATION_S = 0.3
"""From a claim to the tasks that it hands out, and to the next claim: three calls."""

_TOGETHER_S = 0.02  # outcomes of so many seconds are recorded at once, by several connections
_RECORDERS = 4


@dataclass(frozen=True, slots=True)
class Planned:
    """A batch that will be uploaded.

    Args:
        images: how many.
        hosts: names of the hosts they lie on, in turn.
        begins_s: when its execution starts.
        codec_s: seconds that each image takes in the codec.
        owner: whose it is.
    """

    images: int
    hosts: Sequence[str]
    begins_s: float = 0.0
    codec_s: float = 0.04
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Machines:
    """What stands behind ingest: rate and concurrency of the queue, processors, seconds until an origin answers."""

    dispatches_per_s: float = 100.0
    concurrency: int = 64
    processors: int = 8
    answer_s: tuple[float, float] = (0.03, 0.08)


@dataclass
class Seen:
    """What came out.

    Args:
        took_s: of each batch from its begin to its last outcome.
        handed_out: how often each image was.
        late: tasks that ran after their lease had ended.
        claims: how many.
        work_waiting_s: most seconds of codec work that had tasks at once.
        statuses: of all images at the end.
        seconds: until all had ended.
    """

    took_s: dict[int, float] = field(default_factory=dict)
    handed_out: Counter[str] = field(default_factory=Counter)
    late: int = 0
    claims: int = 0
    work_waiting_s: float = 0.0
    statuses: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def twice(self) -> int:
        """Return how many images were handed out more than once."""
        return sum(1 for times in self.handed_out.values() if times > 1)


@dataclass(slots=True)
class _Task:
    batch: int
    image: ClaimedImage
    starts_s: float
    lease_ends_s: float


class World:
    """Runs planned batches to their ends.

    Args:
        engine: a migrated database without batches, whose connections are not made yet.
        settings: ingest's.
        machines: behind it.
        seed: of what is random.
    """

    def __init__(self, engine: Engine, settings: IngestSettings, machines: Machines, *, seed: int = 1) -> None:
        self._engine, self._settings, self._machines = engine, settings, machines
        self._time = OwnTime(engine)
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._now = 0.0
        self._batches: list[tuple[Planned, UUID, str]] = []
        self._due: list[tuple[float, int, _Task]] = []
        self._next_dispatch_s = 0.0
        self._under_way = 0
        self._wakes_s = -1.0
        self._processors = [0.0] * machines.processors
        self._ended: list[_Task] = []
        self._work_s = 0.0
        self.seen = Seen()

    def run(self, batches: Sequence[Planned]) -> Seen:
        """Upload batches and run them until no image is open."""
        with ThreadPoolExecutor(_RECORDERS) as recorders:
            for number, planned in enumerate(batches):
                self._batches.append((planned, uuid.uuid4(), f"projects/p/locations/l/workflows/w/executions/{number}"))
                self._at(planned.begins_s, self._begin, number)
            while self._events:
                self._now = self._events[0][0]
                self._time.set(self._now)
                while self._events and self._events[0][0] <= self._now + _TOGETHER_S:
                    heapq.heappop(self._events)[2]()
                    self._dispatch()
                list(recorders.map(self._record, self._ended))
                self._ended.clear()
        self._read_ends()
        return self.seen

    def _at(self, moment: float, do: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (moment, next(self._order), lambda: do(*arguments)))

    def _begin(self, number: int) -> None:
        planned, request_id, execution = self._batches[number]
        hosts, first = planned.hosts, number * planned.images  # so that batches begin at different hosts
        cells = (f"https://{hosts[(first + n) % len(hosts)]}/{number}-{n}.jpg" for n in range(planned.images))
        body = ("Product Name,Input Image Urls\r\n" + "".join(f"p,{url}\r\n" for url in cells)).encode()
        sheet = read_sheet(body, limits_from(self._settings))
        submission = Submission(sheet, body, "a.csv", ImageOptions(), None, owner=planned.owner)
        submit_upload(self._engine, self._settings, submission, request_id=request_id, response={}, key=None)
        with self._engine.begin() as connection:
            query = "UPDATE batches SET execution = :e, created_at = now(), measured_at = now() WHERE request_id = :b"
            connection.execute(text(query), {"e": execution, "b": request_id})
        self._at(self._now, self._claim, number)

    def _claim(self, number: int) -> None:
        planned, request_id, execution = self._batches[number]
        page = claim_page(self._engine, self._settings, request_id, execution=execution, max_rows=100)
        self.seen.claims += 1
        for image in page.images:
            self.seen.handed_out[image.payload["image_id"]] += 1
            starts_s = (image.start_at - self._time.begun).total_seconds()
            task = _Task(number, image, starts_s, starts_s + self._settings.lease_s)
            heapq.heappush(self._due, (max(starts_s, self._now + CREATION_S), next(self._order), task))
        self._work_s += planned.codec_s * len(page.images)
        self.seen.work_waiting_s = max(self.seen.work_waiting_s, self._work_s)
        if page.batch.pending > 0:
            self._at(self._now + max(CREATION_S, page.next_claim_s), self._claim, number)

    def _dispatch(self) -> None:
        """Let the queue give what is due, as far as its rate and its concurrency allow."""
        while self._due and self._due[0][0] <= self._now and self._under_way < self._machines.concurrency:
            if self._next_dispatch_s > self._now + _TOGETHER_S:
                self._wake(self._next_dispatch_s)
                return
            task = heapq.heappop(self._due)[2]
            self._next_dispatch_s = max(self._next_dispatch_s, self._now) + 1 / self._machines.dispatches_per_s
            self._under_way += 1
            self.seen.late += self._now > task.lease_ends_s
            self._at(self._now + self._rng.uniform(*self._machines.answer_s), self._decode, task)
        if self._due and self._due[0][0] > self._now:
            self._wake(self._due[0][0])

    def _wake(self, moment: float) -> None:
        """Have the queue looked at then, if it would not be before."""
        if not self._now < self._wakes_s <= moment:
            self._wakes_s = moment
            self._at(moment, lambda: None)

    def _decode(self, task: _Task) -> None:
        free_s = max(self._now, heapq.heappop(self._processors))
        ends_s = free_s + self._batches[task.batch][0].codec_s
        heapq.heappush(self._processors, ends_s)
        self._at(ends_s, self._end, task)

    def _end(self, task: _Task) -> None:
        self._under_way -= 1
        planned = self._batches[task.batch][0]
        self._work_s -= planned.codec_s
        self._ended.append(task)
        self.seen.took_s[task.batch] = self._now - planned.begins_s
        self.seen.seconds = self._now

    def _record(self, task: _Task) -> None:
        payload = task.image.payload
        outcome = Outcome(
            request_id=UUID(payload["request_id"]),
            attempt=payload["attempt"],
            succeeded=True,
            transient=False,
            code="OK",
            detail="",
            output_url="https://images.example/x.jpg",
            bytes_in=1000,
            bytes_out=400,
            first_byte_ms=round(self._machines.answer_s[0] * 1000),
            codec_ms=round(self._batches[task.batch][0].codec_s * 1000),
        )
        record_outcome(self._engine, self._settings, UUID(payload["image_id"]), outcome)

    def _read_ends(self) -> None:
        with self._engine.connect() as connection:
            query = text("SELECT status, code, count(*) FROM images GROUP BY status, code")
            self.seen.statuses.update({(row[0], row[1]): row[2] for row in connection.execute(query)})
