"""The public interface as models: what is parsed, and the shapes of the answers in `/openapi.json`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from chassis.http.fields import PublicRequest, Text
from chassis.http.page_tokens import PageToken
from chassis.limited import Limited
from ingest.options import ImageOptions
from ingest.state.images import ChosenImages

MAX_PAGE_SIZE: Annotated[int, Limited("entries", "400 `FIELD_INVALID`", "Largest page_size")] = 1000

MAX_CHOSEN: Annotated[
    int,
    Limited("entries", "400 `FIELD_INVALID`", "Codes, hosts or image ids of a retry, each", name="max_chosen"),
] = 1000

_T = TypeVar("_T")
_Chosen = Annotated[tuple[_T, ...] | None, Field(min_length=1, max_length=MAX_CHOSEN)]

PublicStatus = Literal["PENDING", "PROCESSING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"]


class BatchReference(PublicRequest):
    """`{"request_id": "..."}`."""

    request_id: Text = Field(description="The id that the upload answered")


class RetryBody(BatchReference):
    """Which images of a batch are tried again: those that fit each list that is given; without a list all."""

    codes: _Chosen[Text] = Field(None, description="Outcomes, e.g. HTTP_5XX")
    hosts: _Chosen[Text] = Field(None, description="Hosts that images come from")
    image_ids: _Chosen[UUID] = Field(None, description="Ids of images, as the status tells them")

    def chosen(self) -> ChosenImages:
        """Return the images."""
        return ChosenImages(self.codes, self.hosts, self.image_ids)


class PageQuery(PublicRequest):
    """How much of a batch, and which page of its products."""

    view: Literal["full", "summary"] = Field(
        "full", description="summary: no products and hosts, with an ETag; for looking again and again"
    )
    page_size: int = Field(100, ge=1, le=MAX_PAGE_SIZE, description="Most products of the page")
    page_token: PageToken = ""


class StatusQuery(PageQuery):
    """The status of a batch by query parameter."""

    request_id: Text = Field(description="The id that the upload answered")


class ListQuery(PublicRequest):
    """Which batches to list."""

    status: PublicStatus | None = Field(None, description="Only batches with this status")
    page_size: int = Field(100, ge=1, le=MAX_PAGE_SIZE, description="Most batches of the page")
    page_token: PageToken = ""


class Answer(BaseModel):
    """Base of the answers: the routes build them, and the document of the interface describes them."""

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
    layout: Literal["csv", "quoted_lines", "pipe_table", "items", "workbook"]


class ColumnAnswer(Answer):
    """A column, what it is or could be, and why."""

    role: str = Field(description="serial, name, urls, output, errors, or the name of an option")
    column: int = Field(description="Number of the column, from 1")
    title: str
    reason: str


class FindingsAnswer(Answer):
    """What was found out about a table of a sheet; the field `columns` of an upload can change the columns."""

    platform: str | None = Field(description="The platform whose export it is, e.g. Shopify product export")
    header_row: int = Field(description="Row of the titles, as a spreadsheet counts")
    chosen: list[ColumnAnswer] = Field(description="The columns that are used, in the order of the sheet")
    other_pictures: list[ColumnAnswer] = Field(description="Columns that look like pictures and are not used")


class MayBeLarger(Answer):
    """Images whose links end as those of formats that may become larger in the format that they are to get."""

    images: int
    endings: dict[str, int] = Field(description="The same by ending, e.g. .png")
    advice: str = Field(description="Which `format` is usually smaller")


class EstimateAnswer(Answer):
    """What a batch will probably take from its start on, as known when its sheet was read."""

    bytes_in: int = Field(description="To download, of the images that differ")
    bytes_out: int = Field(description="To store")
    seconds: int = Field(description="What compressors need, or the slowest host at its learned pace, if that is more")
    learned: bool = Field(description="Whether the bytes follow from your last batches")
    assumes: list[str] = Field(description="What this follows from, in words")


class UploadAnswer(Answer):
    """An accepted sheet.

    A large sheet in Cloud Storage is read afterwards: what it holds is null here, and told by its status.
    """

    request_id: str
    status: Literal["PENDING"]
    total_images: int | None
    invalid_images: int | None = Field(description="Slots whose link cannot be used; each has failed from the start")
    total_rows: int | None
    invalid_rows: int | None
    dialect: DialectAnswer | None
    columns: dict[str, list[str]] | None = Field(
        description="Titles by role or option, as the field `columns` takes them"
    )
    findings: FindingsAnswer | None
    may_be_larger: MayBeLarger | None = Field(description="Null when no link says so")
    estimate: EstimateAnswer | None
    problems: list[SheetWarning]
    problem_count: int
    problems_listed: int
    warnings: list[SheetWarning]
    warning_count: int
    links: dict[str, str]


class Savings(Answer):
    """What compression has saved on images that succeeded."""

    images: int = Field(description="How many succeeded, those with an equal URL counted too")
    bytes_in: int = Field(description="Bytes of their sources")
    bytes_out: int = Field(description="Bytes of their outputs")
    saved_bytes: int = Field(description="The difference; below 0 when the outputs are larger")
    saved_percent: float | None = Field(description="The same in percent of bytes_in; null when nothing is known")


class ImageAnswer(Answer):
    """One image in its slot."""

    id: str
    slot: int
    input_url: str
    column: int | None = Field(
        description="Index of the column that the link stands in, from 0; null in batches of the release before"
    )
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


class RowProblem(Answer):
    """Why a row was skipped."""

    column: str | None
    code: str
    message: str
    value: str | None


class ProductAnswer(Answer):
    """One row of the sheet."""

    id: str
    serial_number: str
    product_name: str
    input_images: str
    output_images: str
    status: PublicStatus
    problems: list[RowProblem]
    savings: Savings
    images: list[ImageAnswer]


class LargerThanSource(Answer):
    """Images of a batch whose output is larger than its source; each has LARGER_THAN_SOURCE in its `detail`."""

    images: int = Field(description="How many, those with an equal URL counted too")
    bytes: int = Field(description="By how many bytes together")
    advice: str | None = Field(description="Which `format` is usually smaller; null when there are none, or it is auto")


class BatchAnswer(Answer):
    """A batch without its products."""

    request_id: str
    owner: str | None
    status: PublicStatus
    source_name: str
    counts: Counts
    total_rows: int
    invalid_rows: int
    deduplicated: int = Field(description="Images that share the download of an equal URL with equal options")
    reused: int = Field(description="Images unchanged since an earlier batch, whose output was used again")
    progress_percent: float = Field(description="0 to 100; 100 only once the batch is finished")
    estimate: EstimateAnswer | None = Field(description="As its upload was told; null until a large sheet is read")
    generation: int
    options: ImageOptions
    dialect: DialectAnswer
    bytes_in: int
    bytes_out: int
    savings: Savings
    larger_than_source: LargerThanSource
    error: dict[str, object] | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str = Field(description="When images that are still open fail with DEADLINE")
    links: dict[str, str]


class HostProgress(Answer):
    """How a batch gets on at one host.

    `requests` and `failures` are this batch's attempts there; the state is that of the host for everybody. CLOSED:
    images are fetched. WAITING: it asked us to. OPEN: nothing good came of late. HALF_OPEN: one image tries again.
    """

    host: str
    state: Literal["CLOSED", "WAITING", "OPEN", "HALF_OPEN"]
    images: int
    requests: int
    failures: int
    images_per_s: float | None = Field(description="How fast it is asked, for all batches: learned from its answers")
    under_way: int = Field(description="Its images that have started and not ended, of all batches")
    first_byte_ms: int | None = Field(description="Until it answers while it is not busy; null while unknown")
    savings: Savings = Field(description="Images that ended before migration 0011 are not counted")
    until: str | None


class ImportProgress(Answer):
    """How far the import of a large sheet is: first all rows are checked, then they are stored."""

    state: Literal["CHECKING", "STORING", "ENDED"]
    rows_checked: int
    rows_stored: int
    images_stored: int
    warnings: list[SheetWarning] = Field(description="The first 100")
    warning_count: int


class SummaryAnswer(BatchAnswer):
    """A batch with its rate."""

    images_per_s: float | None = Field(description="Since the start; null before 20 images ended and after a retry")
    eta_seconds: int | None = Field(description="Until the last image ends; null when unknown")
    sheet_import: ImportProgress | None = Field(description="Null for a sheet that was read by its upload")


class StatusAnswer(SummaryAnswer):
    """A batch with its rate, its hosts (those in trouble first and 100 at most), and a page of its products."""

    hosts: list[HostProgress]
    host_count: int
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


class LimitAnswer(Answer):
    """One limit; `use` is the caller's present use of a quota."""

    name: str
    value: int | float
    unit: str
    meaning: str
    setting: str | None
    use: int | None


class LimitsAnswer(Answer):
    """The limits that hold here: all of them in `limits`, some as fields of their own too."""

    max_sheet_bytes: int
    max_rows: int
    max_images: int
    max_urls_per_cell: int
    max_columns: int
    max_field_characters: int
    max_row_characters: int
    max_url_characters: int
    max_attempts: int
    batch_deadline_s: int
    idempotency_ttl_s: int
    max_items: int
    max_items_bytes: int
    sheet_buckets: list[str]
    encodings: list[str]
    delimiters: list[str]
    formats: list[str]
    quality: dict[str, int]
    limits: list[LimitAnswer]
