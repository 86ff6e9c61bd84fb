"""Claims and ends every image of a sheet through ingest's own code, and measures what that costs on the way.

At the start, in the middle and at the end of the batch pages are claimed and recorded one after the other, so that it
can be said what a claim and what an outcome takes; between, as in production, several connections record outcomes
while the next page is claimed. What is known is written to a file every few seconds, so a run that was ended goes on.
"""

from __future__ import annotations

import json
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from bench.million.measuring import Spent, blocks_of
from bench.million.outcomes import record, success_of
from bench.million.settings import EXECUTION, settings_of
from bench.million.sheets import PARTS
from chassis.auth.callers import SYSTEM
from chassis.db.engine import new_engine, transact
from ingest.batches.status import list_batches, read_products
from ingest.dispatch.claim import ClaimedPage, claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.settings import IngestSettings
from ingest.state.batch import load_batch

PAGE_ROWS = 100
MEASURED = 5_000
"""Images at the start, in the middle and at the end of a batch that are claimed and recorded one after the other."""

RECORDERS = 4
"""Connections that record outcomes at once."""

_UNDER_WAY = 3 * PAGE_ROWS  # images whose outcomes are being recorded while the next page is claimed
_STRETCH = 5_000  # images after which it is written what is known
_KINDS = ("claim", "outcome", "outcome_without_reuse")
_HANDED_OUT = text(
    """
    SELECT count(*) FILTER (WHERE same_as IS NULL) AS images, count(*) FILTER (WHERE attempt > 1) AS twice,
           count(*) FILTER (WHERE status <> 'SUCCEEDED') AS failed, sum(attempt) AS attempts
    FROM images WHERE batch = :batch
    """
)


def claim_all(url: str, request_id: str, postmaster: int, notes: str) -> dict[str, Any]:
    """Claim and end all images; return what claims, outcomes and reads cost in each part, and in all.

    Args:
        url: the database.
        request_id: the batch, imported and begun.
        postmaster: the process of the server, whose processor time is read.
        notes: the file that keeps what is known; what an earlier run has written there counts.
    """
    claiming = _Claiming(url, UUID(request_id), postmaster, Path(notes))
    while (state := claiming.state()).pending:
        part = part_of(state.total - state.pending, state.total)
        if part is None:
            claiming.claim_stretch(next_part(state.total - state.pending, state.total))
        else:
            claiming.measure_page(part)
    return claiming.finished()


