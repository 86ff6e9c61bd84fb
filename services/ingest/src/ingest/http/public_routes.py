"""The public interface: upload, status, list, cancel, retry, limits. Routes parse, call one use case, and shape."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from flask import Blueprint, Response, jsonify

from chassis.auth.api_keys import Scope
from chassis.db.engine import transact
from chassis.http.key_guard import caller
from chassis.http.requests import parse_id, parse_json, parse_query, takes_query
from ingest.batches.cancel import cancel_batch
from ingest.batches.estimate import estimate
from ingest.batches.quotas import read_use
from ingest.batches.retry import retry_batch
from ingest.batches.status import list_batches, read_products, read_summary
from ingest.dependencies import Dependencies
from ingest.http.accept_upload import accept_upload
from ingest.http.answers import (
    batch_answer,
    limits_answer,
    process_values,
    send,
    send_if_changed,
    status_answer,
    summary_answer,
)
from ingest.http.check_schemas import ValidationAnswer
from ingest.http.limits import limits_of
from ingest.http.public_schemas import (
    BatchReference,
    CancelAnswer,
    ListAnswer,
    ListQuery,
    PageQuery,
    RetryAnswer,
    RetryBody,
    StatusQuery,
)
from ingest.http.upload_addresses import UploadAddressRequest, new_address
from ingest.http.upload_request import (
    Upload,
    idempotency_key,
    look_into_upload,
    parse_upload,
    read_upload,
    read_upload_or_none,
)
from ingest.sheets.corrected import corrected_csv, refusal_answer, validation_answer
from ingest.sheets.model import OnInvalid, SheetError
from ingest.supervision.start import relay_start_now


def public_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of the public routes."""
    bp = Blueprint("public", __name__)
    settings, engine, keys = dependencies.settings, dependencies.engine, dependencies.keys
    reads, writes = keys.needs(Scope.READ), keys.needs(Scope.WRITE)

    @bp.post("/upload")
    @writes
    @takes_query
    def upload() -> Response:
        """Take a sheet or items; 202 with `request_id`.

        `Idempotency-Key` makes a repeat harmless; `validate_only` stores nothing and answers what
        is in the sheet and wrong with it.
        """
        key = idempotency_key()
        sent = parse_upload(settings, dependencies.storage, owner=caller().owner)
        dependencies.webhook_targets.check(sent.webhook_url)
        if sent.validate_only:
            return send(check(sent))
        sheet = read_upload_or_none(sent, settings)
        accepted = accept_upload(dependencies, sent, sheet, owner=caller().owner, key=key)
        # As it is stored: a repeat is answered what the first one was, also by the release before.
        response = jsonify(accepted.response)
        response.status_code = 202
        response.headers["Location"] = f"/status/{accepted.request_id}"
        if accepted.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    def check(sent: Upload) -> ValidationAnswer:
        if sent.invalid_is_error:
            read_upload(sent, settings)
        try:
            # Bad rows are what is asked about: the good ones are counted too.
            sheet = look_into_upload(sent, settings, replace(sent.asked, on_invalid=OnInvalid.SKIP))
        except SheetError as error:
            return ValidationAnswer(**refusal_answer(error, sent.options), estimate=None)
        found = estimate(engine, settings, sheet.facts, owner=caller().owner)
        return ValidationAnswer(**validation_answer(sheet, sent.options), estimate=found)

    @bp.post("/uploads")
    @writes
    def uploads() -> Response:
        """Give an address to upload a large sheet to, up to `max_stored_sheet_bytes`; then name its `csv_uri`."""
        asked = parse_json(UploadAddressRequest)
        address = new_address(settings, dependencies.storage, dependencies.clock, asked, owner=caller().owner)
        return send(address, code=201)

    @bp.post("/corrected_sheet")
    @writes
    @takes_query
    def corrected_sheet() -> Response:
        """Take the same as an upload and store nothing; the sheet comes back repaired with a column `Problems`."""
        sent = parse_upload(settings, dependencies.storage, owner=caller().owner)
        # Bad rows are what the copy is for, so they are no reason to refuse it.
        sheet = read_upload(sent, settings, replace(sent.asked, on_invalid=OnInvalid.SKIP))
        response = Response(corrected_csv(sheet), mimetype="text/csv")
        response.headers["Content-Disposition"] = 'attachment; filename="corrected.csv"'
        return response

    def status_of(request_id: UUID, page: PageQuery) -> Response:
        if page.view == "summary":
            return send_if_changed(summary_answer(settings, read_summary(engine, request_id, caller=caller())))
        found = read_products(
            engine,
            settings,
            request_id,
            caller=caller(),
            page_size=page.page_size,
            token=page.page_token,
            links=dependencies.image_links,
        )
        return send(status_answer(settings, found))

    @bp.get("/status")
    @reads
    @takes_query
    def status_by_query() -> Response:
        """Show the batch `request_id` and a page of its products; `view=summary` shows neither, with an ETag."""
        query = parse_query(StatusQuery)
        return status_of(parse_id(query.request_id), query)

    @bp.get("/status/<request_id>")
    @reads
    @takes_query
    def status_by_path(request_id: str) -> Response:
        """Show the same by path."""
        return status_of(parse_id(request_id), parse_query(PageQuery))

    @bp.get("/requests")
    @reads
    @takes_query
    def requests_list() -> Response:
        """List batches, newest first; `status`, `page_size`, `page_token`."""
        query = parse_query(ListQuery)
        page = list_batches(
            engine,
            caller=caller(),
            status=query.status,
            page_size=query.page_size,
            token=query.page_token,
        )
        shown = [batch_answer(settings, batch) for batch in page.batches]
        return send(ListAnswer(requests=shown, next_page_token=page.next_page_token))

    @bp.post("/cancel")
    @writes
    def cancel() -> Response:
        """End the open images as CANCELLED; results stay."""
        ended = cancel_batch(engine, parse_id(parse_json(BatchReference).request_id), caller=caller())
        if ended.sealed:
            dependencies.callbacks.batch_sealed(ended.batch)
        batch = ended.batch
        message = (
            "The batch was cancelled" if batch.status.is_final else "Cancelling; finished images keep their outputs"
        )
        return send(CancelAnswer(**process_values(batch, message), cancelled_images=ended.images), code=202)

    @bp.post("/retry")
    @writes
    def retry() -> Response:
        """Try the failed and cancelled images of a finished batch again; `codes`, `hosts`, `image_ids` choose some."""
        body = parse_json(RetryBody)
        retried = retry_batch(engine, settings, parse_id(body.request_id), chosen=body.chosen(), caller=caller())
        relay_start_now(engine, dependencies.tasks, settings, retried.outbox_id)
        batch = retried.batch
        values = process_values(batch, f"{retried.reopened} images are tried again")
        return send(RetryAnswer(**values, retried_images=retried.reopened, generation=batch.generation), code=202)

    @bp.get("/limits")
    @reads
    def limits_list() -> Response:
        """List every limit with name, value and unit, quotas with the caller's use."""
        owner = caller().owner
        use = transact(engine, lambda connection: read_use(connection, owner))
        return send(limits_answer(settings, limits_of(settings, use)))

    return bp
