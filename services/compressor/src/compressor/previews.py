"""Pictures for people who look at a batch: always WebP that our own codec has written, never an origin's bytes.

An origin is asked through the same guard as for a compression. Nothing is kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from chassis.errors import ApiError
from compressor.clients.store import ImageStore
from compressor.errors import object_gone, out_of_memory, preview_failed
from compressor.images.model import Animated, ImageError, Metadata, Note, Options, OutputFormat, Rendition
from compressor.origin.fetch import ImageFetcher
from compressor.sandbox.pool import CodecPool

_QUALITY = 92
"""High enough that what is seen is what was compressed, and not the preview's own loss."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture to look at: WebP, its size in px, and how many bytes what it shows has.

    `source_changed` says that the origin gives other bytes than those that were compressed; None where nothing is
    known to compare with.
    """

    webp: bytes
    width: int
    height: int
    shown_bytes: int
    source_changed: bool | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a compression would make of a picture, before and after; nothing was stored."""

    before: Preview
    after: Preview
    rendition: Rendition


@dataclass(frozen=True, slots=True)
class Previewer:
    """Makes previews.

    Raises (all methods):
        ApiError: 400 PREVIEW_FAILED with the outcome code, 404 OBJECT_GONE, 503 as a compression.
    """

    fetcher: ImageFetcher
    codec: CodecPool
    store: ImageStore

    def stored(self, output_url: str, side: int) -> Preview:
        """Return a stored rendition, at most `side` px wide and high."""
        found = self.store.read(output_url)
        if found is None:
            raise object_gone()
        return self._preview(found, side)

    def source(self, url: str, side: int, output_url: str | None) -> Preview:
        """Return what the origin has now, compared with the source that `output_url` was made of."""
        body = self._fetched(url)
        known = None if output_url is None else self.store.read_source_sha256(output_url)
        changed = None if known is None else known != hashlib.sha256(body).hexdigest()
        made = self._preview(body, side)
        return Preview(made.webp, made.width, made.height, made.shown_bytes, changed)

    def trial(self, url: str, side: int, options: Options) -> Trial:
        """Return what the options would make of a picture."""
        body = self._fetched(url)
        rendition = self._compressed(body, options)
        return Trial(self._preview(body, side), self._preview(rendition.data, side), rendition)

    def _fetched(self, url: str) -> bytes:
        try:
            return self.fetcher.fetch(url).body
        except ImageError as error:
            raise _failed(error) from error
        except MemoryError as error:
            raise out_of_memory() from error

    def _preview(self, data: bytes, side: int) -> Preview:
        made = self._compressed(data, _options(side, OutputFormat.WEBP))
        if Note.KEPT_ORIGINAL in made.notes:
            # A WebP that could not be made smaller would be passed on as it came; by way of PNG it is drawn anew.
            drawn = self._compressed(data, _options(side, OutputFormat.PNG))
            made = self._compressed(drawn.data, _options(side, OutputFormat.WEBP))
        return Preview(made.data, made.width, made.height, len(data))

    def _compressed(self, data: bytes, options: Options) -> Rendition:
        try:
            return self.codec.compress(data, options)
        except ImageError as error:
            raise _failed(error) from error
        except MemoryError as error:
            raise out_of_memory() from error


def _options(side: int, output: OutputFormat) -> Options:
    return Options(_QUALITY, output, side, side, metadata=Metadata.STRIP, animated=Animated.FIRST)


def _failed(error: ImageError) -> ApiError:
    return preview_failed(error.code.value, error.detail)
