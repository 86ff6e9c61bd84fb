"""The names of files that people upload by mistake, so that a refusal says what the file is and what to do."""

from __future__ import annotations

from collections.abc import Sequence

# Order matters: the first match names the file.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls); save it as CSV UTF-8"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image or another RIFF file"),
    (b"%PDF-", "a PDF document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip file; unpack it first"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file; save it as CSV UTF-8"),
)
_ZIP = b"PK\x03\x04"
# The names of a ZIP file's members stand in it uncompressed.
_ZIP_MEMBERS: tuple[tuple[bytes, str], ...] = (
    (b"xl/workbook.xml", "a damaged Excel workbook (.xlsx); save it as CSV UTF-8"),
    (b"xl/workbook.bin", "a binary Excel workbook (.xlsb); save it as .xlsx or CSV UTF-8"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (.ods); save it as CSV UTF-8"),
    (b"word/document.xml", "a Word document (.docx)"),
    (b"Index/Document.iwa", "a Numbers spreadsheet; export it as CSV UTF-8"),
)
_UNKNOWN_ZIP = "a ZIP file; unpack it, and save the sheet as .xlsx or CSV UTF-8"
_MARKUP = ("<!doctype html", "<html", "<?xml", "<svg", "<head", "<body", "<table", "<!--")


def name_of_binary(body: bytes) -> str | None:
    """Return what a file is by its first bytes, with advice; None when they are not known."""
    if body.startswith(_ZIP):
        return next((name for member, name in _ZIP_MEMBERS if member in body), _UNKNOWN_ZIP)
    return next((name for signature, name in _SIGNATURES if body.startswith(signature)), None)


def name_of_text(start: str) -> str | None:
    """Return what a text is by its first characters if it is no sheet."""
    stripped = start.lstrip().lower()
    if stripped.startswith(tuple(_MARKUP)):
        return "a web page or XML"
    if stripped.startswith(("{", "[")):
        return "JSON; send items with the content type application/json"
    return None


def known_signatures() -> Sequence[bytes]:
    """Return every signature, for tests that walk through them."""
    return (_ZIP, *(signature for signature, _ in _SIGNATURES))
