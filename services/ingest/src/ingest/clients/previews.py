"""What ingest asks of the compressor for people who look at pictures; the answers are WebP that the compressor drew."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from chassis.errors import SharedReason, unavailable
from chassis.peer_service import InternalService

_TIMEOUT_S = 75.0  # a fetch has 60 s, the codec the rest


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture to look at, and how many bytes what it shows has; `source_changed` is None where nobody can tell."""

    webp: bytes
    width: int
    height: int
    shown_bytes: int
    source_changed: bool | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A picture before and after a compression that stored nothing."""

    before: Preview
    after: Preview
    format: str
    detail: str


class Previews(Protocol):
    """The part of the compressor's interface that the console needs."""

    def stored(self, output_url: str, side: int) -> Preview:
        """Return a stored output, at most `side` px wide and high."""
        ...

    def source(self, url: str, side: int, output_url: str | None) -> Preview:
        """Return what the origin has now, compared with the source of an output."""
        ...

    def trial(self, url: str, side: int, options: Mapping[str, Any]) -> Trial:
        """Return what options would make of a picture."""
        ...


class CompressorPreviews:
    """The compressor over HTTP.

    Raises (all methods):
        ApiError: what the compressor answered, or 503 when it cannot be reached.
    """

    def __init__(self, service: InternalService) -> None:
        self._service = service

    def stored(self, output_url: str, side: int) -> Preview:
        """Return a stored output, at most `side` px wide and high."""
        return _preview(self._ask({"output_url": output_url, "side": side}))

    def source(self, url: str, side: int, output_url: str | None) -> Preview:
        """Return what the origin has now, compared with the source of an output."""
        return _preview(self._ask({"url": url, "output_url": output_url, "side": side}))

    def trial(self, url: str, side: int, options: Mapping[str, Any]) -> Trial:
        """Return what options would make of a picture."""
        answer = self._ask({"url": url, "side": side, "options": dict(options)})
        return Trial(
            _preview(answer.get("before", {})),
            _preview(answer.get("after", {})),
            str(answer["format"]),
            answer["detail"],
        )

    def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._service.call("POST", "/internal/previews", body=body, timeout_s=_TIMEOUT_S)


def _preview(answer: dict[str, Any]) -> Preview:
    try:
        webp = base64.b64decode(answer["webp"], validate=True)
        return Preview(
            webp, int(answer["width"]), int(answer["height"]), int(answer["bytes"]), answer["source_changed"]
        )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise unavailable(SharedReason.PEER_UNAVAILABLE, "The compressor answered no picture.") from error
