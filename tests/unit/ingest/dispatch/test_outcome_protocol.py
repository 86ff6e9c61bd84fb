"""The outcome protocol as a state machine: reports, crashes, sweeps and clients in any order lose nothing.

Hypothesis chooses the order; the rules are what happens to ingest, on a real PostgreSQL. After each step the invariants
of a batch must hold; at the end of each run whatever is still open is driven to its end, and all of it must get there.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from chassis.errors import ApiError
from chassis.failpoints import FailpointError, arm
from ingest.batches.cancel import cancel_batch
from ingest.batches.retry import retry_batch
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import Recorded, record_outcome
from ingest.failpoints import Failpoint
from ingest.http.internal_schemas import OutcomeRequest
from ingest.state.batch import BatchStatus
from ingest.supervision.finish import finish_batch
from support.ingest_service import Lab, MakeLab, outcome_of

URLS = [f"https://a.example/{n}.jpg" for n in range(4)]
CELLS = (f"{URLS[0]} {URLS[1]}", f"{URLS[2]} {URLS[0]}", URLS[3])
TOTAL = 5
VERDICTS: dict[str, dict[str, Any]] = {
    "success": {},
    "permanent": {"outcome": "FAILED", "code": "HTTP_4XX"},
    "transient": {"outcome": "FAILED", "code": "TIMEOUT", "transient": True},
}
TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED"}

which = st.integers(min_value=0, max_value=10_000)


@contextmanager
def refused_for(*reasons: str) -> Iterator[None]:
    """Allow a client's wish to be refused for these reasons."""
    try:
        yield
    except ApiError as error:
        if error.reason not in reasons:
            raise


