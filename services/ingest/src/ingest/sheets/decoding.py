"""Bytes to text: UTF-8 with or without BOM; everything else is refused by the name of what it looks like."""

from __future__ import annotations

import codecs

from ingest.sheets.model import Dialect, ProblemCode, refuse

# Signatures of the files that people upload by mistake. Order matters: the first match names the file.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "an Excel workbook (.xlsx) or another ZIP file; save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls); save it as CSV UTF-8"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a WebP image or another RIFF file"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"SQLite format 3\x00", "an SQLite database"),
)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HTML_STARTS = (b"<!doctype html", b"<html", b"<?xml", b"<svg", b"<head", b"<body", b"<table")


def decode_sheet(body: bytes) -> tuple[str, Dialect]:
    """Return the text without its BOM, and what was found.

    Raises:
        SheetError: SHEET_EMPTY, NOT_A_CSV or SHEET_ENCODING.
    """
    if not body.strip():
        raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    for signature, name in _SIGNATURES:
        if body.startswith(signature):
            raise refuse(ProblemCode.NOT_A_CSV, f"This is not a CSV file; it looks like {name}.")
    if body.startswith(_UTF_32 + _UTF_16):
        name = "UTF-32" if body.startswith(_UTF_32) else "UTF-16"
        raise refuse(
            ProblemCode.SHEET_ENCODING, f"The file is {name}; only UTF-8 is read. Save it as CSV UTF-8 and try again."
        )
    bom = body.startswith(codecs.BOM_UTF8)
    content = body[len(codecs.BOM_UTF8) :] if bom else body
    start = content[:512].lstrip().lower()
    if start.startswith(_HTML_STARTS):
        raise refuse(ProblemCode.NOT_A_CSV, "This is not a CSV file; it looks like a web page or XML.")
    if start.startswith((b"{", b"[")):
        raise refuse(ProblemCode.NOT_A_CSV, "This is not a CSV file; it looks like JSON.")
    if content[:2000].count(0) > len(content[:2000]) // 4:
        raise refuse(
            ProblemCode.SHEET_ENCODING, "Many bytes are zero, as in UTF-16 without its mark; only UTF-8 is read."
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refuse(
            ProblemCode.SHEET_ENCODING,
            f"Byte 0x{content[error.start]:02x} in line {line} of the file is not UTF-8 (perhaps Windows-1252 or"
            " Latin-1). Save the sheet as CSV UTF-8 and try again.",
        ) from error
    if not text.strip():
        raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    return text, Dialect("utf-8", bom, ",")
