"""Tells subscribers: one delivery per event and endpoint, attempted until it is taken or the schedule is used up.

The rows are the truth; a task of Cloud Tasks is a hint to attempt one of them, which may be lost, late or doubled.
An event is sent at least once and always under the same message id, by which a receiver knows a repetition.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from chassis.clock import Clock
from chassis.db.engine import transact
from chassis.egress.client import Egress, EgressError, EgressFault
from chassis.errors import ApiError
from chassis.failpoints import reach
from chassis.limited import Limited
from chassis.logs import get_logger, safe_url
from reporter.clients.task_queue import DeliveryQueue
from reporter.errors import deliveries_busy, delivery_not_found, status_is_no_event
from reporter.failpoints import Failpoint
from reporter.state.deliveries import (
    MAX_ANSWER_BYTES,
    Claimed,
    Event,
    Hint,
    Standing,
    Target,
    add_deliveries,
    claim,
    expired_leases,
    record_attempt,
    standing,
    take_lost,
)
from reporter.state.endpoints import (
    DisabledReason,
    Endpoint,
    endpoint_of_delivery,
    note_failure,
    note_success,
    subscribed_endpoints,
)
from reporter.state.reports import find_report
from reporter.webhooks.events import (
    EVENT_TYPES,
    FINAL_EVENT_TYPES,
    TEST_EVENT_TYPE,
    Notice,
    event_body,
    event_type,
    sample_event_body,
)
from reporter.webhooks.retry_policy import Answered, Delivered, GivenUp, Outcome, TryAgain, Unanswered, judge
from reporter.webhooks.secrets import EndpointSecrets, UnknownKeyError
from reporter.webhooks.signature import signed_headers

log = get_logger(__name__)

LEASE = timedelta(seconds=60)
"""How long an attempt may take; four times the time-out of a delivery."""

SWEEP_LIMIT = 500

SLOT_WAIT_S = 0.5
"""How long a task waits for one of the places for deliveries."""

MAX_READ_BYTES: Annotated[int, Limited("bytes", "the rest is not read", "How much of a receiver's answer is read")] = (
    20_000
)
"""How much of a receiver's answer is read at most."""

WORKER_LOST = "WORKER_LOST"
"""The code of an attempt whose worker vanished."""

SECRET_UNAVAILABLE = "SECRET_UNAVAILABLE"  # noqa: S105 - a code, not a secret
"""The code of an attempt that could not be signed, because the endpoint's key is not among those given."""

OUR_FAILURES = frozenset({WORKER_LOST, SECRET_UNAVAILABLE})
"""Failures that tell nothing of the receiver."""

USER_AGENT = "Pressroom-Webhooks/1 (+https://www.standardwebhooks.com)"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """What the deployment decides: its own URL ("" for none) and secret, the seconds between attempts.

    `concurrency` is how many subscribers are called at once in this process. `hint_grace` is how long after its time an
    attempt's task counts as lost; Cloud Tasks may be minutes late without saying so. An endpoint is disabled after
    `patience` of nothing but failures.
    """

    deployment_url: str
    secret: str
    schedule_s: Sequence[int]
    concurrency: int
    hint_grace: timedelta
    patience: timedelta


