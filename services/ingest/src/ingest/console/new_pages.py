"""The page of a new batch: choose a sheet, see what is in it, choose options, start. It works without a script."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, Response, request

from chassis.auth.api_keys import Scope
from chassis.errors import ApiError
from chassis.http.fields import PublicRequest
from chassis.http.requests import parse_id, parse_query, takes_query
from ingest.batches.estimate import estimate
from ingest.batches.sheet_errors import limits_from
from ingest.batches.status import read_summary
from ingest.clients.sample_sheet import SampleSheet
from ingest.console import batch_form
from ingest.console.answers import page, seen
from ingest.console.batch_form import BatchForm, Given, columns_text, read_form, read_given
from ingest.console.presets import PRESETS
from ingest.console.sheet_view import SheetView, view_of_faults, view_of_sheet
from ingest.console.tries import Tried, try_images
from ingest.console.visitors import FRAGMENT_HEADER, VisitorGuard, current_visitor
from ingest.dependencies import Dependencies
from ingest.http.accept_upload import accept_upload
from ingest.http.upload_request import read_upload
from ingest.options import FORMATS, ImageOptions
from ingest.sheets.corrected import corrected_csv
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import OnInvalid, Sheet, SheetError


class _NewQuery(PublicRequest):
    like: str = ""


def new_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the routes to the console."""
    engine, settings = dependencies.engine, dependencies.settings
    sample = SampleSheet(settings.sample_sheet_url)
    writes = guard.needs(Scope.WRITE)

    def show(
        form: BatchForm,
        *,
        code: int = 200,
        given: Given | None = None,
        view: SheetView | None = None,
        problem: ApiError | None = None,
        tries: list[Tried] | None = None,
    ) -> Response:
        columns = None if view is None else view.columns
        values: dict[str, Any] = {
            "form": form,
            "given": given,
            "view": view,
            "problem": problem,
            "tries": tries,
            # The script's browser still has the file; only what it does not have is sent along.
            "held": ""
            if given is None or (FRAGMENT_HEADER in request.headers and request.files.get("file"))
            else given.held,
            "script": FRAGMENT_HEADER in request.headers,
            "shown": "" if columns is None else columns_text(list(columns.urls), columns.name, columns.serial),
            "key": form.key or uuid4().hex,
            "presets": PRESETS,
            "formats": FORMATS,
            "encodings": batch_form.ENCODINGS,
            "delimiters": batch_form.DELIMITER_CHOICES,
            "has_sample": bool(sample),
            "max_sheet_bytes": settings.max_sheet_bytes,
        }
        return page("new.html", code=code, here="new", **values)

    def look_at(given: Given) -> SheetView:
        """Return what is in a sheet; bad rows are told and left out."""
        upload, limits = given.upload, limits_from(settings)
        asked = _skipping(upload.asked)
        try:
            sheet = read_sheet(upload.body, limits, asked)
        except SheetError as error:
            return view_of_faults(error)
        return view_of_sheet(sheet, estimate(engine, settings, sheet.facts, owner=current_visitor().caller.owner))

    def start(given: Given, sheet: Sheet) -> Response:
        accepted = accept_upload(
            dependencies, given.upload, sheet, owner=current_visitor().caller.owner, key=given.form.key or None
        )
        # Of a repeat the id of the batch that the first one made.
        return seen(f"/console/batches/{accepted.response['request_id']}", done="started")

    @bp.get("/new")
    @writes
    @takes_query
    def new() -> Response:
        """Ask for a sheet; `like` names a batch whose options are to be used again."""
        like = parse_query(_NewQuery).like
        return show(_form_like(parse_id(like)) if like else BatchForm())

    def _form_like(request_id: UUID) -> BatchForm:
        batch = read_summary(engine, request_id, caller=current_visitor().caller).batch
        return BatchForm(
            **{name: batch.options.get(name) for name in ImageOptions.model_fields}, webhook_url=batch.webhook_url
        )

    @bp.post("/new")
    @writes
    def take() -> Response:
        """Check a sheet, correct it, or start a batch with it, by the button that was pressed."""
        form = BatchForm()
        given = view = tries = None
        try:
            form = read_form()
            given = read_given(form, sample)
            dependencies.webhook_targets.check(given.upload.webhook_url)
            if form.do == "corrected":
                return _corrected(read_sheet(given.upload.body, limits_from(settings), given.upload.asked))
            view = look_at(given)
            if form.do == "try" and view.sheet is not None:
                tries = try_images(dependencies, view.sheet, given.upload.options, caller=current_visitor().caller)
            if form.do in {"start", "skip"} and (view.can_start or (form.do == "skip" and view.can_skip)):
                return start(given, read_upload(given.upload, settings))
        except SheetError as error:
            view = view_of_faults(error)
        except ApiError as error:
            return show(form, code=error.http_code, given=given, view=view, problem=error)
        return show(form, code=200 if form.do in {"check", "try"} else 400, given=given, view=view, tries=tries)


def _skipping(asked: SheetRequest) -> SheetRequest:
    return SheetRequest(asked.columns, OnInvalid.SKIP, asked.options, asked.encoding, asked.delimiter)


def _corrected(sheet: Sheet) -> Response:
    response = Response(corrected_csv(sheet), mimetype="text/csv")
    response.headers["Content-Disposition"] = 'attachment; filename="corrected.csv"'
    response.headers["Cache-Control"] = "private, no-store"
    return response
