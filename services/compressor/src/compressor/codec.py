"""One picture in, one smaller picture out: bytes to `Rendition`, or a `CodecError`. Pure; Pillow only.

The pipeline: name the format by content, open with that one decoder, refuse too many pixels before decoding, decode,
bring to eight bits, shrink, convert to sRGB, turn upright, flatten or keep alpha, encode without any metadata.

Never bigger: when the output has the source's format, the result is the smaller of the re-encoded picture and the
source's own bytes with all metadata taken out losslessly (note KEPT_ORIGINAL). The source's bytes do not qualify when
its pixels had to change (turned, shrunk, converted from a colour profile or from CMYK, one frame of several); then a
lossy picture is encoded again at lower quality, twice at most (QUALITY_REDUCED), and the smallest is taken.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

from PIL import Image

from compressor.colour import ProfileError, flattened, to_srgb, undo_adobe_inversion, with_display_mode
from compressor.model import CodecError, Note, Options, OutcomeCode, OutputFormat, Rendition
from compressor.sniff import Decodable, NotAnImage, Unsupported, is_cut_off, sniff
from compressor.stripping import stripped

ENCODER_VERSION = "1"
"""Part of every stored object's name: to be raised when equal input and options give other bytes."""

MAX_PIXELS = 50_000_000
"""Width times height; imgproxy's default. Memory follows: at most 9 bytes a pixel."""

MAX_SIDE_PX = 16_383
"""The longest side WebP can store."""

_MAX_SCANNED_PIXELS = 1_000_000_000  # pixels x scans of a progressive JPEG: 20 scans at 50 MP, some seconds of CPU
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPING_ORIENTATIONS = frozenset({5, 6, 7, 8})
_FORMATS = {"JPEG": OutputFormat.JPEG, "WEBP": OutputFormat.WEBP, "PNG": OutputFormat.PNG}
_KEEP = {**_FORMATS, "GIF": OutputFormat.PNG, "BMP": OutputFormat.PNG, "TIFF": OutputFormat.PNG} | {
    "AVIF": OutputFormat.WEBP
}
_DRAFT_FACTOR = 2  # decode to at least twice the wanted size, so that the final filter still has detail to work on
_THOROUGH_PNG_PIXELS = 4_000_000  # above, zlib's best effort would take seconds for a few percent
_REDUCED_QUALITIES = (0.7, 0.45)  # of the quality asked for


@dataclass(slots=True)
class _Work:
    """A picture on its way through the pipeline; `intact` while the source's own pixels would do as well."""

    image: Image.Image
    source_format: str
    output: OutputFormat
    notes: list[Note]
    intact: bool = True


