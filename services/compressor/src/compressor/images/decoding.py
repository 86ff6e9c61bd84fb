"""From a source to a picture: decoded, shrunk, converted and turned; everything but the encoding. Pure; Pillow only."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from PIL import Image, ImageFile, JpegImagePlugin

from compressor.images.colour import (
    ProfileError,
    flattened,
    to_srgb,
    undo_adobe_inversion,
    with_display_mode,
    with_transparent_colour,
    without_unused_alpha,
)
from compressor.images.exif import kept_exif, orientation, readable_block
from compressor.images.ifd import BrokenDirectoryError
from compressor.images.model import Animated, CodecError, Note, Options, OutputFormat
from compressor.images.picture import (
    ANIMATED_FORMATS,
    KEPT_FORMATS,
    MAX_FRAMES,
    MAX_PIXELS,
    Animation,
    Picture,
    can_hold,
    refuse_output_size,
    refuse_source_size,
)
from compressor.images.source import Source

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
_TURNED_BY_DECODER = frozenset({"HEIF"})
_UNSET_FRAME_MS = 100  # how long browsers show a frame that says no time
_DRAFT_FACTOR = 2  # decode to at least twice the wanted size, so that the final filter still has detail to work on
_END_BYTES = 1024  # of a JPEG's pixels: so near to their end a decoder must come, read in pieces
_END_PIECE_BYTES = 16
_MAX_UNREAD_BYTES = 32


def decoded(source: Source, options: Options) -> Picture:
    """Return the picture of a source, or of what can be tried in its place when the decoder refuses it.

    Raises:
        CodecError: TOO_MANY_PIXELS.
        MemoryError: this process is short of memory.
        Exception: of any kind: the source is damaged.
    """
    try:
        return _decoded(source, options)
    except (CodecError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception:
        second = None if source.second is None else source.second()
        if second is None:
            raise
    return _decoded(second, options)


def _decoded(source: Source, options: Options) -> Picture:
    """Decode, shrink, convert and turn: everything but the encoding."""
    file = _EndWatchingFile(source.data) if source.pixels_end else io.BytesIO(source.data)
    image: Image.Image = Image.open(file, formats=[source.format])
    refuse_source_size(*image.size)
    picture = Picture(image, source.format, _wanted_format(source, options), notes=list(source.notes))
    picture.own_bytes = len(source.data)
    picture.intact = source.may_be_kept and set(source.notes) <= {Note.PROFILE_IGNORED}
    if source.format != "JPEG":
        _load(image, source)
    turned = _orientation(picture, source, options)
    target = _target_size(image.size, turned, options)
    turn = _TURNS.get(turned)
    if _keeps_frames(picture, options):
        try:
            return _with_frames(picture, source, target, turn, options)
        except (CodecError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - decoders raise anything; the first frame is fine
            picture.note(Note.ANIMATION_DAMAGED)
            picture.animation, picture.output = None, _wanted_format(source, options)
            image.seek(0)
            _load(image, source)
    if source.format in ANIMATED_FORMATS and getattr(image, "is_animated", False):
        picture.note(Note.FIRST_FRAME)
        picture.intact = False
    if options.output is OutputFormat.KEEP and not can_hold(picture.output, target or image.size):
        picture.output = OutputFormat.WEBP  # a large AVIF
    refuse_output_size(picture.output, target or image.size)
    if target is not None and source.format == "JPEG":
        image.draft(None, (target[0] * _DRAFT_FACTOR, target[1] * _DRAFT_FACTOR))
    if isinstance(file, _EndWatchingFile):
        file.gives_pieces = True
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        # Near the end of each piece that it is given the decoder has a slower way: 3 % of its time for 64 KiB each.
        image.decodermaxblock = len(source.data)
    _load(image, source)
    if isinstance(file, _EndWatchingFile) and source.pixels_end - file.asked_for > _MAX_UNREAD_BYTES:
        picture.note(Note.DAMAGED)
    if source.format == "PSD":
        image = image.copy()  # encoders of animations would take its layers for frames
    if source.further_planes:
        image = _of_planes(image, source)
    picture.image = _finished(picture, image, source, target, turn, options)
    return picture


def _wanted_format(source: Source, options: Options) -> OutputFormat:
    return KEPT_FORMATS[source.format] if options.output is OutputFormat.KEEP else options.output


class _EndWatchingFile(io.BytesIO):
    """A file that knows how far it was read, to some hundred bytes near its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._size = len(data)
        self.asked_for = 0
        self.gives_pieces = False  # not for the head, which is read as a whole

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, near the end in pieces."""
        left = self._size - self.tell()
        wanted = left if size is None or size < 0 else size
        if self.gives_pieces and wanted > _END_PIECE_BYTES:
            wanted = min(wanted, max(left - _END_BYTES, _END_PIECE_BYTES))
        data = super().read(wanted)
        self.asked_for = max(self.asked_for, self.tell())
        return data


def _load(image: Image.Image, source: Source) -> None:
    with _forgiving_decoder() if source.forgives_end else nullcontext():
        image.load()


@contextmanager
def _forgiving_decoder() -> Iterator[None]:
    """Have Pillow's decoders take what there is; a switch of the process, which decodes one picture at a time."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _of_planes(first: Image.Image, source: Source) -> Image.Image:
    """Return the picture whose channels lie in planes that are decoded one by one."""
    channels = [with_display_mode(first)]
    for data in source.further_planes:
        plane = Image.open(io.BytesIO(data), formats=[source.format])
        plane.load()
        channels.append(with_display_mode(plane))
    return Image.merge(source.planes_mode, channels)


