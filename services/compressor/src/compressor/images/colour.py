"""Colour: any mode and profile that a source may have, to eight bits of sRGB or gray. Pure."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageColor

from compressor.images.source import Source

_MAX_PROFILE_BYTES = 4 * 1024 * 1024
_SRGB_TOLERANCE = 2  # of 255; a profile that moves no probe further is as good as sRGB
_COLOUR_SPACES = {"RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK", "L": "GRAY"}
_SIXTEEN_TO_EIGHT = [(value + 128) // 257 for value in range(65536)]


class ProfileError(Exception):
    """An embedded colour profile is broken, oversized or made for another kind of picture."""


def with_display_mode(image: Image.Image) -> Image.Image:
    """Return the picture in mode L, LA, RGB, RGBA or CMYK; the same object when it has one of them already.

    Sixteen bits are scaled by 1/257, never clipped; floats are taken as 0-1, 0-255 or 0-65535, whichever holds them.
    """
    transparent = "transparency" in image.info
    match image.mode:
        case "RGB" | "L" | "1" if transparent:
            return image.convert("RGBA")
        case "RGB" | "L" | "LA" | "RGBA" | "CMYK":
            return image
        case "1":
            return image.convert("L")
        case "P":
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
        case "PA" | "RGBa":
            return image.convert("RGBA")
        case "La":
            return image.convert("LA")
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return image.convert("I").point(_SIXTEEN_TO_EIGHT, "L")
        case "I":
            return _gray_from_integers(image)
        case "F":
            return _gray_from_floats(image)
        case "LAB":
            return _lab_to_rgb(image)
        case _:  # YCbCr, RGBX, HSV
            return image.convert("RGB")


def with_transparent_colour(image: Image.Image, source: Source) -> Image.Image:
    """Return a gray or RGB picture of a PNG with alpha 0 where its one transparent colour is.

    Compared are the samples as they are stored: 16 bits are not yet cut to eight.
    """
    assert source.transparent is not None
    if source.depth == 16 and image.mode == "RGB":
        image.load()
        low = Image.open(io.BytesIO(source.data), formats=["PNG"])
        # The same pixels, of which the other byte of each sample is taken.
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        parts = [*image.split(), *low.split()]
        values = [*(value >> 8 for value in source.transparent), *(value & 255 for value in source.transparent)]
    else:
        scale = 1 if source.depth in {8, 16} else 255 // ((1 << source.depth) - 1)
        parts = list(image.convert("L" if image.mode == "1" else image.mode).split())
        values = [value * scale for value in source.transparent]
    opaque = Image.new("L", image.size, 0)
    for part, value in zip(parts, values, strict=True):
        opaque = ImageChops.lighter(opaque, _differs(part, value))
    image = with_display_mode(image)
    image.putalpha(opaque)
    return image


def _differs(part: Image.Image, value: int) -> Image.Image:
    """Return 255 where a channel has another value, else 0."""
    if part.mode.startswith("I"):
        return part.convert("I").point([255 * (at != value) for at in range(65536)], "L")
    return part.point([255 * (at != value) for at in range(256)])


def undo_adobe_inversion(image: Image.Image) -> Image.Image:
    """Return a CMYK JPEG that has no Adobe marker with its true inks.

    Adobe's programs store inverted inks and say so with a marker; Pillow inverts every CMYK JPEG as if all did.
    """
    return image if "adobe" in image.info else ImageChops.invert(image)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture converted from its embedded profile; the same object when that is sRGB already.

    Raises:
        ProfileError: the profile cannot be used; the picture is best taken as sRGB.
    """
    if image.mode == "LA":
        gray, alpha = image.split()
        converted = to_srgb(gray, profile)
        if converted is gray:
            return image
        converted.putalpha(alpha)
        return converted
    transform = _srgb_transform(profile, image.mode)
    if transform is None:
        return image
    try:
        converted_image = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, ValueError) as error:
        raise ProfileError(str(error)) from error
    return image if converted_image is None else converted_image


def flattened(image: Image.Image, background: str) -> Image.Image:
    """Return the picture without alpha, composed on a colour such as `#ffffff`; the same object when it has none."""
    red, green, blue = ImageColor.getrgb(background)[:3]
    if image.mode == "LA" and red == green == blue:
        gray, alpha = image.split()
        ground = Image.new("L", image.size, red)
        ground.paste(gray, mask=alpha)
        return ground
    if image.mode == "LA":
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        ground = Image.new("RGB", image.size, (red, green, blue))
        # Pasted as it is, with itself as mask: bands split off would cost another five bytes a pixel.
        ground.paste(image, mask=image)
        return ground
    return image


def without_unused_alpha(image: Image.Image) -> Image.Image:
    """Return the picture without an alpha channel that makes nothing transparent; else the same object."""
    if image.mode not in {"LA", "RGBA"} or image.getchannel("A").getextrema() != (255, 255):
        return image
    return image.convert(image.mode[:-1])


@lru_cache(maxsize=16)
def _srgb_transform(profile: bytes, mode: str) -> Any:
    """Return the transform to sRGB, or None when a probe of colours does not move: building one costs milliseconds."""
    if len(profile) > _MAX_PROFILE_BYTES:
        raise ProfileError("larger than 4 MiB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _COLOUR_SPACES[mode]:
            raise ProfileError("made for another colour space")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        moved = ImageCms.applyTransform(probe, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError) as error:
        raise ProfileError(str(error)) from error
    if moved is None:
        return transform
    difference = ImageChops.difference(moved.convert("RGB"), probe.convert("RGB"))
    extremes = difference.getextrema()
    return None if all(high <= _SRGB_TOLERANCE for _, high in extremes) else transform  # type: ignore[misc]


def _probe(mode: str) -> Image.Image:
    if mode == "L":
        probe = Image.new("L", (256, 1))
        probe.putdata(range(256))
        return probe
    steps = (0, 32, 64, 96, 128, 160, 192, 224, 255)
    colours = [(red, green, blue) for red in steps for green in steps for blue in steps]
    probe = Image.new("RGB", (len(colours), 1))
    probe.putdata(colours)
    return probe.convert(mode)


def _gray_from_integers(image: Image.Image) -> Image.Image:
    low, high = _range(image)
    if low >= 0 and high <= 255:
        return image.convert("L")
    if low >= 0 and high <= 65535:
        return image.point(_SIXTEEN_TO_EIGHT, "L")
    return _stretched(image.convert("F"), low, high)


def _gray_from_floats(image: Image.Image) -> Image.Image:
    low, high = _range(image)
    for full in (1.0, 255.0, 65535.0):
        if low >= 0.0 and high <= full:
            return _stretched(image, 0.0, full)
    return _stretched(image, low, high)


def _range(image: Image.Image) -> tuple[float, float]:
    low, high = image.getextrema()
    return float(low), float(high)  # type: ignore[arg-type]


def _stretched(image: Image.Image, low: float, high: float) -> Image.Image:
    scale = 255.0 / ((high - low) or 1.0)
    offset = 0.5 - low * scale  # converting to L cuts decimals off
    return image.point(lambda value: value * scale + offset).convert("L")


@lru_cache(maxsize=1)
def _lab_transform() -> Any:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, _lab_transform())
    return image.convert("RGB") if converted is None else converted
