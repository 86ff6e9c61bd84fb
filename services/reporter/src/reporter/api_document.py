"""The public routes as OpenAPI: one table row each; a test compares the table with the application's routes."""

from __future__ import annotations

from typing import Any

from chassis.openapi import Operation, openapi_document
from reporter.models import DeliveriesAnswer, DeliveriesQuery, DownloadAnswer, DownloadQuery, FileQuery

VERSION = "1"

OPERATIONS = (
    Operation(
        "GET",
        "/download_csv",
        "Get expiring links to the report of a batch, or of the latest finished one",
        {200: DownloadAnswer},
        query=DownloadQuery,
        errors=(400, 404, 503),
    ),
    Operation(
        "GET",
        "/reports/{request_id}/{file_name}",
        "Download output.csv, failed.csv or results.jsonl with the token of a link",
        {200: "text/csv"},
        query=FileQuery,
        errors=(400, 403, 404, 503),
    ),
    Operation(
        "GET",
        "/deliveries",
        "List the webhook deliveries of a batch and their attempts",
        {200: DeliveriesAnswer},
        query=DeliveriesQuery,
        errors=(400, 503),
    ),
)


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the public routes."""
    return openapi_document(
        title="Pressroom reporter",
        version=VERSION,
        description="Reports, download links and webhook deliveries.",
        operations=OPERATIONS,
    )
