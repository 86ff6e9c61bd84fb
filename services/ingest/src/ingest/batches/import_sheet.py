"""Makes a batch of a sheet in Cloud Storage, for `gcloud workflows run batch --data='{"csv_uri": "gs://..."}'`."""

from __future__ import annotations

from sqlalchemy import Engine

from ingest.batches.sheet_errors import limits_from, sheet_invalid
from ingest.batches.submit import StoredSubmission, Submission, find_import, submit_import, submit_stored_import
from ingest.clients.sheet_storage import SheetStorage, StoredSheet
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import OversizedSheetError, SheetError
from ingest.state.batch import Batch


def import_sheet(
    engine: Engine,
    settings: IngestSettings,
    storage: SheetStorage,
    *,
    execution: str,
    csv_uri: str,
    webhook_url: str | None,
    options: ImageOptions,
    owner: str | None,
) -> Batch:
    """Make a batch of a sheet in Cloud Storage; one execution imports once, however often it asks.

    A sheet within the limits of an upload is read at once. A larger one is IMPORTING afterwards: its rows come in
    chunks. Whoever may start the workflow is an operator: the batch counts for its owner's quotas, but none refuses it.

    Raises:
        ApiError: 400 SHEET_INVALID with every problem, or what reading the object raises.
    """
    known = find_import(engine, execution)
    if known is not None:
        return known
    stored = find_sheet(settings, storage, csv_uri)
    asked = SheetRequest(options=options.model_dump())
    if stored.size_bytes <= settings.max_sheet_bytes:
        body = storage.read(stored)
        try:
            sheet = read_sheet(body, limits_from(settings), asked)
        except OversizedSheetError:
            pass
        except SheetError as error:
            raise sheet_invalid(error) from error
        else:
            name = csv_uri.rpartition("/")[2]
            submission = Submission(sheet, body, name, options, webhook_url, owner)
            return submit_import(engine, settings, submission, import_key=execution)
    unread = StoredSubmission(stored, asked, options, webhook_url, owner, is_guarded=False)
    return submit_stored_import(engine, settings, unread, import_key=execution)


def find_sheet(settings: IngestSettings, storage: SheetStorage, csv_uri: str) -> StoredSheet:
    """Return a sheet in Cloud Storage without reading it.

    Raises:
        ApiError: 404 SHEET_NOT_FOUND, 413 SHEET_TOO_LARGE, 503 STORAGE_UNAVAILABLE.
    """
    return storage.find(csv_uri, max_bytes=settings.max_stored_sheet_bytes, limit="max_stored_sheet_bytes")
