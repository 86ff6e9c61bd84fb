"""`POST /compress`: parse the task, run the use case, shape the answer."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from pydantic import Field

from chassis.http.caller_guard import CallerGuard
from chassis.http.fields import PeerRequest
from chassis.http.requests import parse_json
from compressor.images.model import Animated, Metadata, Options, OutputFormat
from compressor.images.picture import MAX_OUTPUT_SIDE_PX
from compressor.service import Compressor, Job

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


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


class CompressRequest(PeerRequest):
    """The body of `POST /compress`: workflows/contracts/compress_request.schema.json."""

    request_id: str = Field(pattern=_UUID)
    image_id: str = Field(pattern=_UUID)
    attempt: int = Field(ge=1, strict=True)
    url: str = Field(min_length=1, max_length=2083)
    options: CompressOptions

    def to_job(self, *, redelivered: bool) -> Job:
        """Return the use case's input."""
        repeated = redelivered or self.attempt > 1
        return Job(self.request_id, self.image_id, self.attempt, self.url, self.options.to_options(), repeated)


def add_routes(app: Flask, guard: CallerGuard, compressor: Compressor, *, tasks_service_account: str) -> None:
    """Attach the routes to an application."""

    @app.post("/compress")
    @guard.only(tasks_service_account)
    def compress() -> dict[str, Any]:
        """Compress one image; 200 says that the outcome is recorded, not that the image is fine."""
        body = parse_json(CompressRequest)
        # Only a hint to look for an earlier delivery's object first; callers other than Cloud Tasks cannot get here.
        redelivered = request.headers.get("X-CloudTasks-TaskRetryCount", "0") != "0"
        recorded = compressor.run(body.to_job(redelivered=redelivered))
        return {
            "image_id": body.image_id,
            "outcome": recorded.outcome,
            "code": recorded.code.value,
            "applied": recorded.applied,
        }
