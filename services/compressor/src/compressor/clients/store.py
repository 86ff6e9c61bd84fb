"""Renditions in Cloud Storage: named by what they are made of, created once, never overwritten."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import google.api_core.exceptions
import google.auth.exceptions

from chassis.errors import ApiError
from chassis.google.storage_client import STORAGE_FAILURES
from chassis.logs import get_logger
from chassis.tracing import span
from compressor.clients.bucket_objects import RETRY, BucketObjects
from compressor.errors import storage_refused, storage_unavailable
from compressor.images.codec import ENCODER_VERSION
from compressor.images.model import Options, OutputFormat, Rendition

log = get_logger(__name__)

_READ_TIMEOUT_S = (3.05, 10.0)  # connect, read
_OBJECT_NAME = re.compile(r"images/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z]{3,4}")
_CACHE_CONTROL = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A rendition as it lies in the bucket; `detail` lists the codec's notes, `created` is False when it lay there."""

    url: str
    size_bytes: int
    format: OutputFormat
    width: int
    height: int
    sha256: str
    detail: str
    created: bool


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """What decides an object's name: equal sources with equal options share one object."""

    source_sha256: str
    options: Options

    def name(self, image_format: OutputFormat) -> str:
        """Return `images/<aa>/<64 hex digits>.<extension>`."""
        text = f"{self.source_sha256}\n{self.options.canonical()}\n{ENCODER_VERSION}"
        digest = hashlib.sha256(text.encode("ascii")).hexdigest()
        extension = "jpg" if image_format is OutputFormat.JPEG else image_format.value
        return f"images/{digest[:2]}/{digest}.{extension}"


class ImageStore:
    """Creates and finds renditions in one bucket.

    Args:
        client: a `google.cloud.storage.Client`; one per process, it keeps its connections.
        bucket: the bucket's name.
        public_url_base: what precedes `/BUCKET/NAME` in an image's URL.
    """

    def __init__(self, client: Any, *, bucket: str, public_url_base: str) -> None:
        # `bucket()` names it without asking the server.
        self._bucket = client.bucket(bucket)
        self._objects = BucketObjects(client, bucket)
        self._base = f"{public_url_base.rstrip('/')}/{quote(bucket)}"

    def create(self, key: ObjectKey, rendition: Rendition) -> StoredImage:
        """Store a rendition under its name, or report the one that lies there already: the first writer wins.

        Raises:
            ApiError: 503, storage cannot be reached or refuses us.
        """
        name = key.name(rendition.format)
        sha256 = hashlib.sha256(rendition.data).hexdigest()
        described = {
            "cacheControl": _CACHE_CONTROL,
            "metadata": {
                "source-sha256": key.source_sha256,
                "sha256": sha256,
                "width": str(rendition.width),
                "height": str(rendition.height),
                "encoder": ENCODER_VERSION,
                "detail": rendition.detail,
            },
        }
        try:
            with span("storage", operation="create", bytes=len(rendition.data)):
                self._objects.create(
                    name, rendition.data, content_type=f"image/{rendition.format}", described=described
                )
        except google.api_core.exceptions.PreconditionFailed:
            found = self._found(name, rendition.format)
            if found is None:
                raise storage_unavailable() from None
            return found
        except Exception as error:
            raise _storage_error(error) from error
        return StoredImage(
            self._url(name),
            len(rendition.data),
            rendition.format,
            rendition.width,
            rendition.height,
            sha256,
            rendition.detail,
            True,
        )

    def find(self, key: ObjectKey, image_format: OutputFormat) -> StoredImage | None:
        """Return the rendition stored by an earlier attempt, or None.

        Raises:
            ApiError: as `create`.
        """
        return self._found(key.name(image_format), image_format)

    def read(self, url: str) -> bytes | None:
        """Return the bytes of a rendition by its public URL; None when it is not ours or not there any more.

        Raises:
            ApiError: as `create`.
        """
        name = self._name_of(url)
        if name is None:
            return None
        try:
            data: bytes = self._bucket.blob(name).download_as_bytes(timeout=_READ_TIMEOUT_S, retry=RETRY)
            return data
        except google.api_core.exceptions.NotFound:
            return None
        except Exception as error:
            raise _storage_error(error) from error

    def read_source_sha256(self, url: str) -> str | None:
        """Return the hash of the source that a rendition was made of; None when the rendition is not there.

        Raises:
            ApiError: as `create`.
        """
        name = self._name_of(url)
        if name is None:
            return None
        found = self._described(name)
        return None if found is None else found.get("metadata", {}).get("source-sha256")

    def _name_of(self, url: str) -> str | None:
        """Return the object's name; None unless the URL is one that this store gives out."""
        name = url.removeprefix(f"{self._base}/")
        return name if name != url and _OBJECT_NAME.fullmatch(name) else None

    def _found(self, name: str, image_format: OutputFormat) -> StoredImage | None:
        found = self._described(name)
        if found is None:
            return None
        metadata = found.get("metadata", {})
        return StoredImage(
            self._url(name),
            int(found.get("size", 0)),
            image_format,
            int(metadata.get("width", 0)),
            int(metadata.get("height", 0)),
            str(metadata.get("sha256", "")),
            str(metadata.get("detail", "")),
            False,
        )

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            with span("storage", operation="find"):
                return self._objects.find(name)
        except Exception as error:
            raise _storage_error(error) from error

    def _url(self, name: str) -> str:
        return f"{self._base}/{name}"


def _storage_error(error: Exception) -> Exception:
    """Return the answer for a failed call; an error that is not storage's is returned as it is: a bug."""
    match error:
        case ApiError():
            return error
        case google.api_core.exceptions.ClientError() if error.code not in {408, 429}:
            log.error("storage.refused", code=int(error.code or 0), error=str(error.message)[:300])
            return storage_refused()
        case google.auth.exceptions.GoogleAuthError():
            log.error("storage.refused", code=0, error=type(error).__name__)
            return storage_refused()
        case _ if isinstance(error, STORAGE_FAILURES):
            log.warning("storage.failed", error=type(error).__name__)
            return storage_unavailable()
        case _:
            return error
