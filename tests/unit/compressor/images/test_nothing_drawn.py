"""What draws nothing never costs a picture, turns it, or stays in it."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from compressor.images.codec import compress
from compressor.images.model import CodecError, Metadata, Note, Options, OutcomeCode, OutputFormat, Rendition
from support import odd_pictures as odd
from support import pictures
from support.odd_pictures import COLD, WARM, segment, text_entry, with_segments
from support.pictures import png_chunk

SCANS = b"\xff\xda\0" * 40
EVERY_OUTPUT = [OutputFormat.JPEG, OutputFormat.WEBP, OutputFormat.PNG, OutputFormat.AVIF]


def shown(rendition: Rendition) -> Image.Image:
    image = Image.open(io.BytesIO(rendition.data))
    image.load()
    return image


def is_near(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...], tolerance: int = 14) -> bool:
    found = image.convert("RGBA" if len(colour) == 4 else "RGB").getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(found, colour, strict=True))


def assert_halves(rendition: Rendition, size: tuple[int, int] = (64, 48)) -> None:
    image = shown(rendition)
    assert image.size == size
    assert is_near(image, (3, 3), WARM)
    assert is_near(image, (size[0] - 4, size[1] - 4), COLD)


# --- JPEG


def film(size: int) -> bytes:
    return (
        struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + random.Random(1).randbytes(size).replace(b"\xff\xd9", b"ab")
    )


@pytest.mark.parametrize("progressive", [False, True], ids=["one scan", "progressive"])
@pytest.mark.parametrize(
    "tail", [SCANS * 60, film(300_000) + SCANS * 60, pictures.photo_jpeg(64, 48) * 3], ids=["scans", "film", "pictures"]
)
def test_what_stands_behind_the_end_of_a_jpeg_is_not_looked_at(tail: bytes, progressive: bool) -> None:
    """Scans are counted up to the end of the picture: 25 MP, so that the tail's would be far too many."""
    source = pictures.encoded(Image.new("L", (5000, 5000), 90), "JPEG", quality=5, progressive=progressive)
    rendition = compress(source + tail, Options(max_width=64))

    assert is_near(shown(rendition), (9, 9), (90, 90, 90))
    assert rendition.notes == ()


@pytest.mark.parametrize(
    "segments",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SCANS * 500),
        segment(0xED, b"Photoshop 3.0\0" + SCANS * 500),
        segment(0xFE, SCANS * 500),
        segment(0xE2, b"MPF\0" + b"\xff" * 40),
        segment(0xE0, b"JFIF\0\1"),
        segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\x20\x20" + b"short"),
        segment(0xEE, b"Adobe"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        segment(0xEF, b""),
        b"\xff\xff\xff",
        segment(0xFE, b"") + b"\0\0garbage",
        segment(0xE3, b"Meta\0\0" + odd.exif_block((0x0112, 3, 1, b"\6\0"))),
    ],
    ids=[
        *("scans in XMP", "scans in IPTC", "scans in a comment", "MPF that is none", "short JFIF", "short thumbnail"),
        *("short Adobe", "empty EXIF", "EXIF that leads out", "empty APP15", "fill bytes", "garbage", "Meta"),
    ],
)
@pytest.mark.parametrize("first", [True, False], ids=["first", "behind JFIF"])
def test_an_odd_segment_costs_no_jpeg(segments: bytes, first: bool) -> None:
    """Whole, upright and without a note but that of EXIF that cannot be read."""
    rendition = compress(
        with_segments(pictures.encoded(odd.halves(), "JPEG"), segments, behind_jfif=not first), Options()
    )

    assert_halves(rendition)
    assert set(rendition.notes) <= {Note.EXIF_IGNORED, Note.LARGER_THAN_SOURCE}


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
RAW_EXIF = b"\nexif\n%8d\n" % 32 + (b"Exif\0\0" + odd.exif_block((0x0112, 3, 1, b"\6\0"))).hex().encode() + b"\n"


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "AVIF", "JPEG"])
def test_orientation_in_xmp_turns_nothing(image_format: str) -> None:
    """Browsers look at EXIF only."""
    options = {"tiffinfo": {700: XMP}} if image_format == "TIFF" else {"xmp": XMP}
    rendition = compress(pictures.encoded(odd.halves(), image_format, **options), Options(output=OutputFormat.PNG))

    assert_halves(rendition)
    assert b"tiff:Orientation" not in rendition.data


@pytest.mark.parametrize("key", [b"Raw profile type exif", b"Raw profile type APP1", b"XML:com.adobe.xmp"])
@pytest.mark.parametrize("packed", [True, False])
def test_orientation_in_the_texts_of_a_png_turns_nothing(key: bytes, packed: bool) -> None:
    """Neither ImageMagick's way to keep EXIF nor XMP as a text."""
    text = XMP if key.startswith(b"XML") else RAW_EXIF
    chunk = (
        png_chunk(b"zTXt", key + b"\0\0" + zlib.compress(text)) if packed else png_chunk(b"tEXt", key + b"\0" + text)
    )

    assert shown(compress(odd.warm_png(chunk), Options())).size == (32, 24)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG behind its pixels", "WEBP"])
