"""One picture in, one smaller picture out: bytes to `Rendition`, or a `CodecError`. Pure; Pillow only.

The steps: name the format by content, drop what draws nothing, open with the one decoder that fits, refuse too many
pixels before decoding, decode, bring to eight bits, shrink, convert to sRGB, turn upright, flatten or keep alpha,
encode without any metadata but what is allowed. Never bigger than a source of the same format.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from compressor.images import gif, icon, jpeg, png, psd, tiff, webp
from compressor.images.decoding import decoded
from compressor.images.encoding import smallest
from compressor.images.model import Animated, CodecError, Options, OutcomeCode, OutputFormat, Rendition
from compressor.images.picture import ANIMATED_FORMATS, KEPT_FORMATS, too_many_pixels
from compressor.images.sniff import Decodable, NotAnImage, Unsupported, is_cut_off, sniff, without_blanks_before
from compressor.images.source import Source

ENCODER_VERSION = "3"
"""Part of every stored object's name: to be raised when equal input and options give other bytes."""

READS_HEIC = importlib.util.find_spec("pi_heif") is not None
"""Whether the package is installed; it always is but where somebody leaves it out."""
if READS_HEIC:
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, decode_threads=1)

# One thread: the other processor has an image of its own, and the codec's process may start none.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_READERS: dict[str, Callable[[bytes], Source]] = {
    "JPEG": jpeg.readable,
    "PNG": png.readable,
    "WEBP": webp.readable,
    "GIF": gif.readable,
    "TIFF": tiff.readable,
    "ICO": icon.readable,
    "PSD": psd.readable,
}
_WITH_RARE_LAYOUTS = frozenset({"TIFF", "BMP", "PSD", "ICO"})


def compress(source: bytes, options: Options) -> Rendition:
    """Return the compressed picture.

    Raises:
        CodecError: NOT_AN_IMAGE, UNSUPPORTED_FORMAT, TOO_MANY_PIXELS, IMAGE_TRUNCATED, DECODE_ERROR or ENCODE_ERROR.
        MemoryError: this process is short of memory.
    """
    source = without_blanks_before(source)
    source_format = _decodable_format(source)
    try:
        read = _READERS.get(source_format)
        found = Source(source_format, source) if read is None else read(source)
        picture = decoded(found, options)
    except (CodecError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_many_pixels() from error
    except Exception as error:
        # Decoders raise anything on hostile bytes: OSError, ValueError, SyntaxError, struct.error, ...
        raise _decode_error(source_format, source, error) from error
    try:
        return smallest(picture, source, options)
    except MemoryError:
        raise
    except Exception as error:
        raise CodecError(OutcomeCode.ENCODE_ERROR, f"it cannot be written as {picture.output}") from error


def _decode_error(source_format: str, source: bytes, error: Exception) -> CodecError:
    if is_cut_off(source_format, source):
        return CodecError(OutcomeCode.IMAGE_TRUNCATED, f"the {source_format} file ends too early")
    if isinstance(error, UnidentifiedImageError) and source_format in _WITH_RARE_LAYOUTS:
        hint = "convert it to JPEG, PNG or WebP"
        return CodecError(
            OutcomeCode.UNSUPPORTED_FORMAT, f"a {source_format} file of this layout is not supported: {hint}"
        )
    return CodecError(OutcomeCode.DECODE_ERROR, f"the {source_format} file is damaged")


def output_format(source: bytes, options: Options) -> OutputFormat | None:
    """Return the format that `compress` will give, or None when only decoding can tell.

    Raises:
        CodecError: NOT_AN_IMAGE or UNSUPPORTED_FORMAT.
    """
    source_format = _decodable_format(without_blanks_before(source))
    may_become_webp = options.animated is Animated.KEEP and source_format in ANIMATED_FORMATS
    if options.output is OutputFormat.AUTO or (options.output is OutputFormat.KEEP and may_become_webp):
        return None
    return KEPT_FORMATS[source_format] if options.output is OutputFormat.KEEP else options.output


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
