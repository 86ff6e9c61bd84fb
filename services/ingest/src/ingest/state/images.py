"""How an image moves from one status to the next; every function works inside the caller's transaction.

`PENDING → DISPATCHED → SUCCEEDED | FAILED | CANCELLED`; transient trouble leads back to PENDING. What ends without an
outcome (deadline, cancellation, lost workers, dead hosts) is in `state.expiry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from ingest.state.batch import ImageStatus

USUAL_COST_S = 0.05
"""Seconds that an image usually takes in the codec: a photo of 3 MP takes 0.03 to 0.06 (docs/scaling.md)."""

_DISPATCH = text(
    """
    WITH held AS MATERIALIZED (
        SELECT images.id, start.at
        FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS integer[]), CAST(:starts AS timestamptz[]))
             AS start (id, attempt, at)
        JOIN images ON images.id = start.id AND images.attempt = start.attempt AND images.status = 'PENDING'
        FOR UPDATE OF images SKIP LOCKED
    )
    UPDATE images SET status = 'DISPATCHED', attempt = attempt + 1,
                      lease_until = held.at + make_interval(secs => :lease_s)
    FROM held WHERE images.id = held.id
    RETURNING images.id
    """
)
_RETURN = text(
    """
    UPDATE images SET status = 'PENDING', lease_until = NULL, next_at = now() + make_interval(secs => :delay_s),
                      code = coalesce(:code, code), detail = coalesce(:detail, detail),
                      attempt_limit = attempt_limit + :given_back
    WHERE id = :image AND status = 'DISPATCHED' AND attempt = :attempt
    """
)
# Images with the same URL and options are written with it, so one download answers them all.
_END = text(
    """
    UPDATE images SET
        status = :status, code = :code, detail = :detail, output_url = :output_url, bytes_in = :bytes_in,
        bytes_out = :bytes_out, width = :width, height = :height, format = :format, sha256 = :sha256,
        duration_ms = :duration_ms, lease_until = NULL, finished_at = now()
    WHERE (id = :image OR same_as = :image) AND status IN ('PENDING', 'DISPATCHED')
    """
)
# A duplicate whose first image succeeded after it was cancelled has nothing to wait for: it stands for itself now.
_SEPARATE = text(
    """
    UPDATE images SET same_as = NULL FROM images AS first
    WHERE images.batch = :batch AND images.status IN ('FAILED', 'CANCELLED')
      AND first.id = images.same_as AND first.status = 'SUCCEEDED'
    """
)
# A link that cannot be used has no host that could be asked, neither now nor later.
_REOPEN = """
    UPDATE images SET status = 'PENDING', code = NULL, detail = NULL, finished_at = NULL, next_at = now(),
                      attempt_limit = attempt + :attempts
    WHERE batch = :batch AND status IN ('FAILED', 'CANCELLED')
      AND NOT (host = '' AND attempt = 0 AND code LIKE 'URL!_%' ESCAPE '!') {of_some}
"""
_REOPEN_ALL = text(_REOPEN.format(of_some=""))
# An image and those with its URL and options are one download: they are tried again together.
_REOPEN_SOME = text(
    _REOPEN.format(
        of_some="""AND coalesce(same_as, id) IN (
          SELECT coalesce(same_as, id) FROM images
          WHERE batch = :batch AND status IN ('FAILED', 'CANCELLED')
            AND (CAST(:codes AS text[]) IS NULL OR coalesce(code, status) = ANY(CAST(:codes AS text[])))
            AND (CAST(:hosts AS text[]) IS NULL OR host = ANY(CAST(:hosts AS text[])))
            AND (CAST(:ids AS uuid[]) IS NULL OR id = ANY(CAST(:ids AS uuid[]))))"""
    )
)


@dataclass(frozen=True, slots=True)
class ChosenImages:
    """Which images are tried again: those that fit each list that is not None."""

    codes: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    ids: tuple[UUID, ...] | None = None


ALL_IMAGES = ChosenImages()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a compressor says about one attempt; numbers are None where it did not get that far.

    `deferred`: nothing was tried, because the host is closed.
    """

    request_id: UUID
    attempt: int
    succeeded: bool
    transient: bool
    code: str
    detail: str
    retry_after_s: float | None = None
    output_url: str | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    sha256: str | None = None
    duration_ms: int | None = None
    reused: bool = False
    source_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    first_byte_ms: int | None = None
    codec_ms: int | None = None
    deferred: bool = False

    @property
    def cost_s(self) -> float:
        """Return the seconds that the attempt took in the codec; a compressor of the last release does not say them."""
        return USUAL_COST_S if self.codec_ms is None else self.codec_ms / 1000

    @property
    def growth(self) -> int:
        """Return by how many bytes the output is larger than its source; 0 when it is not, or a size is unknown."""
        if self.bytes_in is None or self.bytes_out is None:
            return 0
        return max(0, self.bytes_out - self.bytes_in)