def test_orientation_in_exif_turns(kind: str, order: str) -> None:
    """In both orders of bytes, wherever the format has it."""
    value = struct.pack(f"{order}HH", 6, 0)
    block = odd.exif_block((0x0112, 3, 1, value), order=order)
    if kind == "PNG behind its pixels":
        source = odd.warm_png(after=png_chunk(b"eXIf", block))
    else:
        source = pictures.encoded(Image.new("RGB", (32, 24), WARM), kind, exif=b"Exif\0\0" + block)

    assert shown(compress(source, Options())).size == (24, 32)


# --- PNG


ODD_CHUNKS = [
    png_chunk(b"sRGB", b""),
    png_chunk(b"gAMA", b"\0\0"),
    png_chunk(b"cHRM", bytes(31)),
    png_chunk(b"cICP", b"\1"),
    png_chunk(b"pHYs", b"\0" * 3),
    png_chunk(b"tIME", b""),
    png_chunk(b"bKGD", b"\0"),
    png_chunk(b"sBIT", bytes(9)),
    png_chunk(b"hIST", bytes(3)),
    png_chunk(b"tRNS", b"\0\0"),
    png_chunk(b"PLTE", b"\0"),
    png_chunk(b"iCCP", b"name\0\0" + b"not deflated"),
    png_chunk(b"iCCP", b"name\0\1" + zlib.compress(b"x")),
    png_chunk(b"iCCP", b""),
    png_chunk(b"tEXt", b""),
    png_chunk(b"tEXt", b"Copyright"),
    png_chunk(b"zTXt", b"Copyright\0\0broken"),
    png_chunk(b"zTXt", b"Author\0\0" + zlib.compress(bytes(9_000_000), 9)),
    png_chunk(b"iTXt", b"Copyright\0\1\0\0\0broken"),
    png_chunk(b"iTXt", b"Copyright\0"),
    png_chunk(b"iTXt", b"Comment\0\0\0en\0\0\xff\xfe\xfd"),
    png_chunk(b"eXIf", b"nothing"),
    png_chunk(b"acTL", b"\0"),
    png_chunk(b"vpAg", bytes(9)),
    png_chunk(b"caNv", bytes(16)),
    *(odd.wrong_chunk(name, bytes(4)) for name in (b"gAMA", b"tEXt", b"zTXt", b"eXIf", b"pHYs", b"tRNS", b"acTL")),
    odd.wrong_chunk(b"iCCP", b"name\0\0" + zlib.compress(pictures.srgb_profile())),
    png_chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(6_000_000), 9)),
]
"""Chunks that draw nothing and are not as the standard wants them. A profile holds the time at which it was made."""


