"""What bytes are, by their own magic numbers: extensions and Content-Type headers lie. Pure; knows no codec."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_HEAD_BYTES = 65536  # some programs put kilobytes of comments before the first element
_READ_BYTES = 1024
_BLANK_BYTES = 256


@dataclass(frozen=True, slots=True)
class Decodable:
    """A picture in one of the formats we always decode; `format` is Pillow's name for it."""

    format: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A picture in a format we do not decode; `hint` says what would help."""

    name: str
    hint: str = "convert it to JPEG, PNG or WebP"


@dataclass(frozen=True, slots=True)
class NotAnImage:
    """No picture at all; `looks_like` says what it seems to be instead."""

    looks_like: str


Sniffed = Decodable | Unsupported | NotAnImage

_RAW = Unsupported("camera raw", "export it as JPEG")
_PREFIXES: tuple[tuple[bytes, Sniffed], ...] = (
    (b"\xff\xd8\xff", Decodable("JPEG")),
    (b"\x89PNG\r\n\x1a\n", Decodable("PNG")),
    (b"GIF87a", Decodable("GIF")),
    (b"GIF89a", Decodable("GIF")),
    (b"II*\x00", Decodable("TIFF")),
    (b"MM\x00*", Decodable("TIFF")),
    (b"II+\x00", Decodable("TIFF")),
    (b"MM\x00+", Unsupported("BigTIFF of big-endian numbers")),
    (b"II\xbc\x01", Unsupported("JPEG XR")),
    (b"IIU\x00", _RAW),  # Panasonic
    (b"IIRO", _RAW),  # Olympus
    (b"IIRS", _RAW),
    (b"MMOR", _RAW),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"FOVb", _RAW),  # Sigma
    (b"\x00MRM", _RAW),  # Minolta
    (b"II\x1a\x00\x00\x00HEAPCCDR", _RAW),  # Canon, before CR2
    (b"8BPS\x00\x01", Decodable("PSD")),
    (b"8BPS\x00\x02", Unsupported("large Photoshop (PSB)")),
    (b"%!PS", Unsupported("PostScript (EPS)")),
    (b"\xc5\xd0\xd3\xc6", Unsupported("PostScript (EPS)")),
    (b"icns", Unsupported("Apple icon (ICNS)")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Unsupported("JPEG 2000")),
    (b"\xff\x4f\xff\x51", Unsupported("JPEG 2000")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Unsupported("JPEG XL")),
    (b"\xff\x0a", Unsupported("JPEG XL")),
    (b"v/1\x01", Unsupported("OpenEXR")),
    (b"DDS ", Unsupported("DirectDraw surface (DDS)")),
    (b"gimp xcf", Unsupported("GIMP (XCF)")),
    (b"qoif", Unsupported("QOI")),
    (b"SIMPLE  =", Unsupported("FITS")),
    (b"#?RADIANCE", Unsupported("Radiance (HDR)")),
    (b"\x59\xa6\x6a\x95", Unsupported("Sun raster")),
    (b"\x01\xda\x00\x01", Unsupported("Silicon Graphics (SGI)")),
    (b"\x01\xda\x01\x01", Unsupported("Silicon Graphics (SGI)")),
    (b"\xd7\xcd\xc6\x9a", Unsupported("Windows metafile (WMF)")),
    (b"\x01\x00\x00\x00\x6c\x00\x00\x00", Unsupported("Windows metafile (EMF)")),
    (b"\x8aMNG\r\n\x1a\n", Unsupported("MNG")),
    (b"BPG\xfb", Unsupported("BPG")),
    (b"FLIF", Unsupported("FLIF")),
    (b"AT&TFORM", Unsupported("DjVu")),
    (b"%PDF-", NotAnImage("a PDF document")),
    (b"PK\x03\x04", NotAnImage("a ZIP archive or an office document")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", NotAnImage("an old office document")),
    (b"\x1f\x8b", NotAnImage("gzip data")),
    (b"Rar!", NotAnImage("a RAR archive")),
    (b"7z\xbc\xaf\x27\x1c", NotAnImage("a 7-Zip archive")),
    (b"\x1aE\xdf\xa3", NotAnImage("a video (Matroska or WebM)")),
    (b"FLV\x01", NotAnImage("a video (Flash)")),
    (b"CWS", NotAnImage("a Flash film")),
    (b"FWS", NotAnImage("a Flash film")),
    (b"OggS", NotAnImage("an Ogg file")),
    (b"ID3", NotAnImage("an MP3 file")),
    (b"fLaC", NotAnImage("a FLAC file")),
    (b"wOFF", NotAnImage("a font")),
    (b"wOF2", NotAnImage("a font")),
    (b"MZ", NotAnImage("a Windows program")),
    (b"\x7fELF", NotAnImage("a Linux program")),
)

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEIF_HINT = (
    "this server is set up without it; "
    "phones can share photos as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)"
)
_OTHER_BRANDS: tuple[tuple[bytes, Sniffed], ...] = (
    (b"crx ", _RAW),  # Canon's CR3
    (b"mif3", Unsupported("AVIF or HEIC in the short form (mif3)")),
    (b"jxl ", Unsupported("JPEG XL")),
    (b"jp2 ", Unsupported("JPEG 2000")),
    (b"vvic", Unsupported("VVC picture")),
    (b"avci", Unsupported("AVC picture")),
    (b"M4A ", NotAnImage("an audio file (MPEG-4)")),
)
_BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_BMP_HEADERS_BEHIND = 14  # the file's own
_BMP_COMPRESSIONS = frozenset({0, 1, 2, 3, 6})
_MARKUP = re.compile(rb"<!--.*?-->|<\?.*?\?>|<!doctype\s[^>\[]*(?:\[[^\]]*\]\s*)?>|\s+", re.DOTALL)
_ROOT = re.compile(rb"<(?:[\w.-]{1,40}:)?([\w.-]{1,40})")
_HTML_ROOTS = frozenset(
    {b"html", b"head", b"body", b"script", b"meta", b"title", b"div", b"p", b"table", b"center", b"h1"}
)


def sniff(data: bytes) -> Sniffed:
    """Return what `data` is."""
    if not data:
        return NotAnImage("an empty file")
    if data[:4] == b"RIFF":
        return Decodable("WEBP") if data[8:12] == b"WEBP" else NotAnImage("an audio or video file (RIFF)")
    if data[4:8] == b"ftyp":
        return _from_brands(data)
    for prefix, found in _PREFIXES:
        if data.startswith(prefix):
            return found
    return _from_structure(data[:64]) or _from_text(data[:_HEAD_BYTES])


def without_blanks_before(data: bytes) -> bytes:
    """Return a picture without the blank lines that a shop's script wrote before it; anything else as it is."""
    head = data[:_BLANK_BYTES]
    blanks = len(head) - len(head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n"))
    if not blanks or isinstance(sniff(data), Decodable):
        return data
    picture = data[blanks:]
    return picture if isinstance(sniff(picture), Decodable) else data


def _from_brands(data: bytes) -> Sniffed:
    """Read the brands of an ISO media file: the box names its main brand and those it is compatible with."""
    box_bytes = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, box_bytes, 4))}
    if brands & {b"avif", b"avis"} and data[8:12] != b"mif3":
        return Decodable("AVIF")
    for brand, found in _OTHER_BRANDS:
        if data[8:12] == brand:
            return found
    if brands & _HEIF_BRANDS:
        return Unsupported("HEIC", _HEIF_HINT)
    return NotAnImage("a video (MP4 or QuickTime)")


