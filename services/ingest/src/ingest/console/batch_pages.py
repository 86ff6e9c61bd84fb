"""The pages of batches: the list, and one batch with its tabs."""

from __future__ import annotations

import shlex
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from flask import Blueprint, Response, request

from chassis.auth.api_keys import Scope
from chassis.http.fields import PublicRequest, Text
from chassis.http.page_tokens import PageToken
from chassis.http.requests import parse_query, takes_query, validate
from ingest.batches.cancel import cancel_batch
from ingest.batches.hosts import MAX_LISTED_HOSTS, read_hosts
from ingest.batches.images import MAX_SCANNED_IMAGES, ImageFilter, list_images
from ingest.batches.problems import list_problems
from ingest.batches.retry import retry_batch
from ingest.batches.status import list_batches, read_summary
from ingest.console.answers import fragment, page, seen
from ingest.console.batch_view import BatchView
from ingest.console.visitors import VisitorGuard, current_visitor
from ingest.dependencies import Dependencies
from ingest.errors import Reason, not_found
from ingest.http.batch_schemas import ImagesQuery
from ingest.http.public_schemas import PublicStatus
from ingest.state.images import ChosenImages
from ingest.supervision.start import relay_start_now

_PAGE_BATCHES = 50
_PAGE_IMAGES = 50
_STATES = ("PENDING", "PROCESSING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED")
_HOST_WORDS = {"CLOSED": "fine", "WAITING": "waiting", "OPEN": "paused", "HALF_OPEN": "trying again"}
_TABS = (
    ("images", "Images"),
    ("problems", "Problems"),
    ("hosts", "Hosts"),
    ("deliveries", "Deliveries"),
    ("options", "Options"),
    ("downloads", "Downloads"),
)


class _ListQuery(PublicRequest):
    status: PublicStatus | Literal[""] = ""
    page_token: PageToken = ""


class _RetryForm(PublicRequest):
    code: Text = ""
    host: Text = ""


class _BatchQuery(ImagesQuery):
    tab: Literal["images", "problems", "hosts", "deliveries", "options", "downloads"] = "images"
    done: str = ""

    @property
    def filter(self) -> ImageFilter:
        """Return which images are wanted."""
        return ImageFilter(self.status, self.code, self.host, self.q)


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

    def tab_of(view: BatchView, query: _BatchQuery) -> dict[str, Any]:
        request_id, caller = view.batch.request_id, current_visitor().caller
        match query.tab:
            case "images":
                found = list_images(
                    engine,
                    request_id,
                    query.filter,
                    caller=caller,
                    page_size=_PAGE_IMAGES,
                    token=query.page_token,
                    links=dependencies.image_links,
                )
                return {
                    "images": found.images,
                    "wanted": query,
                    "filtered": query.filter != ImageFilter(),
                    "scanned": MAX_SCANNED_IMAGES,
                    "next_url": _next_images(request_id, query, found.next_page_token),
                }
            case "problems":
                return list_problems(engine, request_id, caller=caller)
            case "hosts":
                found_hosts = read_hosts(engine, settings, request_id, caller=caller, limit=MAX_LISTED_HOSTS)
                return {**found_hosts, "host_words": _HOST_WORDS}
            case "deliveries":
                asked = f"/deliveries?request_id={request_id}"
                return {"deliveries": dependencies.webhooks.ask(caller, "GET", asked)["deliveries"]}
            case "options":
                return {"curl": _curl(settings.ingest_url, view)}
            case _:
                return {"files": _files(view)}

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
        query = parse_query(_BatchQuery)
        view = view_of(request_id)
        return page(
            "batch.html",
            here="batches",
            view=view,
            tab=query.tab,
            tabs=_TABS,
            **tab_of(view, query),
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

    @bp.get("/batches/<uuid:request_id>/download/<name>")
    @reads
    def download(request_id: UUID, name: str) -> Response:
        """Lead to a file of the report; the link is made now and expires."""
        view = view_of(request_id)
        if view.batch.report_uri is None or name not in {known for known, _ in _files(view)}:
            raise not_found(
                Reason.REPORT_FILE_NOT_FOUND, f"The report of this batch has no file {name}, or is not written."
            )
        # The reports are there, so this is only asked for the link. Its token is good for each file of them.
        link = urlsplit(dependencies.reporter.publish(request_id).download_url)
        return seen(urlunsplit(link._replace(path=f"{link.path.rpartition('/')[0]}/{name}")))

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
        """Try the failed images again: all, or those of a code and a host."""
        form = validate(_RetryForm, request.form.to_dict())
        chosen = ChosenImages((form.code,) if form.code else None, (form.host,) if form.host else None)
        retried = retry_batch(engine, settings, request_id, chosen=chosen, caller=current_visitor().caller)
        relay_start_now(engine, dependencies.tasks, settings, retried.outbox_id)
        return seen(f"/console/batches/{request_id}", done="retried")


def _next_images(request_id: UUID, query: _BatchQuery, token: str) -> str:
    """Return the URL of the next page of images with the same filter, or nothing after the last one."""
    if not token:
        return ""
    given = {"status": query.status, "code": query.code, "host": query.host, "q": query.q, "page_token": token}
    return f"/console/batches/{request_id}?" + urlencode({name: value for name, value in given.items() if value})


def _curl(ingest_url: str, view: BatchView) -> str:
    """Return the command that uploads a sheet with the options of a batch."""
    given = [f"-F {shlex.quote(f'{name}={value}')}" for name, value in view.batch.options.items() if value is not None]
    parts = ["curl", f"-F {shlex.quote(f'file=@{view.batch.source_name}')}", *given]
    return " \\\n  ".join([*parts, f"{ingest_url.rstrip('/')}/upload"])


def _files(view: BatchView) -> list[tuple[str, str]]:
    files = [
        ("output.csv", "Your sheet with the new links beside the old ones"),
        ("failed.csv", "Only what failed; upload it again when the links work"),
        ("report.html", "A page for people: savings and failures, in one file"),
        ("results.jsonl", "Every number of every image, a line each"),
    ]
    if view.batch.dialect.get("layout") == "workbook":
        files.insert(1, ("output.xlsx", "The same as an Excel workbook"))
    return files
