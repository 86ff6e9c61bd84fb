"""What bytes are, by their own magic numbers: extensions and Content-Type headers lie. Pure; knows no codec."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

_HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Decodable:
    """A picture in one of the seven formats we always decode; `format` is Pillow's name for it."""

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

_PREFIXES: tuple[tuple[bytes, Sniffed], ...] = (
    (b"\xff\xd8\xff", Decodable("JPEG")),
    (b"\x89PNG\r\n\x1a\n", Decodable("PNG")),
    (b"GIF87a", Decodable("GIF")),
    (b"GIF89a", Decodable("GIF")),
    (b"BM", Decodable("BMP")),
    (b"II*\x00", Decodable("TIFF")),
    (b"MM\x00*", Decodable("TIFF")),
    (b"II+\x00", Decodable("TIFF")),
    (b"MM\x00+", Decodable("TIFF")),
    (b"8BPS", Unsupported("Photoshop (PSD)")),
    (b"%!PS", Unsupported("PostScript (EPS)")),
    (b"\xc5\xd0\xd3\xc6", Unsupported("PostScript (EPS)")),
    (b"\x00\x00\x01\x00", Unsupported("Windows icon (ICO)")),
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
    (b"%PDF-", NotAnImage("a PDF document")),
    (b"PK\x03\x04", NotAnImage("a ZIP archive or an office document")),
    (b"\x1f\x8b", NotAnImage("gzip data")),
    (b"Rar!", NotAnImage("a RAR archive")),
    (b"7z\xbc\xaf\x27\x1c", NotAnImage("a 7-Zip archive")),
    (b"\x1aE\xdf\xa3", NotAnImage("a video (Matroska or WebM)")),
    (b"OggS", NotAnImage("an Ogg file")),
    (b"ID3", NotAnImage("an MP3 file")),
    (b"MZ", NotAnImage("a Windows program")),
    (b"\x7fELF", NotAnImage("a Linux program")),
)

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEIF_HINT = (
    "this server reads it only with its optional package pi-heif; "
    "phones can share photos as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)"
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
    return _from_text(data[:_HEAD_BYTES])


def _from_brands(data: bytes) -> Sniffed:
    """Read the brands of an ISO media file: the box names its main brand and those it is compatible with."""
    box_bytes = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, box_bytes, 4))}
    if brands & {b"avif", b"avis"}:
        return Decodable("AVIF")
    if brands & _HEIF_BRANDS:
        return Unsupported("HEIC", _HEIF_HINT)
    return NotAnImage("a video (MP4 or QuickTime)")


def _from_text(head: bytes) -> Sniffed:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text:
        return NotAnImage("blank text")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!-- ", b"<meta")):
        return NotAnImage("an HTML page")
    if text.startswith((b"<?xml", b"<svg", b"<!doctype svg")):
        return Unsupported("SVG", "export it as PNG") if b"<svg" in text or b"svg" in text[:200] else NotAnImage("XML")
    if text[:1] in {b"{", b"["}:
        return NotAnImage("JSON")
    if text[:1] == b"<":
        return NotAnImage("XML or HTML")
    if text[:1] == b"p" and text[1:2] in b"123456" and text[2:3].isspace():
        return Unsupported("Netpbm (PBM, PGM or PPM)")
    # The head may end inside a character.
    readable = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    is_text = all(char.isprintable() or char in "\t\n\r\f" for char in readable) and "\ufffd" not in readable
    return NotAnImage("text" if is_text else "unknown binary data")


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
        case _:
            # TIFF: offsets may point anywhere; one that points behind the end shows when decoding.
            return len(data) < 8 or len(data) < int.from_bytes(data[4:8], "little" if data[:1] == b"I" else "big")


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