def _from_structure(head: bytes) -> Sniffed | None:
    """Recognise formats whose few magic bytes also begin other things: the fields behind them must fit."""
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        is_long = int.from_bytes(head[14:18], "little") >= 40
        compression = int.from_bytes(head[30:34], "little") if is_long else 0
        if compression not in _BMP_COMPRESSIONS:
            return Unsupported(f"BMP compressed by method {compression}")
        return Decodable("BMP")
    if (
        head[:4] in {b"\0\0\1\0", b"\0\0\2\0"}
        and 0 < int.from_bytes(head[4:6], "little") <= 256
        and head[9:10] == b"\0"
    ):
        return Decodable("ICO")
    if head[:1] == b"\x0a" and head[1:2] in b"\0\2\3\4\5" and head[2:3] == b"\1" and head[3:4] in b"\1\2\4\x08":
        return Unsupported("PCX")
    is_targa = head[1:2] in b"\0\1" and head[2:3] in b"\1\2\3\x09\x0a\x0b" and head[16:17] in b"\x08\x0f\x10\x18\x20"
    if len(head) > 18 and is_targa and head[12:16].replace(b"\0", b"") and head[17] & 0xC0 == 0:
        return Unsupported("Targa (TGA)")
    if head[:3] == b"\0\0\1" and head[3:4] in b"\xba\xb3":
        return NotAnImage("a video (MPEG)")
    return None


