"""Tells subscribers: one delivery per event and endpoint, attempted until it is taken or the schedule is used up.

The rows are the truth; a task of Cloud Tasks is a hint to attempt one of them, which may be lost, late or doubled.
An event is sent at least once and always under the same message id, by which a receiver knows a repetition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine

from chassis.clock import Clock
from chassis.database import transact
from chassis.egress import Egress, EgressError, EgressFault
from chassis.errors import ApiError
from chassis.logs import get_logger, safe_url
from reporter.delivery_queue import DeliveryQueue
from reporter.delivery_store import (
    MAX_ANSWER_BYTES,
    Claimed,
    Event,
    Hint,
    Standing,
    add_deliveries,
    claim,
    expired_leases,
    record_attempt,
    standing,
    take_lost,
)
from reporter.errors import deliveries_busy, delivery_not_found, status_not_final
from reporter.events import EVENT_TYPES, Ending, event_body, event_type
from reporter.retry_policy import Answered, Outcome, TryAgain, Unanswered, judge
from reporter.signature import signed_headers

log = get_logger(__name__)

LEASE = timedelta(seconds=60)
"""How long an attempt may take; four times the time-out of a delivery."""

SWEEP_LIMIT = 500

SLOT_WAIT_S = 0.5
"""How long a task waits for one of the places for deliveries."""

MAX_READ_BYTES = 20_000
"""How much of a receiver's answer is read at most."""

WORKER_LOST = "WORKER_LOST"
"""The code of an attempt whose worker vanished."""