class Deliveries:
    """The use cases of webhooks: notify, attempt, sweep.

    Args:
        engine: the reporter's database.
        queue: carries the hints.
        egress: dials the subscribers.
        secrets: reveals what endpoints' events are signed with.
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
        secrets: EndpointSecrets,
        policy: DeliveryPolicy,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._egress = egress
        self._secrets = secrets
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        # Slow subscribers may take this many threads and no more: the rest serve downloads and reports.
        self._slots = threading.BoundedSemaphore(policy.concurrency)

    def notify(self, notice: Notice) -> int:
        """Record a delivery for each subscriber, once; return how many will be told.

        Endings go to the batch's URL and the deployment's too, every event to the endpoints that want it. A disabled
        endpoint is not told, but its delivery is recorded, to be redelivered when it is back.

        Raises:
            ApiError: STATUS_IS_NO_EVENT.
        """
        if notice.status not in EVENT_TYPES:
            raise status_is_no_event(notice.status)
        now = self._clock.now()
        request_id, body = UUID(notice.request_id), event_body(notice, now=now)
        urls = (notice.webhook_url, self._policy.deployment_url) if notice.status in FINAL_EVENT_TYPES else ()
        own = [Target(url) for url in dict.fromkeys(url for url in urls if url)]

        def work(connection: Connection) -> tuple[int, list[Hint]]:
            report = find_report(connection, request_id)
            owner = notice.owner if notice.owner is not None or report is None else report.owner
            event = Event(request_id, notice.generation, event_type(notice), body, owner)
            subscribed = subscribed_endpoints(connection, owner=owner, event_type=event.type)
            targets = own + [Target(e.url, e.id, disabled=e.disabled_reason is not None) for e in subscribed]
            hints = add_deliveries(connection, event, targets, now=now, sweep_time=now + self._policy.hint_grace)
            reach(Failpoint.DELIVERIES_WRITTEN)
            return sum(not target.disabled for target in targets), hints

        count, hints = transact(self._engine, work)
        reach(Failpoint.DELIVERIES_COMMITTED)
        self.hint_all(hints)
        reach(Failpoint.DELIVERIES_HINTED)
        log.info("subscribers.noted", request_id=notice.request_id, event_type=event_type(notice), deliveries=count)
        return count

    def send_sample(self, endpoint: Endpoint) -> UUID:
        """Record and hint a delivery of a test event to an endpoint; return the delivery's id."""
        now = self._clock.now()
        request_id = uuid4()
        event = Event(request_id, 1, TEST_EVENT_TYPE, sample_event_body(str(request_id), now=now), endpoint.owner)
        targets = [Target(endpoint.url, endpoint.id)]
        hints = transact(
            self._engine, lambda c: add_deliveries(c, event, targets, now=now, sweep_time=now + self._policy.hint_grace)
        )
        self.hint_all(hints)
        return hints[0].delivery_id

    @property
    def hint_grace(self) -> timedelta:
        """Return how long after its time an attempt's task counts as lost."""
        return self._policy.hint_grace

    def hint_all(self, hints: Iterable[Hint]) -> None:
        """Ask the queue for an attempt of each delivery; what it does not take, the sweeper brings again."""
        for hint in hints:
            self._hint(hint)

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
            reach(Failpoint.DELIVERY_LEASED)
            started = self._clock.monotonic()
            outcome = self._send(claimed, start_time)
            reach(Failpoint.DELIVERY_SENT)
            elapsed_ms = round((self._clock.monotonic() - started) * 1000)
            self._record(
                Hint(delivery_id, attempt),
                outcome,
                earlier_attempts=claimed.earlier_attempts,
                url=claimed.url,
                start_time=start_time,
                elapsed_ms=elapsed_ms,
            )
            reach(Failpoint.DELIVERY_RECORDED)
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
        for left in expired:
            self._record(
                left.hint,
                Unanswered(WORKER_LOST),
                earlier_attempts=left.earlier_attempts,
                url="",
                start_time=now,
                elapsed_ms=0,
            )
        lost = transact(
            self._engine, lambda c: take_lost(c, now=now, sweep_time=now + self._policy.hint_grace, limit=SWEEP_LIMIT)
        )
        self.hint_all(lost)
        return {"expired_leases": len(expired), "lost_deliveries": len(lost)}

    def _send(self, claimed: Claimed, attempt_time: datetime) -> Outcome:
        try:
            secrets = self._secrets_of(claimed)
        except UnknownKeyError as error:
            log.error("secret.unavailable", endpoint_id=str(claimed.endpoint_id), key_id=error.key_id)
            return Unanswered(SECRET_UNAVAILABLE)
        headers = signed_headers(secrets, message_id=claimed.message_id, attempt_time=attempt_time, body=claimed.body)
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

    def _secrets_of(self, claimed: Claimed) -> tuple[str, ...]:
        if claimed.endpoint_id is None:
            return (self._policy.secret,)
        return tuple(self._secrets.reveal(claimed.endpoint_id, seed) for seed in claimed.seeds)

    def _record(
        self,
        hint: Hint,
        outcome: Outcome,
        *,
        earlier_attempts: int,
        url: str,
        start_time: datetime,
        elapsed_ms: int,
    ) -> None:
        now = self._clock.now()
        verdict = judge(
            outcome,
            attempt=hint.attempt - earlier_attempts,
            schedule_s=self._policy.schedule_s,
            jitter=self._jitter(),
            now=now,
        )

        def work(connection: Connection) -> tuple[bool, tuple[Endpoint, DisabledReason] | None]:
            endpoint = endpoint_of_delivery(connection, hint.delivery_id, lock=True)
            recorded = record_attempt(
                connection,
                hint.delivery_id,
                attempt=hint.attempt,
                outcome=outcome,
                verdict=verdict,
                start_time=start_time,
                elapsed_ms=elapsed_ms,
                now=now,
                sweep_delay=self._policy.hint_grace,
                only_if_expired=outcome == Unanswered(WORKER_LOST),
            )
            # What another URL answered says nothing of the one the endpoint has now.
            if endpoint is None or not recorded or endpoint.url != url:
                return recorded, None
            match outcome, verdict:
                case Unanswered(code), _ if code in OUR_FAILURES:
                    return recorded, None
                case _, Delivered():
                    note_success(connection, endpoint.id)
                    return recorded, None
                case _:
                    gone = verdict == GivenUp("GONE")
                    reason = note_failure(
                        connection, endpoint, gone=gone, start_time=start_time, now=now, patience=self._policy.patience
                    )
                    return recorded, None if reason is None else (endpoint, reason)

        recorded, disabled = transact(self._engine, work)
        if disabled is not None:
            log.warning("endpoint.disabled", endpoint_id=str(disabled[0].id), disabled_reason=disabled[1].value)
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
        if recorded and disabled is None and isinstance(verdict, TryAgain):
            self._hint(Hint(hint.delivery_id, hint.attempt + 1), not_before=verdict.at)

    def _hint(self, hint: Hint, *, not_before: datetime | None = None) -> None:
        try:
            self._queue.put(hint, not_before=not_before)
        except ApiError as error:
            # The row says when the attempt is due: the sweeper will hint again.
            log.warning("hint.lost", delivery_id=str(hint.delivery_id), attempt=hint.attempt, reason=error.reason)
