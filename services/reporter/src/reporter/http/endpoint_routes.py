"""The HTTP routes of webhook endpoints: parse, run the use case, shape the answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask

from chassis.auth.api_keys import Scope
from chassis.http.key_guard import KeyGuard, caller
from reporter.http.endpoint_schemas import (
    EndpointCreate,
    EndpointDeleted,
    EndpointDeliveriesAnswer,
    EndpointDeliveriesQuery,
    EndpointPatch,
    EndpointsAnswer,
    EndpointsQuery,
    RedeliverAnswer,
    RedeliverSince,
    SecretRotate,
    endpoint_body,
    endpoint_with_secret,
)
from reporter.http.schemas import body_of, query_of
from reporter.webhooks.endpoints import Endpoints

_Answer = tuple[dict[str, Any], int]


def add_endpoint_routes(app: Flask, endpoints: Endpoints, keys: KeyGuard) -> None:
    """Attach the routes of webhook endpoints and of redelivery."""
    reads, writes = keys.needs(Scope.READ), keys.needs(Scope.WRITE)

    @app.post("/webhooks")
    @writes
    def create_endpoint() -> _Answer:
        """Subscribe; the answer shows the secret."""
        body = body_of(EndpointCreate)
        endpoint, secret = endpoints.create(
            caller(),
            url=body.url,
            event_types=None if body.event_types is None else tuple(body.event_types),
            description=body.description,
            enabled=body.enabled,
        )
        return endpoint_with_secret(endpoint, secret).model_dump(), 201

    @app.get("/webhooks")
    @reads
    def list_endpoints() -> dict[str, Any]:
        """List endpoints, oldest first."""
        query = query_of(EndpointsQuery)
        found, token = endpoints.page(caller(), page_size=query.page_size, token=query.page_token)
        return EndpointsAnswer(endpoints=[endpoint_body(e) for e in found], next_page_token=token).model_dump()

    @app.get("/webhooks/<uuid:endpoint_id>")
    @reads
    def get_endpoint(endpoint_id: UUID) -> dict[str, Any]:
        """Show an endpoint without its secret."""
        return endpoint_body(endpoints.get(caller(), endpoint_id)).model_dump()

    @app.patch("/webhooks/<uuid:endpoint_id>")
    @writes
    def change_endpoint(endpoint_id: UUID) -> dict[str, Any]:
        """Change what the body names."""
        changes = body_of(EndpointPatch).model_dump(exclude_unset=True)
        return endpoint_body(endpoints.change(caller(), endpoint_id, changes)).model_dump()

    @app.delete("/webhooks/<uuid:endpoint_id>")
    @writes
    def delete_endpoint(endpoint_id: UUID) -> dict[str, Any]:
        """Delete an endpoint."""
        endpoints.delete(caller(), endpoint_id)
        return EndpointDeleted(id=str(endpoint_id)).model_dump()

    @app.post("/webhooks/<uuid:endpoint_id>/rotate_secret")
    @writes
    def rotate_secret(endpoint_id: UUID) -> dict[str, Any]:
        """Make a new secret; the answer shows it."""
        overlap_s = body_of(SecretRotate, may_be_empty=True).overlap_s
        overlap = None if overlap_s is None else timedelta(seconds=overlap_s)
        endpoint, secret = endpoints.rotate_secret(caller(), endpoint_id, overlap=overlap)
        return endpoint_with_secret(endpoint, secret).model_dump()

    @app.post("/webhooks/<uuid:endpoint_id>/test")
    @writes
    def send_test(endpoint_id: UUID) -> _Answer:
        """Send a test event."""
        return endpoints.send_test(caller(), endpoint_id).model_dump(), 202

    @app.get("/webhooks/<uuid:endpoint_id>/deliveries")
    @reads
    def list_deliveries_to(endpoint_id: UUID) -> dict[str, Any]:
        """List the deliveries to an endpoint, newest first."""
        query = query_of(EndpointDeliveriesQuery)
        page, token = endpoints.deliveries(
            caller(), endpoint_id, state=query.state, page_size=query.page_size, token=query.page_token
        )
        return EndpointDeliveriesAnswer(deliveries=page, next_page_token=token).model_dump()

    @app.post("/webhooks/<uuid:endpoint_id>/redeliver")
    @writes
    def redeliver_since(endpoint_id: UUID) -> _Answer:
        """Send the events since a time again."""
        body = body_of(RedeliverSince)
        count = endpoints.redeliver_since(caller(), endpoint_id, since=body.since, only_failed=body.only_failed)
        return RedeliverAnswer(redelivered=count).model_dump(), 202

    @app.post("/deliveries/<uuid:delivery_id>/redeliver")
    @writes
    def redeliver(delivery_id: UUID) -> _Answer:
        """Send one event again."""
        return endpoints.redeliver(caller(), delivery_id).model_dump(), 202
