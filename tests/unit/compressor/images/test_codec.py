"""The codec's rules, each on a generated picture. Colours are compared per channel of 255, tolerances in the tests."""

from __future__ import annotations

import io
import struct
import tracemalloc

import pytest
from PIL import Image, ImageChops, ImageCms, ImageColor, ImageStat

from compressor.images.codec import compress
from compressor.images.model import CodecError, Note, Options, OutcomeCode, OutputFormat, Rendition
from compressor.images.picture import MAX_AVIF_PIXELS, MAX_SIDE_PX
from support import pictures


def opened(rendition: Rendition) -> Image.Image:
    image = Image.open(io.BytesIO(rendition.data))
    image.load()
    return image


def mean(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> tuple[int, ...]:
    return tuple(round(value) for value in ImageStat.Stat(image.crop(box) if box else image).mean)


def distance(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


def mean_difference(left: Image.Image, right: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(left.convert("RGB"), right.convert("RGB"))).mean)


def code_of(data: bytes) -> OutcomeCode:
    with pytest.raises(CodecError) as caught:
        compress(data, Options())
    assert not caught.value.transient
    return caught.value.code


# --- the plain job


def test_a_photo_becomes_a_smaller_jpeg_of_the_same_size_and_look() -> None:
    """The seed's promise: JPEG at quality 50, much smaller, mean difference below 6 of 255."""
    source = pictures.photo_jpeg(640, 480)
    rendition = compress(source, Options())

    result = opened(rendition)
    assert (result.format, result.mode, result.size) == ("JPEG", "RGB", (640, 480))
    assert (rendition.format, rendition.width, rendition.height) == (OutputFormat.JPEG, 640, 480)
    assert len(rendition.data) < len(source) / 2
    assert mean_difference(result, pictures.photo(640, 480)) < 6


def test_the_result_equals_pillows_own_at_the_same_quality() -> None:
    """Nothing is lost against the obvious loop: for a plain photo the bytes are those of open, convert, save."""
    source = pictures.photo_jpeg(320, 240)
    plain = pictures.encoded(Image.open(io.BytesIO(source)).convert("RGB"), "JPEG", quality=50, optimize=True)

    assert compress(source, Options(quality=50)).data == plain


@pytest.mark.parametrize("output", [OutputFormat.JPEG, OutputFormat.WEBP, OutputFormat.AVIF])
def test_a_higher_quality_is_larger_and_nearer(output: OutputFormat) -> None:
    """Quality reaches the encoder."""
    source = pictures.encoded(pictures.photo(320, 240), "PNG")
    low, high = (compress(source, Options(quality=quality, output=output)) for quality in (20, 90))

    assert len(low.data) < len(high.data)
    assert mean_difference(opened(high), pictures.photo(320, 240)) < mean_difference(
        opened(low), pictures.photo(320, 240)
    )


@pytest.mark.feature("35", "38")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("output", OutputFormat)
def test_every_input_format_becomes_every_output_format(image_format: str, output: OutputFormat) -> None:
    """Seven formats in, four out, two choices between them; each quadrant keeps its colour within 12 of 255."""
    source = pictures.encoded(pictures.quadrants(), image_format)
    result = opened(compress(source, Options(quality=90, output=output))).convert("RGB")

    assert distance(mean(result, (8, 8, 72, 40)), (220, 30, 30)) <= 12
    assert distance(mean(result, (88, 56, 152, 88)), (255, 255, 255)) <= 12


@pytest.mark.feature("38")
@pytest.mark.parametrize(
    ("image_format", "kept"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "png"),
        ("BMP", "png"),
        ("TIFF", "png"),
        ("AVIF", "avif"),
    ],
)
def test_keep_means_the_sources_format_or_its_nearest(image_format: str, kept: str) -> None:
    """Formats that shops and browsers handle badly become PNG or WebP."""
    source = pictures.encoded(pictures.quadrants(), image_format)

    assert compress(source, Options(output=OutputFormat.KEEP)).format == kept


