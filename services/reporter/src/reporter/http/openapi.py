"""The public routes as OpenAPI: one table row each; a test compares the table with the application's routes."""

from __future__ import annotations

from typing import Any

from chassis.http.openapi import Operation, openapi_document
from reporter.http.public_schemas import (
    DeliveriesAnswer,
    DeliveriesQuery,
    DeliveryBody,
    DownloadAnswer,
    DownloadQuery,
    FileQuery,
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

VERSION = "0.9.0"

OPERATIONS = (
    Operation(
        "GET",
        "/download_csv",
        "Get expiring links to the report of a batch, or of the latest finished one",
        {200: DownloadAnswer},
        query=DownloadQuery,
        errors=(400, 404, 503),
        scope="read",
    ),
    Operation(
        "GET",
        "/reports/{request_id}/{file_name}",
        "Download output.csv, output.xlsx, failed.csv, results.jsonl or report.html with the token of a link",
        {200: "text/csv"},
        query=FileQuery,
        errors=(400, 403, 404, 503),
    ),
    Operation("GET", "/limits", "Read every limit, quotas with their use", {200: LimitsAnswer}, scope="read"),
    Operation(
        "GET",
        "/deliveries",
        "List the webhook deliveries of a batch, or of all, and their attempts",
        {200: DeliveriesAnswer},
        query=DeliveriesQuery,
        errors=(400, 503),
        scope="read",
    ),
    Operation(
        "POST",
        "/deliveries/{delivery_id}/redeliver",
        "Send an event again under its old webhook-id, with the whole schedule before it",
        {202: DeliveryBody},
        errors=(400, 404, 409, 503),
        scope="write",
    ),
    Operation(
        "POST",
        "/webhooks",
        "Subscribe an endpoint; the answer shows its secret, this once",
        {201: EndpointWithSecret},
        body=EndpointCreate,
        errors=(400, 415, 503),
        scope="write",
    ),
    Operation(
        "GET",
        "/webhooks",
        "List the endpoints",
        {200: EndpointsAnswer},
        query=EndpointsQuery,
        errors=(400, 503),
        scope="read",
    ),
    Operation(
        "GET", "/webhooks/{endpoint_id}", "Get an endpoint", {200: EndpointBody}, errors=(404, 503), scope="read"
    ),
    Operation(
        "PATCH",
        "/webhooks/{endpoint_id}",
        "Change an endpoint, pause it, or enable it again",
        {200: EndpointBody},
        body=EndpointPatch,
        errors=(400, 404, 415, 503),
        scope="write",
    ),
    Operation(
        "DELETE",
        "/webhooks/{endpoint_id}",
        "Delete an endpoint; what waits to be sent to it is not sent",
        {200: EndpointDeleted},
        errors=(404, 503),
        scope="write",
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/rotate_secret",
        "Make a new secret and show it, this once; the one before it signs too for a while",
        {200: EndpointWithSecret},
        body=SecretRotate,
        errors=(400, 404, 415, 503),
        scope="write",
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/test",
        "Send a signed test event",
        {202: DeliveryBody},
        errors=(400, 404, 503),
        scope="write",
    ),
    Operation(
        "GET",
        "/webhooks/{endpoint_id}/deliveries",
        "List the deliveries to an endpoint and their attempts",
        {200: EndpointDeliveriesAnswer},
        query=EndpointDeliveriesQuery,
        errors=(400, 404, 503),
        scope="read",
    ),
    Operation(
        "POST",
        "/webhooks/{endpoint_id}/redeliver",
        "Send the events since a time again, each under its old webhook-id",
        {202: RedeliverAnswer},
        body=RedeliverSince,
        errors=(400, 404, 415, 503),
        scope="write",
    ),
)


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the public routes."""
    return openapi_document(
        title="Pressroom reporter",
        version=VERSION,
        description="Reports, download links, webhook endpoints and deliveries.",
        operations=OPERATIONS,
    )
