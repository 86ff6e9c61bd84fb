"""Makes one attempt of a delivery: leases it, calls the receiver, records what came of it and what follows.

An event is sent at least once and always under the same message id, by which a receiver knows a repetition.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import bind_ids, get_logger, safe_url
from chassis.tracing import work_span
from reporter.clients.receivers import Answered, Outcome, Unanswered, call_receiver
from reporter.clients.task_queue import give_hint
from reporter.dependencies import Dependencies
from reporter.errors import deliveries_busy, delivery_not_found
from reporter.failpoints import Failpoint
from reporter.state.attempts import Attempt, record_delivered, record_given_up, record_try_again
from reporter.state.deliveries import EndReason, Hint, Lease, Standing, end_without_attempt, lease, standing
from reporter.state.endpoint_health import note_failure, note_success
from reporter.state.endpoints import DisabledReason, endpoint_of_delivery
from reporter.state.locks import lock_endpoint_of_delivery
from reporter.state.secrets import SecretSeed, live_secrets
from reporter.webhooks.retry_policy import Delivered, GivenUp, TryAgain, Verdict, judge
from reporter.webhooks.secrets import UnknownKeyError, reveal_secret
from reporter.webhooks.signature import signed_headers

log = get_logger(__name__)

LEASE_S = 60.0
"""How long an attempt may take; four times the time-out of a delivery."""

SLOT_WAIT_S = 0.5
"""How long a task waits for another delivery to end when as many as may are under way."""

WORKER_LOST = "WORKER_LOST"
"""The code of an attempt whose worker vanished."""

SECRET_UNAVAILABLE = "SECRET_UNAVAILABLE"  # noqa: S105 - a code, not a secret
"""The code of an attempt that could not be signed, because the endpoint's key is not among those given."""

