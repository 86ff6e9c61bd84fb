"""The table of public operations: the one source of `/openapi.json` and `/docs`."""

from __future__ import annotations

from chassis.http.openapi import Operation
from ingest.http.batch_schemas import (
    HostsAnswer,
    HostsQuery,
    ImagesAnswer,
    ImagesQuery,
    ProblemsAnswer,
    WhoAmIAnswer,
)
from ingest.http.public_schemas import (
    BatchReference,
    CancelAnswer,
    LimitsAnswer,
    ListAnswer,
    ListQuery,
    PageQuery,
    ProcessAnswer,
    RetryAnswer,
    RetryBody,
    StatusAnswer,
    StatusQuery,
    SummaryAnswer,
    UploadAnswer,
    ValidationAnswer,
)
from ingest.http.upload_schemas import JsonUploadDocument, UploadDocument, UploadQuery

VERSION = "0.9.0"

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "POST",
        "/upload",
        "Upload a sheet of image links; Idempotency-Key makes a repeat harmless",
        {202: UploadAnswer, 200: ValidationAnswer},
        UploadQuery,
        body=UploadDocument,
        body_media_type="multipart/form-data",
        other_bodies={"application/json": JsonUploadDocument},
        errors=(400, 403, 404, 413, 415, 422, 429, 503),
        scope="write",
    ),
    Operation(
        "POST",
        "/corrected_sheet",
        "Get a sheet back repaired, in CSV UTF-8, with a column of what is wrong; stores nothing",
        {200: "text/csv"},
        UploadQuery,
        body=UploadDocument,
        body_media_type="multipart/form-data",
        other_bodies={"application/json": JsonUploadDocument},
        errors=(400, 403, 404, 413, 415, 503),
        scope="write",
    ),
    Operation(
        "GET",
        "/status",
        "Read a batch and a page of its products",
        {200: (StatusAnswer, SummaryAnswer), 304: ""},
        StatusQuery,
        errors=(400, 404),
        scope="read",
    ),
    Operation(
        "GET",
        "/status/{request_id}",
        "Read a batch and a page of its products",
        {200: (StatusAnswer, SummaryAnswer), 304: ""},
        PageQuery,
        errors=(400, 404),
        scope="read",
    ),
    Operation(
        "GET",
        "/status/{request_id}/images",
        "List the images of a batch in the order of its sheet, filtered",
        {200: ImagesAnswer},
        ImagesQuery,
        errors=(400, 404),
        scope="read",
    ),
    Operation(
        "GET",
        "/status/{request_id}/problems",
        "Count the images of a batch without an output by code and host",
        {200: ProblemsAnswer},
        errors=(400, 404),
        scope="read",
    ),
    Operation(
        "GET",
        "/status/{request_id}/hosts",
        "List the hosts of a batch, those in trouble first",
        {200: HostsAnswer},
        HostsQuery,
        errors=(400, 404),
        scope="read",
    ),
    Operation(
        "GET", "/requests", "List batches, newest first", {200: ListAnswer}, ListQuery, errors=(400,), scope="read"
    ),
    Operation(
        "POST",
        "/cancel",
        "Cancel the open images of a batch; results stay",
        {202: CancelAnswer},
        body=BatchReference,
        errors=(400, 404, 415),
        scope="write",
    ),
    Operation(
        "POST",
        "/retry",
        "Try the failed and cancelled images of a finished batch again, all or some",
        {202: RetryAnswer},
        body=RetryBody,
        errors=(400, 404, 415, 429),
        scope="write",
    ),
    Operation(
        "POST",
        "/process",
        "Start the processing of a batch (internal: Cloud Tasks, with an OIDC token)",
        {200: ProcessAnswer},
        body=BatchReference,
        errors=(400, 401, 403, 404, 415, 503),
        scope="internal",
    ),
    Operation("GET", "/limits", "Read every limit, quotas with their use", {200: LimitsAnswer}, scope="read"),
    Operation("GET", "/whoami", "Say whose key this is and what it may do", {200: WhoAmIAnswer}, scope="read"),
    Operation("GET", "/health", "Say that the process is up", {200: "application/json"}),
    Operation("GET", "/openapi.json", "Read this document", {200: "application/json"}),
    Operation("GET", "/docs", "Read this document as a page", {200: "text/html"}),
    Operation("GET", "/", "Say where things are; browsers are led to the console", {200: "application/json"}),
)