class _Claiming:
    """One batch while it is claimed and ended."""

    def __init__(self, url: str, batch: UUID, postmaster: int, notes: Path) -> None:
        self._engine: Engine = new_engine(url, pool_size=RECORDERS + 1)
        self._batch, self._postmaster, self._notes = batch, postmaster, notes
        self._settings, self._forgetful = settings_of(url), settings_of(url, reuse_days=0)
        self._found: dict[str, Any] = {"pages": 0, "seconds": 0.0, "between": []}
        if notes.exists():
            self._found = json.loads(notes.read_text(encoding="utf-8"))
        self._spent = {(part, kind): Spent(postmaster) for part in PARTS for kind in _KINDS}

    def state(self) -> Any:
        """Return the batch as it is."""
        return transact(self._engine, partial(load_batch, request_id=self._batch))

    def measure_page(self, part: str) -> None:
        """Claim a page and record it image by image; every second one without keeping anything of its sources."""
        if part not in self._found:
            self._found[part] = {"blocks": read_blocks(self._engine, self._settings, self._batch)}
            return
        self._found["pages"] += 1
        kind, used = ("outcome", self._settings)
        if self._found["pages"] % 2:
            kind, used = "outcome_without_reuse", self._forgetful
        claim, outcome = self._spent[part, "claim"], self._spent[part, kind]
        with claim.counting():
            images = self._claim().images
        claim.count += len(images)
        with outcome.counting():
            for image in images:
                record(self._engine, used, self._batch, image)
        outcome.count += len(images)
        self._found[part] |= {each: self._spent[part, each].each_ms() for each in _KINDS}

    def claim_stretch(self, images: int) -> None:
        """Claim so many images, at most `_STRETCH`, several connections recording their outcomes meanwhile."""
        spent, claims, began = Spent(self._postmaster), 0, time.perf_counter()
        outcomes: deque[Future[None]] = deque()
        with spent.counting(), ThreadPoolExecutor(RECORDERS) as recorders:
            while spent.count < min(images, _STRETCH):
                page = self._claim()
                claims += 1
                spent.count += len(page.images)
                for image in page.images:
                    outcomes.append(recorders.submit(record, self._engine, self._settings, self._batch, image))
                while len(outcomes) > (_UNDER_WAY if page.images else 0):
                    outcomes.popleft().result()
                if page.batch.pending == 0:
                    break
            for outcome in outcomes:
                outcome.result()
        seconds = time.perf_counter() - began
        self._found["pages"] += claims
        self._found["seconds"] += seconds
        self._found["between"].append({**spent.each_ms(), "claims": claims, "seconds": round(seconds, 2)})
        self._notes.write_text(json.dumps(self._found), encoding="utf-8")
        state = self.state()
        print(f"{state.total - state.pending:,} of {state.total:,}: {self._found['between'][-1]}", flush=True)

    def finished(self) -> dict[str, Any]:
        """Return what is known, the stretches in sum, and whether each image was handed out just once."""
        with self._engine.connect() as connection:
            handed_out = dict(connection.execute(_HANDED_OUT, {"batch": self._batch}).mappings().one())
        between = self._found.pop("between")
        images = sum(each["count"] for each in between)
        summed: dict[str, Any] = {
            "count": images,
            "claims": sum(each["claims"] for each in between),
            "seconds": round(self._found.pop("seconds"), 1),
        }
        for name in ("own_ms", "postgres_ms"):
            summed[name] = round(sum(each[name] * each["count"] for each in between) / max(1, images), 3)
        return {**self._found, "between": summed, "handed_out": {name: int(n) for name, n in handed_out.items()}}

    def _claim(self) -> ClaimedPage:
        return claim_page(self._engine, self._settings, self._batch, execution=EXECUTION, max_rows=PAGE_ROWS)


def part_of(ended: int, total: int) -> str | None:
    """Return which measured part a batch is in when so many of its images have ended."""
    size = min(MEASURED, total // 3)
    if ended < size:
        return "start"
    if abs(ended - total // 2) <= size // 2:
        return "middle"
    return "end" if ended >= total - size else None


def next_part(ended: int, total: int) -> int:
    """Return after how many images more the next measured part begins."""
    size = min(MEASURED, total // 3)
    middle = total // 2 - size // 2
    return (middle if ended < middle else total - size) - ended


def read_blocks(engine: Engine, settings: IngestSettings, batch: UUID) -> dict[str, int]:
    """Return how many blocks each use case reads or writes on a batch that is at work; a page of it ends by that."""
    found: dict[str, int] = {}

    def count(what: str, work: Any) -> Any:
        result, found[what] = blocks_of(engine, work)
        return result

    count("status", lambda: read_products(engine, settings, batch, caller=SYSTEM, page_size=PAGE_ROWS, token=""))
    count("list", lambda: list_batches(engine, caller=SYSTEM, status=None, page_size=PAGE_ROWS, token=""))
    page = count("claim", lambda: claim_page(engine, settings, batch, execution=EXECUTION, max_rows=PAGE_ROWS))
    found["claimed images"] = len(page.images)
    first, *others = page.images
    image_id, outcome = UUID(first.payload["image_id"]), success_of(batch, first)
    count("outcome", lambda: record_outcome(engine, settings, image_id, outcome))
    for image in others:
        record(engine, settings, batch, image)
    return found