def _from_text(head: bytes) -> Sniffed:
    text = head.removeprefix(b"\xef\xbb\xbf")
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = text.decode("utf-16", "replace").encode()
    text = text.lstrip().lower()
    if not text:
        return NotAnImage("blank text")
    if text[:1] == b"<":
        return _from_markup(text)
    if text[:1] in {b"{", b"["}:
        return NotAnImage("JSON")
    if text[:1] == b"p" and text[1:2] in b"1234567f" and text[2:3].isspace():
        return Unsupported("Netpbm (PBM, PGM or PPM)")
    if text.startswith(b"/* xpm"):
        return Unsupported("X pixmap (XPM)")
    if text.startswith(b"#define ") and b"_width " in text[:200]:
        return Unsupported("X bitmap (XBM)")
    if text.startswith(b"data:image/"):
        return NotAnImage("the text of a data: URL")
    if text.startswith(b"version https://git-lfs"):
        return NotAnImage("a pointer of Git LFS, not the file itself")
    # The head may end inside a character.
    readable = codecs.getincrementaldecoder("utf-8")("replace").decode(head[:_READ_BYTES])
    is_text = all(char.isprintable() or char in "\t\n\r\f" for char in readable) and "\ufffd" not in readable
    return NotAnImage("text" if is_text else "unknown binary data")


def _from_markup(text: bytes) -> Sniffed:
    """Name a text of elements by its first one: comments, declarations and what stands in it name nothing."""
    doctype = b"<!doctype svg" in text[:1000], b"<!doctype html" in text[:1000]
    at = 0
    while (between := _MARKUP.match(text, at)) is not None:
        at = between.end()
    root = _ROOT.match(text, at)
    name = b"" if root is None else root[1]
    if name == b"svg" or (not name and doctype[0]):
        return Unsupported("SVG", "export it as PNG")
    if name in _HTML_ROOTS or doctype[1]:
        return NotAnImage("an HTML page")
    return NotAnImage("XML" if text.startswith(b"<?xml") else "XML or HTML")


def is_cut_off(image_format: str, data: bytes) -> bool:
    """Return whether the end of a picture of that format is missing, judged by its structure alone."""
    match image_format:
        case "JPEG":
            # Some encoders pad after the end marker; a polyglot's tail does not make it cut off.
            return b"\xff\xd9" not in data[2:] or data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
        case "PNG":
            return b"IEND" not in data[8:]
        case "WEBP":
            return len(data) < int.from_bytes(data[4:8], "little") + 8
        case "GIF":
            return not data.rstrip(b"\x00").endswith(b";")
        case "BMP":
            return len(data) < int.from_bytes(data[2:6], "little")
        case "AVIF" | "HEIF":
            return not _boxes_are_whole(data)
        case "TIFF":
            # Offsets may point anywhere; one that points behind the end shows when decoding.
            return len(data) < 8 or len(data) < int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big")
        case "PSD":
            return len(data) < 40
        case _:
            return False


def _boxes_are_whole(data: bytes) -> bool:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:  # to the end of the file
            return True
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return at == len(data)
