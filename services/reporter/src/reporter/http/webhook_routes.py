"""Routes of webhook endpoints and deliveries: for callers with keys, and for ingest, which asks for owners."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint

from chassis.auth.api_keys import Scope
from chassis.db.engine import transact
from chassis.http.key_guard import caller
from chassis.http.owner_guard import RouteGuard
from chassis.http.requests import parse_id, parse_json, parse_query, takes_query
from reporter.dependencies import Dependencies
from reporter.http.public_schemas import DeliveriesAnswer, DeliveriesQuery, delivery_body
from reporter.http.webhook_schemas import (
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
from reporter.state.delivery_log import deliveries_of
from reporter.webhooks.endpoints import (
    create_endpoint,
    get_endpoint,
    read_endpoints,
    remove_endpoint,
    rotate_secret,
    update_endpoint,
)
from reporter.webhooks.redeliver import read_all_deliveries, read_deliveries, redeliver_many, redeliver_one, send_test

_Answer = tuple[dict[str, Any], int]


def webhook_routes(dependencies: Dependencies, guard: RouteGuard) -> Blueprint:
    """Return the blueprint of the routes of webhooks; `guard` says who calls them."""
    bp = Blueprint("webhooks", __name__)
    reads, writes = guard.needs(Scope.READ), guard.needs(Scope.WRITE)

    @bp.post("/webhooks")
    @writes
    def create() -> _Answer:
        """Subscribe an endpoint: `url`, `event_types`, `description`, `enabled`; show its `secret` once."""
        endpoint, secret = create_endpoint(dependencies, caller(), parse_json(EndpointCreate).to_subscription())
        return endpoint_with_secret(endpoint, secret).model_dump(), 201

    @bp.get("/webhooks")
    @reads
    @takes_query
    def list_all() -> dict[str, Any]:
        """List the endpoints, oldest first, a page at a time."""
        query = parse_query(EndpointsQuery)
        page = read_endpoints(dependencies, caller(), page_size=query.page_size, token=query.page_token)
        shown = [endpoint_body(endpoint) for endpoint in page.endpoints]
        return EndpointsAnswer(endpoints=shown, next_page_token=page.next_page_token).model_dump()

    @bp.get("/webhooks/<uuid:endpoint_id>")
    @reads
    def show(endpoint_id: UUID) -> dict[str, Any]:
        """Show an endpoint without its secret."""
        return endpoint_body(get_endpoint(dependencies, caller(), endpoint_id)).model_dump()

    @bp.patch("/webhooks/<uuid:endpoint_id>")
    @writes
    def change(endpoint_id: UUID) -> dict[str, Any]:
        """Change what the body names; `enabled: false` pauses, `true` enables again."""
        body = parse_json(EndpointPatch)
        endpoint = update_endpoint(dependencies, caller(), endpoint_id, body.to_change(), enabled=body.named("enabled"))
        return endpoint_body(endpoint).model_dump()

    @bp.delete("/webhooks/<uuid:endpoint_id>")
    @writes
    def delete(endpoint_id: UUID) -> dict[str, Any]:
        """Delete an endpoint and its secrets; nothing more is sent to it."""
        remove_endpoint(dependencies, caller(), endpoint_id)
        return EndpointDeleted(id=str(endpoint_id)).model_dump()

    @bp.post("/webhooks/<uuid:endpoint_id>/rotate_secret")
    @writes
    def rotate(endpoint_id: UUID) -> dict[str, Any]:
        """Make a new secret and show it once; the old one signs too for `overlap_s`."""
        overlap_s = parse_json(SecretRotate, may_be_empty=True).overlap_s
        endpoint, secret = rotate_secret(dependencies, caller(), endpoint_id, overlap_s=overlap_s)
        return endpoint_with_secret(endpoint, secret).model_dump()

    @bp.post("/webhooks/<uuid:endpoint_id>/test")
    @writes
    def test(endpoint_id: UUID) -> _Answer:
        """Send a signed `batch.test` event, whatever the endpoint subscribed to."""
        return delivery_body(send_test(dependencies, caller(), endpoint_id)).model_dump(), 202

    @bp.get("/webhooks/<uuid:endpoint_id>/deliveries")
    @reads
    @takes_query
    def deliveries(endpoint_id: UUID) -> dict[str, Any]:
        """List deliveries with their attempts, newest first, a page at a time; `state` filters.

        With an API key each attempt shows the first 2 KB of the answer.
        """
        query, by = parse_query(EndpointDeliveriesQuery), caller()
        page = read_deliveries(
            dependencies, by, endpoint_id, state=query.state, page_size=query.page_size, token=query.page_token
        )
        # Strangers could otherwise read through us what other hosts answer.
        with_answers = by.owner is not None or by.sees_all
        shown = [delivery_body(delivery, with_answers=with_answers) for delivery in page.deliveries]
        return EndpointDeliveriesAnswer(deliveries=shown, next_page_token=page.next_page_token).model_dump()

    @bp.post("/webhooks/<uuid:endpoint_id>/redeliver")
    @writes
    def redeliver_since(endpoint_id: UUID) -> _Answer:
        """Send again what FAILED of the events since `since`; with `only_failed: false` all of them."""
        body = parse_json(RedeliverSince)
        count = redeliver_many(dependencies, caller(), endpoint_id, since=body.since, only_failed=body.only_failed)
        return RedeliverAnswer(redelivered=count).model_dump(), 202

    @bp.get("/deliveries")
    @reads
    @takes_query
    def list_deliveries() -> dict[str, Any]:
        """List the webhook deliveries of `request_id`, or of all batches newest first; of a URL only the host."""
        query, by = parse_query(DeliveriesQuery), caller()
        if query.request_id is None:
            page = read_all_deliveries(dependencies, by, page_size=query.page_size, token=query.page_token)
            shown = [delivery_body(delivery) for delivery in page.deliveries]
            return DeliveriesAnswer(
                request_id=None, deliveries=shown, next_page_token=page.next_page_token
            ).model_dump()
        request_id = parse_id(query.request_id)
        found = transact(dependencies.engine, lambda c: deliveries_of(c, request_id, caller=by))
        shown = [delivery_body(delivery) for delivery in found]
        return DeliveriesAnswer(request_id=str(request_id), deliveries=shown, next_page_token="").model_dump()

    @bp.post("/deliveries/<uuid:delivery_id>/redeliver")
    @writes
    def redeliver(delivery_id: UUID) -> _Answer:
        """Send one event again, under its old `webhook-id`."""
        return delivery_body(redeliver_one(dependencies, caller(), delivery_id)).model_dump(), 202

    return bp