# --- orientation


@pytest.mark.feature("30")
@pytest.mark.fault("E14")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_gives_the_same_upright_pixels(orientation: int) -> None:
    """All eight stored forms of one picture come out upright, without the tag; mean difference below 4 of 255."""
    upright = pictures.photo(160, 96)
    reference = opened(compress(pictures.encoded(upright, "PNG"), Options(quality=95)))
    rendition = compress(pictures.oriented_jpeg(orientation, upright), Options(quality=95))

    result = opened(rendition)
    assert (result.size, rendition.width, rendition.height) == ((160, 96), 160, 96)
    assert mean_difference(result, reference) < 4
    assert pictures.ORIENTATION_TAG not in result.getexif()


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_is_ignored(orientation: int) -> None:
    """Values outside 1-8 leave the picture as it is."""
    result = opened(compress(pictures.oriented_jpeg(orientation, pictures.quadrants()), Options(quality=90)))

    assert distance(mean(result, (8, 8, 72, 40)), (220, 30, 30)) <= 8


@pytest.mark.feature("30")
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF"])
def test_other_formats_are_turned_upright_too(image_format: str) -> None:
    """EXIF is not JPEG's alone."""
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = 6
    stored = pictures.quadrants().transpose(Image.Transpose.ROTATE_90)
    result = opened(compress(pictures.encoded(stored, image_format, exif=exif), Options(quality=90)))

    assert result.size == (160, 96)
    assert distance(mean(result, (8, 8, 72, 40)), (220, 30, 30)) <= 8


@pytest.mark.fault("E14")
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif", [b"garbage instead of a TIFF header", b"", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05"]
)
def test_a_broken_exif_block_costs_nothing(exif: bytes) -> None:
    """Garbage where EXIF should be leaves the picture as it is."""
    rendition = compress(pictures.encoded(pictures.quadrants(), "JPEG", exif=b"Exif\0\0" + exif), Options(quality=90))

    assert distance(mean(opened(rendition), (8, 8, 72, 40)), (220, 30, 30)) <= 8


# --- colour