class Protocol(RuleBasedStateMachine):
    """One batch of five images, two of which have the same URL, and everybody who acts on it."""

    def __init__(self, lab: Lab, tickets: Path) -> None:
        super().__init__()
        self.lab = lab
        self.tickets = tickets
        self.request_id = UUID(lab.submit(*CELLS))
        self.handed: list[dict[str, Any]] = []
        self.reported: list[tuple[dict[str, Any], str]] = []
        self.ended: dict[UUID, tuple[str, str | None]] = {}
        self.attempts: dict[UUID, int] = {}
        self.seals: dict[int, int] = {}
        lab.executions.down = False

    # What the parts of the system do.

    @rule()
    def claim(self) -> None:
        """The supervisor takes what is due."""
        page = claim_page(self.lab.engine, self.lab.settings, self.request_id, execution=None, max_rows=2)
        self.handed += [image.payload for image in page.images]
        self._note_seal(page.sealed)

    @precondition(lambda self: self.handed)
    @rule(which=which, verdict=st.sampled_from(sorted(VERDICTS)))
    def deliver(self, which: int, verdict: str) -> None:
        """An attempt, the current or a stale one, reports."""
        payload = self.handed[which % len(self.handed)]
        self.reported.append((payload, verdict))
        recorded = self._report(payload, verdict)
        if verdict == "success":
            assert recorded.image_status.value in TERMINAL

    @precondition(lambda self: self.reported)
    @rule(which=which)
    def duplicate(self, which: int) -> None:
        """The same report comes again, perhaps much later; of a terminal image it changes nothing."""
        payload, verdict = self.reported[which % len(self.reported)]
        was_over = UUID(payload["image_id"]) in self.ended
        recorded = self._report(payload, verdict)
        assert not (was_over and recorded.applied)

    @precondition(lambda self: self.handed)
    @rule(which=which, verdict=st.sampled_from(sorted(VERDICTS)))
    def crash_before_commit(self, which: int, verdict: str) -> None:
        """Ingest dies with the report written and not committed: as if it had never come."""
        before = self._rows()
        (self.tickets / f"{Failpoint.OUTCOME_WRITTEN}.1").touch()
        with pytest.raises(FailpointError):
            self._report(self.handed[which % len(self.handed)], verdict)
        assert self._rows() == before

    @precondition(lambda self: self.stale())
    @rule(which=which, verdict=st.sampled_from(sorted(VERDICTS)))
    def deliver_late(self, which: int, verdict: str) -> None:
        """An attempt that was given up long ago reports; only its success may count."""
        stale = self.stale()
        self._report(stale[which % len(stale)], verdict)

    @rule()
    def redispatch(self) -> None:
        """The workers of all attempts are taken for lost, and their images are handed out again."""
        self.leases_expire()
        self.claim()

    @rule()
    def leases_expire(self) -> None:
        """Every worker is lost."""
        self._change("UPDATE images SET lease_until = now() WHERE batch = :batch AND status = 'DISPATCHED'")

    @rule()
    def waits_end(self) -> None:
        """Enough time passes for every retry."""
        self._change("UPDATE images SET next_at = now() WHERE batch = :batch AND status = 'PENDING'")

    @rule()
    def sweep(self) -> None:
        """The sweeper comes by while an execution may be had."""
        self._swept()

    @rule()
    def sweep_without_workflows(self) -> None:
        """The sweeper finds the batch silent and no execution to be had, and does the work itself."""
        self.lab.executions.down = True
        self._change("UPDATE batches SET heartbeat_at = now() - interval '1 day' WHERE request_id = :batch")
        self._swept()
        self.lab.executions.down = False

    @rule()
    def finish(self) -> None:
        """The report is published."""
        with refused_for("BATCH_OPEN"):
            finish_batch(
                self.lab.engine, self.lab.settings, self.request_id, execution=None, report_uri="gs://r/output.csv"
            )

    @rule(is_sure=st.sampled_from([False, False, False, True]))
    def cancel(self, is_sure: bool) -> None:
        """The client has seen enough; not often, or most runs would end here."""
        if not is_sure:
            return
        with refused_for("BATCH_FINISHED"):
            self._note_seal(cancel_batch(self.lab.engine, self.request_id).sealed)

    @rule()
    def retry(self) -> None:
        """The client wants the failed ones again."""
        with refused_for("BATCH_NOT_FINISHED", "NOTHING_TO_RETRY"):
            retry_batch(self.lab.engine, self.lab.settings, self.request_id)
            self.ended = {image: end for image, end in self.ended.items() if end[0] == "SUCCEEDED"}

    # What must hold whatever happened.

    @invariant()
    def counters_are_exact(self) -> None:
        """The row of the batch says what its images say; nothing is open once it is sealed."""
        batch, images = self._rows()
        states = [image["status"] for image in images]
        assert len(states) == batch["total"] == TOTAL
        assert batch["succeeded"] == states.count("SUCCEEDED")
        assert batch["failed"] == states.count("FAILED") + states.count("CANCELLED")
        assert batch["pending"] == states.count("PENDING") + states.count("DISPATCHED")
        assert (batch["pending"] == 0) == (batch["sealed_at"] is not None)

    @invariant()
    def ends_are_final(self) -> None:
        """An image that has ended keeps its end and its output; attempts only rise, within their budget."""
        for image in self._rows()[1]:
            end = (image["status"], image["output_url"])
            if image["id"] in self.ended:
                assert end == self.ended[image["id"]]
            elif image["status"] in TERMINAL:
                self.ended[image["id"]] = end
            assert self.attempts.get(image["id"], 0) <= image["attempt"] <= image["attempt_limit"]
            self.attempts[image["id"]] = image["attempt"]

    @invariant()
    def equal_urls_end_alike(self) -> None:
        """A duplicate that ended succeeded only with the output of an image of its URL."""
        outputs: dict[str, set[str]] = {}
        for image in self._rows()[1]:
            if image["status"] == "SUCCEEDED":
                outputs.setdefault(image["input_url"], set()).add(image["output_url"])
        assert all(len(found) == 1 for found in outputs.values())

    @invariant()
    def sealed_once(self) -> None:
        """Each run of the batch is sealed once, and announced once."""
        batch = self._rows()[0]
        assert all(count == 1 for count in self.seals.values())
        kinds = self.lab.rows(
            "SELECT kind, generation FROM outbox WHERE batch = :batch AND generation = :generation",
            batch=self.request_id,
            generation=batch["generation"],
        )
        announced = [entry for entry in self.lab.reporter.notified if entry["request_id"] == str(self.request_id)]
        # Endpoints are also told of other things than the end.
        ends = [entry for entry in announced if BatchStatus(entry["status"]).is_final]
        notified = sum(entry["generation"] == batch["generation"] for entry in ends)
        waiting = sum(entry["kind"] == "notify" for entry in kinds)
        assert notified + waiting == (1 if batch["finished_at"] is not None else 0)

    def teardown(self) -> None:
        """Bring the batch to its end as time would; it must get there."""
        for _ in range(200):
            if BatchStatus(self._rows()[0]["status"]).is_final:
                break
            self.leases_expire()
            self.waits_end()
            self.claim()
            for payload in self.handed:
                self._report(payload, "success")
            self.finish()
        batch, images = self._rows()
        assert BatchStatus(batch["status"]).is_final
        assert all(image["status"] in TERMINAL for image in images)
        self.counters_are_exact()
        self.ends_are_final()

    def stale(self) -> list[dict[str, Any]]:
        """Return the attempts that have been followed by others, of images that are open."""
        return [
            payload
            for payload in self.handed
            if payload["attempt"] < self.attempts.get(UUID(payload["image_id"]), 0)
            and UUID(payload["image_id"]) not in self.ended
        ]

    def _report(self, payload: dict[str, Any], verdict: str) -> Recorded:
        body = outcome_of(payload, **VERDICTS[verdict])
        outcome = OutcomeRequest.model_validate(body).to_outcome()
        recorded = record_outcome(self.lab.engine, self.lab.settings, uuid.UUID(payload["image_id"]), outcome)
        self._note_seal(recorded.sealed)
        is_stale = payload["attempt"] < self.attempts.get(UUID(payload["image_id"]), 0)
        assert not (recorded.applied and is_stale and verdict != "success"), "a stale failure won"
        return recorded

    def _swept(self) -> None:
        woken = len(self.lab.callbacks.sealed)
        self.lab.sweep()
        for sealed in self.lab.callbacks.sealed[woken:]:
            self._note_seal(sealed == self.request_id)
        known = {(payload["image_id"], payload["attempt"]) for payload in self.handed}
        self.handed += [
            payload
            for payload in self.lab.tasks.bodies("/compress")
            if payload["request_id"] == str(self.request_id) and (payload["image_id"], payload["attempt"]) not in known
        ]

    def _note_seal(self, sealed: bool) -> None:
        if sealed:
            generation = self._rows()[0]["generation"]
            self.seals[generation] = self.seals.get(generation, 0) + 1

    def _change(self, statement: str) -> None:
        self.lab.change(statement, batch=self.request_id)

    def _rows(self) -> tuple[Any, list[Any]]:
        images = self.lab.rows("SELECT * FROM images WHERE batch = :batch ORDER BY id", batch=self.request_id)
        return self.lab.batch_row(str(self.request_id)), images


@pytest.fixture(name="tickets")
def _tickets(tmp_path: Path) -> Iterator[Path]:
    arm((f"{Failpoint.OUTCOME_WRITTEN}:raise",), str(tmp_path), known=Failpoint)
    yield tmp_path
    arm((), "", known=Failpoint)


@pytest.mark.feature("16")
@pytest.mark.fault("A11")
@pytest.mark.threat("T17")
def test_the_invariants_hold_whatever_happens(make_lab: MakeLab, tickets: Path) -> None:
    """Reports, duplicates, stale failures, crashes, lost workers, sweeps, cancellations and retries in any order."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="3", INGEST_RETRY_BASE_S="0")

    run_state_machine_as_test(
        lambda: Protocol(lab, tickets),  # type: ignore[arg-type]  # it is only called
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
