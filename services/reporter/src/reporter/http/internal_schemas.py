"""What the internal routes accept and answer: workflows/contracts/*.schema.json as models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from chassis.http.fields import PeerRequest
from reporter.webhooks.events import Counts, Notice

# `$` of pydantic matches the end of the text only, never before a line feed.
_Id = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]


class ReportRequest(PeerRequest):
    """report_request.schema.json."""

    request_id: _Id


class CountsBody(PeerRequest):
    """The images of a batch by state."""

    total: int = Field(ge=0)
    pending: int = Field(ge=0)
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)


class NotificationRequest(PeerRequest):
    """notification_request.schema.json."""

    request_id: _Id
    generation: int = Field(ge=1)
    status: str
    message: str
    counts: CountsBody
    finished_at: str | None
    webhook_url: str | None
    download_url: str | None
    owner: str | None = None  # a workflow of the release before does not say it

    def to_notice(self) -> Notice:
        """Return what the use case takes."""
        counts = Counts(self.counts.total, self.counts.pending, self.counts.succeeded, self.counts.failed)
        return Notice(
            request_id=self.request_id,
            generation=self.generation,
            status=self.status,
            message=self.message,
            counts=counts,
            finished_at=self.finished_at,
            webhook_url=self.webhook_url,
            download_url=self.download_url,
            owner=self.owner,
        )


class DeliveryRequest(PeerRequest):
    """delivery_request.schema.json."""

    delivery_id: _Id
    attempt: int = Field(ge=1)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReportUris(_Answer):
    """The objects of a report, `gs://BUCKET/NAME`."""

    output_csv: str
    failed_csv: str
    results_jsonl: str


class ReportAnswer(_Answer):
    """report_response.schema.json."""

    request_id: str
    reports: ReportUris
    download_url: str
    rows: int
    images: int


class NotificationAnswer(_Answer):
    """notification_response.schema.json."""

    request_id: str
    deliveries: int


class DeliveryAnswer(_Answer):
    """delivery_response.schema.json."""

    delivery_id: str
    state: str
    attempts: int


class SweepAnswer(_Answer):
    """sweep_response.schema.json."""

    swept: dict[str, int]