@pytest.mark.feature("32")
@pytest.mark.fault("E9")
@pytest.mark.parametrize("inks", [(0, 255, 255, 0), (200, 40, 10, 30), (0, 0, 0, 255), (0, 0, 0, 0)], ids=str)
@pytest.mark.parametrize("kind", ["adobe", "plain", "ycck"])
def test_cmyk_becomes_the_right_rgb_and_is_never_inverted(kind: str, inks: tuple[int, int, int, int]) -> None:
    """Adobe-inverted, plain and YCCK files of the same inks give the same colour, within 6 of 255."""
    source = pictures.ycck_jpeg(inks) if kind == "ycck" else pictures.cmyk_jpeg(inks, adobe=kind == "adobe")
    cyan, magenta, yellow, black = inks
    expected = tuple((255 - ink) * (255 - black) // 255 for ink in (cyan, magenta, yellow))

    result = opened(compress(source, Options(quality=90)))
    assert result.mode == "RGB"
    assert distance(mean(result), expected) <= 6


@pytest.mark.feature("31")
@pytest.mark.fault("E15")
def test_display_p3_is_converted_to_srgb() -> None:
    """A patch in P3 comes out as the sRGB numbers of the same colour (within 2 of 255), the profile removed."""
    patch = Image.new("RGB", (32, 32), (200, 100, 60))
    source = pictures.encoded(patch, "PNG", icc_profile=pictures.display_p3_profile())
    result = opened(compress(source, Options(quality=95)))

    # By hand: gamma 2.2, colorants to XYZ (D50), Bradford matrix to linear sRGB, its curve: (216.3, 92.5, 42.9).
    assert distance(mean(result), (216, 93, 43)) <= 2
    assert "icc_profile" not in result.info


@pytest.mark.feature("31")
def test_adobe_rgb_is_converted_to_srgb() -> None:
    """Likewise for Adobe RGB (1998): a gamma of 563/256 and its colorants under D50."""
    profile = pictures.matrix_profile(
        red=(0.60974, 0.31111, 0.01947), green=(0.20528, 0.62567, 0.06087), blue=(0.14919, 0.06322, 0.74457)
    )
    source = pictures.encoded(Image.new("RGB", (32, 32), (200, 100, 60)), "PNG", icc_profile=profile)
    result = opened(compress(source, Options(quality=95)))

    # By hand, as above: (227.1, 100.1, 54.7).
    assert distance(mean(result), (227, 100, 55)) <= 2


def test_an_srgb_profile_changes_no_pixel() -> None:
    """A picture that says it is sRGB is encoded as it is."""
    photo = pictures.photo(160, 120)
    tagged = pictures.encoded(photo, "PNG", icc_profile=pictures.srgb_profile())

    assert compress(tagged, Options()).data == compress(pictures.encoded(photo, "PNG"), Options()).data


def test_a_profile_keeps_alpha() -> None:
    """RGBA with a wide profile is converted and stays transparent where it was."""
    source = pictures.encoded(pictures.alpha_ramp(), "PNG", icc_profile=pictures.display_p3_profile())
    result = opened(compress(source, Options(output=OutputFormat.PNG)))

    assert (result.mode, pictures.pixel_of(result, (0, 0))[3], pictures.pixel_of(result, (255, 0))[3]) == (
        "RGBA",
        0,
        255,
    )
    assert pictures.pixel_of(result, (255, 0))[0] > 205  # (200, 0, 0) in P3 is a stronger red in sRGB


@pytest.mark.feature("31")
@pytest.mark.fault("E15")
@pytest.mark.parametrize("profile", [b"garbage" * 40, b"\0" * 200], ids=["text", "zeros"])
def test_a_broken_profile_is_ignored_with_a_note(profile: bytes) -> None:
    """The picture is taken as sRGB."""
    source = pictures.encoded(Image.new("RGB", (32, 32), (200, 60, 60)), "JPEG", quality=95, icc_profile=profile)
    rendition = compress(source, Options(quality=95))

    assert rendition.notes[0] is Note.PROFILE_IGNORED
    assert distance(mean(opened(rendition)), (200, 60, 60)) <= 3


@pytest.mark.fault("E15")
def test_a_profile_for_another_colour_space_is_ignored_with_a_note() -> None:
    """An RGB profile says nothing about a gray picture."""
    source = pictures.encoded(Image.new("L", (32, 32), 90), "PNG", icc_profile=pictures.srgb_profile())
    rendition = compress(source, Options())

    assert Note.PROFILE_IGNORED in rendition.notes
    assert distance(mean(opened(rendition)), (90,)) <= 2


def test_lab_becomes_rgb() -> None:
    """A Lab TIFF is converted by colour management: L* 53, a* 80, b* 67 is red."""
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.new("RGB", (32, 32), (210, 40, 40)), to_lab)
    assert lab is not None
    result = opened(compress(pictures.encoded(lab, "TIFF"), Options(quality=95)))

    assert distance(mean(result), (210, 40, 40)) <= 6


# --- depth and alpha


@pytest.mark.feature("36")
@pytest.mark.fault("E10")
def test_sixteen_bits_are_scaled_not_clipped() -> None:
    """A ramp over the whole 16-bit range has its middle in the middle: mean 127.5 within 2."""
    result = opened(compress(pictures.sixteen_bit_png(), Options(quality=90)))

    assert result.mode == "L"
    assert distance(mean(result), (127,)) <= 2
    assert distance(mean(result, (0, 0, 16, 16)), (8,)) <= 4