USER_AGENT = "Pressroom-Webhooks/1 (+https://www.standardwebhooks.com)"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What the deployment decides: its own endpoint ("" for none), the secret, the seconds between attempts.

    `concurrency` is how many subscribers are called at once in this process. `hint_grace` is how long after its time an
    attempt's task counts as lost; Cloud Tasks may be minutes late without saying so.
    """

    deployment_url: str
    secret: str
    schedule_s: Sequence[int]
    concurrency: int
    hint_grace: timedelta


class Deliveries:
    """The use cases of webhooks: notify, attempt, sweep.

    Args:
        engine: the reporter's database.
        queue: carries the hints.
        egress: dials the subscribers.
        policy: endpoint, secret and schedule of the deployment.
        clock: all times are its.
        jitter: gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        queue: DeliveryQueue,
        egress: Egress,
        policy: DeliveryPolicy,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._egress = egress
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        # Slow subscribers may take this many threads and no more: the rest serve downloads and reports.
        self._slots = threading.BoundedSemaphore(policy.concurrency)

    def notify(self, ending: Ending) -> int:
        """Record a delivery for each endpoint of the batch, once; return how many endpoints there are.

        Raises:
            ApiError: STATUS_NOT_FINAL.
        """
        if ending.status not in EVENT_TYPES:
            raise status_not_final(ending.status)
        urls = list(dict.fromkeys(url for url in (ending.webhook_url, self._policy.deployment_url) if url))
        now = self._clock.now()
        event = Event(UUID(ending.request_id), ending.generation, event_type(ending), event_body(ending, now=now))
        hints = transact(
            self._engine, lambda c: add_deliveries(c, event, urls, now=now, sweep_time=now + self._policy.hint_grace)
        )
        for hint in hints:
            self._hint(hint)
        log.info("subscribers.noted", request_id=ending.request_id, event_type=event.type, deliveries=len(urls))
        return len(urls)

    def attempt(self, delivery_id: UUID, attempt: int) -> Standing:
        """Make one attempt if it is the delivery's next and nobody else makes it; return how the delivery stands.

        Raises:
            ApiError: DELIVERY_NOT_FOUND; 429 DELIVERIES_BUSY, nothing was done and the task will come again.
        """
        if not self._slots.acquire(timeout=SLOT_WAIT_S):
            raise deliveries_busy()
        try:
            return self._attempt(delivery_id, attempt)
        finally:
            self._slots.release()

    def _attempt(self, delivery_id: UUID, attempt: int) -> Standing:
        start_time = self._clock.now()
        claimed = transact(
            self._engine,
            lambda c: claim(c, delivery_id, attempt=attempt, now=start_time, lease_until=start_time + LEASE),
        )
        if claimed is not None:
            started = self._clock.monotonic()
            outcome = self._send(claimed, start_time)
            elapsed_ms = round((self._clock.monotonic() - started) * 1000)
            self._record(
                Hint(delivery_id, attempt), outcome, url=claimed.url, start_time=start_time, elapsed_ms=elapsed_ms
            )
        found = transact(self._engine, lambda c: standing(c, delivery_id))
        if found is None:
            raise delivery_not_found(str(delivery_id))
        return found

    def sweep(self) -> dict[str, int]:
        """Find what no task will move: return `{"expired_leases": 0, "lost_deliveries": 2}`.

        A worker that vanished has used its attempt, so that a delivery which kills workers ends too.
        """
        now = self._clock.now()
        expired = transact(self._engine, lambda c: expired_leases(c, now=now, limit=SWEEP_LIMIT))
        for hint in expired:
            self._record(hint, Unanswered(WORKER_LOST), url="", start_time=now, elapsed_ms=0)
        lost = transact(
            self._engine, lambda c: take_lost(c, now=now, sweep_time=now + self._policy.hint_grace, limit=SWEEP_LIMIT)
        )
        for hint in lost:
            self._hint(hint)
        return {"expired_leases": len(expired), "lost_deliveries": len(lost)}

    def _send(self, claimed: Claimed, attempt_time: datetime) -> Outcome:
        headers = signed_headers(
            self._policy.secret, message_id=claimed.message_id, attempt_time=attempt_time, body=claimed.body
        )
        try:
            response = self._egress.request(
                "POST",
                claimed.url,
                headers={"Content-Type": "application/json", **headers},
                body=claimed.body,
                follow_redirects=False,
                truncate_at=MAX_READ_BYTES,
            )
        except EgressError as error:
            return Unanswered(str(error.fault), final=error.fault is EgressFault.URL_INVALID)
        retry_after = next((value for name, value in response.headers.items() if name.lower() == "retry-after"), None)
        # PostgreSQL has no NUL in texts.
        answer = response.body[:MAX_ANSWER_BYTES].decode(errors="replace").replace("\x00", "\ufffd")
        return Answered(response.status, retry_after, answer)

    def _record(self, hint: Hint, outcome: Outcome, *, url: str, start_time: datetime, elapsed_ms: int) -> None:
        now = self._clock.now()
        verdict = judge(
            outcome, attempt=hint.attempt, schedule_s=self._policy.schedule_s, jitter=self._jitter(), now=now
        )
        recorded = transact(
            self._engine,
            lambda c: record_attempt(
                c,
                hint.delivery_id,
                attempt=hint.attempt,
                outcome=outcome,
                verdict=verdict,
                start_time=start_time,
                elapsed_ms=elapsed_ms,
                now=now,
                sweep_delay=self._policy.hint_grace,
                only_if_expired=outcome == Unanswered(WORKER_LOST),
            ),
        )
        log.info(
            "delivery.attempted",
            delivery_id=str(hint.delivery_id),
            attempt=hint.attempt,
            verdict=type(verdict).__name__,
            outcome=outcome.status_code if isinstance(outcome, Answered) else outcome.code,
            recorded=recorded,
            elapsed_ms=elapsed_ms,
            **(safe_url(url) if url else {}),
        )
        if recorded and isinstance(verdict, TryAgain):
            self._hint(Hint(hint.delivery_id, hint.attempt + 1), not_before=verdict.at)

    def _hint(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        try:
            self._queue.put(hint, not_before=not_before)
        except ApiError as error:
            # The row says when the attempt is due: the sweeper will hint again.
            log.warning("hint.lost", delivery_id=str(hint.delivery_id), attempt=hint.attempt, reason=error.reason)
