"""Records the outcomes of attempts: the first final one wins, the last image seals the batch, nothing counts twice.

What ends an image: the success of any attempt, the permanent failure of the current attempt, or transient trouble of
the current attempt when the budget is spent.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import get_logger
from ingest.errors import ApiError, Reason, Status, not_found
from ingest.failpoints import Failpoint
from ingest.settings import IngestSettings
from ingest.state.batch import BatchStatus, ImageStatus, load_batch
from ingest.state.batch_status import count_ended
from ingest.state.hosts import AnswerKind, HostAnswer, count_failure, count_succeeded, learn_of_host
from ingest.state.images import Outcome, end_image, return_image
from ingest.state.known_sources import save_source
from ingest.state.locks import lock_batch, lock_image
from ingest.state.success import Success, end_with_success

log = get_logger(__name__)

_DEFERRED_S = 0.5
_MOST_ATTEMPTS = 4  # times the budget, even of images whose host refuses every time
_TROUBLE = {
    "RATE_LIMITED": AnswerKind.REFUSED,
    "CONNECT_FAILED": AnswerKind.DEAD,
    "DNS_FAILED": AnswerKind.DEAD,
    "TIMEOUT": AnswerKind.DEAD,
}
"""What transient outcomes say of the host; all others are trouble that may pass."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Whether the report changed anything, and what holds now; `sealed` when it ended the batch's last image.

    `ended` is how many images it ended. `host_closed_s` says for how long no image of that host may start.
    """

    applied: bool
    image_status: ImageStatus
    batch_status: BatchStatus
    sealed: bool
    ended: int = 0
    host_closed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordedTogether:
    """Of which images the reports changed anything, and whether one of them ended the batch's last image.

    For `host_closed_s` seconds no image of a host of theirs may start.
    """

    applied: frozenset[UUID]
    sealed: bool
    host_closed_s: float


def record_outcome(engine: Engine, settings: IngestSettings, image_id: UUID, outcome: Outcome) -> Recorded:
    """Record the report of one attempt; a duplicate or stale report changes nothing and is no error.

    Raises:
        ApiError: 404 IMAGE_NOT_FOUND, 400 ATTEMPT_UNKNOWN when that attempt was never handed out.
    """
    if outcome.succeeded:
        success = _record_successes(engine, settings, outcome.request_id, {image_id: outcome})
        if success is not None:
            return Recorded(True, ImageStatus.SUCCEEDED, success.batch_status, success.sealed)
    return _look_closer(engine, settings, image_id, outcome)


def record_outcomes(
    engine: Engine, settings: IngestSettings, request_id: UUID, outcomes: Mapping[UUID, Outcome]
) -> RecordedTogether:
    """Record the reports of one task's images; what `record_outcome` refuses is passed over, as nobody waits for it.

    Args:
        engine: the database.
        settings: as for one outcome.
        request_id: the batch of all images.
        outcomes: by image; at most `MOST_OUTCOMES`.
    """
    good = {image_id: outcome for image_id, outcome in outcomes.items() if outcome.succeeded}
    success = _record_successes(engine, settings, request_id, good) if good else None
    done = frozenset[UUID]() if success is None else success.images
    applied, sealed, closed_s = set(done), success is not None and success.sealed, 0.0
    for image_id in sorted(outcomes.keys() - done):
        try:
            recorded = _look_closer(engine, settings, image_id, outcomes[image_id])
        except ApiError as error:
            if error.http_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            log.info("outcome.unwanted", image_id=str(image_id), reason=error.reason)
            continue
        if recorded.applied:
            applied.add(image_id)
        sealed = sealed or recorded.sealed
        closed_s = max(closed_s, recorded.host_closed_s)
    return RecordedTogether(frozenset(applied), sealed, closed_s)


def _record_successes(
    engine: Engine, settings: IngestSettings, request_id: UUID, outcomes: Mapping[UUID, Outcome]
) -> Success | None:
    _before_commit()
    return transact(engine, lambda connection: end_with_success(connection, settings, request_id, outcomes), alone=True)


def _look_closer(engine: Engine, settings: IngestSettings, image_id: UUID, outcome: Outcome) -> Recorded:
    def work(connection: Connection) -> Recorded:
        image = lock_image(connection, outcome.request_id, image_id)
        if image is None:
            raise not_found(
                Reason.IMAGE_NOT_FOUND,
                f"Batch {outcome.request_id} has no image {image_id}.",
                request_id=str(outcome.request_id),
                image_id=str(image_id),
            )
        if outcome.attempt > image["attempt"]:
            raise ApiError(
                Status.INVALID_ARGUMENT,
                Reason.ATTEMPT_UNKNOWN,
                f"Attempt {outcome.attempt} of image {image_id} was never handed out.",
                metadata={"attempt": str(outcome.attempt), "current_attempt": str(image["attempt"])},
            )
        if outcome.deferred:
            return _deferred(connection, image_id, image, outcome)
        recorded = _decide(connection, settings, image_id, image, outcome)
        if recorded.applied:
            closed_s = _note_host(connection, settings, image, outcome, ended=recorded.ended)
            recorded = replace(recorded, host_closed_s=closed_s)
        _before_commit()
        return recorded

    return transact(engine, work)


def _before_commit() -> None:
    reach(Failpoint.OUTCOME_WRITTEN)


def _deferred(connection: Connection, image_id: UUID, image: RowMapping, outcome: Outcome) -> Recorded:
    # Not fetched, because its host had just been closed: nothing is known of image or host, and no attempt is lost.
    present = ImageStatus(image["status"])
    batch = lock_batch(connection, outcome.request_id)
    is_current = present is ImageStatus.DISPATCHED and outcome.attempt == image["attempt"]
    if not is_current or batch.cancel_requested or batch.status.is_final or batch.status is BatchStatus.SEALING:
        return Recorded(False, present, batch.status, sealed=False)
    return_image(connection, image_id, attempt=outcome.attempt, delay_s=_DEFERRED_S, spent=False)
    return Recorded(True, ImageStatus.PENDING, batch.status, sealed=False)


def host_answer(settings: IngestSettings, image: RowMapping, outcome: Outcome) -> HostAnswer | None:
    """Return what an outcome says of the image's host; None when the host was not asked."""
    first_byte_s = None if outcome.first_byte_ms is None else outcome.first_byte_ms / 1000
    started_at = image["lease_until"] - timedelta(seconds=settings.lease_s)
    if outcome.transient and not outcome.succeeded:
        kind = _TROUBLE.get(outcome.code, AnswerKind.TROUBLE)
        if outcome.code == "HTTP_5XX" and outcome.retry_after_s is not None:
            kind = AnswerKind.REFUSED
        return HostAnswer(kind, first_byte_s, started_at, outcome.retry_after_s)
    if first_byte_s is None and not outcome.succeeded:
        return None
    return HostAnswer(AnswerKind.GOOD, first_byte_s, started_at)