def _keeps_frames(picture: Picture, options: Options) -> bool:
    """Return whether this becomes an animated WebP, and settle the format if that was open."""
    image = picture.image
    if options.animated is Animated.FIRST or picture.source_format not in ANIMATED_FORMATS:
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


def _with_frames(
    picture: Picture, source: Source, target: tuple[int, int] | None, turn: Image.Transpose | None, options: Options
) -> Picture:
    """Return the picture with all of its frames.

    Raises:
        CodecError: TOO_MANY_PIXELS, WebP cannot hold it.
    """
    image = picture.image
    refuse_output_size(picture.output, target or image.size)
    canvas = image.size
    frames, durations = [], []
    # A default image is for programs that know no animation, and no frame of it.
    for number in range(1 if image.info.get("default_image") else 0, getattr(image, "n_frames", 1)):
        image.seek(number)
        _load(image, source)
        frame = image.copy() if image.size == canvas else image.crop((0, 0, *canvas))
        frames.append(_finished(picture, frame, source, target, turn, options))
        durations.append(round(image.info.get("duration") or _UNSET_FRAME_MS))
    plays = image.info.get("loop", 1 if picture.source_format == "GIF" else 0)
    if picture.source_format == "GIF" and "loop" in image.info and plays:
        plays += 1  # a GIF counts how often it is shown again
    if image.info.get("default_image"):
        picture.intact = False
    picture.image = frames[0]
    picture.animation = Animation(tuple(frames[1:]), tuple(durations), min(plays, 65_535))
    return picture


def _orientation(picture: Picture, source: Source, options: Options) -> int:
    """Return how the picture must be turned, and keep of its EXIF what is wanted."""
    turned = 1
    # Formats without a reader of ours: the decoder found it.
    exif = source.exif or readable_block(picture.image.info.get("exif") or b"")
    try:
        if picture.source_format not in _TURNED_BY_DECODER:
            turned = orientation(exif)
        picture.exif = kept_exif(exif, options.metadata, source.rights)
    except BrokenDirectoryError:
        picture.note(Note.EXIF_IGNORED)
        picture.exif = kept_exif(b"", options.metadata, source.rights)
    return turned


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
    source: Source,
    target: tuple[int, int] | None,
    turn: Image.Transpose | None,
    options: Options,
) -> Image.Image:
    """Return decoded pixels as they are to be encoded."""
    profile = source.profile or image.info.get("icc_profile")
    is_plain = target is None and not profile and source.transparent is None
    if is_plain and picture.output is OutputFormat.PNG and image.mode in {"P", "1"}:
        finished = image  # a palette is what makes these small
    else:
        finished = _converted(picture, image, source, target, profile)
    if picture.output is OutputFormat.JPEG:
        finished = flattened(finished, options.background)
    elif picture.output is OutputFormat.AUTO:
        finished = without_unused_alpha(finished)
    if turn is not None:
        finished = finished.transpose(turn)
        picture.intact = False
    return finished


def _converted(
    picture: Picture, image: Image.Image, source: Source, target: tuple[int, int] | None, profile: bytes | None
) -> Image.Image:
    if image.mode == "CMYK" and picture.source_format == "JPEG":
        image = undo_adobe_inversion(image)
    changes_colour = image.mode in {"CMYK", "LAB", "F", "I"}
    if source.transparent is not None:
        image = with_transparent_colour(image, source)
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