@pytest.mark.feature("36")
@pytest.mark.fault("E10")
@pytest.mark.parametrize(
    ("mode", "low", "high"),
    [
        ("I;16", 0, 65535),
        ("I", 0, 200),
        ("I", 0, 65535),
        ("I", -500, 70000),
        ("F", 0.0, 1.0),
        ("F", 0.0, 255.0),
        ("F", -3.0, 900.0),
    ],
)
def test_wide_gray_modes_are_brought_to_eight_bits(mode: str, low: float, high: float) -> None:
    """Left half darkest, right half lightest: the middle of the range stays in the middle, nothing is clipped."""
    image = Image.new(mode, (64, 32), low)
    image.paste(high, (32, 0, 64, 32))
    result = opened(compress(pictures.encoded(image, "TIFF"), Options(quality=95)))

    assert distance(mean(result, (0, 0, 24, 32)), (0,)) <= 2
    assert distance(mean(result, (40, 0, 64, 32)), (200 if high == 200 else 255,)) <= 2


@pytest.mark.feature("36")
def test_one_bit_stays_legible() -> None:
    """Black and white come out as black and white, not as 0 and 1."""
    image = Image.new("1", (64, 32), 0)
    image.paste(1, (32, 0, 64, 32))
    result = opened(compress(pictures.encoded(image, "PNG"), Options(quality=90)))

    assert distance(mean(result, (0, 0, 24, 32)), (0,)) <= 2
    assert distance(mean(result, (40, 0, 64, 32)), (255,)) <= 2


@pytest.mark.feature("33")
@pytest.mark.fault("E11")
@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "RGB with a transparent colour"])
def test_alpha_is_laid_on_white_for_jpeg(kind: str) -> None:
    """Fully transparent pixels become white, opaque ones keep their colour, within 6 of 255."""
    image = Image.new("RGBA", (64, 32), (90, 90, 90, 255))
    image.paste((10, 10, 10, 0), (32, 0, 64, 32))
    if kind == "P":
        data = pictures.encoded(image.quantize(8), "PNG")
    elif kind == "RGB with a transparent colour":
        data = pictures.encoded(image.convert("RGB"), "PNG", transparency=(10, 10, 10))
    else:
        data = pictures.encoded(image.convert(kind), "PNG")
    result = opened(compress(data, Options(quality=90))).convert("RGB")

    assert distance(mean(result, (0, 0, 24, 32)), (90, 90, 90)) <= 6
    assert distance(mean(result, (40, 0, 64, 32)), (255, 255, 255)) <= 6


@pytest.mark.feature("33")
@pytest.mark.parametrize("output", [OutputFormat.WEBP, OutputFormat.PNG, OutputFormat.AVIF, OutputFormat.AUTO])
def test_alpha_is_kept_for_webp_and_png(output: OutputFormat) -> None:
    """The ramp is still a ramp: transparent at the left, opaque at the right."""
    result = opened(compress(pictures.encoded(pictures.alpha_ramp(), "PNG"), Options(output=output)))

    alphas = [pictures.pixel_of(result, (x, 8))[3] for x in (0, 128, 255)]
    assert distance(tuple(alphas), (0, 128, 255)) <= 3


@pytest.mark.fault("E11")
def test_half_transparent_pixels_are_blended_with_white() -> None:
    """Red at half opacity on white is pink: the middle of the ramp, within 6 of 255."""
    result = opened(compress(pictures.encoded(pictures.alpha_ramp(), "PNG"), Options(quality=95)))

    assert distance(pictures.pixel_of(result, (128, 8)), (227, 127, 127)) <= 6


# --- frames


@pytest.mark.fault("E12")
@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_taken_with_a_note(image_format: str) -> None:
    """The first frame is red."""
    rendition = compress(pictures.animation(image_format), Options(quality=90))

    assert set(rendition.notes) - {Note.LARGER_THAN_SOURCE} == {Note.FIRST_FRAME}
    assert distance(mean(opened(rendition)), (220, 20, 20)) <= 6


def test_an_animation_of_the_wanted_format_is_never_handed_through() -> None:
    """Never-bigger does not bring the other frames back."""
    rendition = compress(pictures.animation("WEBP", frames=2), Options(quality=95, output=OutputFormat.KEEP))

    assert getattr(opened(rendition), "n_frames", 1) == 1


