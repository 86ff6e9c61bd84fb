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
    """What a customer may ask for; `keep` means the source's own format where it is one of the other three."""

    JPEG = "jpeg"
    WEBP = "webp"
    PNG = "png"
    KEEP = "keep"


class Note(StrEnum):
    """What was done to an image beyond the plain job; listed in the detail of its outcome."""

    KEPT_ORIGINAL = "KEPT_ORIGINAL"
    FIRST_FRAME = "FIRST_FRAME"
    PROFILE_IGNORED = "PROFILE_IGNORED"
    EXIF_IGNORED = "EXIF_IGNORED"
    QUALITY_REDUCED = "QUALITY_REDUCED"
    LARGER_THAN_SOURCE = "LARGER_THAN_SOURCE"


@dataclass(frozen=True, slots=True)
class Options:
    """How to compress.

    Args:
        quality: 1-95, of JPEG and WebP; PNG is lossless and ignores it.
        output: the wanted format.
        max_width: px of the upright picture, or None; pictures are never enlarged.
        max_height: likewise.
    """

    quality: int = 50
    output: OutputFormat = OutputFormat.JPEG
    max_width: int | None = None
    max_height: int | None = None

    def canonical(self) -> str:
        """Return the same text for equal options: a part of the stored object's name."""
        return f"q={self.quality};f={self.output};w={self.max_width or 0};h={self.max_height or 0}"


@dataclass(frozen=True, slots=True)
class Rendition:
    """A compressed picture: its bytes, its format (`jpeg`, `webp` or `png`), its size in px, and the notes."""

    data: bytes
    format: OutputFormat
    width: int
    height: int
    notes: tuple[Note, ...] = ()