def compress(source: bytes, options: Options) -> Rendition:
    """Return the compressed picture.

    Raises:
        CodecError: NOT_AN_IMAGE, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS, IMAGE_TRUNCATED, DECODE_ERROR or ENCODE_ERROR.
        MemoryError: this process is short of memory; says nothing about the picture.
    """
    source_format = _decodable_format(source)
    try:
        work = _decoded(source, source_format, options)
    except (CodecError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except Exception as error:
        # Decoders raise anything on hostile bytes: OSError, ValueError, SyntaxError, struct.error, ...
        if is_cut_off(source_format, source):
            raise CodecError(OutcomeCode.IMAGE_TRUNCATED, f"the {source_format} file ends too early") from error
        raise CodecError(OutcomeCode.DECODE_ERROR, f"the {source_format} file is damaged") from error
    try:
        return _smallest(work, source, options)
    except MemoryError:
        raise
    except Exception as error:
        raise CodecError(OutcomeCode.ENCODE_ERROR, f"it cannot be written as {work.output}") from error


def output_format(source: bytes, options: Options) -> OutputFormat:
    """Return the format that `compress` will give, without decoding.

    Raises:
        CodecError: NOT_AN_IMAGE or UNSUPPORTED_FORMAT.
    """
    return _output_format(_decodable_format(source), options)


def _output_format(source_format: str, options: Options) -> OutputFormat:
    return _KEEP[source_format] if options.output is OutputFormat.KEEP else options.output


def _decodable_format(source: bytes) -> str:
    match sniff(source):
        case Decodable(image_format):
            return image_format
        case Unsupported(name, hint):
            raise CodecError(OutcomeCode.UNSUPPORTED_FORMAT, f"{name} is not supported: {hint}")
        case NotAnImage(looks_like):
            raise CodecError(OutcomeCode.NOT_AN_IMAGE, f"it looks like {looks_like}")


def _too_many_pixels(width: int = 0, height: int = 0) -> CodecError:
    size = f"{width} x {height} px; " if width else ""
    return CodecError(
        OutcomeCode.TOO_MANY_PIXELS, f"{size}the limits are {MAX_PIXELS} pixels and {MAX_SIDE_PX} px a side"
    )


def _decoded(source: bytes, source_format: str, options: Options) -> _Work:
    """Decode, shrink, convert and turn: everything but the encoding."""
    image: Image.Image = Image.open(io.BytesIO(source), formats=[source_format])
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise _too_many_pixels(width, height)
    work = _Work(image, source_format, _output_format(source_format, options), [])
    if source_format == "JPEG":
        # The byte pair cannot occur in compressed data; in metadata it only makes the count too high.
        if source.count(b"\xff\xda") * width * height > _MAX_SCANNED_PIXELS:
            raise CodecError(OutcomeCode.DECODE_ERROR, "the JPEG file has more scans than any honest picture")
    elif getattr(image, "is_animated", False):
        work.notes.append(Note.FIRST_FRAME)
        work.intact = False
    if source_format != "JPEG":
        # Before EXIF is looked at: a PNG's may follow its pixels, and an error there must not pass for bad EXIF.
        image.load()
    orientation = _orientation(work)
    target = _target_size(image.size, orientation, options)
    if target is not None and source_format == "JPEG":
        image.draft(None, (target[0] * _DRAFT_FACTOR, target[1] * _DRAFT_FACTOR))
    image.load()
    _convert(work, target)
    turn = _TURNS.get(orientation)
    if turn is not None:
        work.image = work.image.transpose(turn)
        work.intact = False
    return work


def _orientation(work: _Work) -> int:
    if work.source_format == "TIFF":
        return 1  # Pillow turns these while decoding
    try:
        orientation = work.image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken EXIF block raises anything; the picture itself may be fine
        work.notes.append(Note.EXIF_IGNORED)
        return 1
    return orientation if isinstance(orientation, int) else 1


def _target_size(size: tuple[int, int], orientation: int, options: Options) -> tuple[int, int] | None:
    """Return the size to shrink to in the source's own axes, or None: limits are meant for the upright picture."""
    limits = (options.max_width or math.inf, options.max_height or math.inf)
    if orientation in _SWAPPING_ORIENTATIONS:
        limits = (limits[1], limits[0])
    scale = min(limits[0] / size[0], limits[1] / size[1])
    if scale >= 1:
        return None
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _convert(work: _Work, target: tuple[int, int] | None) -> None:
    profile = work.image.info.get("icc_profile")
    image = work.image
    if target is None and not profile and work.output is OutputFormat.PNG and image.mode in {"P", "1"}:
        return  # a palette is what makes these small
    if image.mode == "CMYK" and work.source_format == "JPEG":
        image = undo_adobe_inversion(image)
    changes_colour = image.mode in {"CMYK", "LAB", "F", "I"}
    image = with_display_mode(image)
    if target is not None:
        image = image.resize(target, Image.Resampling.LANCZOS)
    if profile:
        try:
            converted = to_srgb(image, profile)
        except ProfileError:
            work.notes.append(Note.PROFILE_IGNORED)
        else:
            changes_colour = changes_colour or converted is not image
            image = converted
    if image.mode == "CMYK":
        image = image.convert("RGB")
    if work.output is OutputFormat.JPEG:
        image = flattened(image)
    work.intact = work.intact and target is None and not changes_colour
    work.image = image


def _smallest(work: _Work, source: bytes, options: Options) -> Rendition:
    # Encoders write comments and profiles found here without being asked to.
    kept = {"transparency"} if work.image.mode in {"P", "1"} else set()
    work.image.info = {key: value for key, value in work.image.info.items() if key in kept}
    data = _encoded(work.image, work.output, options.quality)
    if _FORMATS.get(work.source_format) is work.output and len(data) >= len(source):
        data = _not_bigger(work, source, data, options)
    width, height = work.image.size
    return Rendition(data, work.output, width, height, tuple(work.notes))


def _not_bigger(work: _Work, source: bytes, data: bytes, options: Options) -> bytes:
    if work.intact:
        original = stripped(work.source_format, source)
        if original is not None and len(original) <= len(data):
            work.notes.append(Note.KEPT_ORIGINAL)
            return original
    if work.output is not OutputFormat.PNG:
        for factor in _REDUCED_QUALITIES:
            if len(data) <= len(source):
                break
            smaller = _encoded(work.image, work.output, max(1, round(options.quality * factor)), thorough=True)
            if len(smaller) < len(data):
                data = smaller
                if Note.QUALITY_REDUCED not in work.notes:
                    work.notes.append(Note.QUALITY_REDUCED)
    if len(data) > len(source):
        work.notes.append(Note.LARGER_THAN_SOURCE)
    return data


def _encoded(image: Image.Image, output: OutputFormat, quality: int, *, thorough: bool = False) -> bytes:
    """Encode; `thorough` makes JPEG's tables to measure, which costs memory and time and saves hundreds of bytes."""
    buffer = io.BytesIO()
    match output:
        case OutputFormat.JPEG:
            image.save(buffer, "JPEG", quality=quality, optimize=thorough)
        case OutputFormat.WEBP:
            image.save(buffer, "WEBP", quality=quality, method=4)
        case _:
            image.save(buffer, "PNG", optimize=image.width * image.height <= _THOROUGH_PNG_PIXELS)
    return buffer.getvalue()