def _note_host(
    connection: Connection, settings: IngestSettings, image: RowMapping, outcome: Outcome, *, ended: int
) -> float:
    closed_s = 0.0
    answer = host_answer(settings, image, outcome) if image["lease_until"] is not None else None
    if answer is not None:
        closed_s = learn_of_host(connection, settings, image["host"], answer)
    if not outcome.succeeded:
        count_failure(connection, outcome.request_id, image["host"])
    if outcome.succeeded:
        count_succeeded(
            connection,
            outcome.request_id,
            image["host"],
            images=ended,
            bytes_in=(outcome.bytes_in or 0) * ended,
            bytes_out=(outcome.bytes_out or 0) * ended,
        )
    return closed_s


def _decide(
    connection: Connection, settings: IngestSettings, image_id: UUID, image: RowMapping, outcome: Outcome
) -> Recorded:
    present = ImageStatus(image["status"])
    is_open = present in {ImageStatus.PENDING, ImageStatus.DISPATCHED}
    is_current = outcome.attempt == image["attempt"]
    if is_open and outcome.succeeded:
        recorded = _end(connection, image_id, outcome, ImageStatus.SUCCEEDED)
        if settings.reuse_days:
            save_source(connection, image_id, outcome)
        return recorded
    if is_open and is_current and not outcome.transient:
        return _end(connection, image_id, outcome, ImageStatus.FAILED)
    # Once an attempt's transient trouble is recorded the image waits; the same report again must not delay it further.
    if present is ImageStatus.DISPATCHED and is_current:
        return _trouble(connection, settings, image_id, image, outcome)
    return Recorded(False, present, load_batch(connection, outcome.request_id).status, sealed=False)