@pytest.mark.feature("33")
@pytest.mark.fault("E11")
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("background", ["#102030", "#808080"])
def test_alpha_is_laid_on_the_background_that_was_asked_for(mode: str, background: str) -> None:
    """Transparent pixels take its colour, also under a gray picture."""
    image = Image.new("RGBA", (32, 32), (255, 255, 255, 0)).convert(mode)
    result = opened(compress(pictures.encoded(image, "PNG"), Options(quality=95, background=background)))

    assert distance(mean(result.convert("RGB")), ImageColor.getrgb(background)[:3]) <= 3


# --- auto


@pytest.mark.feature("38")
def test_auto_takes_the_smallest_format_that_can_hold_the_picture() -> None:
    """WebP for a photo, PNG for a drawing of few colours, never JPEG for transparency."""
    photo = compress(pictures.photo_jpeg(320, 240), Options(output=OutputFormat.AUTO))
    drawing = compress(pictures.encoded(pictures.quadrants(), "BMP"), Options(output=OutputFormat.AUTO, quality=90))
    see_through = compress(pictures.encoded(pictures.alpha_ramp(), "PNG"), Options(output=OutputFormat.AUTO))
    sizes = [
        len(compress(pictures.photo_jpeg(320, 240), Options(output=output)).data)
        for output in (OutputFormat.JPEG, OutputFormat.WEBP)
    ]

    assert (len(photo.data), photo.format) == (min(sizes), OutputFormat.WEBP)
    assert len(drawing.data) <= len(pictures.encoded(pictures.quadrants(), "PNG", optimize=True))
    assert see_through.format is not OutputFormat.JPEG
    assert pictures.pixel_of(opened(see_through).convert("RGBA"), (0, 0))[3] == 0


def test_auto_keeps_a_source_that_is_smaller_still() -> None:
    """Never bigger holds for it whatever the source's format is."""
    source = pictures.photo_jpeg(320, 240, quality=8)
    rendition = compress(source, Options(quality=95, output=OutputFormat.AUTO))

    assert (rendition.format, rendition.notes) == (OutputFormat.JPEG, (Note.KEPT_ORIGINAL,))
    assert len(rendition.data) <= len(source)


# --- size


@pytest.mark.parametrize(
    ("output", "size"),
    [(OutputFormat.WEBP, (16_384, 2)), (OutputFormat.WEBP, (2, 20_000)), (OutputFormat.AVIF, (5_200, 5_000))],
    ids=str,
)
def test_a_picture_that_the_format_cannot_hold_is_named_with_what_would_help(
    output: OutputFormat, size: tuple[int, int]
) -> None:
    """Permanent, with the limit; shrunk, or as JPEG, it goes through."""
    source = pictures.png(*size, bit_depth=1, colour_type=0)
    with pytest.raises(CodecError, match="max_width") as caught:
        compress(source, Options(output=output))

    assert caught.value.code is OutcomeCode.TOO_MANY_PIXELS
    assert compress(source, Options(output=output, max_width=1000, max_height=1000)).format is output
    assert compress(source, Options()).width == size[0]


def test_auto_takes_a_format_that_can_hold_a_wide_picture() -> None:
    """Not WebP beyond 16,383 px."""
    source = pictures.png(16_384, 2, bit_depth=1, colour_type=0)

    assert compress(source, Options(output=OutputFormat.AUTO)).width == 16_384


@pytest.mark.fault("E13")
def test_as_wide_as_a_jpeg_can_be() -> None:
    """65,500 px a side go in and out."""
    rendition = compress(pictures.png(MAX_SIDE_PX, 2, bit_depth=1, colour_type=0), Options())

    assert opened(rendition).size == (MAX_SIDE_PX, 2)