def dispatch_images(
    connection: Connection, leases: Sequence[tuple[UUID, int, datetime]], *, lease_s: float
) -> set[UUID]:
    """Lease images, each with its next attempt and until `lease_s` after its start; return which.

    PENDING → DISPATCHED. The caller holds the batch and the hosts; locks the images (5). What somebody else holds or
    has ended is passed over.

    Args:
        connection: the transaction.
        leases: id, attempt so far and start of each image.
        lease_s: seconds.
    """
    ids, attempts, starts = zip(*leases, strict=True)
    values = {"ids": list(ids), "attempts": list(attempts), "starts": list(starts), "lease_s": lease_s}
    return set(connection.execute(_DISPATCH, values).scalars())


def return_image(
    connection: Connection,
    image_id: UUID,
    *,
    attempt: int,
    delay_s: float,
    code: str | None = None,
    detail: str | None = None,
    spent: bool = True,
) -> None:
    """Let an image wait for another attempt, unless this attempt is not the current one.

    DISPATCHED → PENDING. Locks the image; a caller that holds its batch must hold the image before.

    Args:
        connection: the transaction.
        image_id: the image.
        attempt: the attempt that came to nothing; its number stays used.
        delay_s: seconds before the next attempt.
        code: why, as an outcome code; None leaves what is there.
        detail: the same in words.
        spent: whether the attempt counts against the image's budget.
    """
    values = {
        "image": image_id,
        "attempt": attempt,
        "delay_s": delay_s,
        "code": code,
        "detail": detail,
        "given_back": 0 if spent else 1,
    }
    connection.execute(_RETURN, values)


def end_image(
    connection: Connection,
    image_id: UUID,
    status: ImageStatus,
    outcome: Outcome,
    *,
    code: str | None = None,
    detail: str | None = None,
) -> int:
    """End an image and those with its URL and options; return how many ended.

    PENDING | DISPATCHED → SUCCEEDED | FAILED | CANCELLED. The caller holds the image; locks its duplicates, which only
    holders of the image or of the batch lock.

    Args:
        connection: the transaction.
        image_id: the image.
        status: how it ends.
        outcome: of the attempt that ends it.
        code: instead of the outcome's.
        detail: instead of the outcome's.
    """
    won = status is ImageStatus.SUCCEEDED
    values = {
        "image": image_id,
        "status": status.value,
        "code": code or outcome.code,
        "detail": detail or outcome.detail,
        # Only a success has an output; a failed attempt's object would be an orphan.
        "output_url": outcome.output_url if won else None,
        "bytes_in": outcome.bytes_in,
        "bytes_out": outcome.bytes_out if won else None,
        "width": outcome.width,
        "height": outcome.height,
        "format": outcome.format,
        "sha256": outcome.sha256,
        "duration_ms": outcome.duration_ms,
    }
    return connection.execute(_END, values).rowcount


def reopen_images(connection: Connection, request_id: UUID, *, attempts: int, chosen: ChosenImages) -> int:
    """Open the chosen images of a batch that have no output, with a new budget of attempts; return how many.

    FAILED | CANCELLED → PENDING. The caller holds the batch, which has ended; locks the images.
    """
    connection.execute(_SEPARATE, {"batch": request_id})
    values = {"batch": request_id, "attempts": attempts}
    if chosen == ALL_IMAGES:
        return connection.execute(_REOPEN_ALL, values).rowcount
    given = {name: None if found is None else list(found) for name, found in asdict(chosen).items()}
    return connection.execute(_REOPEN_SOME, {**values, **given}).rowcount
