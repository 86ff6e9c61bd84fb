"""A picture as the bytes of one format, and the quality at which they are few enough. Pure.

Never bigger: when the output has the source's format, the result is the smaller of the re-encoded picture and the
source's own bytes with all metadata taken out losslessly (note KEPT_ORIGINAL). The source's bytes do not qualify when
its pixels had to change (turned, shrunk, converted from a colour profile or from CMYK, one frame of several); then a
lossy picture is encoded again at lower quality, twice at most (QUALITY_REDUCED), and the smallest is taken.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from compressor.images.model import Note, Options, OutputFormat, Rendition
from compressor.images.picture import OWN_FORMATS, Picture, can_hold
from compressor.images.stripping import stripped

_REDUCED_QUALITIES = (0.7, 0.45)  # of the quality asked for
_LOWEST_QUALITY = 5  # below, pictures only get uglier
_MAX_TRIES = 6  # of a quality for `target_bytes`: enough to find one of 90 by halving
_MEASURED_JPEG_PIXELS = 20_000_000  # above, tables made to measure would take 3 bytes of memory a pixel
_FULL_COLOUR_QUALITY = 90  # from here on, colours keep the resolution of the picture
_THOROUGH_PNG_PIXELS = 4_000_000  # above, zlib's best effort would take seconds for a few percent
_BRIEF_PNG_PIXELS = 20_000_000  # above, zlib's usual effort could take 19 s for 50 MP of faint noise
_THOROUGH_WEBP_PIXELS = 8_000_000  # above, method 4 could take 16 s for 50 MP with alpha; 2 takes 6, a tenth more bytes
_FEW_COLOURS = 256
# Pixels that may be encoded over and over for `target_bytes`: some three seconds of processor time each.
_TRIED_PIXELS = {OutputFormat.JPEG: 300_000_000, OutputFormat.WEBP: 40_000_000, OutputFormat.AVIF: 50_000_000}
_AVIF_SPEED = 9  # of 0 to 10: for photos at quality 50 a quarter of the time of 8, at equal size


@dataclass(frozen=True, slots=True)
class _Encoded:
    data: bytes
    format: OutputFormat
    quality: int | None


def smallest(picture: Picture, source: bytes, options: Options) -> Rendition:
    """Return the picture encoded as the options want it."""
    # Encoders write comments and profiles found here without being asked to.
    kept = {"transparency"} if picture.image.mode in {"P", "1"} else set()
    picture.image.info = {key: value for key, value in picture.image.info.items() if key in kept}
    candidates = [_encoded(picture, output, options.quality) for output in _outputs(picture)]
    best = min(candidates, key=lambda encoded: len(encoded.data))
    if options.target_bytes is not None:
        best = _fitting(picture, best, options.target_bytes)
    own = OWN_FORMATS.get(picture.source_format)
    has_own_format = own is best.format or (own is not None and picture.output is OutputFormat.AUTO)
    if has_own_format and len(best.data) >= min(picture.own_bytes, len(source)):
        best = _not_bigger(picture, source, best, options)
    if len(best.data) > len(source):
        picture.note(Note.LARGER_THAN_SOURCE)
    if options.target_bytes is not None and len(best.data) > options.target_bytes:
        picture.note(Note.TARGET_MISSED)
    width, height = picture.image.size
    return Rendition(best.data, best.format, width, height, tuple(picture.notes), best.quality)


def _outputs(picture: Picture) -> list[OutputFormat]:
    """Return the formats to try: one, or for `auto` those that can hold the picture."""
    if picture.output is not OutputFormat.AUTO:
        return [picture.output]
    image = picture.image
    outputs = []
    if not image.has_transparency_data:
        outputs.append(OutputFormat.JPEG)
    if can_hold(OutputFormat.WEBP, image.size):
        outputs.append(OutputFormat.WEBP)
    if not outputs or image.mode in {"P", "1"} or image.getcolors(_FEW_COLOURS):
        outputs.append(OutputFormat.PNG)
    return outputs


def _fitting(picture: Picture, first: _Encoded, target: int) -> _Encoded:
    """Return the highest quality that fits, or the smallest that was reached; never more than the first's."""
    if first.quality is None or len(first.data) <= target:
        return first
    width, height = picture.image.size
    frames = 1 if picture.animation is None else len(picture.animation.durations_ms)
    tries = max(1, min(_MAX_TRIES, _TRIED_PIXELS[first.format] // (width * height * frames)))
    low, high = min(_LOWEST_QUALITY, first.quality), first.quality - 1
    best = first
    while tries and low <= high:
        tries -= 1
        # The last try before any has fitted is the lowest: rather ugly than too large.
        quality = (low + high) // 2 if tries or len(best.data) <= target else low
        tried = _encoded(picture, first.format, quality, thorough=True)
        if len(tried.data) <= target:
            best, low = tried, quality + 1
        else:
            best, high = min(best, tried, key=lambda encoded: len(encoded.data)), quality - 1
    if best.quality != first.quality:
        picture.note(Note.QUALITY_REDUCED)
    return best


def _not_bigger(picture: Picture, source: bytes, best: _Encoded, options: Options) -> _Encoded:
    own = OWN_FORMATS[picture.source_format]
    if picture.intact:
        original = stripped(picture.source_format, source, exif=picture.exif, size=picture.image.size)
        if original is not None and len(original) <= len(best.data):
            picture.notes = [note for note in picture.notes if note is not Note.QUALITY_REDUCED]
            picture.note(Note.KEPT_ORIGINAL)
            return _Encoded(original, own, None)
    if best.quality is not None and options.target_bytes is None:
        for factor in _REDUCED_QUALITIES:
            if len(best.data) <= len(source):
                break
            smaller = _encoded(picture, best.format, max(1, round(options.quality * factor)), thorough=True)
            if len(smaller.data) < len(best.data):
                best = smaller
                picture.note(Note.QUALITY_REDUCED)
    return best


def _encoded(picture: Picture, output: OutputFormat, quality: int, *, thorough: bool = False) -> _Encoded:
    """Encode; `thorough` makes a JPEG's tables to measure, whatever its size.

    For photos of 3 MP the codec then takes 1.4 to 1.5 times the processor time for 5 percent fewer bytes; the memory
    is three bytes for each pixel, more where colours keep their resolution.
    """
    buffer = io.BytesIO()
    image, exif = picture.image, picture.exif
    match output:
        case OutputFormat.JPEG:
            measured = thorough or image.width * image.height <= _MEASURED_JPEG_PIXELS
            subsampling = "4:4:4" if quality >= _FULL_COLOUR_QUALITY else "4:2:0"
            image.save(buffer, "JPEG", quality=quality, optimize=measured, subsampling=subsampling, exif=exif)
        case OutputFormat.WEBP if picture.animation is not None:
            _save_animation(buffer, picture, quality)
        case OutputFormat.WEBP:
            method = 4 if image.width * image.height <= _THOROUGH_WEBP_PIXELS else 2
            image.save(buffer, "WEBP", quality=quality, method=method, exif=exif)
        case OutputFormat.AVIF:
            # One thread: the other processor has an image of its own.
            image.save(buffer, "AVIF", quality=quality, speed=_AVIF_SPEED, max_threads=1, exif=exif)
        case _:
            pixels = image.width * image.height
            level = 1 if pixels > _BRIEF_PNG_PIXELS else 6
            image.save(buffer, "PNG", optimize=pixels <= _THOROUGH_PNG_PIXELS, compress_level=level, exif=exif)
            return _Encoded(buffer.getvalue(), OutputFormat.PNG, None)
    return _Encoded(buffer.getvalue(), output, quality)


def _save_animation(buffer: io.BytesIO, picture: Picture, quality: int) -> None:
    animation = picture.animation
    assert animation is not None
    picture.image.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=animation.further,
        duration=list(animation.durations_ms),
        loop=animation.plays,
        quality=quality,
        method=2,  # of 0 to 6: half the time of 4, a tenth more bytes
        exif=picture.exif,
    )