def test_keep_gives_a_large_avif_as_webp() -> None:
    """Its encoder would take too much; nobody is refused who only wants to keep."""
    source = pictures.encoded(Image.new("RGB", (5_200, 5_000)), "AVIF", speed=10)
    assert MAX_AVIF_PIXELS < 5_200 * 5_000

    assert compress(source, Options(output=OutputFormat.KEEP)).format is OutputFormat.WEBP


@pytest.mark.feature("39")
@pytest.mark.parametrize(
    ("limits", "size"),
    [
        ((300, None), (300, 200)),
        ((None, 100), (150, 100)),
        ((300, 100), (150, 100)),
        ((600, 400), (600, 400)),
        ((5000, None), (600, 400)),
        ((1, 1), (1, 1)),
    ],
    ids=str,
)
def test_limits_shrink_with_the_aspect_kept_and_never_enlarge(
    limits: tuple[int | None, int | None], size: tuple[int, int]
) -> None:
    """A 600 x 400 picture under several limits."""
    source = pictures.photo_jpeg(600, 400)
    rendition = compress(source, Options(max_width=limits[0], max_height=limits[1]))

    assert (rendition.width, rendition.height) == opened(rendition).size == size


@pytest.mark.feature("39")
@pytest.mark.parametrize("orientation", [1, 6])
def test_limits_are_meant_for_the_upright_picture(orientation: int) -> None:
    """A portrait stored as landscape is limited by its upright width."""
    source = pictures.oriented_jpeg(orientation, pictures.photo(200, 400))
    rendition = compress(source, Options(max_width=100))

    assert (rendition.width, rendition.height) == (100, 200)


def test_shrinking_while_decoding_changes_the_result_hardly() -> None:
    """JPEG's reduced decoding against full decoding and one filter: mean difference below 2 of 255."""
    source = pictures.photo_jpeg(1600, 1200)
    full = Image.open(io.BytesIO(source)).resize((200, 150), Image.Resampling.LANCZOS)
    reference = Image.open(io.BytesIO(pictures.encoded(full, "JPEG", quality=95, subsampling="4:4:4")))

    assert mean_difference(opened(compress(source, Options(quality=95, max_width=200))), reference) < 2


# --- metadata


@pytest.mark.fault("E8")
@pytest.mark.threat("T18")
def test_the_second_half_of_a_polyglot_is_gone() -> None:
    """Whatever hides in comments or behind the end does not come out, also when the source's own bytes are kept."""
    source = pictures.polyglot_jpeg()
    for quality in (40, 95):
        assert b"script" not in compress(source, Options(quality=quality)).data


# --- never bigger


@pytest.mark.feature("41")
@pytest.mark.fault("E16")
def test_a_source_that_cannot_be_made_smaller_is_kept() -> None:
    """A JPEG of quality 20 is not re-encoded to a larger one of quality 90."""
    source = pictures.photo_jpeg(320, 240, quality=20)
    rendition = compress(source, Options(quality=90))

    assert rendition.notes == (Note.KEPT_ORIGINAL,)
    assert len(rendition.data) <= len(source)
    assert mean_difference(opened(rendition), Image.open(io.BytesIO(source))) == 0


@pytest.mark.feature("41")
@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_kept_originals_of_other_formats_lose_their_metadata_losslessly(image_format: str) -> None:
    """Pixels equal, EXIF gone, not bigger than before."""
    exif = Image.Exif()
    exif[0x010F] = "SecretMaker"
    options = {"quality": 10, "method": 6} if image_format == "WEBP" else {"optimize": True}
    source = pictures.encoded(pictures.photo(96, 64).quantize(16).convert("RGB"), image_format, exif=exif, **options)
    rendition = compress(source, Options(quality=95, output=OutputFormat.KEEP))

    assert len(rendition.data) < len(source)
    assert b"SecretMaker" not in rendition.data
    assert mean_difference(opened(rendition), Image.open(io.BytesIO(source))) == 0


