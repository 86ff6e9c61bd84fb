"""One picture in, one smaller picture out: bytes to `Rendition`, or a `CodecError`. Pure; Pillow only.

The pipeline: name the format by content, open with that one decoder, refuse too many pixels before decoding, decode,
bring to eight bits, shrink, convert to sRGB, turn upright, flatten or keep alpha, encode (`encoding`) without any
metadata but what `exif` lets through. Never bigger than a source of the same format.
"""

from __future__ import annotations

import importlib.util
import io
import math

from PIL import Image

from compressor.images.colour import (
    ProfileError,
    flattened,
    to_srgb,
    undo_adobe_inversion,
    with_display_mode,
    without_unused_alpha,
)
from compressor.images.encoding import smallest
from compressor.images.exif import kept_exif
from compressor.images.model import Animated, CodecError, Note, Options, OutcomeCode, OutputFormat, Rendition
from compressor.images.picture import (
    MAX_FRAMES,
    MAX_PIXELS,
    Animation,
    Picture,
    can_hold,
    refuse_output_size,
    refuse_source_size,
    too_many_pixels,
)
from compressor.images.sniff import Decodable, NotAnImage, Unsupported, is_cut_off, sniff

ENCODER_VERSION = "2"
"""Part of every stored object's name: to be raised when equal input and options give other bytes."""

READS_HEIC = importlib.util.find_spec("pi_heif") is not None
"""Whether the optional package is installed."""
if READS_HEIC:
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False)

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
_TURNED_BY_DECODER = frozenset({"TIFF", "HEIF"})
_KEEP = {
    "JPEG": OutputFormat.JPEG,
    "PNG": OutputFormat.PNG,
    "WEBP": OutputFormat.WEBP,
    "AVIF": OutputFormat.AVIF,
    "GIF": OutputFormat.PNG,
    "BMP": OutputFormat.PNG,
    "TIFF": OutputFormat.PNG,
    "HEIF": OutputFormat.JPEG,
}
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})  # several pages of a TIFF are no animation
_UNSET_FRAME_MS = 100  # how long browsers show a frame that says no time
_DRAFT_FACTOR = 2  # decode to at least twice the wanted size, so that the final filter still has detail to work on