def _trouble(
    connection: Connection, settings: IngestSettings, image_id: UUID, image: RowMapping, outcome: Outcome
) -> Recorded:
    # Waits for a cancellation that is being written: after one, no image may go back to PENDING.
    batch = lock_batch(connection, outcome.request_id)
    if batch.cancel_requested or batch.status.is_final or batch.status is BatchStatus.SEALING:
        return _end(connection, image_id, outcome, ImageStatus.CANCELLED, code="CANCELLED")
    # A host that refuses more, or is shut, says nothing of the image.
    refused = outcome.code == "RATE_LIMITED" or image["host_is_shut"]
    spent = not refused or image["attempt"] >= _MOST_ATTEMPTS * settings.max_attempts
    if spent and image["attempt"] >= image["attempt_limit"]:
        detail = f"{image['attempt']} attempts; the last one: {outcome.code}: {outcome.detail}"
        return _end(connection, image_id, outcome, ImageStatus.FAILED, code="ATTEMPTS_EXHAUSTED", detail=detail)
    used = settings.max_attempts - (image["attempt_limit"] - image["attempt"])
    delay_s = retry_delay_s(settings, max(1, used if spent else used - 1), outcome.retry_after_s)
    return_image(
        connection,
        image_id,
        attempt=outcome.attempt,
        delay_s=delay_s,
        code=outcome.code,
        detail=outcome.detail,
        spent=spent,
    )
    log.info("image.postponed", image_id=str(image_id), attempt=image["attempt"], code=outcome.code, delay_s=delay_s)
    return Recorded(True, ImageStatus.PENDING, batch.status, sealed=False)


def _end(
    connection: Connection,
    image_id: UUID,
    outcome: Outcome,
    status: ImageStatus,
    *,
    code: str | None = None,
    detail: str | None = None,
) -> Recorded:
    won = status is ImageStatus.SUCCEEDED
    images = end_image(connection, image_id, status, outcome, code=code, detail=detail)
    ended = count_ended(
        connection,
        outcome.request_id,
        succeeded=images if won else 0,
        failed=0 if won else images,
        bytes_in=(outcome.bytes_in or 0) * images if won else 0,
        bytes_out=(outcome.bytes_out or 0) * images if won else 0,
        larger_images=images if won and outcome.growth else 0,
        larger_bytes=outcome.growth * images if won else 0,
        reused=images if won and outcome.reused else 0,
        cost_s=outcome.cost_s,
    )
    return Recorded(True, status, ended.batch.status, ended.sealed, ended.images)


def retry_delay_s(settings: IngestSettings, attempt: int, retry_after_s: float | None) -> float:
    """Return the wait after failed attempt `attempt` (>= 1), in seconds.

    Exponential from `retry_base_s` with full jitter, so that an outage's images do not come back all at once; a
    server's Retry-After is a lower bound and, like all waits, at most `retry_max_s`.
    """
    ceiling = min(settings.retry_max_s, settings.retry_base_s * 2 ** min(attempt - 1, 30))
    jittered = random.uniform(0.0, ceiling)  # noqa: S311 - spreading load, not guarding anything
    return min(settings.retry_max_s, max(jittered, retry_after_s or 0.0))
