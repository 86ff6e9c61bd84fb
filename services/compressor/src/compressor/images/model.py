"""The compressor's vocabulary: options, renditions, notes and the codes an image can end with. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class OutcomeCode(StrEnum):
    """How an attempt at one image ended; public, also seen in reports and statuses."""

    OK = "OK"
    """-: stored; `detail` lists the notes below"""
    URL_INVALID = "URL_INVALID"
    """no: not an http or https URL that can be parsed"""
    URL_FORBIDDEN = "URL_FORBIDDEN"
    """no: leads to a private or special address, an internal name, an odd port, or carries credentials"""
    DNS_FAILED = "DNS_FAILED"
    """yes: the name cannot be resolved now"""
    CONNECT_FAILED = "CONNECT_FAILED"
    """yes: no connection, tried twice"""
    TLS_ERROR = "TLS_ERROR"
    """no: the certificate is not trusted, or not for this name"""
    TIMEOUT = "TIMEOUT"
    """yes: a time limit was reached"""
    HTTP_4XX = "HTTP_4XX"
    """408 and 425 only: the origin refuses; the detail has the status (also 304 and other answers without an image)"""
    HTTP_5XX = "HTTP_5XX"
    """yes: the origin is in trouble; `Retry-After` is passed on, an hour at most"""
    RATE_LIMITED = "RATE_LIMITED"
    """yes: HTTP 429; likewise"""
    HOST_CLOSED = "HOST_CLOSED"
    """yes: not fetched, because its host had just refused others; no attempt is lost, and the code is shown nowhere"""
    REDIRECT_LIMIT = "REDIRECT_LIMIT"
    """no: too many redirects"""
    ROBOTS_FORBIDDEN = "ROBOTS_FORBIDDEN"
    """no: `ROBOTS_POLICY=skip`, and the origin's `X-Robots-Tag` refuses copies"""
    TOO_LARGE = "TOO_LARGE"
    """no: more than `FETCH_MAX_BYTES` when decompressed, more than two content encodings, or headers beyond limits"""
    INCOMPLETE = "INCOMPLETE"
    """yes: the answer broke off, is a part (206) or not ready (202), is not HTTP, or its content encoding is broken"""
    NOT_AN_IMAGE = "NOT_AN_IMAGE"
    """no: an HTML page, JSON, a PDF, nothing...: the detail says what it looks like"""
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    """no: SVG, PSD, HEIC (without its package)...: the detail names it and what would help"""
    TOO_MANY_PIXELS = "TOO_MANY_PIXELS"
    """no: more than 50,000,000 pixels or 65,500 px a side; for output, WebP 16,383 px a side, AVIF 25,000,000 pixels"""
    IMAGE_TRUNCATED = "IMAGE_TRUNCATED"
    """no: the file ends too early"""
    DECODE_ERROR = "DECODE_ERROR"
    """no: the file is damaged, or is a bomb of another kind"""
    DECODE_TIMEOUT = "DECODE_TIMEOUT"
    """no: it takes more than `CODEC_CPU_S` of processor time"""
    DECODE_OUT_OF_MEMORY = "DECODE_OUT_OF_MEMORY"
    """no: it takes more than `CODEC_MEMORY_BYTES` of memory"""
    DECODE_CRASHED = "DECODE_CRASHED"
    """no: the decoder crashed on it, in a process that had seen no other picture"""
    ENCODE_ERROR = "ENCODE_ERROR"
    """no: it cannot be written in the wanted format"""


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
        self.first_byte_s: float | None = None
        """Until its origin answered; None when it did not, or nothing was fetched."""
        self.codec_s = 0.0
        """In the codec, without the wait for it."""


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
    """re-encoding would not have made it smaller: the source's own data, metadata removed losslessly"""
    ROBOTS_TAG = "ROBOTS_TAG"
    """the origin's `X-Robots-Tag` says noimageindex, noai or noimageai; taken all the same (`ROBOTS_POLICY=warn`)"""
    REDIRECT_REPAIRED = "REDIRECT_REPAIRED"
    """a redirect of the origin was no link as it stood (blanks, `&amp;`, no scheme) and was repaired as a cell's is"""
    REUSED = "REUSED"
    """the source is that of an earlier batch, by its origin's word (304) or by its bytes: its output was used again"""
    FIRST_FRAME = "FIRST_FRAME"
    """an animation or several pages: the first was taken"""
    LARGEST_OF_SEVERAL = "LARGEST_OF_SEVERAL"
    """an icon of several pictures: the largest was taken"""
    ANIMATION_TOO_LONG = "ANIMATION_TOO_LONG"
    """`animated=keep`, but more than 60 frames, or more than 50,000,000 pixels in all of them"""
    ANIMATION_DAMAGED = "ANIMATION_DAMAGED"
    """the animation is damaged: the first frame was taken"""
    END_MISSING = "END_MISSING"
    """the file lacks its end, the picture is whole"""
    DAMAGED = "DAMAGED"
    """data within the JPEG are damaged; taken as browsers show it"""
    PROFILE_IGNORED = "PROFILE_IGNORED"
    """the embedded colour profile is broken or of another kind; taken as sRGB"""
    HDR_TONE_MAPPED = "HDR_TONE_MAPPED"
    """high dynamic range (PQ or HLG) was brought into that of sRGB"""
    EXIF_IGNORED = "EXIF_IGNORED"
    """the EXIF block cannot be read; orientation taken as upright"""
    QUALITY_REDUCED = "QUALITY_REDUCED"
    """encoded at lower quality so as not to exceed the source or `target_bytes`; `quality=37` follows the notes"""
    TARGET_MISSED = "TARGET_MISSED"
    """larger than `target_bytes` even at the lowest quality that was tried: the smallest that was reached"""
    LARGER_THAN_SOURCE = "LARGER_THAN_SOURCE"
    """larger than the source; `format` `auto` is usually smaller, `keep` (the source's own format) often"""


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

    `quality` is what the encoder was given; None for PNG and for the source's own data. `codec_s` are the seconds that
    it was in the codec's process, without the wait for it; equal pictures are equal whatever they took.
    """

    data: bytes
    format: OutputFormat
    width: int
    height: int
    notes: tuple[Note, ...] = ()
    quality: int | None = None
    codec_s: float = field(default=0.0, compare=False)

    @property
    def detail(self) -> str:
        """The notes in one line, with the quality that was chosen if it was not the one asked for."""
        chosen = Note.QUALITY_REDUCED in self.notes and self.quality is not None
        return ", ".join([*self.notes, *([f"quality={self.quality}"] if chosen else [])])
