"""The compressor's vocabulary: options, renditions, notes and the codes an image can end with. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OutcomeCode(StrEnum):
    """How an attempt at one image ended; public, also seen in reports and statuses."""

    OK = "OK"
    URL_INVALID = "URL_INVALID"
    URL_FORBIDDEN = "URL_FORBIDDEN"
    DNS_FAILED = "DNS_FAILED"
    CONNECT_FAILED = "CONNECT_FAILED"
    TLS_ERROR = "TLS_ERROR"
    TIMEOUT = "TIMEOUT"
    HTTP_4XX = "HTTP_4XX"
    HTTP_5XX = "HTTP_5XX"
    RATE_LIMITED = "RATE_LIMITED"
    REDIRECT_LIMIT = "REDIRECT_LIMIT"
    ROBOTS_FORBIDDEN = "ROBOTS_FORBIDDEN"
    TOO_LARGE = "TOO_LARGE"
    INCOMPLETE = "INCOMPLETE"
    NOT_AN_IMAGE = "NOT_AN_IMAGE"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    TOO_MANY_PIXELS = "TOO_MANY_PIXELS"
    IMAGE_TRUNCATED = "IMAGE_TRUNCATED"
    DECODE_ERROR = "DECODE_ERROR"
    DECODE_TIMEOUT = "DECODE_TIMEOUT"
    DECODE_OUT_OF_MEMORY = "DECODE_OUT_OF_MEMORY"
    DECODE_CRASHED = "DECODE_CRASHED"
    ENCODE_ERROR = "ENCODE_ERROR"


class ImageError(Exception):
    """An attempt that ends without a rendition, for a reason that lies with the image or its origin.

    Args:
        code: the outcome code.
        detail: one phrase for the customer; never holds addresses, paths or an origin's own text.
        transient: the same attempt may work later.
        retry_after_s: seconds that the origin asked us to wait.
    """

    def __init__(
        self, code: OutcomeCode, detail: str, *, transient: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.transient = transient
        self.retry_after_s = retry_after_s


class CodecError(ImageError):
    """The bytes cannot be made into a rendition; always permanent."""

    def __init__(self, code: OutcomeCode, detail: str) -> None:
        super().__init__(code, detail)


class FetchError(ImageError):
    """The origin did not give us an image's bytes."""


class OutputFormat(StrEnum):
    """What a customer may ask for.

    `keep` means the source's own format where it is one of the first four; `auto` the smallest of JPEG (where nothing
    is transparent), WebP and, for drawings, PNG.
    """

    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"
    PNG = "png"
    KEEP = "keep"
    AUTO = "auto"


class Metadata(StrEnum):
    """What is left of the source's EXIF: nothing, author and rights, or also how it was taken. GPS never is."""

    STRIP = "strip"
    COPYRIGHT = "copyright"
    KEEP = "keep"


class Animated(StrEnum):
    """What becomes of an animation: its first frame, or an animated WebP where the output can be one."""

    FIRST = "first"
    KEEP = "keep"


class Note(StrEnum):
    """What was done to an image beyond the plain job; listed in the detail of its outcome."""

    KEPT_ORIGINAL = "KEPT_ORIGINAL"
    ROBOTS_TAG = "ROBOTS_TAG"
    FIRST_FRAME = "FIRST_FRAME"
    LARGEST_OF_SEVERAL = "LARGEST_OF_SEVERAL"
    ANIMATION_TOO_LONG = "ANIMATION_TOO_LONG"
    ANIMATION_DAMAGED = "ANIMATION_DAMAGED"
    END_MISSING = "END_MISSING"
    DAMAGED = "DAMAGED"
    PROFILE_IGNORED = "PROFILE_IGNORED"
    HDR_TONE_MAPPED = "HDR_TONE_MAPPED"
    EXIF_IGNORED = "EXIF_IGNORED"
    QUALITY_REDUCED = "QUALITY_REDUCED"
    TARGET_MISSED = "TARGET_MISSED"
    LARGER_THAN_SOURCE = "LARGER_THAN_SOURCE"


@dataclass(frozen=True, slots=True)
class Options:
    """How to compress.

    Args:
        quality: 1-95, of JPEG, WebP and AVIF; PNG is lossless and ignores it.
        output: the wanted format.
        max_width: px of the upright picture, or None; pictures are never enlarged.
        max_height: likewise.
        target_bytes: the file's wanted size; quality is lowered, never raised, to get there. None: no such wish.
        metadata: what is left of EXIF.
        background: six lower-case hexadecimal digits after `#`; transparent pixels are laid on it for JPEG.
        animated: what becomes of an animation.
    """

    quality: int = 50
    output: OutputFormat = OutputFormat.JPEG
    max_width: int | None = None
    max_height: int | None = None
    target_bytes: int | None = None
    metadata: Metadata = Metadata.COPYRIGHT
    background: str = "#ffffff"
    animated: Animated = Animated.FIRST

    def canonical(self) -> str:
        """Return the same text for equal options: a part of the stored object's name."""
        size = f"w={self.max_width or 0};h={self.max_height or 0};t={self.target_bytes or 0}"
        return f"q={self.quality};f={self.output};{size};m={self.metadata};b={self.background};a={self.animated}"


@dataclass(frozen=True, slots=True)
class Rendition:
    """A compressed picture: its bytes, its format (one of the first four), its size in px, and what was done.

    `quality` is what the encoder was given; None for PNG and for the source's own data.
    """

    data: bytes
    format: OutputFormat
    width: int
    height: int
    notes: tuple[Note, ...] = ()
    quality: int | None = None

    @property
    def detail(self) -> str:
        """The notes in one line, with the quality that was chosen if it was not the one asked for."""
        chosen = Note.QUALITY_REDUCED in self.notes and self.quality is not None
        return ", ".join([*self.notes, *([f"quality={self.quality}"] if chosen else [])])
