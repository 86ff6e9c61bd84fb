"""The table of public operations: the one source of `/openapi.json` and `/docs`."""

from __future__ import annotations

from functools import cache
from typing import Any

from chassis.http.openapi import Operation, openapi_document
from ingest.http import examples
from ingest.http.batch_schemas import (
    HostsAnswer,
    HostsQuery,
    ImagesAnswer,
    ImagesQuery,
    ProblemsAnswer,
    WhoAmIAnswer,
)
from ingest.http.check_schemas import ValidationAnswer
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
)
from ingest.http.upload_addresses import UploadAddressAnswer, UploadAddressRequest
from ingest.http.upload_schemas import JsonUploadDocument, UploadDocument, UploadQuery

VERSION = "0.9.0"

DESCRIPTION = "A CSV of image links goes in, images are compressed, the CSV comes back with the new links."

TAGS = {
    "batches": "Sheets in: upload, check, follow, cancel, try again.",
    "results": "What became of the images of a batch.",
    "service": "Limits, who the caller is, and the service itself.",
    "internal": "For our own services, with a token of Google.",
}

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
        id="upload_sheet",
        tag="batches",
        takes_key=True,
        example=examples.UPLOAD,
        answer_example=examples.ACCEPTED,
    ),
    Operation(
        "POST",
        "/uploads",
        "Get an address to upload a large sheet to, resumable and good for one sheet",
        {201: UploadAddressAnswer},
        body=UploadAddressRequest,
        errors=(400, 413, 415, 503),
        scope="write",
        id="create_upload_address",
        tag="batches",
        example=examples.UPLOAD_ADDRESS,
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
        id="correct_sheet",
        tag="batches",
        example=examples.UPLOAD,
    ),
    Operation(
        "GET",
        "/status",
        "Read a batch and a page of its products",
        {200: (StatusAnswer, SummaryAnswer), 304: ""},
        StatusQuery,
        errors=(400, 404),
        scope="read",
        id="get_status_by_query",
        tag="batches",
    ),
    Operation(
        "GET",
        "/status/{request_id}",
        "Read a batch and a page of its products",
        {200: (StatusAnswer, SummaryAnswer), 304: ""},
        PageQuery,
        errors=(400, 404),
        scope="read",
        id="get_status",
        tag="batches",
        answer_example=examples.STATUS,
    ),
    Operation(
        "GET",
        "/status/{request_id}/images",
        "List the images of a batch in the order of its sheet, filtered",
        {200: ImagesAnswer},
        ImagesQuery,
        errors=(400, 404),
        scope="read",
        id="list_images",
        tag="results",
    ),
    Operation(
        "GET",
        "/status/{request_id}/problems",
        "Count the images of a batch without an output by code and host",
        {200: ProblemsAnswer},
        errors=(400, 404),
        scope="read",
        id="list_problems",
        tag="results",
    ),
    Operation(
        "GET",
        "/status/{request_id}/hosts",
        "List the hosts of a batch, those in trouble first",
        {200: HostsAnswer},
        HostsQuery,
        errors=(400, 404),
        scope="read",
        id="list_hosts",
        tag="results",
    ),
    Operation(
        "GET",
        "/requests",
        "List batches, newest first",
        {200: ListAnswer},
        ListQuery,
        errors=(400,),
        scope="read",
        id="list_batches",
        tag="batches",
    ),
    Operation(
        "POST",
        "/cancel",
        "Cancel the open images of a batch; results stay",
        {202: CancelAnswer},
        body=BatchReference,
        errors=(400, 404, 415),
        scope="write",
        id="cancel_batch",
        tag="batches",
        example=examples.BATCH,
        answer_example=examples.CANCELLED,
    ),
    Operation(
        "POST",
        "/retry",
        "Try the failed and cancelled images of a finished batch again, all or some",
        {202: RetryAnswer},
        body=RetryBody,
        errors=(400, 404, 415, 429),
        scope="write",
        id="retry_batch",
        tag="batches",
        example=examples.BATCH | {"codes": ["HTTP_5XX", "TIMEOUT"]},
        answer_example=examples.RETRIED,
    ),
    Operation(
        "POST",
        "/process",
        "Start the processing of a batch (internal: Cloud Tasks, with an OIDC token)",
        {200: ProcessAnswer},
        body=BatchReference,
        errors=(400, 401, 403, 404, 415, 503),
        scope="internal",
        id="process_batch",
        tag="internal",
        example=examples.BATCH,
    ),
    Operation(
        "GET",
        "/limits",
        "Read every limit, quotas with their use",
        {200: LimitsAnswer},
        scope="read",
        id="list_limits",
        tag="service",
    ),
    Operation(
        "GET",
        "/whoami",
        "Say whose key this is and what it may do",
        {200: WhoAmIAnswer},
        scope="read",
        id="who_am_i",
        tag="service",
    ),
    Operation(
        "GET", "/health", "Say that the process is up", {200: "application/json"}, id="get_health", tag="service"
    ),
    Operation(
        "GET",
        "/openapi.json",
        "Read this document",
        {200: "application/json"},
        id="get_openapi",
        tag="service",
    ),
    Operation(
        "GET",
        "/docs",
        "Read this document as a page",
        {200: "text/html"},
        id="get_docs",
        tag="service",
    ),
    Operation(
        "GET",
        "/",
        "Say where things are; browsers are led to the console",
        {200: "application/json"},
        id="get_home",
        tag="service",
    ),
)


@cache
def document(server_url: str) -> dict[str, Any]:
    """Return the OpenAPI document; making it takes a tenth of a second."""
    return openapi_document(
        title="Pressroom ingest",
        version=VERSION,
        description=DESCRIPTION,
        operations=OPERATIONS,
        server_url=server_url.rstrip("/"),
        tags=TAGS,
    )