OUR_FAILURES = frozenset({WORKER_LOST, SECRET_UNAVAILABLE})
"""Failures that tell nothing of the receiver."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A leased delivery, and with what it is signed: the secrets of its endpoint, or without one the deployment's."""

    lease: Lease
    endpoint_id: UUID | None
    seeds: tuple[SecretSeed, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording an attempt did: whether it was the first record, when the next is due, what it disabled."""

    first: bool
    next_attempt_at: datetime | None = None
    disabled: tuple[UUID, DisabledReason] | None = None


def attempt_delivery(dependencies: Dependencies, delivery_id: UUID, attempt: int) -> Standing:
    """Make one attempt if it is the delivery's next and nobody else makes it; return how the delivery stands.

    Raises:
        ApiError: 404 DELIVERY_NOT_FOUND; 429 DELIVERIES_BUSY, nothing was done and the task will come again.
    """
    if not dependencies.slots.acquire(timeout=SLOT_WAIT_S):
        raise deliveries_busy()
    try:
        leased = transact(dependencies.engine, lambda c: _lease_or_end(c, delivery_id, attempt))
        if leased is not None:
            reach(Failpoint.DELIVERY_LEASED)
            _send_and_record(dependencies, leased)
            reach(Failpoint.DELIVERY_RECORDED)
        found = transact(dependencies.engine, lambda c: standing(c, delivery_id))
    finally:
        dependencies.slots.release()
    if found is None:
        raise delivery_not_found(str(delivery_id))
    return found


def record_worker_lost(dependencies: Dependencies, hint: Hint, *, earlier_attempts: int) -> None:
    """Record that the worker of an attempt vanished, unless somebody holds a lease again.

    The attempt is used up, so that a delivery which kills workers ends too.
    """
    attempt = Attempt(hint.delivery_id, hint.attempt, only_after_lease=True)
    record(dependencies, attempt, Unanswered(WORKER_LOST), earlier_attempts=earlier_attempts, url="")


def record(dependencies: Dependencies, attempt: Attempt, outcome: Outcome, *, earlier_attempts: int, url: str) -> None:
    """Record the outcome of an attempt with what follows, and ask for the next attempt.

    Args:
        dependencies: schedule, database and queue.
        attempt: without its outcome.
        outcome: how it ended.
        earlier_attempts: attempts before the last redelivery; the schedule does not count them.
        url: which was called; "" when none was.
    """
    settings = dependencies.settings
    verdict = judge(
        outcome,
        attempt=attempt.number - earlier_attempts,
        schedule_s=settings.webhook_retry_schedule_s,
        jitter=dependencies.jitter(),
        now=dependencies.clock.now(),
    )
    finished = _with_outcome(attempt, outcome)

    def work(connection: Connection) -> Recorded:
        lock_endpoint_of_delivery(connection, attempt.delivery_id)
        recorded = _record_verdict(connection, finished, verdict, hint_grace_s=settings.webhook_hint_grace_s)
        if not recorded.first:
            return recorded
        disabled = _note_health(
            connection, finished, outcome, verdict, url=url, patience_s=settings.webhook_disable_after_s
        )
        return replace(recorded, disabled=disabled)

    recorded = transact(dependencies.engine, work)
    _log_attempt(finished, outcome, verdict, recorded, url=url)
    if recorded.next_attempt_at is not None and recorded.disabled is None:
        next_hint = Hint(attempt.delivery_id, attempt.number + 1)
        give_hint(dependencies.tasks, next_hint, not_before=recorded.next_attempt_at)


def _lease_or_end(connection: Connection, delivery_id: UUID, attempt: int) -> Leased | None:
    """Lease a delivery; end it instead when its endpoint is disabled or deleted."""
    endpoint = endpoint_of_delivery(connection, delivery_id)
    if endpoint is not None and endpoint.disabled_reason is not None:
        reason = endpoint.disabled_reason.ends_deliveries_as
        end_without_attempt(connection, delivery_id, attempt=attempt, reason=reason)
        return None
    url = None if endpoint is None else endpoint.url
    taken = lease(connection, delivery_id, attempt=attempt, url=url, lease_s=LEASE_S)
    if taken is None:
        return None
    if endpoint is None:
        return Leased(taken, None, ())
    return Leased(taken, endpoint.id, live_secrets(connection, endpoint.id))


def _send_and_record(dependencies: Dependencies, leased: Leased) -> None:
    taken, clock = leased.lease, dependencies.clock
    body = json.loads(taken.body)
    bind_ids(body)
    with work_span("delivery", UUID(body["request_id"]), under="workflow", attempt=taken.attempt) as delivering:
        started = clock.monotonic()
        outcome = _send(dependencies, leased)
        reach(Failpoint.DELIVERY_SENT)
        elapsed_ms = round((clock.monotonic() - started) * 1000)
        delivering.set(outcome=outcome.status_code if isinstance(outcome, Answered) else outcome.code)
        attempt = Attempt(taken.delivery_id, taken.attempt, started_at=taken.started_at, elapsed_ms=elapsed_ms)
        record(dependencies, attempt, outcome, earlier_attempts=taken.earlier_attempts, url=taken.url)


def _send(dependencies: Dependencies, leased: Leased) -> Outcome:
    taken = leased.lease
    try:
        secrets = _secrets_of(dependencies, leased)
    except UnknownKeyError as error:
        log.error("secret.unavailable", endpoint_id=str(leased.endpoint_id), key_id=error.key_id)
        return Unanswered(SECRET_UNAVAILABLE)
    headers = signed_headers(
        secrets, message_id=taken.message_id, attempt_time=dependencies.clock.now(), body=taken.body
    )
    return call_receiver(dependencies.deliveries, taken.url, headers=headers, body=taken.body)


def _secrets_of(dependencies: Dependencies, leased: Leased) -> tuple[str, ...]:
    settings, endpoint_id = dependencies.settings, leased.endpoint_id
    if endpoint_id is None:
        return (settings.webhook_signing_secret.get_secret_value(),)
    return tuple(reveal_secret(settings.endpoint_keys, endpoint_id, seed) for seed in leased.seeds)


def _with_outcome(attempt: Attempt, outcome: Outcome) -> Attempt:
    match outcome:
        case Answered(status_code, _, answer):
            return replace(attempt, status_code=status_code, answer=answer)
        case Unanswered(code):
            return replace(attempt, failure=code)


def _record_verdict(connection: Connection, attempt: Attempt, verdict: Verdict, *, hint_grace_s: float) -> Recorded:
    match verdict:
        case Delivered():
            return Recorded(record_delivered(connection, attempt))
        case GivenUp(reason):
            return Recorded(record_given_up(connection, attempt, reason=reason))
        case TryAgain(delay_s):
            due_at = record_try_again(connection, attempt, delay_s=delay_s, hint_grace_s=hint_grace_s)
            return Recorded(due_at is not None, due_at)


def _note_health(
    connection: Connection, attempt: Attempt, outcome: Outcome, verdict: Verdict, *, url: str, patience_s: float
) -> tuple[UUID, DisabledReason] | None:
    """Note on the locked endpoint how it took the attempt; return it with the reason if that disabled it."""
    endpoint = endpoint_of_delivery(connection, attempt.delivery_id)
    # What another URL answered says nothing of the one the endpoint has now.
    if endpoint is None or endpoint.url != url or attempt.started_at is None:
        return None
    if isinstance(outcome, Unanswered) and outcome.code in OUR_FAILURES:
        return None
    if isinstance(verdict, Delivered):
        note_success(connection, endpoint.id)
        return None
    gone = verdict == GivenUp(EndReason.GONE)
    reason = note_failure(connection, endpoint.id, gone=gone, started_at=attempt.started_at, patience_s=patience_s)
    return None if reason is None else (endpoint.id, reason)


def _log_attempt(attempt: Attempt, outcome: Outcome, verdict: Verdict, recorded: Recorded, *, url: str) -> None:
    if recorded.disabled is not None:
        endpoint_id, reason = recorded.disabled
        log.warning("endpoint.disabled", endpoint_id=str(endpoint_id), disabled_reason=reason.value)
    log.info(
        "delivery.attempted",
        delivery_id=str(attempt.delivery_id),
        attempt=attempt.number,
        verdict=type(verdict).__name__,
        outcome=outcome.status_code if isinstance(outcome, Answered) else outcome.code,
        recorded=recorded.first,
        elapsed_ms=attempt.elapsed_ms,
        **(safe_url(url) if url else {}),
    )
