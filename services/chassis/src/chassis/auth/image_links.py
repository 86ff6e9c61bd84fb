"""Links to images of a private bucket: they open until they expire. Whoever shows an image signs its link.

What is stored of an image is its address below the reporter, `BASE/BUCKET/NAME`, which opens nothing. A link is that
address with the second at which it ends and an HMAC of both, so that checking it needs no table and no call of Google.
Signed URLs of Cloud Storage end after seven days at the latest, and signing one is a call for each image
(https://cloud.google.com/storage/docs/access-control/signed-urls).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import urlencode

from chassis.clock import Clock

MIN_SECRET_CHARS = 32
"""A shorter secret is refused: whoever guesses it opens every image."""

_DAY_S = 86_400


class Opening(Enum):
    """What a link does."""

    OPEN = auto()
    EXPIRED = auto()
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class ImageLinks:
    """Makes and checks links.

    Args:
        base: what addresses of private images begin with, e.g. `https://reporter.example/images/`.
        secret: shared by whoever signs and whoever checks; empty where images are public.
        days: how many whole days a link works.
        clock: says which day it is.
    """

    base: str
    secret: str
    days: int
    clock: Clock

    def shown(self, url: str | None) -> str | None:
        """Return what a client is shown of a stored address: a link, or the address itself when it is not private.

        All links of a day end at the same midnight, so that equal images have equal links and are kept by browsers.
        """
        if url is None or not self.secret or not url.startswith(self.base):
            return url
        expires = (int(self.clock.now().timestamp()) // _DAY_S + 1 + self.days) * _DAY_S
        query = urlencode({"expires": expires, "signature": self._signature(url.removeprefix(self.base), expires)})
        return f"{url}?{query}"

    def opening(self, name: str, *, expires: int, signature: str) -> Opening:
        """Return what a link to `BUCKET/NAME`, written as in its URL, does now."""
        if not self.secret or not hmac.compare_digest(self._signature(name, expires), signature):
            return Opening.INVALID
        return Opening.OPEN if self.clock.now().timestamp() < expires else Opening.EXPIRED

    def _signature(self, name: str, expires: int) -> str:
        digest = hmac.new(self.secret.encode(), f"image\n{name}\n{expires}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
