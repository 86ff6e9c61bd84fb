"""An image's bytes from its origin: every answer an origin can give, as bytes or as a `FetchError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime

from chassis.clock import Clock
from chassis.egress.client import Egress, EgressError, EgressFault, EgressResponse
from chassis.logs import get_logger
from chassis.tracing import span
from compressor.images.model import FetchError, Note, OutcomeCode
from compressor.images.sniff import NotAnImage, sniff
from compressor.origin.robots import refusal
from compressor.origin.validators import NO_VALIDATORS, Validators, validators_of
from compressor.settings import RobotsPolicy

log = get_logger(__name__)

_ACCEPT = "image/jpeg,image/png,image/webp,image/gif,image/*;q=0.8,*/*;q=0.5"
_TRANSIENT_4XX = frozenset({408, 425, 429})
_MAX_RETRY_AFTER_S = 3600.0  # an origin must not park an image for a year
_MAX_RETRY_AFTER_CHARS = 64  # a date has 29; what is longer is nonsense and not worth parsing
_RECONNECT_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source image, and what its origin had to say about it; `unchanged`, without a body, if it is the known one."""

    body: bytes
    notes: tuple[Note, ...] = ()
    validators: Validators = NO_VALIDATORS
    unchanged: bool = False
    first_byte_s: float | None = field(default=None, compare=False)


class ImageFetcher:
    """Fetches through the guarded egress; a refused connection is tried once more at once, nothing else is."""

    def __init__(self, egress: Egress, clock: Clock, *, robots: RobotsPolicy = RobotsPolicy.WARN) -> None:
        self._egress = egress
        self._clock = clock
        self._robots = robots

    def fetch(self, url: str, known: Validators = NO_VALIDATORS) -> Fetched:
        """Return what is behind a customer's URL.

        Args:
            url: the customer's.
            known: of the picture that is here already; if the origin says that it is the same, it sends no body.

        Raises:
            FetchError: with the code, and whether and when another attempt may help.
        """
        with span("fetch") as fetching:
            fetched = self._foreseen(url, known.conditions())
            fetching.set(bytes=len(fetched.body), unchanged=fetched.unchanged)
        return fetched

    def _foreseen(self, url: str, conditions: Mapping[str, str]) -> Fetched:
        try:
            return self._fetched(url, conditions)
        except (FetchError, MemoryError):
            raise
        except Exception as error:
            # Whatever an origin says is an outcome: an answer that none of us thought of must not end without one.
            log.exception("fetch.unforeseen", error=type(error).__name__)
            raise FetchError(OutcomeCode.INCOMPLETE, "the answer cannot be read", transient=True) from error

    def _fetched(self, url: str, conditions: Mapping[str, str]) -> Fetched:
        response = self._get(url, conditions)
        try:
            return self._judged(url, conditions, response)
        except FetchError as error:
            error.first_byte_s = response.first_byte_s
            raise

    def _judged(self, url: str, conditions: Mapping[str, str], response: EgressResponse) -> Fetched:
        status = response.status
        if status == 304 and conditions and response.url == url:
            return Fetched(b"", self._notes(response), unchanged=True, first_byte_s=response.first_byte_s)
        if status == 206 and not _is_whole(response):
            raise FetchError(OutcomeCode.INCOMPLETE, "HTTP 206 with a part of the image", transient=True)
        if status == 202 and isinstance(sniff(response.body), NotAnImage):
            # RFC 9110, 15.3.3: the request is taken, its result is not there yet.
            retry_after_s = self._retry_after(response.headers)
            if retry_after_s is not None or not response.body:
                detail = "HTTP 202, the picture is not ready yet"
                raise FetchError(OutcomeCode.INCOMPLETE, detail, transient=True, retry_after_s=retry_after_s)
        if 200 <= status < 300:
            if not response.body:
                raise FetchError(OutcomeCode.NOT_AN_IMAGE, f"HTTP {status} with an empty body")
            # Behind a redirect another picture may have the same ETag tomorrow: it is unique for one URL only.
            validators = validators_of(response.headers) if response.url == url else NO_VALIDATORS
            return Fetched(response.body, self._notes(response), validators, first_byte_s=response.first_byte_s)
        retry_after_s = self._retry_after(response.headers)
        if status == 429:
            raise FetchError(
                OutcomeCode.RATE_LIMITED, "HTTP 429, too many requests", transient=True, retry_after_s=retry_after_s
            )
        if status >= 500:
            raise FetchError(OutcomeCode.HTTP_5XX, f"HTTP {status}", transient=True, retry_after_s=retry_after_s)
        transient = status in _TRANSIENT_4XX
        raise FetchError(
            OutcomeCode.HTTP_4XX,
            f"HTTP {status}",
            transient=transient,
            retry_after_s=retry_after_s if transient else None,
        )

    def _notes(self, response: EgressResponse) -> tuple[Note, ...]:
        repaired = (Note.REDIRECT_REPAIRED,) if response.redirect_repaired else ()
        refused = refusal(response.headers.get("X-Robots-Tag", ""))
        if refused is None or self._robots is RobotsPolicy.IGNORE:
            return repaired
        if self._robots is RobotsPolicy.SKIP:
            raise FetchError(OutcomeCode.ROBOTS_FORBIDDEN, f"the origin refuses copies: X-Robots-Tag {refused}")
        return (*repaired, Note.ROBOTS_TAG)

    def _get(self, url: str, conditions: Mapping[str, str]) -> EgressResponse:
        begun = self._clock.monotonic()
        for last in (False, True):
            try:
                return self._egress.request(
                    "GET", url, headers={"Accept": _ACCEPT, **conditions}, skip_error_bodies=True
                )
            except EgressError as error:
                quick = self._clock.monotonic() - begun < _RECONNECT_WITHIN_S
                if error.fault is EgressFault.CONNECT_FAILED and quick and not last:
                    continue
                raise FetchError(OutcomeCode(error.fault), error.detail, transient=error.transient) from error
        raise FetchError(OutcomeCode.CONNECT_FAILED, "unreachable", transient=True)  # pragma: no cover

    def _retry_after(self, headers: Mapping[str, str]) -> float | None:
        """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3); nonsense and the past count as absent."""
        text = headers.get("Retry-After", "").strip()
        if len(text) > _MAX_RETRY_AFTER_CHARS:
            return None
        if text.isdecimal():
            seconds = float(text)
        else:
            try:
                at = parsedate_to_datetime(text)
                seconds = (at.replace(tzinfo=at.tzinfo or UTC) - self._clock.now()).total_seconds()
            except (ValueError, TypeError, LookupError, ArithmeticError):
                # A zone of a million hours overflows; this parser of the standard library raises many kinds.
                return None
        return min(seconds, _MAX_RETRY_AFTER_S) if seconds > 0 else None


def _is_whole(response: EgressResponse) -> bool:
    """Return whether a 206 answer nobody asked for holds the whole image, e.g. `Content-Range: bytes 0-99/100`."""
    size = len(response.body)
    content_range = response.headers.get("Content-Range", "").replace(" ", "")
    return size > 0 and content_range == f"bytes0-{size - 1}/{size}"
