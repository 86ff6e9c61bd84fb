"""Opens an image of the private bucket for whoever holds a link that ingest has signed."""

from __future__ import annotations

from urllib.parse import quote

from chassis.auth.image_links import Opening
from reporter.clients.bucket import StoredObject
from reporter.dependencies import Dependencies
from reporter.errors import image_link_expired, image_link_invalid, image_not_found


def open_image(dependencies: Dependencies, name: str, *, expires: int, signature: str) -> StoredObject:
    """Open the image at `BUCKET/NAME`.

    Raises:
        ApiError: 403 IMAGE_LINK_EXPIRED or IMAGE_LINK_INVALID, 404 IMAGE_NOT_FOUND, 503 STORAGE_UNAVAILABLE.
    """
    bucket, _, key = name.partition("/")
    if bucket != dependencies.settings.images_bucket:
        raise image_link_invalid()
    match dependencies.image_links.opening(quote(name), expires=expires, signature=signature):
        case Opening.EXPIRED:
            raise image_link_expired()
        case Opening.INVALID:
            raise image_link_invalid()
    found = dependencies.images.open(key)
    if found is None:
        raise image_not_found()
    return found
