"""The use case: the images of a task fetched, compressed, stored, and their outcomes told to ingest.

Whatever lies with an image or its origin is an outcome and a success of the task; only our own trouble (storage,
ingest, identity, memory) raises, so that Cloud Tasks brings the task again.

Nearly every task has one image. Those with several have known ones of one host, which are asked for one after the
other and told about together. After a refusal, or after `TASK_S`, no more are: the others go back to ingest untried.

Worst case of one image in seconds: fetch 60, wait for the codec 10, codec 20, storage 20 (33 when its last try begins
just before), ingest 10: the dispatch deadline of 120 s. An attempt that outlives it is harmless: the next one finds the
object, and ingest takes the first outcome.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chassis.clock import Clock
from chassis.errors import ApiError
from chassis.failpoints import reach
from chassis.logs import get_logger, safe_url
from chassis.peer_service import InternalService
from compressor.clients.store import ImageStore, ObjectKey, StoredImage
from compressor.errors import out_of_memory, outcome_not_recorded
from compressor.failpoints import Failpoint
from compressor.images.codec import output_format
from compressor.images.model import ImageError, Note, Options, OutcomeCode, OutputFormat
from compressor.origin.closed_hosts import ClosedHosts
from compressor.origin.fetch import Fetched, ImageFetcher
from compressor.origin.validators import NO_VALIDATORS, Validators
from compressor.sandbox.pool import CodecPool

log = get_logger(__name__)

TASK_S = 10.0
"""Seconds after which no further image of a task is begun: far longer than ingest plans for them."""

_INGEST_TIMEOUT_S = 10.0
_NOTHING_TO_RETRY = frozenset({404, 409, 410})


@dataclass(frozen=True, slots=True)
class KnownSource:
    """What an earlier batch found behind the URL, and stored of it for the same options.

    Args:
        validators: of that answer.
        sha256: of its body.
        size_bytes: of its body.
        format: of the output that was stored.
    """

    validators: Validators
    sha256: str
    size_bytes: int
    format: OutputFormat


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at one image.

    Args:
        request_id: the batch.
        image_id: the image.
        attempt: counted by ingest from 1; a stale attempt's failure cannot win there.
        url: the customer's URL.
        options: how to compress.
        repeated: an earlier attempt or delivery may have stored the rendition already.
        known: what is known of the URL; None: nothing.
    """

    request_id: str
    image_id: str
    attempt: int
    url: str
    options: Options
    repeated: bool
    known: KnownSource | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The image lies in the bucket; `notes` are those about its origin, which do not belong to the object.

    `reused` says that an earlier batch has made it of the same source. `codec_s` is 0 when it was not compressed now.
    """

    stored: StoredImage
    bytes_in: int
    source_sha256: str
    notes: tuple[Note, ...] = ()
    validators: Validators = NO_VALIDATORS
    reused: bool = False
    first_byte_s: float | None = None
    codec_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """The image cannot be had or compressed, for now or for good; `bytes_in` is None when it was not fetched."""

    error: ImageError
    bytes_in: int | None
    first_byte_s: float | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """The image was not fetched: its host had been closed after the task was planned, or its task took too long."""


Outcome = Succeeded | Failed | Deferred


@dataclass(frozen=True, slots=True)
class _Tried:
    """A job with its outcome, and as ingest is told of it."""

    job: Job
    outcome: Outcome
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the task is answered: the two words of its first outcome, and whether ingest changed anything by that."""

    outcome: str
    code: OutcomeCode
    applied: bool


