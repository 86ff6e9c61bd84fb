"""The use case: one image fetched, compressed, stored, and its outcome told to ingest.

Whatever lies with the image or its origin is an outcome and a success of the task; only our own trouble (storage,
ingest, identity, memory) raises, so that Cloud Tasks brings the task again.

Worst case in seconds: fetch 60, wait for the codec 10, codec 20, storage 20 (33 when its last try begins just before),
ingest 10: the dispatch deadline of 120 s. An attempt that outlives it is harmless: the next one finds the object, and
ingest takes the first outcome.
"""

from __future__ import annotations

import hashlib
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
    """The image was not fetched: ingest had closed its host after the task was planned."""


Outcome = Succeeded | Failed | Deferred


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the task is answered: the outcome's two words, and whether ingest changed anything by it."""

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

    def run(self, job: Job) -> Recorded:
        """Do one attempt and record its outcome with ingest.

        Raises:
            ApiError: 503, our own trouble; nothing was recorded and the attempt may be repeated.
        """
        begun = self.clock.monotonic()
        outcome = self._attempt(job)
        duration_ms = round((self.clock.monotonic() - begun) * 1000)
        report = _report(job, outcome, duration_ms)
        reach(Failpoint.IMAGE_STORED)
        applied = self._record(job, report)
        reach(Failpoint.OUTCOME_REPORTED)
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
        return Recorded(report["outcome"], OutcomeCode(report["code"]), applied)

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

    def _record(self, job: Job, report: dict[str, Any]) -> bool:
        try:
            answer = self.ingest.call(
                "PUT", f"/internal/images/{job.image_id}/outcome", body=report, timeout_s=_INGEST_TIMEOUT_S
            )
        except ApiError as error:
            if error.http_code in _NOTHING_TO_RETRY:
                # The batch was deleted or has ended: whatever we do, nobody waits for this image.
                log.info("outcome.unwanted", image_id=job.image_id, code=error.http_code, reason=error.reason)
                return False
            log.warning("outcome.refused", image_id=job.image_id, code=error.http_code, reason=error.reason)
            raise outcome_not_recorded() from error
        closed_s = answer.get("host_closed_s")
        self.closed_hosts.close(job.url, closed_s if isinstance(closed_s, int | float) else 0.0)
        return answer.get("applied") is True


_EVENTS = {Succeeded: "image.compressed", Failed: "image.failed", Deferred: "image.deferred"}


def _report(job: Job, outcome: Outcome, duration_ms: int) -> dict[str, Any]:
    """Return the body of `outcome_request` (workflows/contracts)."""
    report: dict[str, Any] = {
        "request_id": job.request_id,
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
                "detail": "its host had just refused other images",
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
