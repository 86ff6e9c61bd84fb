"""The public interface as models: what is parsed, and the shapes of the answers in `/openapi.json`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from ingest.options import MAX_SIDE_PX, ImageOptions
from ingest.request_parsing import Request, Text, WebUrl

FILE_FIELDS = ("file", "csv", "csvFile", "csv_file", "input_data")
WEBHOOK_FIELDS = ("webhook_url", "webhookUrl", "webHookUrl", "callbackUrl")

PublicStatus = Literal["PENDING", "PROCESSING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"]


def _none_if_empty(value: object) -> object:
    # An HTML form sends its empty fields.
    return None if value == "" else value


class UploadForm(Request):
    """The form fields beside the sheet."""

    webhook_url: Annotated[WebUrl | None, BeforeValidator(_none_if_empty)] = Field(
        None, validation_alias=AliasChoices(*WEBHOOK_FIELDS), description="Told when this batch ends"
    )
    quality: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=95, description="Quality of the encoder, 1 to 95; 50 unless given"
    )
    max_width: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=MAX_SIDE_PX, description="Widest output in pixels"
    )
    max_height: Annotated[int | None, BeforeValidator(_none_if_empty)] = Field(
        None, ge=1, le=MAX_SIDE_PX, description="Highest output in pixels"
    )
    format: Annotated[Literal["jpeg", "webp", "png", "keep"] | None, BeforeValidator(_none_if_empty)] = Field(
        None, description="Format of the outputs; jpeg unless given"
    )

    def options(self) -> ImageOptions:
        """Return the options of the batch, defaults filled in."""
        given = self.model_dump(exclude_none=True, exclude={"webhook_url"})
        return ImageOptions.model_validate(given)


class UploadDocument(BaseModel):
    """The multipart form as the document of the interface shows it."""

    file: str = Field(description="The sheet, CSV in UTF-8; also accepted as csv, csvFile, csv_file, input_data")
    webhook_url: str | None = Field(None, description="Told when this batch ends; also webhookUrl, callbackUrl")
    quality: int | None = Field(None, ge=1, le=95)
    max_width: int | None = Field(None, ge=1, le=MAX_SIDE_PX)
    max_height: int | None = Field(None, ge=1, le=MAX_SIDE_PX)
    format: Literal["jpeg", "webp", "png", "keep"] | None = None


class BatchReference(Request):
    """`{"request_id": "..."}`."""

    request_id: Text = Field(description="The id that the upload answered")


class PageQuery(Request):
    """Which page of a batch's products."""

    page_size: int = Field(100, ge=1, le=1000, description="Most products of the page")
    page_token: Text = Field("", max_length=1000, description="next_page_token of the page before")


class StatusQuery(PageQuery):
    """The status of a batch by query parameter."""

    request_id: Text = Field(description="The id that the upload answered")


class ListQuery(Request):
    """Which batches to list."""

    status: PublicStatus | None = Field(None, description="Only batches with this status")
    page_size: int = Field(100, ge=1, le=1000, description="Most batches of the page")
    page_token: Text = Field("", max_length=1000, description="next_page_token of the page before")


class Answer(BaseModel):
    """Base of the answers; serialised by hand, described here."""

    model_config = ConfigDict(extra="forbid")


class Counts(Answer):
    """How many images are in which state; pending + succeeded + failed = total."""

    total: int
    pending: int
    succeeded: int
    failed: int


class SheetWarning(Answer):
    """Something about a row that its owner should know; nothing was refused."""

    row: int | None
    column: str | None
    code: str
    message: str
    value: str | None


class DialectAnswer(Answer):
    """How the bytes of a sheet were read."""

    encoding: str
    bom: bool
    delimiter: str
    layout: Literal["csv", "quoted_lines", "pipe_table", "items"]


class UploadAnswer(Answer):
    """An accepted sheet."""

    request_id: str
    status: Literal["PENDING"]
    total_images: int
    total_rows: int
    dialect: DialectAnswer
    warnings: list[SheetWarning]
    warning_count: int
    links: dict[str, str]


class ImageAnswer(Answer):
    """One image in its slot."""

    id: str
    slot: int
    input_url: str
    status: str
    code: str | None
    detail: str | None
    output_url: str | None
    bytes_in: int | None
    bytes_out: int | None
    width: int | None
    height: int | None
    format: str | None
    sha256: str | None
    attempts: int
    duration_ms: int | None
    duplicate_of: str | None


class ProductAnswer(Answer):
    """One row of the sheet."""

    id: str
    serial_number: str
    product_name: str
    input_images: str
    output_images: str
    status: PublicStatus
    images: list[ImageAnswer]


class BatchAnswer(Answer):
    """A batch without its products."""

    request_id: str
    status: PublicStatus
    source_name: str
    counts: Counts
    total_rows: int
    progress_percent: float
    generation: int
    options: ImageOptions
    bytes_in: int
    bytes_out: int
    error: dict[str, object] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline_at: str
    links: dict[str, str]


class StatusAnswer(BatchAnswer):
    """A batch with a page of its products."""

    products: list[ProductAnswer]
    next_page_token: str


class ListAnswer(Answer):
    """A page of batches, newest first."""

    requests: list[BatchAnswer]
    next_page_token: str


class ProcessAnswer(Answer):
    """The present status of a batch and a sentence about it."""

    request_id: str
    status: PublicStatus
    message: str


class RetryAnswer(ProcessAnswer):
    """A reopened batch."""

    retried_images: int
    generation: int


class CancelAnswer(ProcessAnswer):
    """A batch that is being cancelled."""

    cancelled_images: int


class LimitsAnswer(Answer):
    """The limits that hold for uploads here."""

    max_sheet_bytes: int
    max_rows: int
    max_images: int
    max_urls_per_cell: int
    max_columns: int
    max_field_characters: int
    max_url_characters: int
    max_attempts: int
    batch_deadline_s: int
    idempotency_ttl_s: int
    encodings: list[str]
    delimiters: list[str]
    formats: list[str]
    quality: dict[str, int]
