"""Routes for our own parts: the workflow, ingest, Cloud Tasks, the scheduler.

Each names the service accounts that may call it. All may be called twice.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint

from chassis.http.requests import parse_json
from chassis.tracing import work_span
from reporter.dependencies import Dependencies
from reporter.http.internal_schemas import (
    DeliveryAnswer,
    DeliveryRequest,
    NotificationAnswer,
    NotificationRequest,
    ReportAnswer,
    ReportRequest,
    ReportUris,
    SweepAnswer,
)
from reporter.reports.links import OUTPUT_CSV, make_link
from reporter.reports.publish import publish_report
from reporter.retention import delete_expired
from reporter.webhooks.attempt import attempt_delivery
from reporter.webhooks.notify import notify_subscribers
from reporter.webhooks.sweep import sweep_deliveries


def internal_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the internal routes."""
    bp = Blueprint("internal", __name__)
    settings, guard, objects = dependencies.settings, dependencies.guard, dependencies.objects
    batches_only = guard.only(settings.workflow_service_account, settings.ingest_service_account)

    @bp.post("/internal/reports")
    @batches_only
    def publish() -> dict[str, Any]:
        """Publish the report of a sealed batch; a repeat answers the same report."""
        request_id = UUID(parse_json(ReportRequest).request_id)
        with work_span("report", request_id, under="workflow") as reporting:
            report = publish_report(dependencies, request_id)
            reporting.set(rows=report.row_count, images=report.image_count)
        return ReportAnswer(
            request_id=str(report.request_id),
            reports=ReportUris(
                output_csv=objects.uri(report.output_csv),
                failed_csv=objects.uri(report.failed_csv),
                results_jsonl=objects.uri(report.results_jsonl),
            ),
            download_url=make_link(settings, dependencies.clock, report, OUTPUT_CSV).url,
            rows=report.row_count,
            images=report.image_count,
        ).model_dump()

    @bp.post("/internal/notifications")
    @batches_only
    def notify() -> dict[str, Any]:
        """Record a delivery per subscriber of what a batch has come to; a repeat adds none."""
        notice = parse_json(NotificationRequest).to_notice()
        with work_span("notify", UUID(notice.request_id), under="workflow", status=notice.status) as notifying:
            count = notify_subscribers(dependencies, notice)
            notifying.set(deliveries=count)
        return NotificationAnswer(request_id=notice.request_id, deliveries=count).model_dump()

    @bp.post("/internal/deliveries")
    @guard.only(settings.tasks_service_account)
    def attempt() -> dict[str, Any]:
        """Make one attempt of one delivery; 200 says that it is recorded, whatever the receiver answered."""
        hint = parse_json(DeliveryRequest)
        standing = attempt_delivery(dependencies, UUID(hint.delivery_id), hint.attempt)
        return DeliveryAnswer(
            delivery_id=hint.delivery_id, state=standing.state.value, attempts=standing.attempts
        ).model_dump()

    @bp.post("/internal/sweep")
    @guard.only(settings.scheduler_service_account)
    def sweep() -> dict[str, Any]:
        """Move on the deliveries whose task or worker was lost; delete what is past its retention."""
        return SweepAnswer(swept={**sweep_deliveries(dependencies), **delete_expired(dependencies)}).model_dump()

    return bp
