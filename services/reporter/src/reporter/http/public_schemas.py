"""What the public routes of reports, deliveries and limits accept and answer."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chassis.clock import Clock
from chassis.http.fields import PublicRequest
from chassis.http.page_tokens import PageToken
from chassis.limited import Limited
from chassis.times import rfc3339
from reporter.reports.links import (
    CONTENT_TYPES,
    FAILED_CSV,
    OUTPUT_CSV,
    OUTPUT_XLSX,
    REPORT_HTML,
    RESULTS_JSONL,
    make_link,
)
from reporter.settings import ReporterSettings
from reporter.state.delivery_log import LoggedAttempt, LoggedDelivery
from reporter.state.reports import Report

MAX_TOKEN_CHARS: Annotated[
    int, Limited("characters", "400 `FIELD_INVALID`", "Longest token of a download link", name="max_token_characters")
] = 2000


MAX_PAGE_SIZE: Annotated[int, Limited("entries", "400 `FIELD_INVALID`", "Largest page_size")] = 100


class DownloadQuery(PublicRequest):
    """Query of GET /download_csv."""

    request_id: str | None = Field(None, description="The batch; without it: the latest finished one")


class FileQuery(PublicRequest):
    """Query of GET /reports/{request_id}/{file_name}."""

    token: str = Field("", description="The token of a download link", max_length=MAX_TOKEN_CHARS)
    generation: int | None = Field(None, ge=1, description="Run of the batch; must be the one the token was made for")
    bom: bool = Field(True, description="0: without the byte order mark that Excel needs at the start of a CSV file")
    excel_safe: bool = Field(
        False, description="1: every cell of a CSV file that begins like a formula gets an apostrophe in front"
    )


class ImageQuery(PublicRequest):
    """Query of GET /images/{name}."""

    expires: int = Field(0, ge=0, le=1 << 40, description="Second at which the link ends")
    signature: str = Field("", description="What ingest has signed the link with", max_length=MAX_TOKEN_CHARS)


class DeliveriesQuery(PublicRequest):
    """Query of GET /deliveries."""

    request_id: str | None = Field(None, description="The batch; without it: those of all batches, by the page")
    page_size: int = Field(100, ge=1, le=MAX_PAGE_SIZE, description="Most deliveries of a page")
    page_token: PageToken = ""

    @model_validator(mode="after")
    def _pages_are_of_all(self) -> Self:
        if self.request_id is not None and self.model_fields_set & {"page_size", "page_token"}:
            raise ValueError("page_size and page_token are for a list without request_id")
        return self


class Answer(BaseModel):
    """Base of what the public routes answer."""

    model_config = ConfigDict(frozen=True)


def former(name: str) -> str:
    """Return the description of a field that goes with the next release."""
    return f"Former name of {name}; the next release does not have it"


class DownloadAnswer(Answer):
    """Answer of GET /download_csv: expiring links to the files of a report."""

    download_url: str = Field(description="The sheet with compressed URLs and errors (output.csv)")
    failed_url: str = Field(description="Only the rows with failed images, to be uploaded again (failed.csv)")
    results_url: str = Field(description="Everything known of every image, one JSON object per line (results.jsonl)")
    xlsx_url: str | None = Field(
        description="output.csv as an Excel workbook (output.xlsx); null when the sheet did not come as one"
    )
    xlsx_left_out: str | None = Field(
        description="Why there is no output.xlsx although the sheet came as a workbook: the limit that it passes"
    )
    report_url: str | None = Field(
        description="The batch on one page for people (report.html); null in reports of the releases before"
    )
    request_id: str = Field(description="The batch")
    generation: int = Field(description="Run of the batch")
    expires_at: str = Field(description="When the links stop working, RFC 3339")
    expire_time: str = Field(description=former("expires_at"), json_schema_extra={"deprecated": True})


class AttemptBody(Answer):
    """One finished attempt of a delivery."""

    number: int = Field(description="1 for the first")
    started_at: str = Field(description="RFC 3339")
    start_time: str = Field(description=former("started_at"), json_schema_extra={"deprecated": True})
    elapsed_ms: int = Field(description="Milliseconds")
    status_code: int | None = Field(description="The receiver's HTTP status; null when there was none")
    failure: str | None = Field(description="Why there was no HTTP status, e.g. TIMEOUT")
    answer: str | None = Field(
        description="First 2 KB of the receiver's answer; null where it is not shown: in the log of a batch, and to"
        " callers without an API key"
    )


class DeliveryBody(Answer):
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
    created_at: str = Field(description="RFC 3339")
    create_time: str = Field(description=former("created_at"), json_schema_extra={"deprecated": True})
    next_attempt_at: str | None = Field(description="RFC 3339; null when none follows")
    next_attempt_time: str | None = Field(description=former("next_attempt_at"), json_schema_extra={"deprecated": True})
    attempts: list[AttemptBody] = Field(description="The finished attempts in order")


class LimitAnswer(Answer):
    """One limit."""

    name: str = Field(description="Its name, as errors say it")
    value: int | float = Field(description="Its value here")
    unit: str = Field(description="Of the value")
    meaning: str = Field(description="What is limited")
    setting: str | None = Field(description="Environment variable that sets it; null: the code does")
    use: int | None = Field(description="The caller's present use of a quota; null for other limits")


class LimitsAnswer(Answer):
    """Answer of GET /limits."""

    limits: list[LimitAnswer] = Field(description="All of them")


class DeliveriesAnswer(Answer):
    """Answer of GET /deliveries."""

    request_id: str | None = Field(description="The batch; null in a list of all")
    deliveries: list[DeliveryBody] = Field(
        description="Of a batch oldest first, of all newest first; empty when nobody was told"
    )
    next_page_token: str = Field(description="Of a list of all; empty after the last page")


def download_answer(settings: ReporterSettings, clock: Clock, report: Report) -> DownloadAnswer:
    """Return new links to the files of a report."""
    links = {name: make_link(settings, clock, report, name) for name in CONTENT_TYPES}
    expires_at = rfc3339(links[OUTPUT_CSV].expires_at)
    return DownloadAnswer(
        download_url=links[OUTPUT_CSV].url,
        failed_url=links[FAILED_CSV].url,
        results_url=links[RESULTS_JSONL].url,
        xlsx_url=None if report.output_xlsx is None else links[OUTPUT_XLSX].url,
        xlsx_left_out=report.xlsx_left_out,
        report_url=None if report.report_html is None else links[REPORT_HTML].url,
        request_id=str(report.request_id),
        generation=report.generation,
        expires_at=expires_at,
        expire_time=expires_at,
    )


def delivery_body(delivery: LoggedDelivery, *, with_answers: bool = False) -> DeliveryBody:
    """Return a delivery as it is shown.

    Of a URL only the host is told: path and query may hold secrets. `with_answers` tells what the receiver said, for
    those whose endpoint it is.
    """
    created_at, next_attempt_at = rfc3339(delivery.created_at), rfc3339(delivery.next_attempt_at)
    return DeliveryBody(
        id=str(delivery.id),
        request_id=str(delivery.request_id),
        endpoint_id=None if delivery.endpoint_id is None else str(delivery.endpoint_id),
        message_id=delivery.message_id,
        type=delivery.type,
        generation=delivery.generation,
        url_host=_host(delivery.url),
        state=delivery.state,
        end_reason=delivery.end_reason,
        created_at=created_at,
        create_time=created_at,
        next_attempt_at=next_attempt_at,
        next_attempt_time=next_attempt_at,
        attempts=[_attempt_body(attempt, with_answers=with_answers) for attempt in delivery.attempts],
    )


def _attempt_body(attempt: LoggedAttempt, *, with_answers: bool) -> AttemptBody:
    started_at = rfc3339(attempt.started_at)
    return AttemptBody(
        number=attempt.number,
        started_at=started_at,
        start_time=started_at,
        elapsed_ms=attempt.elapsed_ms,
        status_code=attempt.status_code,
        failure=attempt.failure,
        answer=attempt.answer if with_answers and attempt.failure is None else None,
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
