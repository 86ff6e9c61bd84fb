"""The public routes as OpenAPI: one table row each; a test compares the table with the application's routes."""

from __future__ import annotations

from functools import cache
from typing import Any

from chassis.http.openapi import Hook, Operation, openapi_document
from reporter.http.event_schemas import EventBody, event_example
from reporter.http.public_schemas import (
    DeliveriesAnswer,
    DeliveriesQuery,
    DeliveryBody,
    DownloadAnswer,
    DownloadQuery,
    FileQuery,
    ImageQuery,
    LimitsAnswer,
)
from reporter.http.webhook_schemas import (
    EndpointBody,
    EndpointCreate,
    EndpointDeleted,
    EndpointDeliveriesAnswer,
    EndpointDeliveriesQuery,
    EndpointPatch,
    EndpointsAnswer,
    EndpointsQuery,
    EndpointWithSecret,
    RedeliverAnswer,
    RedeliverSince,
    SecretRotate,
)
from reporter.reports.links import CONTENT_TYPES
from reporter.webhooks.events import TEST_EVENT_TYPE

VERSION = "0.9.0"

TAGS = {
    "reports": "Sheets out: links to the files of a report, and the files.",
    "webhooks": "Endpoints that are told what becomes of batches, and what they are sent.",
    "deliveries": "What was sent, what was answered, and sending it again.",
    "service": "Limits.",
}

_WHEN = {
    "batch.accepted": "A sheet was taken",
    "batch.started": "The first images of a batch are fetched",
    "batch.completed": "Every image of a batch has an output",
    "batch.completed_with_errors": "A batch has ended; some images have no output",
    "batch.failed": "A batch has ended without any output",
    "batch.cancelled": "A batch was cancelled",
    TEST_EVENT_TYPE: "A test was asked for; no batch stands behind it",
}
HOOKS = tuple(
    Hook(name, f"{told}; signed as Standard Webhooks", EventBody, event_example(name)) for name, told in _WHEN.items()
)

OPERATIONS = (
    Operation(
        "GET",
        "/download_csv",
        "Get expiring links to the report of a batch, or of the latest finished one",
        {200: DownloadAnswer},
        query=DownloadQuery,
        errors=(400, 404, 503),
        scope="read",
        id="get_report_links",
        tag="reports",
    ),
    Operation(
        "GET",
        "/reports/{request_id}/{file_name}",
        "Download output.csv, output.xlsx, failed.csv, results.jsonl or report.html with the token of a link",
        {200: tuple(dict.fromkeys(kind.partition(";")[0] for kind in CONTENT_TYPES.values()))},
        query=FileQuery,
        errors=(400, 403, 404, 503),
        id="download_report_file",
        tag="reports",
        path_values={"file_name": tuple(CONTENT_TYPES)},
    ),
    Operation(
        "GET",
        "/images/{name}",
        "Show an image of a private bucket with the signature of its link",
        {200: ("image/jpeg", "image/webp", "image/png", "image/avif")},
        query=ImageQuery,
        errors=(400, 403, 404, 503),
        id="show_private_image",
        tag="reports",
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
        "/deliveries",
        "List the webhook deliveries of a batch, or of all, and their attempts",
        {200: DeliveriesAnswer},
        query=DeliveriesQuery,
        errors=(400, 503),
        scope="read",
        id="list_deliveries",
        tag="deliveries",
    ),
    Operation(
        "POST",
        "/deliveries/{delivery_id}/redeliver",
        "Send an event again under its old webhook-id, with the whole schedule before it",
        {202: DeliveryBody},
        errors=(400, 404, 409, 503),
        scope="write",
        id="redeliver_delivery",
        tag="deliveries",
    ),
    Operation(
        "POST",
        "/webhooks",
        "Subscribe an endpoint; the answer shows its secret, this once",
        {201: EndpointWithSecret},
        body=EndpointCreate,
        errors=(400, 415, 503),
        scope="write",
        id="create_webhook",
        tag="webhooks",
        example={"url": "https://shop.example/hooks", "event_types": ["batch.completed", "batch.failed"]},
    ),
    Operation(
        "GET",
        "/webhooks",
        "List the endpoints",
        {200: EndpointsAnswer},
        query=EndpointsQuery,
        errors=(400, 503),
        scope="read",
        id="list_webhooks",
        tag="webhooks",
    ),
    Operation(
        "GET",
        "/webhooks/{endpoint_id}",
        "Get an endpoint",
        {200: EndpointBody},
        errors=(404, 503),
        scope="read",
        id="get_webhook",
        tag="webhooks",
    ),
    Operation(
        "PATCH",
        "/webhooks/{endpoint_id}",
        "Change an endpoint, pause it, or enable it again",
        {200: EndpointBody},
        body=EndpointPatch,
        errors=(400, 404, 415, 503),
        scope="write",
        id="update_webhook",
        tag="webhooks",
        example={"enabled": False},
    ),
    Operation(
        "DELETE",
        "/webhooks/{endpoint_id}",
        "Delete an endpoint; what waits to be sent to it is not sent",
        {200: EndpointDeleted},
        errors=(404, 503),
        scope="write",
        id="delete_webhook",
        tag="webhooks",
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/rotate_secret",
        "Make a new secret and show it, this once; the one before it signs too for a while",
        {200: EndpointWithSecret},
        body=SecretRotate,
        errors=(400, 404, 415, 503),
        scope="write",
        id="rotate_webhook_secret",
        tag="webhooks",
        example={"overlap_s": 86400},
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/test",
        "Send a signed test event",
        {202: DeliveryBody},
        errors=(400, 404, 503),
        scope="write",
        id="test_webhook",
        tag="webhooks",
    ),
    Operation(
        "GET",
        "/webhooks/{endpoint_id}/deliveries",
        "List the deliveries to an endpoint and their attempts",
        {200: EndpointDeliveriesAnswer},
        query=EndpointDeliveriesQuery,
        errors=(400, 404, 503),
        scope="read",
        id="list_webhook_deliveries",
        tag="deliveries",
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/redeliver",
        "Send the events since a time again, each under its old webhook-id",
        {202: RedeliverAnswer},
        body=RedeliverSince,
        errors=(400, 404, 415, 503),
        scope="write",
        id="redeliver_webhook",
        tag="deliveries",
        example={"since": "2026-11-29T00:00:00Z"},
    ),
)


@cache
def document(server_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of the public routes, and of what subscribers are sent."""
    return openapi_document(
        title="Pressroom reporter",
        version=VERSION,
        description="Reports, download links, webhook endpoints and deliveries.",
        operations=OPERATIONS,
        server_url=server_url.rstrip("/"),
        tags=TAGS,
        hooks=HOOKS,
    )