@pytest.mark.feature("41")
def test_a_source_that_must_be_turned_is_not_kept_but_lowered_in_quality() -> None:
    """Its pixels have to change, so never-bigger is reached by quality, and said."""
    source = pictures.oriented_jpeg(6, pictures.photo(320, 240), quality=25)
    rendition = compress(source, Options(quality=90))

    assert rendition.notes == (Note.QUALITY_REDUCED,)
    assert len(rendition.data) <= len(source)
    assert (rendition.width, rendition.height) == (320, 240)


def test_another_format_may_be_larger() -> None:
    """A tiny PNG becomes a larger JPEG when JPEG was asked for, and that is said: the promise is for equal formats."""
    source = pictures.encoded(pictures.quadrants(), "PNG")
    rendition = compress(source, Options(quality=90))

    assert (rendition.format, rendition.notes) == (OutputFormat.JPEG, (Note.LARGER_THAN_SOURCE,))


# --- refusals


@pytest.mark.feature("42")
@pytest.mark.fault("E1", "E2", "E13")
@pytest.mark.threat("T4")
def test_a_bomb_is_refused_before_decoding() -> None:
    """Too many pixels by the header alone: above Pillow's own limit, below it, just above ours, and one side only."""
    assert code_of(pictures.png(50_000, 50_000, rows=[])) is OutcomeCode.TOO_MANY_PIXELS
    assert code_of(pictures.png(12_000, 12_000, rows=[])) is OutcomeCode.TOO_MANY_PIXELS
    assert code_of(pictures.png(8_000, 6_251, rows=[])) is OutcomeCode.TOO_MANY_PIXELS
    assert code_of(pictures.png(MAX_SIDE_PX + 1, 1, rows=[])) is OutcomeCode.TOO_MANY_PIXELS
    assert code_of(pictures.png(1, 70_000, rows=[])) is OutcomeCode.TOO_MANY_PIXELS