def compress(source: bytes, options: Options) -> Rendition:
    """Return the compressed picture.

    Raises:
        CodecError: NOT_AN_IMAGE, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS, IMAGE_TRUNCATED, DECODE_ERROR or ENCODE_ERROR.
        MemoryError: this process is short of memory.
    """
    source_format = _decodable_format(source)
    try:
        picture = _decoded(source, source_format, options)
    except (CodecError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels() from error
    except Exception as error:
        # Decoders raise anything on hostile bytes: OSError, ValueError, SyntaxError, struct.error, ...
        if is_cut_off(source_format, source):
            raise CodecError(OutcomeCode.IMAGE_TRUNCATED, f"the {source_format} file ends too early") from error
        raise CodecError(OutcomeCode.DECODE_ERROR, f"the {source_format} file is damaged") from error
    try:
        return smallest(picture, source, options)
    except MemoryError:
        raise
    except Exception as error:
        raise CodecError(OutcomeCode.ENCODE_ERROR, f"it cannot be written as {picture.output}") from error


def output_format(source: bytes, options: Options) -> OutputFormat | None:
    """Return the format that `compress` will give, or None when only decoding can tell.

    Raises:
        CodecError: NOT_AN_IMAGE or UNSUPPORTED_FORMAT.
    """
    source_format = _decodable_format(source)
    may_become_webp = options.animated is Animated.KEEP and source_format in _ANIMATED
    if options.output is OutputFormat.AUTO or (options.output is OutputFormat.KEEP and may_become_webp):
        return None
    return _output_format(source_format, options)


def _output_format(source_format: str, options: Options) -> OutputFormat:
    return _KEEP[source_format] if options.output is OutputFormat.KEEP else options.output


def _decodable_format(source: bytes) -> str:
    match sniff(source):
        case Decodable(image_format):
            return image_format
        case Unsupported("HEIC") if READS_HEIC:
            return "HEIF"
        case Unsupported(name, hint):
            raise CodecError(OutcomeCode.UNSUPPORTED_FORMAT, f"{name} is not supported: {hint}")
        case NotAnImage(looks_like):
            raise CodecError(OutcomeCode.NOT_AN_IMAGE, f"it looks like {looks_like}")


def _decoded(source: bytes, source_format: str, options: Options) -> Picture:
    """Decode, shrink, convert and turn: everything but the encoding."""
    image: Image.Image = Image.open(io.BytesIO(source), formats=[source_format])
    refuse_source_size(*image.size)
    picture = Picture(image, source_format, _output_format(source_format, options))
    keeps_frames = _keeps_frames(picture, options)
    if source_format == "JPEG":
        # The byte pair cannot occur in compressed data; in metadata it only makes the count too high.
        if source.count(b"\xff\xda") * image.width * image.height > _MAX_SCANNED_PIXELS:
            raise CodecError(OutcomeCode.DECODE_ERROR, "the JPEG file has more scans than any honest picture")
    elif not keeps_frames and getattr(image, "is_animated", False):
        picture.note(Note.FIRST_FRAME)
        picture.intact = False
    if source_format != "JPEG":
        # Before EXIF is looked at: a PNG's may follow its pixels, and an error there must not pass for bad EXIF.
        image.load()
    orientation = _orientation(picture, options)
    target = _target_size(image.size, orientation, options)
    if options.output is OutputFormat.KEEP and not can_hold(picture.output, target or image.size):
        picture.output = OutputFormat.WEBP  # a large AVIF
    refuse_output_size(picture.output, target or image.size)
    if target is not None and source_format == "JPEG":
        image.draft(None, (target[0] * _DRAFT_FACTOR, target[1] * _DRAFT_FACTOR))
    turn = _TURNS.get(orientation)
    if keeps_frames:
        _finish_frames(picture, target, turn, options)
    else:
        image.load()
        picture.image = _finished(picture, image, target, turn, options)
    return picture


def _keeps_frames(picture: Picture, options: Options) -> bool:
    """Return whether this becomes an animated WebP, and settle the format if that was open."""
    image = picture.image
    if options.animated is Animated.FIRST or picture.source_format not in _ANIMATED:
        return False
    if not getattr(image, "is_animated", False):
        return False
    if options.output not in {OutputFormat.WEBP, OutputFormat.KEEP, OutputFormat.AUTO}:
        return False
    frames = getattr(image, "n_frames", 1)
    if frames > MAX_FRAMES or frames * image.width * image.height > MAX_PIXELS:
        picture.note(Note.ANIMATION_TOO_LONG)
        return False
    picture.output = OutputFormat.WEBP
    return True


def _finish_frames(
    picture: Picture, target: tuple[int, int] | None, turn: Image.Transpose | None, options: Options
) -> None:
    source = picture.image
    frames, durations = [], []
    for number in range(getattr(source, "n_frames", 1)):
        source.seek(number)
        source.load()
        frames.append(_finished(picture, source.copy(), target, turn, options))
        durations.append(round(source.info.get("duration") or _UNSET_FRAME_MS))
    plays = source.info.get("loop", 1 if picture.source_format == "GIF" else 0)
    if picture.source_format == "GIF" and "loop" in source.info and plays:
        plays += 1  # a GIF counts how often it is shown again
    picture.image = frames[0]
    picture.animation = Animation(tuple(frames[1:]), tuple(durations), min(plays, 65_535))


def _orientation(picture: Picture, options: Options) -> int:
    """Return how the picture must be turned, and keep of its EXIF what is wanted."""
    orientation = 1
    try:
        if picture.source_format not in _TURNED_BY_DECODER:
            orientation = picture.image.getexif().get(_ORIENTATION_TAG, 1)
        picture.exif = kept_exif(picture.image, options.metadata)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a broken EXIF block raises anything; the picture itself may be fine
        picture.note(Note.EXIF_IGNORED)
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


def _finished(
    picture: Picture,
    image: Image.Image,
    target: tuple[int, int] | None,
    turn: Image.Transpose | None,
    options: Options,
) -> Image.Image:
    """Return decoded pixels as they are to be encoded."""
    profile = image.info.get("icc_profile")
    if target is None and not profile and picture.output is OutputFormat.PNG and image.mode in {"P", "1"}:
        finished = image  # a palette is what makes these small
    else:
        finished = _converted(picture, image, target, profile)
    if picture.output is OutputFormat.JPEG:
        finished = flattened(finished, options.background)
    elif picture.output is OutputFormat.AUTO:
        finished = without_unused_alpha(finished)
    if turn is not None:
        finished = finished.transpose(turn)
        picture.intact = False
    return finished


def _converted(
    picture: Picture, image: Image.Image, target: tuple[int, int] | None, profile: bytes | None
) -> Image.Image:
    if image.mode == "CMYK" and picture.source_format == "JPEG":
        image = undo_adobe_inversion(image)
    changes_colour = image.mode in {"CMYK", "LAB", "F", "I"}
    image = with_display_mode(image)
    if target is not None:
        image = image.resize(target, Image.Resampling.LANCZOS)
    if profile:
        try:
            converted = to_srgb(image, profile)
        except ProfileError:
            picture.note(Note.PROFILE_IGNORED)
        else:
            changes_colour = changes_colour or converted is not image
            image = converted
    if image.mode == "CMYK":
        image = image.convert("RGB")
    picture.intact = picture.intact and target is None and not changes_colour
    return image