@dataclass(frozen=True, slots=True)
class Compressor:
    """The parts that a job needs."""

    fetcher: ImageFetcher
    codec: CodecPool
    store: ImageStore
    ingest: InternalService
    clock: Clock
    closed_hosts: ClosedHosts

    def run(self, jobs: Sequence[Job], *, interval_s: float = 0.0) -> Recorded:
        """Do one attempt at each image of a task and record the outcomes with ingest.

        Args:
            jobs: of one batch and one host.
            interval_s: seconds between the starts of two of them, at least.

        Returns:
            What became of the first image.

        Raises:
            ApiError: 503, our own trouble; the attempts of which nothing was recorded may be repeated.
        """
        tried: list[_Tried] = []
        try:
            self._try_all(jobs, interval_s, tried)
        except ApiError:
            if tried:
                self._record(tried)
            raise
        reach(Failpoint.IMAGE_STORED)
        applied = self._record(tried)
        reach(Failpoint.OUTCOME_REPORTED)
        first = tried[0]
        return Recorded(first.report["outcome"], OutcomeCode(first.report["code"]), first.job.image_id in applied)

    def _try_all(self, jobs: Sequence[Job], interval_s: float, tried: list[_Tried]) -> None:
        task_begun, goes_on = self.clock.monotonic(), True
        for number, job in enumerate(jobs):
            begun = self.clock.monotonic()
            goes_on = goes_on and begun - task_begun <= TASK_S
            early_s = task_begun + number * interval_s - begun
            if goes_on and early_s > 0:
                self.clock.sleep(early_s)
                begun += early_s
            outcome = self._attempt(job) if goes_on else Deferred()
            goes_on = goes_on and not (isinstance(outcome, Failed) and outcome.error.transient)
            duration_ms = round((self.clock.monotonic() - begun) * 1000)
            tried.append(_Tried(job, outcome, _report(job, outcome, duration_ms)))

    def _attempt(self, job: Job) -> Outcome:
        if self.closed_hosts.is_closed(job.url):
            return Deferred()
        try:
            outcome = self._unchanged(job)
            if outcome is not None:
                return outcome
            fetched = self.fetcher.fetch(job.url)
        except ImageError as error:
            return Failed(error, None, error.first_byte_s)
        except MemoryError as error:
            raise out_of_memory() from error
        return self._compressed(job, fetched)

    def _unchanged(self, job: Job) -> Outcome | None:
        """Ask for the picture only if it has changed; None when nothing is known, or what was stored is gone.

        Raises:
            ImageError: as `fetch`.
        """
        known = job.known
        if known is None:
            return None
        fetched = self.fetcher.fetch(job.url, known.validators)
        if not fetched.unchanged:
            return self._compressed(job, fetched)
        found = self.store.find(ObjectKey(known.sha256, job.options), known.format)
        if found is None:
            return None
        notes, first_byte_s = (Note.REUSED, *fetched.notes), fetched.first_byte_s
        return Succeeded(found, known.size_bytes, known.sha256, notes, known.validators, True, first_byte_s)

    def _compressed(self, job: Job, fetched: Fetched) -> Outcome:
        """Return what becomes of a picture that was fetched."""
        reach(Failpoint.IMAGE_FETCHED)
        source = fetched.body
        sha256 = hashlib.sha256(source).hexdigest()
        key = ObjectKey(sha256, job.options)
        reused = job.known is not None and job.known.sha256 == sha256
        try:
            expected = output_format(source, job.options)
            if job.known is not None and reused:
                expected = job.known.format
            found = self.store.find(key, expected) if (job.repeated or reused) and expected is not None else None
            if found is not None:
                notes = (Note.REUSED, *fetched.notes) if reused else fetched.notes
                return Succeeded(found, len(source), sha256, notes, fetched.validators, reused, fetched.first_byte_s)
            rendition = self.codec.compress(source, job.options)
        except ImageError as error:
            return Failed(error, len(source), fetched.first_byte_s)
        except MemoryError as error:
            raise out_of_memory() from error
        reach(Failpoint.IMAGE_ENCODED)
        stored = self.store.create(key, rendition)
        return Succeeded(
            stored,
            len(source),
            sha256,
            fetched.notes,
            fetched.validators,
            first_byte_s=fetched.first_byte_s,
            codec_s=rendition.codec_s,
        )

    def _record(self, tried: Sequence[_Tried]) -> frozenset[str]:
        """Tell ingest what became of images of one host; return those of which that changed anything."""
        first = tried[0].job
        try:
            if len(tried) == 1:
                body = {"request_id": first.request_id, **tried[0].report}
                path = f"/internal/images/{first.image_id}/outcome"
                answer = self.ingest.call("PUT", path, body=body, timeout_s=_INGEST_TIMEOUT_S)
                applied = frozenset({first.image_id} if answer.get("applied") is True else ())
            else:
                outcomes = [{"image_id": each.job.image_id, **each.report} for each in tried]
                body = {"request_id": first.request_id, "outcomes": outcomes}
                answer = self.ingest.call("POST", "/internal/outcomes", body=body, timeout_s=_INGEST_TIMEOUT_S)
                applied = frozenset(answer.get("applied") or ())
        except ApiError as error:
            if error.http_code not in _NOTHING_TO_RETRY:
                log.warning("outcome.refused", image_id=first.image_id, code=error.http_code, reason=error.reason)
                raise outcome_not_recorded() from error
            # The batch was deleted or has ended: whatever we do, nobody waits for this image.
            log.info("outcome.unwanted", image_id=first.image_id, code=error.http_code, reason=error.reason)
            answer, applied = {}, frozenset()
        closed_s = answer.get("host_closed_s")
        self.closed_hosts.close(first.url, closed_s if isinstance(closed_s, int | float) else 0.0)
        for each in tried:
            _log(each, applied=each.job.image_id in applied)
        return applied


