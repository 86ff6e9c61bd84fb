"""Public routes of reports and limits. A batch that the caller may not see is as if it did not exist."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from chassis.auth.api_keys import Scope
from chassis.http.key_guard import caller, open_to_all
from chassis.http.requests import parse_id, parse_query, takes_query
from reporter.dependencies import Dependencies
from reporter.http.limits import limits_of
from reporter.http.openapi import document
from reporter.http.public_schemas import (
    DownloadQuery,
    FileQuery,
    ImageQuery,
    LimitAnswer,
    LimitsAnswer,
    download_answer,
)
from reporter.reports.download import Asked, open_file, report_for
from reporter.reports.links import REPORT_HTML, content_disposition
from reporter.reports.private_images import open_image
from reporter.webhooks.endpoints import count_own_endpoints

_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def public_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the public routes but those of webhooks."""
    bp = Blueprint("public", __name__)
    reads = dependencies.keys.needs(Scope.READ)

    @bp.get("/download_csv")
    @reads
    @takes_query
    def download_csv() -> dict[str, Any]:
        """Answer links that expire to the report of `request_id`, or of the latest batch."""
        given = parse_query(DownloadQuery).request_id
        report = report_for(dependencies, caller(), None if given is None else parse_id(given))
        return download_answer(dependencies.settings, dependencies.clock, report).model_dump()

    @bp.get("/reports/<uuid:request_id>/<file_name>")
    @open_to_all
    @takes_query
    def download(request_id: UUID, file_name: str) -> Response:
        """Stream `output.csv`, `output.xlsx`, `failed.csv`, `results.jsonl` or `report.html` to whoever holds a link.

        `bom=0` drops the byte order mark, `excel_safe=1` puts an apostrophe before every cell that begins
        like a formula.
        """
        query = parse_query(FileQuery)
        asked = Asked(query.token, query.generation, with_bom=query.bom, excel_safe=query.excel_safe)
        opened = open_file(dependencies, request_id, file_name, asked)
        response = Response(opened.pieces, content_type=opened.content_type)
        if opened.size_bytes is not None:
            response.content_length = opened.size_bytes
        is_page = file_name == REPORT_HTML
        response.headers["Content-Disposition"] = content_disposition(opened.saved_name, shown=is_page)
        if is_page:
            response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Cache-Control"] = "private, no-store"
        return response

    @bp.get("/images/<path:name>")
    @open_to_all
    @takes_query
    def image(name: str) -> Response:
        """Show an image of a private bucket to whoever holds a link: `expires` and `signature`."""
        query = parse_query(ImageQuery)
        found = open_image(dependencies, name, expires=query.expires, signature=query.signature)
        response = Response(found.pieces_from(0), content_type=found.content_type)
        response.content_length = found.size_bytes
        left_s = max(0, query.expires - int(dependencies.clock.now().timestamp()))
        response.headers["Cache-Control"] = f"private, max-age={left_s}, immutable"
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    @bp.get("/limits")
    @reads
    def limits() -> dict[str, Any]:
        """List every limit with name, value and unit, quotas with the caller's use."""
        found = limits_of(dependencies.settings, endpoint_count=count_own_endpoints(dependencies, caller()))
        return LimitsAnswer(limits=[LimitAnswer(**limit.to_json()) for limit in found]).model_dump()

    @bp.get("/openapi.json")
    @open_to_all
    def openapi() -> dict[str, Any]:
        """Answer the public routes as OpenAPI 3.1."""
        return document(dependencies.settings.reporter_url)

    return bp
