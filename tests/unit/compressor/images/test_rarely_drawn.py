"""What draws in a rare way is shown as browsers show it, or refused by its name."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

from compressor.images.codec import compress
from compressor.images.model import Animated, CodecError, Note, Options, OutcomeCode, OutputFormat, Rendition
from support import odd_pictures as odd
from support import pictures
from support.odd_pictures import COLD, WARM
from support.pictures import png_chunk

KEPT = Options(output=OutputFormat.WEBP, animated=Animated.KEEP, quality=90)
PNG = Options(output=OutputFormat.PNG)


def pixel(rendition: Rendition, place: tuple[int, int], mode: str = "RGB") -> tuple[int, ...]:
    found = Image.open(io.BytesIO(rendition.data)).convert(mode).getpixel(place)
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(found, wanted, strict=True))


def refusal(data: bytes) -> tuple[OutcomeCode, str]:
    with pytest.raises(CodecError) as caught:
        compress(data, Options())
    return caught.value.code, caught.value.detail


# --- one transparent colour


def transparent(depth: int, colour_type: int) -> bytes:
    """Return a PNG of stripes, one bit apart from each other in their last bit, the first of which is transparent."""
    high = (1 << depth) - 1
    samples = ((high - 1, high - 1, high - 1), (high, high, high - 1)) if colour_type == 2 else ((0,), (high,))
    if colour_type == 2:
        samples = ((high - 1,) * 3, (high - 1, high - 1, high))
    key = b"".join(struct.pack(">H", value) for value in samples[0])
    rows = []
    for _ in range(16):
        bits = "".join(f"{value:0{depth}b}" for x in range(16) for value in samples[x // 8])
        rows.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    return odd.png_of(16, 16, depth, colour_type, rows, before=png_chunk(b"tRNS", key))


@pytest.mark.parametrize(("depth", "colour_type"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2)])
@pytest.mark.parametrize("output", [OutputFormat.PNG, OutputFormat.WEBP])
def test_one_transparent_colour_is_transparent_at_every_depth(
    depth: int, colour_type: int, output: OutputFormat
) -> None:
    """Compared as it is stored: a colour that differs in the last of 16 bits stays."""
    rendition = compress(transparent(depth, colour_type), Options(output=output))

    assert (pixel(rendition, (3, 3), "RGBA")[3], pixel(rendition, (12, 3), "RGBA")[3]) == (0, 255)


def test_a_transparent_colour_comes_on_the_background() -> None:
    """White, or what was asked for."""
    source = transparent(16, 0)

    assert near(pixel(compress(source, Options()), (3, 3)), (255, 255, 255))
    assert near(pixel(compress(source, Options(background="#ff0000")), (2, 2)), (255, 0, 0), 30)


# --- TIFF


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips_a_plane", [1, 4])
@pytest.mark.parametrize("extra", [None, 30000])
def test_planes_of_16_bits_are_put_together(order: str, strips_a_plane: int, extra: int | None) -> None:
    """RGB in both orders of bytes, in one strip or several, with a further plane."""
    left, right = (220 * 257, 120 * 257, 30 * 257), (30 * 257, 90 * 257, 200 * 257)
    source = odd.planar_tiff(2, left, right, order=order, strips_a_plane=strips_a_plane, extra=extra)
    rendition = compress(source, PNG)

    assert near(pixel(rendition, (3, 3)), WARM)
    assert near(pixel(rendition, (44, 28)), COLD)


def test_planes_of_inks_are_put_together() -> None:
    """CMYK: red without cyan."""
    rendition = compress(odd.planar_tiff(5, (0, 65535, 65535, 0), (65535, 65535, 0, 0)), PNG)

    assert pixel(rendition, (3, 3))[0] > pixel(rendition, (3, 3))[2] + 100
    assert pixel(rendition, (44, 3))[2] > pixel(rendition, (44, 3))[0] + 30


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scale", [1, 257])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_colour_map_has_bytes_or_16_bits(order: str, scale: int, bits: int) -> None:
    """Both are met; which it is shows by its largest value."""
    colours = [WARM, COLD] + [(0, 0, 0)] * ((1 << bits) - 2)
    table = [colour[part] * scale for part in range(3) for colour in colours]
    row = b"\0" * 24 + b"\1" * 24 if bits == 8 else b"\0" * 12 + b"\x11" * 12
    source = odd.tiff(odd.plain_tiff(48, 32, [bits], 3, t320=(3, table)), [row * 32], order=order)
    rendition = compress(source, PNG)

    assert near(pixel(rendition, (3, 3)), WARM, 2)
    assert near(pixel(rendition, (44, 28)), COLD, 2)


@pytest.mark.parametrize(
    "more",
    [
        {"t50706": (1, [1, 4, 0, 0])},
        {"t254": (4, [1]), "t330": (4, [8])},
        {"t262": (3, [32803])},
        {"t262": (3, [34892])},
    ],
    ids=["DNGVersion", "preview with children", "mosaic", "linear raw"],
)
def test_camera_raw_is_refused_by_name(more: dict[str, tuple[int, list[int]]]) -> None:
    """Not its thumbnail taken for the picture."""
    tags = odd.plain_tiff(8, 8, [8, 8, 8], 2)
    tags |= {int(name[1:]): value for name, value in more.items()}

    code, detail = refusal(odd.tiff(tags, [bytes(8 * 8 * 3)]))
    assert code is OutcomeCode.UNSUPPORTED_FORMAT
    assert "camera raw" in detail


def test_a_layout_that_nobody_reads_is_not_called_damaged() -> None:
    """Compressions and depths by their numbers."""
    for more in ({"t259": (3, [34712])}, {"t259": (3, [50002])}, {"t284": (3, [2]), "t258": (3, [32, 32, 32])}):
        tags = odd.plain_tiff(8, 8, [8, 8, 8], 2) | {int(name[1:]): value for name, value in more.items()}
        assert refusal(odd.tiff(tags, [bytes(800)]))[0] is OutcomeCode.UNSUPPORTED_FORMAT


# --- animations


def frames(rendition: Rendition) -> int:
    return int(getattr(Image.open(io.BytesIO(rendition.data)), "n_frames", 1))


def test_a_hidden_default_picture_is_no_frame() -> None:
    """Neither kept in the animation nor counted."""
    rendition = compress(odd.apng([WARM, COLD, (255, 255, 255)], hidden=(0, 0, 0)), KEPT)

    assert frames(rendition) == 3
    assert near(pixel(rendition, (9, 9)), WARM)


@pytest.mark.parametrize("options", [KEPT, Options(animated=Animated.KEEP, output=OutputFormat.AUTO), Options()])
@pytest.mark.parametrize(
    "source",
    [
        odd.apng([WARM, COLD], numbers=[0, 2, 1]),
        odd.apng([WARM, COLD], numbers=[0, 1, 1]),
        odd.apng([WARM, COLD], numbers=[1, 2, 3]),
        odd.apng([WARM, COLD], announced=5),
    ],
    ids=["swapped", "twice", "from one", "too few"],
)
def test_a_damaged_animation_is_its_first_frame_with_a_note(source: bytes, options: Options) -> None:
    """Whatever was asked for."""
    rendition = compress(source, options)

    assert frames(rendition) == 1
    assert Note.ANIMATION_DAMAGED in rendition.notes
    assert near(pixel(rendition, (9, 9)), WARM)


@pytest.mark.parametrize("box", [(20, 10, 40, 30), (39, 29, 40, 30), (0, 0, 80, 30), (10, 0, 10, 90)])
def test_a_gifs_frame_beyond_the_canvas_is_clipped(box: tuple[int, int, int, int]) -> None:
    """All frames have the size of the canvas."""
    rendition = compress(odd.gif(40, 30, [(0, 0, 40, 30, 0), (*box, 1), (0, 0, 5, 5, 2)]), KEPT)
    image = Image.open(io.BytesIO(rendition.data))

    assert (image.size, frames(rendition)) == ((40, 30), 3)


# --- missing ends

PHOTO = pictures.photo(160, 120)


@pytest.mark.parametrize("tail", [b"", bytes(64), b"\xff", bytes(5000)], ids=["nothing", "zeros", "FF", "more zeros"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True, "subsampling": 0}],
    ids=["plain", "progressive", "restarts", "full colour"],
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_without_its_end_marker_is_whole(mode: str, options: dict[str, object], tail: bytes) -> None:
    """With a note, and the pixels of the whole file."""
    whole = pictures.encoded(PHOTO.convert(mode), "JPEG", **options)
    rendition = compress(whole[:-2] + tail, Options())

    assert Note.END_MISSING in rendition.notes
    assert rendition.data == compress(whole, Options()).data


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["plain", "progressive"])
@pytest.mark.parametrize("percent", [30, 60, 85, 97])
def test_a_cut_jpeg_is_damaged(options: dict[str, object], percent: int) -> None:
    """However near its end."""
    whole = pictures.encoded(PHOTO, "JPEG", **options)

    assert refusal(whole[: len(whole) * percent // 100])[0] is OutcomeCode.IMAGE_TRUNCATED


def test_other_formats_without_their_last_bytes_are_whole() -> None:
    """PNG without IEND or the last checksum, WebP whose length is too large."""
    png = odd.warm_png()
    webp = pictures.encoded(PHOTO, "WEBP")
    for source in (png[:-12], png[:-16], webp[:4] + struct.pack("<I", len(webp) + 90) + webp[8:]):
        assert Note.END_MISSING in compress(source, Options()).notes


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_gif_without_its_last_code_is_whole(cut: int) -> None:
    """All pixels are there; also without its trailer and the end of its blocks."""
    source = odd.gif(40, 30, [(0, 0, 40, 30, 0)], last_code=False)
    rendition = compress(source[: len(source) - cut], Options())

    assert near(pixel(rendition, (38, 28)), WARM)


def test_a_gif_that_lacks_pixels_is_damaged() -> None:
    """Half of its codes are no picture."""
    whole = odd.gif(40, 30, [(0, 0, 40, 30, 0)], last_code=False)

    assert refusal(whole[: len(whole) * 3 // 4])[0] is OutcomeCode.IMAGE_TRUNCATED


@pytest.mark.parametrize("at", [0.4, 0.7])
def test_damage_inside_a_jpeg_is_noted(at: float) -> None:
    """Bytes that are lost or come twice: browsers show it, and so do we, with a note."""
    whole = pictures.photo_jpeg(640, 480, quality=85)
    place = int(len(whole) * at)

    for source in (whole[:place] + whole[place + 200 :], whole[:place] + whole[place - 200 : place] + whole[place:]):
        assert Note.DAMAGED in compress(source, Options()).notes


@pytest.mark.fault("E4")
def test_a_damaged_jpeg_is_never_kept_as_it_is() -> None:
    """Not even where encoding it again makes it larger: what we store, every decoder reads."""
    whole = pictures.encoded(pictures.photo(48, 32), "JPEG", quality=75)
    pixels = whole.index(b"\xff\xda") + 14
    options = Options(output=OutputFormat.KEEP, quality=95)
    made = [compress(whole[:cut] + whole[cut + 40 :], options) for cut in range(pixels, len(whole) - 50, 7)]

    damaged = [rendition for rendition in made if Note.DAMAGED in rendition.notes]
    assert damaged
    assert Note.KEPT_ORIGINAL in compress(whole, options).notes
    assert not any(Note.KEPT_ORIGINAL in rendition.notes for rendition in damaged)


@pytest.mark.parametrize("marker", [b"\xff\x3a", b"\xff\x02", b"\xff\x9f"])
def test_a_marker_among_the_restarts_of_a_jpeg_is_noted(marker: bytes) -> None:
    """A decoder goes on at the next restart without a word; a segment behind the pixels is no damage."""
    whole = pictures.photo_jpeg(320, 240, quality=85, restart_marker_rows=1)
    place = len(whole) // 2
    comment = b"\xff\xfe\x00\x06text"

    assert Note.DAMAGED in compress(whole[:place] + marker + whole[place + 2 :], Options()).notes
    assert Note.DAMAGED not in compress(whole[:-2] + comment + whole[-2:], Options()).notes


# --- colours


def gray_png(*chunks: bytes, value: int = 100) -> bytes:
    return odd.png_of(16, 16, 8, 2, [bytes((value,) * 3) * 16] * 16, before=b"".join(chunks))


@pytest.mark.parametrize(
    ("gamma", "shown"),
    [(100_000, 168), (45_455, 100), (55_556, 118), (38_000, 79)],
    ids=["linear", "usual", "1.8", "2.6"],
)
def test_gamma_is_applied(gamma: int, shown: int) -> None:
    """As browsers show it, within 6 of 255."""
    rendition = compress(gray_png(png_chunk(b"gAMA", struct.pack(">I", gamma))), PNG)

    assert near(pixel(rendition, (5, 5)), (shown,) * 3, 6)


def test_chromaticities_are_applied_unless_srgb_is_said() -> None:
    """A wide red becomes the full red of sRGB."""
    wide = png_chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
    rows = [bytes((200, 50, 50)) * 16] * 16
    changed = compress(odd.png_of(16, 16, 8, 2, rows, before=wide), PNG)
    same = compress(odd.png_of(16, 16, 8, 2, rows, before=wide + png_chunk(b"sRGB", b"\0")), PNG)

    assert pixel(changed, (5, 5))[0] > 210
    assert pixel(same, (5, 5)) == (200, 50, 50)


def test_code_points_are_applied() -> None:
    """P3 and BT.2020 are converted, sRGB is not, and HDR is brought into range with a note."""
    rows = [bytes((200, 50, 50)) * 16] * 16

    def shown(primaries: int, transfer: int) -> Rendition:
        return compress(
            odd.png_of(16, 16, 8, 2, rows, before=png_chunk(b"cICP", bytes((primaries, transfer, 0, 1)))), PNG
        )

    assert pixel(shown(1, 13), (5, 5)) == (200, 50, 50)
    assert pixel(shown(12, 13), (5, 5))[0] > 210
    assert pixel(shown(9, 1), (5, 5))[0] > 220
    for transfer in (16, 18):
        assert Note.HDR_TONE_MAPPED in shown(9, transfer).notes


# --- icons, Photoshop, names


@pytest.mark.parametrize("source", [odd.icon(16, 64, 32), odd.icon(64, cursor=True), odd.icon(16, 64, as_png=False)])
def test_of_an_icon_the_largest_picture_is_taken(source: bytes) -> None:
    """PNG or bitmap, icon or cursor."""
    rendition = compress(source, PNG)

    assert (rendition.width, rendition.height) == (64, 64)
    assert near(pixel(rendition, (3, 3)), WARM)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_flattened_psd_is_read(mode: str, packed: bool) -> None:
    """Warm at the left, whatever its colours."""
    image = odd.halves(mode=mode)
    rendition = compress(odd.psd(image, packed=packed), PNG)

    assert near(pixel(rendition, (3, 3)), image.convert("RGB").getpixel((3, 3)), 30)  # type: ignore[arg-type]


def test_a_psd_of_layers_only_is_refused_by_name() -> None:
    """Its flattened picture is blank."""
    assert "maximum compatibility" in refusal(odd.psd(odd.halves(), merged=False))[1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!-- made by x -->\n<!-- > -->\n<svg></svg>", "SVG"),
        (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC 'a' 'b' [<!ENTITY x 'y'>]><svg/>", "SVG"),
        (b"<svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!--" + b"x" * 6000 + b"--><svg/>", "SVG"),
        (b"<?xml version='1.0'?><rss><svg/></rss>", "XML"),
        (b"<html><body><svg></svg></body></html>", "HTML"),
        (b"<!-- a page --><!doctype html><p>svg", "HTML"),
        (b"BMW and other cars", "text"),
        (b"MM\0+\0\x08\0\0" + bytes(40), "BigTIFF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"\0\0\0\x10ftypmif3avif", "mif3"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw"),
        (b"IIU\0\x18\0\0\0", "camera raw"),
        (b"\x0a\5\1\x08" + bytes(124), "PCX"),
        (b"\0\0\2" + bytes(9) + b"\x10\0\x10\0\x18\0" + bytes(40), "Targa"),
    ],
)
def test_what_cannot_be_read_is_called_by_its_name(data: bytes, words: str) -> None:
    """Judged by what it is, not by a word in it."""
    code, detail = refusal(data)

    assert code in {OutcomeCode.UNSUPPORTED_FORMAT, OutcomeCode.NOT_AN_IMAGE}
    assert words in detail
