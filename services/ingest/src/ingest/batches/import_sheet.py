"""Makes a batch of a sheet in Cloud Storage, for `gcloud workflows run batch --data='{"csv_uri": "gs://..."}'`."""

from __future__ import annotations

from sqlalchemy import Engine

from ingest.batches.sheet_errors import limits_from, sheet_invalid
from ingest.batches.submit import Submission, find_import, submit_import
from ingest.clients.sheet_storage import SheetStorage
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.intake import SheetRequest, read_sheet
from ingest.sheets.model import SheetError
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

    Whoever may start the workflow is an operator: the batch counts for its owner's quotas, but none refuses it.

    Raises:
        ApiError: 400 SHEET_INVALID with every problem, or what reading the object raises.
    """
    known = find_import(engine, execution)
    if known is not None:
        return known
    body = storage.read(csv_uri, max_bytes=settings.max_sheet_bytes)
    try:
        sheet = read_sheet(body, limits_from(settings), SheetRequest(options=options.model_dump()))
    except SheetError as error:
        raise sheet_invalid(error) from error
    name = csv_uri.rpartition("/")[2]
    submission = Submission(sheet, body, name, options, webhook_url, owner)
    return submit_import(engine, settings, submission, import_key=execution)