@pytest.mark.fault("E17")
def test_a_jpeg_of_countless_scans_is_refused_before_decoding() -> None:
    """A progressive file may repeat scans at will; each costs a pass over all pixels."""
    source = pictures.encoded(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    start = source.rindex(b"\xff\xda")
    assert code_of(source[:-2] + source[start:-2] * 300 + b"\xff\xd9") is OutcomeCode.DECODE_ERROR


@pytest.mark.fault("E3")
@pytest.mark.threat("T4")
def test_a_text_bomb_costs_neither_the_picture_nor_memory() -> None:
    """70 MiB in a text chunk draw nothing, and are not inflated."""
    bomb = pictures.text_bomb_png()
    tracemalloc.start()
    rendition = compress(bomb, Options())
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert rendition.width == 8
    assert peak_bytes < 2_000_000


@pytest.mark.feature("43")
@pytest.mark.fault("E4")
@pytest.mark.parametrize("percent", range(1, 100, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_truncated_image_says_so(image_format: str, percent: int) -> None:
    """Cut anywhere behind its magic number, a picture is IMAGE_TRUNCATED, never transient, never half a picture."""
    whole = pictures.encoded(pictures.photo(200, 150), image_format)
    cut = max(32, len(whole) * percent // 100)

    assert code_of(whole[:cut]) is OutcomeCode.IMAGE_TRUNCATED


@pytest.mark.fault("E4")
def test_a_flipped_bit_is_a_decode_error() -> None:
    """A PNG with a wrong checksum is damaged, not truncated."""
    data = bytearray(pictures.encoded(pictures.photo(64, 48), "PNG"))
    data[len(data) // 2] ^= 0x10

    assert code_of(bytes(data)) is OutcomeCode.DECODE_ERROR


@pytest.mark.feature("43")
@pytest.mark.fault("E5", "E6", "E7")
@pytest.mark.threat("T3")
@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", OutcomeCode.NOT_AN_IMAGE, "empty"),
        (pictures.HTML_PAGE, OutcomeCode.NOT_AN_IMAGE, "HTML"),
        (b"\xef\xbb\xbf  <html></html>", OutcomeCode.NOT_AN_IMAGE, "HTML"),
        (b'{"error": "no"}', OutcomeCode.NOT_AN_IMAGE, "JSON"),
        (b"%PDF-1.7 ...", OutcomeCode.NOT_AN_IMAGE, "PDF"),
        (b"PK\x03\x04....", OutcomeCode.NOT_AN_IMAGE, "ZIP"),
        (b"not found", OutcomeCode.NOT_AN_IMAGE, "text"),
        (bytes(range(128, 256)), OutcomeCode.NOT_AN_IMAGE, "binary"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", OutcomeCode.NOT_AN_IMAGE, "video"),
        (b"RIFF\0\0\0\0WAVEfmt ", OutcomeCode.NOT_AN_IMAGE, "RIFF"),
        (pictures.SVG_WITH_ENTITY, OutcomeCode.UNSUPPORTED_FORMAT, "SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", OutcomeCode.UNSUPPORTED_FORMAT, "SVG"),
        (b"8BPS\0\2" + bytes(20), OutcomeCode.UNSUPPORTED_FORMAT, "PSB"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", OutcomeCode.UNSUPPORTED_FORMAT, "EPS"),
        (b"\0\0\1\0\1\0" + bytes(20), OutcomeCode.IMAGE_TRUNCATED, "ICO"),
        (b"\xff\x4f\xff\x51" + bytes(20), OutcomeCode.UNSUPPORTED_FORMAT, "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", OutcomeCode.UNSUPPORTED_FORMAT, "JPEG XL"),
        (b"SIMPLE  =                    T", OutcomeCode.UNSUPPORTED_FORMAT, "FITS"),
        (b"P6 2 2 255\n" + bytes(12), OutcomeCode.UNSUPPORTED_FORMAT, "Netpbm"),
        (b"\xff\xd8\xff\xe0" + bytes(64) + b"\xff\xda\xff\xd9", OutcomeCode.DECODE_ERROR, "damaged"),
        (b"BM" + struct.pack("<IIII", 60, 0, 54, 40) + bytes(42), OutcomeCode.DECODE_ERROR, "damaged"),
    ],
)
def test_what_is_no_picture_for_us_is_named(data: bytes, code: OutcomeCode, words: str) -> None:
    """Bad input, its code, and a detail that tells the customer what it was."""
    with pytest.raises(CodecError) as caught:
        compress(data, Options())

    assert caught.value.code is code
    assert words in caught.value.detail


def test_short_memory_is_not_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """MemoryError passes through the codec: it is transient."""

    def exhausted(*_args: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image, "open", exhausted)
    with pytest.raises(MemoryError):
        compress(pictures.encoded(pictures.quadrants(), "JPEG"), Options())


@pytest.mark.parametrize(("side", "flags"), [(300, b"\x78\xda"), (4600, b"\x78\x01")], ids=["small", "above 20 MP"])
def test_a_large_png_is_compressed_with_little_effort(side: int, flags: bytes) -> None:
    """The usual effort of zlib took longer than a picture may take; the head of the stream tells which one it was."""
    source = pictures.encoded(Image.new("RGB", (side, side), (10, 20, 30)), "JPEG")

    data = compress(source, Options(output=OutputFormat.PNG)).data

    start = data.index(b"IDAT") + 4
    assert data[start : start + 2] == flags


@pytest.mark.parametrize("before", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP"])
def test_blank_lines_before_a_picture_cost_nothing(before: bytes, name: str) -> None:
    """Scripts of shops write them; browsers show such a picture."""
    data = pictures.encoded(pictures.photo(32, 16), name)
    assert compress(before + data, Options()).data == compress(data, Options()).data


def test_blank_lines_before_something_else_do_not_make_it_a_picture() -> None:
    """It is still told as what it is."""
    with pytest.raises(CodecError) as caught:
        compress(b"\n\n<!DOCTYPE html><p>Sign in</p>", Options())
    assert caught.value.code is OutcomeCode.NOT_AN_IMAGE
