"""Webhook endpoints and deliveries. They belong to the reporter, which is asked for the owner who is signed in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from flask import Blueprint, Response, request

from chassis.auth.api_keys import Scope
from chassis.http.fields import PublicRequest, Text
from chassis.http.page_tokens import PageToken
from chassis.http.requests import parse_query, takes_query, validate
from chassis.times import rfc3339
from ingest.console.answers import page, seen
from ingest.console.formats import query as query_string
from ingest.console.visitors import VisitorGuard, current_visitor
from ingest.dependencies import Dependencies

EVENTS = (
    "batch.accepted",
    "batch.started",
    "batch.completed",
    "batch.completed_with_errors",
    "batch.failed",
    "batch.cancelled",
)
"""The events that an endpoint may want, as the reporter names them."""

_PAGE = "25"
_SINCE = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}


class _ListQuery(PublicRequest):
    page_token: PageToken = ""
    done: str = ""


class _EndpointQuery(_ListQuery):
    state: Literal["", "PENDING", "DELIVERED", "FAILED"] = ""


class _EndpointForm(PublicRequest):
    url: Text = ""
    description: Text = ""


class _RedeliverForm(PublicRequest):
    since: Literal["hour", "day", "week", "month"] = "day"
    which: Literal["failed", "all"] = "failed"


def webhook_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the routes to the console."""
    reads, writes = guard.needs(Scope.READ), guard.needs(Scope.WRITE)

    def ask(method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
        given = query_string(query)
        return dependencies.webhooks.ask(current_visitor().caller, method, path + (f"?{given}" if given else ""), body)

    def shown(endpoint_id: UUID, *, secret: str = "", query: _EndpointQuery | None = None) -> Response:
        query = query or _EndpointQuery()
        path = f"/webhooks/{endpoint_id}"
        found = ask("GET", f"{path}/deliveries", state=query.state, page_size=_PAGE, page_token=query.page_token)
        following = query_string({"state": query.state, "page_token": found["next_page_token"]})
        return page(
            "webhook.html",
            here="webhooks",
            endpoint=ask("GET", path),
            deliveries=found["deliveries"],
            state=query.state,
            next_url=f"/console{path}?{following}" if found["next_page_token"] else "",
            secret=secret,
        )

    @bp.get("/webhooks")
    @reads
    @takes_query
    def webhooks() -> Response:
        """List endpoints and the newest deliveries of all batches."""
        found = ask("GET", "/webhooks", page_token=parse_query(_ListQuery).page_token)
        following = found["next_page_token"]
        return page(
            "webhooks.html",
            here="webhooks",
            endpoints=found["endpoints"],
            next_url=f"/console/webhooks?page_token={following}" if following else "",
            deliveries=ask("GET", "/deliveries", page_size=_PAGE)["deliveries"],
            events=EVENTS,
        )

    @bp.post("/webhooks")
    @writes
    def add_webhook() -> Response:
        """Add an endpoint and show its secret, this once."""
        events = request.form.getlist("events")
        form = validate(_EndpointForm, {name: value for name, value in request.form.items() if name != "events"})
        wanted = None if set(events) >= set(EVENTS) or not events else events
        made = ask("POST", "/webhooks", {"url": form.url, "description": form.description, "event_types": wanted})
        return shown(UUID(made["id"]), secret=made["secret"])

    @bp.get("/webhooks/<uuid:endpoint_id>")
    @reads
    @takes_query
    def webhook(endpoint_id: UUID) -> Response:
        """Show an endpoint and its deliveries."""
        return shown(endpoint_id, query=parse_query(_EndpointQuery))

    @bp.post("/webhooks/<uuid:endpoint_id>/<any(test, pause, enable, rotate, delete):what>")
    @writes
    def change_webhook(endpoint_id: UUID, what: str) -> Response:
        """Send a test, pause, enable, make a new secret, or delete."""
        path = f"/webhooks/{endpoint_id}"
        match what:
            case "test":
                ask("POST", f"{path}/test")
            case "rotate":
                return shown(endpoint_id, secret=ask("POST", f"{path}/rotate_secret", {})["secret"])
            case "delete":
                ask("DELETE", path)
                return seen("/console/webhooks", done="deleted")
            case _:
                ask("PATCH", path, {"enabled": what == "enable"})
        return seen(f"/console{path}", done="tested" if what == "test" else "changed")

    @bp.post("/webhooks/<uuid:endpoint_id>/redeliver")
    @writes
    def redeliver_since(endpoint_id: UUID) -> Response:
        """Send the deliveries of a time again."""
        form = validate(_RedeliverForm, request.form.to_dict())
        since = rfc3339(dependencies.clock.now() - _SINCE[form.since])
        ask("POST", f"/webhooks/{endpoint_id}/redeliver", {"since": since, "only_failed": form.which == "failed"})
        return seen(f"/console/webhooks/{endpoint_id}", done="redelivered")

    @bp.post("/deliveries/<uuid:delivery_id>/redeliver")
    @writes
    def redeliver(delivery_id: UUID) -> Response:
        """Send one delivery again."""
        made = ask("POST", f"/deliveries/{delivery_id}/redeliver")
        if made["endpoint_id"]:
            return seen(f"/console/webhooks/{made['endpoint_id']}", done="redelivered")
        return seen(f"/console/batches/{made['request_id']}", tab="deliveries", done="redelivered")
