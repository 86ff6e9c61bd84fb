"""What the routes accept and answer. Unknown fields are ignored; missing or malformed ones are a 400."""

from __future__ import annotations

from typing import Annotated, TypeVar
from uuid import UUID

from flask import request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chassis.errors import FieldViolation
from chassis.limited import Limited
from chassis.limits import told_with_value
from reporter.errors import request_invalid
from reporter.webhooks.events import Counts, Notice

MAX_TOKEN_CHARS: Annotated[
    int, Limited("characters", "400 `REQUEST_INVALID`", "Longest token of a download link", name="max_token_characters")
] = 2000

_Model = TypeVar("_Model", bound=BaseModel)
_RequestId = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", description="The batch")
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReportRequest(_Frozen):
    """workflows/contracts/report_request.schema.json."""

    request_id: _RequestId


class CountsBody(_Frozen):
    """The images of a batch by state."""

    total: int = Field(ge=0)
    pending: int = Field(ge=0)
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)


class NotificationRequest(_Frozen):
    """workflows/contracts/notification_request.schema.json."""

    request_id: _RequestId
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


class DeliveryRequest(_Frozen):
    """workflows/contracts/delivery_request.schema.json."""

    delivery_id: _RequestId
    attempt: int = Field(ge=1)


class DownloadQuery(_Frozen):
    """Query of GET /download_csv."""

    request_id: UUID | None = Field(None, description="The batch; without it: the latest finished one")


class FileQuery(_Frozen):
    """Query of GET /reports/{request_id}/{file_name}."""

    token: str = Field("", description="The token of a download link", max_length=MAX_TOKEN_CHARS)
    generation: int | None = Field(None, ge=1, description="Run of the batch; must be the one the token was made for")
    bom: bool = Field(True, description="0: without the byte order mark that Excel needs at the start of a CSV file")
    excel_safe: bool = Field(
        False, description="1: every cell of a CSV file that begins like a formula gets an apostrophe in front"
    )


class DeliveriesQuery(_Frozen):
    """Query of GET /deliveries."""

    request_id: UUID = Field(description="The batch")


class DownloadAnswer(_Frozen):
    """Answer of GET /download_csv: expiring links to the files of a report."""

    download_url: str = Field(description="The sheet with compressed URLs and errors (output.csv)")
    failed_url: str = Field(description="Only the rows with failed images, to be uploaded again (failed.csv)")
    results_url: str = Field(description="Everything known of every image, one JSON object per line (results.jsonl)")
    request_id: str = Field(description="The batch")
    generation: int = Field(description="Run of the batch")
    expire_time: str = Field(description="When the links stop working, RFC 3339")


class AttemptBody(_Frozen):
    """One finished attempt of a delivery."""

    number: int = Field(description="1 for the first")
    start_time: str = Field(description="RFC 3339")
    elapsed_ms: int = Field(description="Milliseconds")
    status_code: int | None = Field(description="The receiver's HTTP status; null when there was none")
    failure: str | None = Field(description="Why there was no HTTP status, e.g. TIMEOUT")
    answer: str | None = Field(
        description="First 2 KB of the receiver's answer; null where it is not shown: in the log of a batch, and to"
        " callers without an API key"
    )


class DeliveryBody(_Frozen):
    """One delivery of one event to one endpoint."""

    id: str = Field(description="The delivery")
    request_id: str = Field(description="The batch; of a test event a new id, behind which there is none")
    endpoint_id: str | None = Field(description="The webhook endpoint; null: the batch's or the deployment's own URL")
    message_id: str = Field(description="The webhook-id header of every attempt")
    type: str = Field(description="The event, e.g. batch.completed")
    generation: int = Field(description="Run of the batch")
    url_host: str = Field(description="Host of the endpoint; the rest of its URL may be secret")
    state: str = Field(description="PENDING, DELIVERED or FAILED")
    end_reason: str | None = Field(
        description="Why it FAILED: EXHAUSTED, GONE, URL_INVALID, ENDPOINT_DISABLED, ENDPOINT_DELETED"
    )
    create_time: str = Field(description="RFC 3339")
    next_attempt_time: str | None = Field(description="RFC 3339; null when none follows")
    attempts: list[AttemptBody] = Field(description="The finished attempts in order")


class LimitAnswer(_Frozen):
    """One limit."""

    name: str = Field(description="Its name, as errors say it")
    value: float = Field(description="Its value here")
    unit: str = Field(description="Of the value")
    meaning: str = Field(description="What is limited")
    setting: str | None = Field(description="Environment variable that sets it; null: the code does")
    use: int | None = Field(description="The caller's present use of a quota; null for other limits")


class LimitsAnswer(_Frozen):
    """Answer of GET /limits."""

    limits: list[LimitAnswer] = Field(description="All of them")


class DeliveriesAnswer(_Frozen):
    """Answer of GET /deliveries."""

    request_id: str = Field(description="The batch")
    deliveries: list[DeliveryBody] = Field(description="Oldest first; empty when nobody was told")


def body_of(model: type[_Model], *, may_be_empty: bool = False) -> _Model:
    """Return the request's JSON body as a model; no body at all may stand for `{}`.

    Raises:
        ApiError: 400 REQUEST_INVALID naming every bad field.
    """
    try:
        return model.model_validate_json(request.get_data() or (b"{}" if may_be_empty else b""))
    except ValidationError as error:
        raise _refused(error) from error


def query_of(model: type[_Model]) -> _Model:
    """Return the request's query as a model.

    Raises:
        ApiError: 400 REQUEST_INVALID naming every bad parameter, or the first that is given twice.
    """
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        raise request_invalid([FieldViolation(repeated[0][:100], "is given more than once")])
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> Exception:
    return request_invalid(
        [FieldViolation(".".join(map(str, fault["loc"])) or "body", told_with_value(fault)) for fault in error.errors()]
    )
