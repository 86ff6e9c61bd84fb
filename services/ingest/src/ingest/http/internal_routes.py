"""Routes for our own parts: Cloud Tasks, the workflow, the compressor, the reporter, the scheduler.

Each names the one service account that may call it. All may be called twice.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.http.requests import parse_id, parse_json
from chassis.tracing import first_span, work_span
from ingest.batches.export import export_batch
from ingest.batches.import_chunks import ChunkedImport
from ingest.batches.import_sheet import import_sheet
from ingest.dependencies import Dependencies
from ingest.dispatch.claim import claim_page
from ingest.dispatch.groups import give_back
from ingest.dispatch.outcome import record_outcome, record_outcomes
from ingest.events.payload import event_payload
from ingest.events.relay import relay_events_now
from ingest.failpoints import Failpoint
from ingest.http.answers import process_answer, send
from ingest.http.internal_schemas import (
    ChunkRequest,
    ClaimAnswer,
    ClaimRequest,
    FailAnswer,
    FailRequest,
    FinishAnswer,
    FinishRequest,
    GiveBackAnswer,
    GiveBackRequest,
    ImportAnswer,
    ImportRequest,
    OutcomeAnswer,
    OutcomeRequest,
    OutcomesAnswer,
    OutcomesRequest,
    ReleaseAnswer,
    ReleaseRequest,
    StartAnswer,
    StartRequest,
    SweepAnswer,
)
from ingest.http.public_schemas import BatchReference
from ingest.options import ImageOptions
from ingest.state.batch import Batch, load_batch
from ingest.supervision.finish import finish_batch
from ingest.supervision.ownership import fail_batch, release_batch, start_batch
from ingest.supervision.start import process_batch
from ingest.supervision.sweep import Sweep

IMPORT_CALL_S = 60.0
"""Seconds after which a call of the workflow stores no further chunk of a sheet: far below the time of a request."""


def internal_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the internal routes."""
    bp = Blueprint("internal", __name__)
    settings, engine, guard = dependencies.settings, dependencies.engine, dependencies.guard
    workflow_only = guard.only(settings.workflow_service_account)

    @bp.post("/process")
    @guard.only(settings.tasks_service_account)
    def process() -> Response:
        """Create the execution of a batch that has none."""
        request_id = parse_id(parse_json(BatchReference).request_id)
        with work_span("process", request_id, under="upload"):
            processed = process_batch(engine, dependencies.executions, request_id)
            relay_events_now(engine, dependencies.reporter, request_id)
        return send(process_answer(processed.batch, processed.message))

    @bp.post("/internal/imports")
    @workflow_only
    def imports() -> Response:
        """Make a batch of a sheet in Cloud Storage, once per execution."""
        body = parse_json(ImportRequest)
        dependencies.webhook_targets.check(body.webhook_url)
        batch = import_sheet(
            engine,
            settings,
            dependencies.storage,
            execution=body.execution,
            csv_uri=body.csv_uri,
            webhook_url=body.webhook_url,
            options=body.options or ImageOptions(),
            owner=body.owner,
        )
        with first_span("upload", batch.request_id, rows=batch.row_count, images=batch.total):
            pass  # the batch had no id before
        return send(ImportAnswer(**_known_of(batch)))

    @bp.post("/internal/batches/<request_id>/import")
    @workflow_only
    def import_chunks(request_id: str) -> Response:
        """Store some more of a large sheet; the batch is IMPORTING as long as there is more."""
        body = parse_json(ChunkRequest)
        work = ChunkedImport(engine, settings, dependencies.storage, dependencies.clock, budget_s=IMPORT_CALL_S)
        with work_span("import", parse_id(request_id), under="workflow"):
            batch = work.go_on(parse_id(request_id), execution=body.execution)
        return send(ImportAnswer(**_known_of(batch)))

    @bp.post("/internal/batches/<request_id>/start")
    @workflow_only
    def start(request_id: str) -> Response:
        """Make the execution the supervising one, or say that another one lives."""
        body = parse_json(StartRequest)
        with work_span("start", parse_id(request_id), under="workflow") as starting:
            started = start_batch(
                engine,
                dependencies.executions,
                parse_id(request_id),
                execution=body.execution,
                callback_url=body.callback_url,
            )
            starting.set(execution=body.execution, owner=started.owner)
            reach(Failpoint.OWNER_TAKEN)
            relay_events_now(engine, dependencies.reporter, started.batch.request_id)
        return send(StartAnswer(**_known_of(started.batch), owner=started.owner))

    @bp.post("/internal/batches/<request_id>/claim")
    @workflow_only
    def claim(request_id: str) -> Response:
        """Lease a page of due images with the requests that create their tasks; a sign of life of the execution."""
        body = parse_json(ClaimRequest)
        batch_id = parse_id(request_id)
        with work_span("claim", batch_id, under="workflow") as claiming:
            page = claim_page(engine, settings, batch_id, execution=body.execution, max_rows=body.max_rows)
            reach(Failpoint.PAGE_CLAIMED)
            # Their tasks name this span as their parent.
            answer = ClaimAnswer.of(page, settings)
            claiming.set(images=len(page.images))
            if not any(image.traced for image in page.images):
                claiming.leave_out()
        return send(answer)

    @bp.post("/internal/batches/<request_id>/give_back")
    @workflow_only
    def give_back_leases(request_id: str) -> Response:
        """Let images wait again whose tasks could not be created."""
        body = parse_json(GiveBackRequest)
        given = give_back(
            engine,
            parse_id(request_id),
            execution=body.execution,
            leases=body.to_leases(),
            failures=body.to_failures(),
        )
        return send(GiveBackAnswer(images=given.images, refusal=given.refusal))

    @bp.post("/internal/batches/<request_id>/finish")
    @workflow_only
    def finish(request_id: str) -> Response:
        """Set the final status of a sealed batch."""
        body = parse_json(FinishRequest)
        with work_span("finish", parse_id(request_id), under="workflow"):
            batch = finish_batch(
                engine, settings, parse_id(request_id), execution=body.execution, report_uri=body.report_uri
            )
        reach(Failpoint.FINISH_COMMITTED)
        return send(FinishAnswer(**event_payload(batch)))

    @bp.post("/internal/batches/<request_id>/fail")
    @workflow_only
    def fail(request_id: str) -> Response:
        """Record a failed step; FAILED once the budget is spent."""
        body = parse_json(FailRequest)
        with work_span("fail", parse_id(request_id), under="workflow", step=body.step):
            failed = fail_batch(
                engine,
                settings,
                parse_id(request_id),
                execution=body.execution,
                step=body.step,
                error=body.error,
            )
        return send(FailAnswer(**event_payload(failed.batch), terminal=failed.terminal))

    @bp.post("/internal/batches/<request_id>/release")
    @workflow_only
    def release(request_id: str) -> Response:
        """Give the batch up for a successor."""
        body = parse_json(ReleaseRequest)
        batch = release_batch(engine, parse_id(request_id), execution=body.execution)
        return send(ReleaseAnswer(request_id=str(batch.request_id), status=batch.status))

    @bp.get("/internal/batches/<request_id>/export")
    @guard.only(settings.reporter_service_account)
    def export(request_id: str) -> Response:
        """Stream the sheet with its results as NDJSON."""
        return Response(
            export_batch(engine, parse_id(request_id), links=dependencies.image_links), mimetype="application/x-ndjson"
        )

    @bp.put("/internal/images/<image_id>/outcome")
    @guard.only(settings.compressor_service_account)
    def outcome(image_id: str) -> Response:
        """Record the outcome of one attempt."""
        reported = parse_json(OutcomeRequest).to_outcome()
        with work_span("outcome", reported.request_id, under=None, image_id=image_id):
            recorded = record_outcome(engine, settings, parse_id(image_id, name="image id"), reported)
            after_outcomes(reported.request_id, sealed=recorded.sealed)
        return send(
            OutcomeAnswer(
                applied=recorded.applied,
                image_status=recorded.image_status,
                batch_status=recorded.batch_status,
                host_closed_s=round(recorded.host_closed_s, 3),
            )
        )

    @bp.post("/internal/outcomes")
    @guard.only(settings.compressor_service_account)
    def outcomes() -> Response:
        """Record the outcomes of the images of one task."""
        body = parse_json(OutcomesRequest)
        batch_id = parse_id(body.request_id)
        with work_span("outcomes", batch_id, under=None, images=len(body.outcomes)):
            recorded = record_outcomes(engine, settings, batch_id, body.to_outcomes(batch_id))
            after_outcomes(batch_id, sealed=recorded.sealed)
        return send(
            OutcomesAnswer(applied=sorted(map(str, recorded.applied)), host_closed_s=round(recorded.host_closed_s, 3))
        )

    def after_outcomes(batch_id: UUID, *, sealed: bool) -> None:
        reach(Failpoint.OUTCOME_COMMITTED)
        if sealed:
            dependencies.callbacks.batch_sealed(transact(engine, lambda connection: load_batch(connection, batch_id)))
            reach(Failpoint.OWNER_WOKEN)

    @bp.post("/internal/sweep")
    @guard.only(settings.scheduler_service_account)
    def sweep() -> Response:
        """Find what was forgotten and do it; delete batches past `INGEST_RETENTION_DAYS`."""
        return send(SweepAnswer(swept=Sweep(dependencies).run()))

    return bp


def _known_of(batch: Batch) -> dict[str, Any]:
    return {"request_id": str(batch.request_id), "status": batch.status, "counts": batch.counts()}