@pytest.mark.parametrize(
    "chunk",
    ODD_CHUNKS,
    ids=[f"{chunk[4:8].decode()}-{number}" for number, chunk in enumerate(ODD_CHUNKS)],
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_odd_chunk_costs_no_png(chunk: bytes, after: bool) -> None:
    """A wrong length, checksum, method or place: it is dropped, the picture stays."""
    source = odd.warm_png(after=chunk) if after else odd.warm_png(chunk)
    image = shown(compress(source, Options()))

    assert image.size == (32, 24)
    assert is_near(image, (9, 9), WARM)


def test_damage_in_what_draws_is_still_damage() -> None:
    """A wrong checksum of the pixels, of the palette or of the header is not forgiven."""
    whole = odd.warm_png()
    for name in (b"IDAT", b"IHDR"):
        at = whole.index(name) + 4
        broken = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        with pytest.raises(CodecError) as caught:
            compress(broken, Options())
        assert caught.value.code is OutcomeCode.DECODE_ERROR


# --- kept originals


def coarse() -> bytes:
    """Return a photo of such low quality that writing it anew does not make it smaller."""
    return pictures.encoded(pictures.photo(480, 360), "JPEG", quality=8, progressive=True)


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (segment(0xE0, b"II\x1a\0\0\0HEAPJPGM Owner Serial"), b"Owner"),
        (segment(0xE0, b"JFXX\0\x10" + pictures.photo_jpeg(16, 16)), b"JFXX"),
        (segment(0xE0, b"OCAD$Rev Owner$"), b"Owner"),
        (segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\2\2" + b"Secret 12345"), b"Secret"),
        (segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0" + b"Secret behind"), b"Secret"),
        (segment(0xE0, b"AVI1" + b"Secret"), b"Secret"),
        (segment(0xEE, b"Secret of no Adobe"), b"Secret"),
        (segment(0xEC, b"Ducky Secret"), b"Secret"),
        (segment(0xFE, b"Secret comment"), b"Secret"),
        (segment(0xE2, b"ICC_PROFILE\0\1\1Secret"), b"Secret"),
    ],
    ids=["CIFF", "JFXX", "OCAD", "thumbnail", "behind JFIF", "AVI1", "APP14", "Ducky", "comment", "broken profile"],
)
@pytest.mark.parametrize("policy", Metadata)
def test_a_kept_original_has_nothing_of_its_maker(secret: bytes, words: bytes, policy: Metadata) -> None:
    """Only the bare JFIF and Adobe segments stay, whatever is kept of EXIF."""
    source = with_segments(coarse(), secret)
    rendition = compress(source, Options(metadata=policy))

    assert Note.KEPT_ORIGINAL in rendition.notes
    assert words not in rendition.data
    assert len(rendition.data) < len(source)
    assert shown(rendition).tobytes() == shown(Rendition(source, OutputFormat.JPEG, 480, 360)).tobytes()


def test_adobes_colours_stay_right_in_a_kept_original() -> None:
    """RGB that is not YCbCr, as only Adobe's segment says; what follows its 12 bytes goes."""
    image = pictures.photo(320, 240)
    source = pictures.encoded(image, "JPEG", quality=5, keep_rgb=True, subsampling=0)
    at = source.index(b"Adobe") - 4
    source = source[:at] + segment(0xEE, source[at + 4 : at + 16] + b"Secret") + source[at + 16 :]
    rendition = compress(source, Options(quality=95))

    assert Note.KEPT_ORIGINAL in rendition.notes
    assert b"Secret" not in rendition.data
    assert shown(rendition).tobytes() == Image.open(io.BytesIO(source)).tobytes()


# --- rights


RIGHTS = ["© Beispiel Größe 日本", "© Пример", "Ünïcôdé 😀", "(c) plain"]


@pytest.mark.parametrize("output", EVERY_OUTPUT)
@pytest.mark.parametrize("text", RIGHTS)
@pytest.mark.parametrize("kind", ["JPEG", "big-endian", "PNG iTXt", "TIFF"])
def test_rights_keep_their_letters(kind: str, text: str, output: OutputFormat) -> None:
    """The same bytes in every output, from wherever they stood."""
    data = text.encode()
    if kind == "PNG iTXt":
        source = odd.warm_png(png_chunk(b"iTXt", b"Copyright\0\0\0\0\0" + data))
    elif kind == "TIFF":
        more = {"t33432": (1, [*data, 0])}
        rows = [bytes(WARM) * 16 * 16]
        source = odd.tiff(odd.plain_tiff(16, 16, [8, 8, 8], 2, **more), rows).replace(
            struct.pack("<HH", 33432, 1), struct.pack("<HH", 33432, 2)
        )
    else:
        block = odd.exif_block(text_entry(0x8298, data), order=">" if kind == "big-endian" else "<")
        source = with_segments(pictures.encoded(odd.halves(), "JPEG"), segment(0xE1, b"Exif\0\0" + block))
    rendition = compress(source, Options(output=output))

    assert data in rendition.data
    assert b"???" not in rendition.data


def test_rights_in_other_letters_keep_their_bytes() -> None:
    """Latin-1 and Shift-JIS are not changed to anything else."""
    for data in ("© Müller".encode("latin-1"), "© 日本語".encode("shift_jis", "replace"), bytes(range(0x80, 0xFF))):
        source = with_segments(
            pictures.encoded(odd.halves(), "JPEG"),
            segment(0xE1, b"Exif\0\0" + odd.exif_block(text_entry(0x8298, data))),
        )
        assert data in compress(source, Options(output=OutputFormat.WEBP)).data


def test_long_rights_are_cut_between_letters() -> None:
    """A thousand bytes, and no half of a letter."""
    source = with_segments(
        pictures.encoded(odd.halves(), "JPEG"),
        segment(0xE1, b"Exif\0\0" + odd.exif_block(text_entry(0x8298, "日".encode() * 2000))),
    )

    kept = shown(compress(source, Options())).getexif()[0x8298]
    assert kept.encode("latin-1").decode() == "日" * 333


def test_a_description_is_not_kept() -> None:
    """It can name a place."""
    block = odd.exif_block(text_entry(0x010E, b"My garden, Secret Street"), text_entry(0x010F, b"Maker"))
    source = with_segments(pictures.encoded(odd.halves(), "JPEG"), segment(0xE1, b"Exif\0\0" + block))
    rendition = compress(source, Options(metadata=Metadata.KEEP))

    assert b"Maker" in rendition.data
    assert b"Secret" not in rendition.data
