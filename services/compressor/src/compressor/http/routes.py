"""`POST /compress` and `POST /internal/previews`: parse, run the use case, shape the answer."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from flask import Flask, request
from pydantic import Field, model_validator

from chassis.http.caller_guard import CallerGuard
from chassis.http.fields import PeerRequest
from chassis.http.requests import parse_json
from chassis.limited import Limited
from chassis.tracing import work_span
from compressor.images.model import Animated, Metadata, Options, OutputFormat
from compressor.images.picture import MAX_OUTPUT_SIDE_PX
from compressor.origin.validators import MAX_DATE_CHARS, MAX_ETAG_CHARS, Validators
from compressor.previews import Preview, Previewer
from compressor.service import Compressor, Job, KnownSource

MAX_PREVIEW_PX: Annotated[
    int, Limited("pixels", "400 `FIELD_INVALID`", "Widest and highest preview of a picture", name="max_preview_pixels")
] = 2000

MAX_MORE_IMAGES: Annotated[
    int, Limited("images", "400 `FIELD_INVALID`", "Images of a task beside its first one", internal=True)
] = 19

MAX_INTERVAL_S: Annotated[
    float, Limited("seconds", "400 `FIELD_INVALID`", "Time between two images of a task", internal=True)
] = 1.0

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


_ETA = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,9})?")
"""Seconds since 1970."""

_MAX_LIMIT_PX = min(MAX_OUTPUT_SIDE_PX.values())


class CompressOptions(PeerRequest):
    """The `options` of a compress request."""

    quality: int = Field(ge=1, le=95, strict=True)
    format: OutputFormat
    max_width: int | None = Field(None, ge=1, le=_MAX_LIMIT_PX, strict=True)
    max_height: int | None = Field(None, ge=1, le=_MAX_LIMIT_PX, strict=True)
    target_bytes: int | None = Field(None, ge=500, le=26_214_400, strict=True)
    metadata: Metadata = Metadata.COPYRIGHT
    background: str = Field("#ffffff", pattern=r"^#[0-9a-f]{6}$")
    animated: Animated = Animated.FIRST

    def to_options(self) -> Options:
        """Return the codec's options."""
        return Options(
            self.quality,
            self.format,
            self.max_width,
            self.max_height,
            self.target_bytes,
            self.metadata,
            self.background,
            self.animated,
        )


class PreviewRequest(PeerRequest):
    """The body of `POST /internal/previews`: a stored image, or a source; with options, what they would make of it."""

    output_url: str | None = Field(None, max_length=2083)
    url: str | None = Field(None, min_length=1, max_length=2083)
    options: CompressOptions | None = None
    side: int = Field(ge=16, le=MAX_PREVIEW_PX, strict=True)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.url is None and (self.output_url is None or self.options is not None):
            raise ValueError("give output_url, or url with or without options")
        return self


class Known(PeerRequest):
    """The `known` of a compress request."""

    etag: str | None = Field(None, max_length=MAX_ETAG_CHARS)
    last_modified: str | None = Field(None, max_length=MAX_DATE_CHARS)
    source_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes_in: int = Field(ge=0, strict=True)
    format: OutputFormat

    def to_source(self) -> KnownSource:
        """Return the use case's form of it."""
        validators = Validators(self.etag, self.last_modified)
        return KnownSource(validators, self.source_sha256, self.bytes_in, self.format)


class TaskImage(PeerRequest):
    """One image of a compress request."""

    image_id: str = Field(pattern=_UUID)
    attempt: int = Field(ge=1, strict=True)
    url: str = Field(min_length=1, max_length=2083)
    known: Known | None = None

    def to_job(self, request_id: str, options: Options, *, redelivered: bool) -> Job:
        """Return the use case's input."""
        repeated = redelivered or self.attempt > 1
        known = None if self.known is None else self.known.to_source()
        return Job(request_id, self.image_id, self.attempt, self.url, options, repeated, known)


class CompressRequest(TaskImage):
    """The body of `POST /compress`: workflows/contracts/compress_request.schema.json."""

    request_id: str = Field(pattern=_UUID)
    options: CompressOptions
    more: list[TaskImage] = Field(default_factory=list, max_length=MAX_MORE_IMAGES)
    interval_s: float = Field(0.0, ge=0, le=MAX_INTERVAL_S)

    def to_jobs(self, *, redelivered: bool) -> list[Job]:
        """Return the use case's inputs, in the order in which they are asked for."""
        options = self.options.to_options()
        return [image.to_job(self.request_id, options, redelivered=redelivered) for image in (self, *self.more)]


def add_routes(
    app: Flask,
    guard: CallerGuard,
    compressor: Compressor,
    previewer: Previewer,
    *,
    tasks_service_account: str,
    ingest_service_account: str,
) -> None:
    """Attach the routes to an application."""

    @app.post("/compress")
    @guard.only(tasks_service_account)
    def compress() -> dict[str, Any]:
        """Compress the images of a task; 200 says that outcomes are recorded, not that an image is fine."""
        body = parse_json(CompressRequest)
        # Only a hint to look for an earlier delivery's object first; callers other than Cloud Tasks cannot get here.
        redelivered = request.headers.get("X-CloudTasks-TaskRetryCount", "0") != "0"
        with work_span("task", UUID(body.request_id), under=None, began=_due()) as task:
            task.set(image_id=body.image_id, attempt=body.attempt, images=1 + len(body.more))
            recorded = compressor.run(body.to_jobs(redelivered=redelivered), interval_s=body.interval_s)
            task.set(outcome=recorded.outcome, code=recorded.code.value)
        return {
            "image_id": body.image_id,
            "outcome": recorded.outcome,
            "code": recorded.code.value,
            "applied": recorded.applied,
        }

    @app.post("/internal/previews")
    @guard.only(ingest_service_account)
    def preview() -> dict[str, Any]:
        """Draw a picture for somebody who looks at it; the answer holds WebP in Base64."""
        body = parse_json(PreviewRequest)
        if body.options is not None and body.url is not None:
            trial = previewer.trial(body.url, body.side, body.options.to_options())
            return {
                "before": _preview_json(trial.before),
                "after": _preview_json(trial.after),
                "format": trial.rendition.format.value,
                "detail": trial.rendition.detail,
            }
        if body.url is not None:
            return _preview_json(previewer.source(body.url, body.side, body.output_url))
        return _preview_json(previewer.stored(body.output_url or "", body.side))


def _due() -> datetime | None:
    """Return when the task was due; from then to its arrival it has waited in the queue.

    Source: https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler (X-CloudTasks-TaskETA)
    """
    given = request.headers.get("X-CloudTasks-TaskETA", "")
    return datetime.fromtimestamp(float(given), UTC) if _ETA.fullmatch(given) else None


def _preview_json(preview: Preview) -> dict[str, Any]:
    return {
        "webp": base64.b64encode(preview.webp).decode(),
        "width": preview.width,
        "height": preview.height,
        "bytes": preview.shown_bytes,
        "source_changed": preview.source_changed,
    }
