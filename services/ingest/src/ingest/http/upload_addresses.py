"""Where a client uploads a sheet that is too large for a request, and whose sheet an object of that bucket is.

The address is a resumable upload of Cloud Storage, begun by us: it needs neither a key file nor a signature, goes on
after a broken connection, and makes one object that nobody can replace. The name of the object begins with a hash of
its owner, and a `csv_uri` in that bucket is read for its owner only.
"""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from uuid import uuid4

from pydantic import Field

from chassis.clock import Clock
from chassis.http.fields import PublicRequest, Text
from chassis.limits import over_limit_facts
from chassis.times import rfc3339
from ingest.clients.sheet_storage import SheetStorage
from ingest.errors import ApiError, Reason, Status, failed_precondition, not_found
from ingest.http.public_schemas import Answer
from ingest.settings import IngestSettings

SESSION_DAYS = 7
"""Days for which an upload can be begun or continued, and an uploaded sheet lies there (infra/terraform).

Source: https://cloud.google.com/storage/docs/resumable-uploads#session-uris
"""

_OWNER_HEX = 32
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class UploadAddressRequest(PublicRequest):
    """What is known of a sheet before it is uploaded."""

    name: Text = Field("sheet.csv", min_length=1, max_length=200, description="File name of the sheet")
    size_bytes: int | None = Field(None, ge=1, description="Its size; then Cloud Storage refuses any other")


class UploadAddressAnswer(Answer):
    """Where to upload a sheet, and what to name in `csv_uri` afterwards."""

    upload_url: str = Field(description="Send the file with PUT, whole or in ranges; keep this URL secret")
    csv_uri: str = Field(description="Name this as `csv_uri` of an upload once the file is there")
    expire_time: str = Field(description="When the URL ends to work")
    max_bytes: int = Field(description="Largest sheet that is imported")


def new_address(
    settings: IngestSettings, storage: SheetStorage, clock: Clock, asked: UploadAddressRequest, *, owner: str | None
) -> UploadAddressAnswer:
    """Begin an upload for an owner.

    Raises:
        ApiError: 400 UPLOADS_NOT_CONFIGURED, 413 SHEET_TOO_LARGE, 503 STORAGE_UNAVAILABLE.
    """
    if not settings.uploads_bucket:
        raise failed_precondition(
            Reason.UPLOADS_NOT_CONFIGURED,
            "There is no bucket for uploads here: send the sheet in the request, or name one in csv_uri.",
        )
    limit = settings.max_stored_sheet_bytes
    if asked.size_bytes is not None and asked.size_bytes > limit:
        raise ApiError(
            Status.INVALID_ARGUMENT,
            Reason.SHEET_TOO_LARGE,
            f"The sheet has {asked.size_bytes} bytes; the limit is {limit} bytes.",
            metadata=over_limit_facts("max_stored_sheet_bytes", limit=limit, value=asked.size_bytes),
            http_code=413,
        )
    name = _UNSAFE.sub("_", asked.name) or "sheet.csv"
    uri = f"gs://{settings.uploads_bucket}/{_folder_of(owner)}/{uuid4()}/{name}"
    return UploadAddressAnswer(
        upload_url=storage.begin_upload(uri, size_bytes=asked.size_bytes),
        csv_uri=uri,
        expire_time=rfc3339(clock.now() + timedelta(days=SESSION_DAYS)),
        max_bytes=limit,
    )


def check_csv_uri(settings: IngestSettings, csv_uri: str, *, owner: str | None) -> None:
    """Check that an owner may name an object: one of its own uploads, or one in a bucket that clients may name.

    Whoever may upload could otherwise read, by way of our identity, every bucket that it may read.

    Raises:
        ApiError: 404 SHEET_NOT_FOUND for another owner's upload, as if it were not there; 403 BUCKET_NOT_ALLOWED.
    """
    bucket, _, name = csv_uri.removeprefix("gs://").partition("/")
    if settings.uploads_bucket and bucket == settings.uploads_bucket:
        if not name.startswith(f"{_folder_of(owner)}/"):
            raise not_found(Reason.SHEET_NOT_FOUND, f"There is no object {csv_uri}.", uri=csv_uri)
    elif bucket not in settings.sheet_buckets:
        raise ApiError(
            Status.PERMISSION_DENIED,
            Reason.BUCKET_NOT_ALLOWED,
            f"Sheets are not read from bucket {bucket} on a client's word; GET /limits lists the buckets.",
            metadata={"bucket": bucket},
        )


def _folder_of(owner: str | None) -> str:
    """Return the folder of an owner's uploads; without API keys everybody is one owner."""
    return hashlib.sha256(f"owner {owner or ''}".encode()).hexdigest()[:_OWNER_HEX]
