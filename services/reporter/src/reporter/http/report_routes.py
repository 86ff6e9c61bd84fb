"""The HTTP routes: parse, run the use case, shape the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Flask, Response
from sqlalchemy import Engine

from chassis.auth.api_keys import Scope
from chassis.auth.oidc import CallerGuard
from chassis.db.engine import transact
from chassis.http.key_guard import KeyGuard, caller, open_to_all
from chassis.times import rfc3339
from reporter.errors import link_invalid, report_not_found
from reporter.http.limits import limits_of
from reporter.http.schemas import (
    DeliveriesAnswer,
    DeliveriesQuery,
    DeliveryRequest,
    DownloadAnswer,
    DownloadQuery,
    FileQuery,
    NotificationRequest,
    ReportRequest,
    body_of,
    query_of,
)
from reporter.reports.bucket import ReportObjects
from reporter.reports.escaping import escaped_csv
from reporter.reports.links import (
    CONTENT_TYPES,
    FAILED_CSV,
    OUTPUT_CSV,
    RESULTS_JSONL,
    DownloadLinks,
    content_disposition,
    saved_name,
)
from reporter.reports.publish import ReportPublisher
from reporter.reports.sheet import BOM
from reporter.retention import Retention
from reporter.settings import ReporterSettings
from reporter.state.reports import Report, find_report, latest_report
from reporter.webhooks.deliver import Deliveries
from reporter.webhooks.endpoints import Endpoints
from reporter.webhooks.log import deliveries_of

_BOM_BYTES = len(BOM.encode())


def add_internal_routes(
    app: Flask,
    settings: ReporterSettings,
    *,
    guard: CallerGuard,
    publisher: ReportPublisher,
    deliveries: Deliveries,
    retention: Retention,
    objects: ReportObjects,
    links: DownloadLinks,
) -> None:
    """Attach what only our own callers may use."""
    owners_of_batches = guard.only(settings.workflow_service_account, settings.ingest_service_account)

    @app.post("/internal/reports")
    @owners_of_batches
    def publish_report() -> dict[str, Any]:
        """Publish the report of a sealed batch; a repeat answers the same report."""
        report = publisher.publish(UUID(body_of(ReportRequest).request_id))
        return {
            "request_id": str(report.request_id),
            "reports": {
                "output_csv": objects.uri(report.output_csv),
                "failed_csv": objects.uri(report.failed_csv),
                "results_jsonl": objects.uri(report.results_jsonl),
            },
            "download_url": links.make(report.request_id, report.generation, OUTPUT_CSV).url,
            "rows": report.row_count,
            "images": report.image_count,
        }

    @app.post("/internal/notifications")
    @owners_of_batches
    def notify_subscribers() -> dict[str, Any]:
        """Record a delivery per subscriber; a repeat adds none."""
        notice = body_of(NotificationRequest).to_notice()
        return {"request_id": notice.request_id, "deliveries": deliveries.notify(notice)}

    @app.post("/internal/deliveries")
    @guard.only(settings.tasks_service_account)
    def attempt_delivery() -> dict[str, Any]:
        """Make one attempt; 200 says that it is recorded, whatever the receiver answered."""
        hint = body_of(DeliveryRequest)
        standing = deliveries.attempt(UUID(hint.delivery_id), hint.attempt)
        return {"delivery_id": hint.delivery_id, "state": standing.state, "attempts": standing.attempts}

    @app.post("/internal/sweep")
    @guard.only(settings.scheduler_service_account)
    def sweep() -> dict[str, Any]:
        """Move on the deliveries whose tasks or workers were lost, then forget what is past its retention."""
        return {"swept": {**deliveries.sweep(), **retention.sweep()}}


def add_public_routes(
    app: Flask,
    settings: ReporterSettings,
    *,
    engine: Engine,
    objects: ReportObjects,
    links: DownloadLinks,
    endpoints: Endpoints,
    keys: KeyGuard,
    document: Callable[[], dict[str, Any]],
) -> None:
    """Attach what clients call. A batch that the caller may not see is as if it did not exist."""

    @app.get("/download_csv")
    @keys.needs(Scope.READ)
    def download_csv() -> dict[str, Any]:
        """Answer expiring links to the report of a batch, or of the latest one."""
        asked = query_of(DownloadQuery).request_id
        by = caller()
        report = transact(
            engine,
            lambda c: latest_report(c, owner=by.owner) if asked is None else find_report(c, asked, seen_by=by),
        )
        if report is None:
            raise report_not_found(None if asked is None else str(asked))
        return _download_answer(report, links).model_dump()

    @app.get("/reports/<uuid:request_id>/<file_name>")
    @open_to_all
    def download(request_id: UUID, file_name: str) -> Response:
        """Stream a file of a report to whoever holds a token for it."""
        query = query_of(FileQuery)
        if not query.token:
            raise link_invalid()
        generation = links.check(query.token, request_id, query.generation)
        report = transact(engine, lambda c: find_report(c, request_id, generation=generation))
        if report is None or file_name not in CONTENT_TYPES:
            raise report_not_found(str(request_id))
        is_csv = file_name != RESULTS_JSONL
        escaped = query.excel_safe and is_csv
        skipped = _BOM_BYTES if is_csv and (escaped or not query.bom) else 0
        found = objects.open(report.object_name(file_name), skip_bytes=skipped)
        if found is None:
            raise report_not_found(str(request_id))
        pieces = escaped_csv(found.pieces, bom=BOM if query.bom else "") if escaped else found.pieces
        response = Response(pieces, content_type=CONTENT_TYPES[file_name])
        if not escaped:  # nobody knows how long an escaped file is before it has passed
            response.content_length = found.size_bytes
        response.headers["Content-Disposition"] = content_disposition(saved_name(report.source_name, file_name))
        response.headers["Cache-Control"] = "private, no-store"
        return response

    @app.get("/deliveries")
    @keys.needs(Scope.READ)
    def list_deliveries() -> dict[str, Any]:
        """List the webhook deliveries of a batch with their attempts."""
        asked = query_of(DeliveriesQuery).request_id
        by = caller()
        found = transact(engine, lambda c: deliveries_of(c, asked, caller=by))
        return DeliveriesAnswer(request_id=str(asked), deliveries=found).model_dump()

    @app.get("/limits")
    @keys.needs(Scope.READ)
    def limits() -> dict[str, Any]:
        """List the limits, quotas with the caller's use."""
        found = limits_of(settings, endpoint_count=endpoints.count(caller()))
        return {"limits": [limit.to_json() for limit in found]}

    @app.get("/openapi.json")
    @open_to_all
    def openapi() -> dict[str, Any]:
        """Describe the public routes."""
        return document()


def _download_answer(report: Report, links: DownloadLinks) -> DownloadAnswer:
    made = {name: links.make(report.request_id, report.generation, name) for name in CONTENT_TYPES}
    return DownloadAnswer(
        download_url=made[OUTPUT_CSV].url,
        failed_url=made[FAILED_CSV].url,
        results_url=made[RESULTS_JSONL].url,
        request_id=str(report.request_id),
        generation=report.generation,
        expire_time=rfc3339(made[OUTPUT_CSV].expire_time),
    )
