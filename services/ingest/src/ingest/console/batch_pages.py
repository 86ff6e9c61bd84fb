"""The pages of batches: the list, and one batch with its tabs."""

from __future__ import annotations

import shlex
from typing import Literal
from uuid import UUID

from flask import Blueprint, Response

from chassis.auth.api_keys import Scope
from chassis.http.fields import PublicRequest
from chassis.http.page_tokens import PageToken
from chassis.http.requests import parse_query, takes_query
from ingest.batches.cancel import cancel_batch
from ingest.batches.retry import retry_batch
from ingest.batches.status import list_batches, read_products, read_summary
from ingest.console.answers import fragment, page, seen
from ingest.console.batch_view import BatchView
from ingest.console.visitors import VisitorGuard, current_visitor
from ingest.dependencies import Dependencies
from ingest.http.public_schemas import PublicStatus
from ingest.supervision.start import relay_start_now

_PAGE_BATCHES = 50
_PAGE_PRODUCTS = 50
_STATES = ("PENDING", "PROCESSING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED")
_HOST_WORDS = {"CLOSED": "fine", "WAITING": "waiting", "OPEN": "paused", "HALF_OPEN": "trying again"}
_TABS = (
    ("images", "Images"),
    ("hosts", "Hosts"),
    ("options", "Options"),
    ("downloads", "Downloads"),
)


class _ListQuery(PublicRequest):
    status: PublicStatus | Literal[""] = ""
    page_token: PageToken = ""


class _BatchQuery(PublicRequest):
    tab: Literal["images", "hosts", "options", "downloads"] = "images"
    page_token: PageToken = ""
    done: str = ""


def batch_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the routes to the console."""
    engine, settings, clock = dependencies.engine, dependencies.settings, dependencies.clock
    reads, writes = guard.needs(Scope.READ), guard.needs(Scope.WRITE)

    def views_of(query: _ListQuery) -> dict[str, object]:
        found = list_batches(
            engine,
            caller=current_visitor().caller,
            status=query.status or None,
            page_size=_PAGE_BATCHES,
            token=query.page_token,
        )
        now = clock.now()
        views = [BatchView(batch, now) for batch in found.batches]
        filtered = f"status={query.status}&" if query.status else ""
        following = found.next_page_token
        return {
            "views": views,
            "status": query.status,
            "later": bool(query.page_token),
            "next_url": f"/console/batches?{filtered}page_token={following}" if following else "",
            "live_url": f"/console/batches/live?{filtered}page_token={query.page_token}",
            "open_batches": any(not view.is_final for view in views),
            "curl_upload": f"curl -F file=@sheet.csv {settings.ingest_url.rstrip('/')}/upload",
        }

    def view_of(request_id: UUID) -> BatchView:
        return BatchView(read_summary(engine, request_id, caller=current_visitor().caller).batch, clock.now())

    @bp.get("/batches")
    @reads
    @takes_query
    def batches() -> Response:
        """List batches."""
        return page("batches.html", here="batches", states=_STATES, **views_of(parse_query(_ListQuery)))

    @bp.get("/batches/live")
    @reads
    @takes_query
    def batches_live() -> Response:
        """Give the rows of the list anew."""
        values = views_of(parse_query(_ListQuery))
        return fragment("_batches.html", final=not values["open_batches"], **values)

    @bp.get("/batches/<uuid:request_id>")
    @reads
    @takes_query
    def batch(request_id: UUID) -> Response:
        """Show a batch and one of its tabs."""
        query, caller = parse_query(_BatchQuery), current_visitor().caller
        view = view_of(request_id)
        values: dict[str, object] = {}
        if query.tab in {"images", "hosts"}:
            size = _PAGE_PRODUCTS if query.tab == "images" else 1
            found = read_products(engine, settings, request_id, caller=caller, page_size=size, token=query.page_token)
            following = found.next_page_token
            values = {
                "products": found.products,
                **found.hosts,
                "next_url": f"/console/batches/{request_id}?page_token={following}" if following else "",
            }
        return page(
            "batch.html",
            here="batches",
            view=view,
            tab=query.tab,
            tabs=_TABS,
            host_words=_HOST_WORDS,
            curl=_curl(settings.ingest_url, view),
            files=_files(view),
            **values,
        )

    @bp.get("/batches/<uuid:request_id>/live")
    @reads
    def batch_live(request_id: UUID) -> Response:
        """Give the upper part of a batch's page anew."""
        view = view_of(request_id)
        return fragment("_batch.html", final=view.is_final, view=view)

    @bp.get("/batches/<uuid:request_id>/cancel")
    @writes
    def ask_cancel(request_id: UUID) -> Response:
        """Ask once, and say what is kept."""
        return page("cancel.html", here="batches", view=view_of(request_id))

    @bp.post("/batches/<uuid:request_id>/cancel")
    @writes
    def cancel(request_id: UUID) -> Response:
        """Cancel a batch."""
        ended = cancel_batch(engine, request_id, caller=current_visitor().caller)
        if ended.sealed:
            dependencies.callbacks.batch_sealed(ended.batch)
        return seen(f"/console/batches/{request_id}", done="cancelled")

    @bp.post("/batches/<uuid:request_id>/retry")
    @writes
    def retry(request_id: UUID) -> Response:
        """Try the failed images again."""
        retried = retry_batch(engine, settings, request_id, caller=current_visitor().caller)
        relay_start_now(engine, dependencies.tasks, settings, retried.outbox_id)
        return seen(f"/console/batches/{request_id}", done="retried")


def _curl(ingest_url: str, view: BatchView) -> str:
    """Return the command that uploads a sheet with the options of a batch."""
    given = [f"-F {shlex.quote(f'{name}={value}')}" for name, value in view.batch.options.items() if value is not None]
    parts = ["curl", f"-F {shlex.quote(f'file=@{view.batch.source_name}')}", *given]
    return " \\\n  ".join([*parts, f"{ingest_url.rstrip('/')}/upload"])


def _files(view: BatchView) -> list[tuple[str, str]]:
    files = [
        ("output.csv", "Your sheet with the new links beside the old ones"),
        ("failed.csv", "Only what failed; upload it again when the links work"),
        ("results.jsonl", "Every number of every image, a line each"),
    ]
    if view.batch.dialect.get("layout") == "workbook":
        files.insert(1, ("output.xlsx", "The same as an Excel workbook"))
    return files