def _log(tried: _Tried, *, applied: bool) -> None:
    job, outcome, report = tried.job, tried.outcome, tried.report
    log.info(
        _EVENTS[type(outcome)],
        request_id=job.request_id,
        image_id=job.image_id,
        attempt=job.attempt,
        applied=applied,
        created=isinstance(outcome, Succeeded) and outcome.stored.created,
        reused=report["reused"],
        **{key: report[key] for key in ("code", "detail", "transient", "bytes_in", "bytes_out", "duration_ms")},
        **safe_url(job.url),
    )


_EVENTS = {Succeeded: "image.compressed", Failed: "image.failed", Deferred: "image.deferred"}


def _report(job: Job, outcome: Outcome, duration_ms: int) -> dict[str, Any]:
    """Return what `outcome_request` says of one attempt (workflows/contracts)."""
    report: dict[str, Any] = {
        "attempt": job.attempt,
        "retry_after_s": None,
        "output_url": None,
        "bytes_in": None if isinstance(outcome, Deferred) else outcome.bytes_in,
        "bytes_out": None,
        "width": None,
        "height": None,
        "format": None,
        "sha256": None,
        "duration_ms": duration_ms,
        "reused": False,
        "source_sha256": None,
        "etag": None,
        "last_modified": None,
        "first_byte_ms": _first_byte_ms(outcome),
        "codec_ms": 0,
    }
    match outcome:
        case Succeeded(stored, _, source_sha256, notes, validators, reused, _, codec_s):
            report |= {
                "outcome": "SUCCEEDED",
                "code": OutcomeCode.OK.value,
                "detail": ", ".join([*notes, *([stored.detail] if stored.detail else [])]),
                "transient": False,
                "output_url": stored.url,
                "bytes_out": stored.size_bytes,
                "width": stored.width,
                "height": stored.height,
                "format": stored.format.value,
                "sha256": stored.sha256,
                "reused": reused,
                "source_sha256": source_sha256,
                "etag": validators.etag,
                "last_modified": validators.last_modified,
                "codec_ms": round(codec_s * 1000),
            }
        case Deferred():
            report |= {
                "outcome": "DEFERRED",
                "code": OutcomeCode.HOST_CLOSED.value,
                "detail": "its host had just refused other images, or took long for them",
                "transient": True,
            }
        case Failed(error, _, _):
            report |= {
                "outcome": "FAILED",
                "code": error.code.value,
                "detail": error.detail,
                "transient": error.transient,
                "retry_after_s": error.retry_after_s,
                "codec_ms": round(error.codec_s * 1000),
            }
    return report


def _first_byte_ms(outcome: Outcome) -> int | None:
    if isinstance(outcome, Deferred) or outcome.first_byte_s is None:
        return None
    return round(outcome.first_byte_s * 1000)
