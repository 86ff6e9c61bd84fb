"""Reads sheets from Cloud Storage."""

from __future__ import annotations

from typing import Any, Protocol

import google.api_core.exceptions

from chassis.google.storage_client import STORAGE_FAILURES, retried
from chassis.limits import over_limit_facts
from ingest.errors import ApiError, Reason, Status, not_found, unavailable

_RETRY = retried(for_s=1.5)


class SheetStorage(Protocol):
    """Reads sheets from Cloud Storage."""

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """Return the object's content.

        Raises:
            ApiError: 404 SHEET_NOT_FOUND, 413 SHEET_TOO_LARGE, 503 STORAGE_UNAVAILABLE.
        """
        ...


class CloudSheetStorage:
    """Google's Cloud Storage, or an emulator of it.

    Args:
        client: `google.cloud.storage.Client`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, uri: str, *, max_bytes: int) -> bytes:
        """Return the object's content; never more than `max_bytes` are held.

        Raises:
            ApiError: 404 SHEET_NOT_FOUND, 413 SHEET_TOO_LARGE, 503 STORAGE_UNAVAILABLE.
        """
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        blob = self._client.bucket(bucket).blob(name)
        try:
            blob.reload(retry=_RETRY)
            if blob.size is not None and blob.size > max_bytes:
                raise ApiError(
                    Status.INVALID_ARGUMENT,
                    Reason.SHEET_TOO_LARGE,
                    f"{uri} has {blob.size} bytes; the limit is {max_bytes} bytes.",
                    metadata={
                        "limit_bytes": str(max_bytes),
                        "size_bytes": str(blob.size),
                        **over_limit_facts("max_sheet_bytes", limit=max_bytes, value=blob.size),
                    },
                    http_code=413,
                )
            # The generation that was measured is the one that is read. `raw_download` keeps a gzip-encoded object from
            # growing behind the measured size; it is then refused as a gzip file.
            content: bytes = blob.download_as_bytes(
                raw_download=True, if_generation_match=blob.generation, retry=_RETRY
            )
        except (google.api_core.exceptions.NotFound, google.api_core.exceptions.PreconditionFailed) as error:
            raise not_found(Reason.SHEET_NOT_FOUND, f"There is no object {uri}.", uri=uri) from error
        except google.api_core.exceptions.Forbidden as error:
            raise not_found(Reason.SHEET_NOT_FOUND, f"Ingest may not read {uri}.", uri=uri) from error
        except STORAGE_FAILURES as error:
            raise unavailable(Reason.STORAGE_UNAVAILABLE, "Cloud Storage did not deliver the sheet.") from error
        return content
