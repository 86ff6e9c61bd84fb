"""Payloads of the internal routes, as fixed by workflows/contracts/*.schema.json."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from chassis.auth.api_keys import OWNER_PATTERN
from chassis.http.fields import PeerRequest, Text
from chassis.http.requests import parse_id
from chassis.limited import Limited
from ingest.dispatch.claim import ClaimedPage
from ingest.dispatch.groups import task_groups
from ingest.dispatch.pace import MAX_TASK_IMAGES
from ingest.http.public_schemas import Counts
from ingest.http.upload_schemas import WebUrl
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.state.batch import BatchStatus, ImageStatus
from ingest.state.images import Outcome
from ingest.state.success import MOST_OUTCOMES

MAX_ERROR_CHARS: Annotated[
    int,
    Limited(
        "characters",
        "the beginning of it is kept",
        "Error that a workflow reports",
        name="max_error_characters",
        internal=True,
    ),
] = 4000
_LEASE = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/[1-9][0-9]{0,8}"
_LEASES_PATTERN = rf"^{_LEASE}(?:\+{_LEASE}){{0,{MAX_TASK_IMAGES - 1}}}$"
_EXECUTION_PATTERN = r"^projects/[^/\s]+/locations/[^/\s]+/workflows/[^/\s]+/executions/[^/\s]+$"

ExecutionName = Annotated[Text, Field(pattern=_EXECUTION_PATTERN, max_length=500)]
"""Full name of an execution."""

Count = Annotated[int | None, Field(ge=0, lt=2**63)]
Pixels = Annotated[int | None, Field(ge=0, lt=2**31)]


def storable_json(value: Any) -> Any:
    """Return JSON that jsonb can hold: strings cleaned and cut, depth and width bounded."""
    return _cleaned(value, depth=4)


def _cleaned(value: Any, *, depth: int) -> Any:
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode()[:MAX_ERROR_CHARS]
        case dict() if depth:
            items = list(value.items())[:20]
            return {_cleaned(str(key), depth=0)[:100]: _cleaned(item, depth=depth - 1) for key, item in items}
        case list() if depth:
            return [_cleaned(item, depth=depth - 1) for item in value[:20]]
        case dict() | list():
            return "…"
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value


class StartRequest(PeerRequest):
    """start_request.schema.json."""

    execution: ExecutionName
    callback_url: Text = Field(pattern=r"^https?://", max_length=2083)


class ChunkRequest(PeerRequest):
    """import_chunk_request.schema.json."""

    execution: ExecutionName


class ClaimRequest(PeerRequest):
    """claim_request.schema.json."""

    execution: ExecutionName
    max_rows: int = Field(ge=1, le=100)


class TaskFailure(PeerRequest):
    """`google.rpc.Status`, of which the details are not read."""

    model_config = ConfigDict(extra="ignore")

    code: int
    message: Text = Field("", max_length=100_000)


def _lease_of(lease: str) -> tuple[UUID, int]:
    image, _, attempt = lease.partition("/")
    return UUID(image), int(attempt)


class GiveBackRequest(PeerRequest):
    """give_back_request.schema.json."""

    execution: ExecutionName
    leases: list[Annotated[Text, Field(pattern=_LEASES_PATTERN)]] = Field(min_length=1, max_length=100)
    failures: dict[Annotated[Text, Field(pattern=r"^[0-9]{1,3}$")], TaskFailure] | None

    def to_leases(self) -> list[list[tuple[UUID, int]]]:
        """Return of each task image and attempt of what it carries."""
        return [[_lease_of(lease) for lease in task.split("+")] for task in self.leases]

    def to_failures(self) -> dict[int, tuple[int, str]] | None:
        """Return code and text by index; None when no task was created."""
        if self.failures is None:
            return None
        return {int(index): (failure.code, failure.message) for index, failure in self.failures.items()}


class FinishRequest(PeerRequest):
    """finish_request.schema.json."""

    execution: ExecutionName
    report_uri: Text = Field(pattern=r"^gs://[^/]+/.+$", max_length=2083)


class ReleaseRequest(PeerRequest):
    """release_request.schema.json."""

    execution: ExecutionName


class FailRequest(PeerRequest):
    """fail_request.schema.json; `error` is whatever the workflow caught, made storable and small."""

    execution: ExecutionName
    step: Text = Field(max_length=200)
    error: Annotated[Any, AfterValidator(storable_json)]


class ImportRequest(PeerRequest):
    """import_request.schema.json."""

    execution: ExecutionName
    csv_uri: Text = Field(pattern=r"^gs://[^/]+/.+$", max_length=2083)
    webhook_url: WebUrl | None
    options: ImageOptions | None
    owner: Text | None = Field(None, pattern=OWNER_PATTERN)


class ImageOutcome(PeerRequest):
    """What the compressor says of one attempt."""

    attempt: int = Field(ge=1, lt=2**31)
    outcome: Literal["SUCCEEDED", "FAILED", "DEFERRED"]
    code: Text = Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)
    detail: Text = Field(max_length=10_000)
    transient: bool
    retry_after_s: float | None = Field(ge=0, allow_inf_nan=False)
    output_url: Text | None = Field(max_length=4000)
    bytes_in: Count
    bytes_out: Count
    width: Pixels
    height: Pixels
    format: Text | None = Field(max_length=100)
    sha256: Text | None = Field(max_length=100)
    duration_ms: Count
    reused: bool = False
    source_sha256: Text | None = Field(None, pattern="^[0-9a-f]{64}$")
    etag: Text | None = Field(None, max_length=200)
    last_modified: Text | None = Field(None, max_length=40)
    first_byte_ms: Count = None
    codec_ms: Count = None

    @model_validator(mode="after")
    def _success_has_an_output(self) -> Self:
        if self.outcome == "SUCCEEDED" and not self.output_url:
            raise ValueError("a success needs an output_url")
        return self

    def outcome_of(self, request_id: UUID) -> Outcome:
        """Return the report as the use case takes it."""
        values = self.model_dump(exclude={"request_id", "image_id", "outcome"})
        return Outcome(
            request_id=request_id,
            succeeded=self.outcome == "SUCCEEDED",
            deferred=self.outcome == "DEFERRED",
            **values,
        )


class OutcomeRequest(ImageOutcome):
    """outcome_request.schema.json."""

    request_id: Text

    def to_outcome(self) -> Outcome:
        """Return the report as the use case takes it.

        Raises:
            ApiError: 400 REQUEST_ID_INVALID.
        """
        return self.outcome_of(parse_id(self.request_id))


class OutcomeOfMany(ImageOutcome):
    """An element of `outcomes` in outcomes_request.schema.json."""

    image_id: UUID


class OutcomesRequest(PeerRequest):
    """outcomes_request.schema.json."""

    request_id: Text
    outcomes: list[OutcomeOfMany] = Field(min_length=1, max_length=MOST_OUTCOMES)

    def to_outcomes(self, request_id: UUID) -> dict[UUID, Outcome]:
        """Return the reports by image."""
        return {each.image_id: each.outcome_of(request_id) for each in self.outcomes}


class Answer(BaseModel):
    """Base of what internal routes answer; the schemas of workflows/contracts say the same."""

    model_config = ConfigDict(extra="forbid")


class ImportAnswer(Answer):
    """import_response.schema.json."""

    request_id: str
    status: BatchStatus
    counts: Counts


class StartAnswer(ImportAnswer):
    """start_response.schema.json."""

    owner: bool


class ReleaseAnswer(Answer):
    """release_response.schema.json."""

    request_id: str
    status: BatchStatus


class TaskGroupAnswer(Answer):
    """Tasks that one call creates: its name, what is leased, and the requests in the form of Cloud Tasks."""

    request_id: str
    leases: list[str]
    requests: list[dict[str, Any]]


class ClaimAnswer(Answer):
    """claim_response.schema.json."""

    request_id: str
    groups: list[TaskGroupAnswer]
    image_count: int
    open: int
    next_claim_s: float

    @classmethod
    def of(cls, page: ClaimedPage, settings: IngestSettings) -> Self:
        """Return a page as the workflow reads it."""
        return cls(
            request_id=str(page.batch.request_id),
            groups=[TaskGroupAnswer(**group.to_json(settings)) for group in task_groups(page.tasks)],
            image_count=len(page.images),
            open=page.batch.pending,
            next_claim_s=round(page.next_claim_s, 3),
        )


class GiveBackAnswer(Answer):
    """give_back_response.schema.json."""

    images: int
    refusal: str | None


class FinishAnswer(ImportAnswer):
    """finish_response.schema.json; what a notification needs."""

    message: str
    finished_at: str | None
    generation: int
    webhook_url: str | None
    owner: str | None


class FailAnswer(FinishAnswer):
    """fail_response.schema.json."""

    terminal: bool


class OutcomeAnswer(Answer):
    """outcome_response.schema.json."""

    applied: bool
    image_status: ImageStatus
    batch_status: BatchStatus
    host_closed_s: float


class OutcomesAnswer(Answer):
    """outcomes_response.schema.json."""

    applied: list[str]
    host_closed_s: float


class SweepAnswer(Answer):
    """sweep_response.schema.json."""

    swept: dict[str, int]
