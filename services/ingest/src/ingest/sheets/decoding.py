"""Bytes to text: UTF-8, UTF-16, the encoding that the sender names, or the one that surely is it.

UTF-8 and UTF-16 prove themselves: other encodings do not happen to be valid in them. What is left is recognised by its
words, and told with one of them as it was read. What cannot be told for sure is refused with the likeliest readings:
nothing runs with spoilt names.
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import TextIO

from ingest.sheets.body import PIECE_BYTES, HeldBody, SheetBody, find_byte, line_of, pieces_of, read_at
from ingest.sheets.encodings import USUAL, codec_of
from ingest.sheets.model import Problem, ProblemCode, ProblemList, refuse
from ingest.sheets.recognition import LONGEST_WORD_BYTES, SAMPLED_BYTES, Reading, recognise
from ingest.sheets.signatures import name_of_binary, name_of_text

_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PROOF_BYTES = 4096
_LEAST_ZEROS = 8
_UTF_8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_NEVER_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_SUPERSETS = {"gbk": "gb18030", "big5": "big5-hkscs"}
_SHOWN_READINGS, _SHOWN_WORDS, _SHOWN_WORD_CHARS = 3, 3, 20


@dataclass(frozen=True, slots=True)
class SheetText:
    """The text of a sheet, decoded piece by piece each time it is read, so that it is never in memory as a whole."""

    body: SheetBody
    encoding: str
    bom: bool
    start: int

    def open(self) -> TextIO:
        """Return the text without its BOM; line ends are kept as they are."""
        return io.TextIOWrapper(self.body.open(self.start), encoding=codec_of(self.encoding), newline="")


@dataclass(frozen=True, slots=True)
class _Fault:
    """The first byte of a file that is not in an encoding."""

    start: int
    value: int


def decode_sheet(body: bytes | SheetBody, warnings: ProblemList, encoding: str | None = None) -> SheetText:
    """Return the text of a sheet; an assumption about its encoding goes to `warnings`.

    `encoding` is what its sender names, one of `CODECS`; only a mark, or text that is plainly UTF-8, says otherwise.

    Raises:
        SheetError: SHEET_EMPTY, NOT_A_CSV or SHEET_ENCODING.
    """
    body = HeldBody(body) if isinstance(body, bytes) else body
    if not any(piece.strip() for piece in pieces_of(body)):
        raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    name = name_of_binary(body.head)
    if name is not None:
        raise refuse(ProblemCode.NOT_A_CSV, f"This is not a CSV file; it looks like {name}.")
    if body.head.startswith(_UTF_32):
        raise refuse(
            ProblemCode.SHEET_ENCODING, "The file is UTF-32, which is not read. Save it as CSV UTF-8 and try again."
        )
    text = _text_of(body, warnings, encoding)
    with text.open() as stream:
        name = name_of_text(stream.read(512))
    if name is not None:
        raise refuse(ProblemCode.NOT_A_CSV, f"This is not a CSV file; it looks like {name}.")
    return text


def _text_of(body: SheetBody, warnings: ProblemList, named: str | None) -> SheetText:
    for mark, encoding in _BOMS:
        if body.head.startswith(mark):
            text = SheetText(body, encoding, bom=True, start=len(mark))
            error = _first_fault(text)
            if error is not None:
                raise _broken(body, encoding, error)
            return _not_blank(_told_otherwise(text, named, warnings))
    if named is not None:
        return _named(body, named, warnings)
    encoding = _utf_16_without_mark(body) or "utf-8"
    text = SheetText(body, encoding, bom=False, start=0)
    error = _first_fault(text)
    if error is None:
        return _not_blank(text)
    if encoding != "utf-8" or _looks_like_damaged_utf_8(body, error.start):
        raise _broken(body, encoding, error)
    return _recognised(body, error, warnings)


def _named(body: SheetBody, named: str, warnings: ProblemList) -> SheetText:
    """Return the text in the encoding that the sender names, if the file can be that."""
    utf_8 = SheetText(body, "utf-8", bom=False, start=0)
    if named != "utf-8" and any(not piece.isascii() for piece in pieces_of(body)) and _first_fault(utf_8) is None:
        return _not_blank(_told_otherwise(utf_8, named, warnings))
    text = SheetText(body, named, bom=False, start=0)
    error = _first_fault(text)
    if error is not None and named in _SUPERSETS:
        text = SheetText(body, _SUPERSETS[named], bom=False, start=0)
        error = _first_fault(text)
    if error is None:
        return _not_blank(text)
    raise refuse(
        ProblemCode.SHEET_ENCODING,
        f"Byte 0x{error.value:02x} in line {line_of(body, error.start)} of the file is not {named}, the encoding that"
        " the request names. Name another one, or save the sheet as CSV UTF-8.",
    )


def _told_otherwise(text: SheetText, named: str | None, warnings: ProblemList) -> SheetText:
    if named is not None and named != text.encoding:
        message = f"The request names the encoding {named}, yet the file is {text.encoding} and was read as that."
        warnings.add(Problem(None, None, ProblemCode.ENCODING_ASSUMED, message))
    return text


def _not_blank(text: SheetText) -> SheetText:
    with text.open() as stream:
        if all(piece.isspace() for piece in iter(lambda: stream.read(PIECE_BYTES // 16), "")):
            raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    return text


def _utf_16_without_mark(body: SheetBody) -> str | None:
    """Return the byte order when the file can be nothing but UTF-16: of each ASCII letter, one byte is zero."""
    begin = body.head[:_PROOF_BYTES]
    if body.size_bytes % 2:
        return None
    first, second = begin[0::2].count(0), begin[1::2].count(0)
    # Text in other scripts has zeros only at its commas, line ends and links.
    if max(first, second) < max(min(_LEAST_ZEROS, len(begin) // 4), len(begin) // 20) or first + second == 0:
        return None
    if not first:
        return "utf-16-le"
    return "utf-16-be" if not second else None


def _first_fault(text: SheetText) -> _Fault | None:
    """Return the first place that is not in the encoding."""
    decoder = codecs.getincrementaldecoder(codec_of(text.encoding))(errors="strict")
    at = text.start
    try:
        for piece in pieces_of(text.body, text.start):
            waiting = len(decoder.getstate()[0])
            decoder.decode(piece)
            at += len(piece)
        waiting = len(decoder.getstate()[0])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        start = at - waiting + error.start
        return _Fault(start, read_at(text.body, start, 1)[0])
    return None


def _looks_like_damaged_utf_8(body: SheetBody, position: int) -> bool:
    """Return whether nearly all that is not ASCII around a fault is valid UTF-8 all the same.

    Then the file was cut or pasted together, and reading it as something else would garble what is right in it.
    """
    begin = max(0, position - PIECE_BYTES)
    around = read_at(body, begin, position + PIECE_BYTES - begin)
    in_sequences = sum(len(found[0]) for found in _UTF_8_SEQUENCE.finditer(around))
    high = sum(1 for _ in _HIGH_BYTE.finditer(around))
    # Pairs of bytes of Chinese are such sequences, too, yet never nearly all of them.
    return in_sequences > 0 and high - in_sequences <= max(1, high // 10)


def _broken(body: SheetBody, encoding: str, error: _Fault) -> Exception:
    if encoding == "utf-8":
        line = line_of(body, error.start)
        where = f"Byte 0x{error.value:02x} in line {line} of the file is not UTF-8, though most of it is."
    else:
        where = f"The file is {encoding.upper()} up to byte {error.start}, where it is broken."
    return refuse(ProblemCode.SHEET_ENCODING, f"{where} Save the sheet as CSV UTF-8 and try again.")


def _recognised(body: SheetBody, error: _Fault, warnings: ProblemList) -> SheetText:
    line = line_of(body, error.start)
    never = find_byte(body, _NEVER_IN_TEXT)
    if never is not None:
        raise refuse(
            ProblemCode.SHEET_ENCODING,
            f"Byte 0x{error.value:02x} in line {line} of the file is not UTF-8, and byte"
            f" 0x{never[1]:02x} is in no text of another encoding. Save the sheet as CSV UTF-8.",
        )
    reading, candidates = recognise(_with_words(body))
    if reading is None:
        raise refuse(ProblemCode.SHEET_ENCODING, _unclear(line, candidates))
    text = SheetText(body, reading.encoding, bom=False, start=0)
    fault = _first_fault(text)
    if fault is not None:
        line = line_of(body, fault.start)
        raise refuse(
            ProblemCode.SHEET_ENCODING,
            f"The file seems to be {reading.encoding}, yet byte 0x{fault.value:02x} in line {line} is not."
            " Name it in `encoding`, or save the sheet as CSV UTF-8.",
        )
    warnings.add(
        Problem(
            None,
            None,
            ProblemCode.ENCODING_ASSUMED,
            f"The file is not UTF-8 (line {line}); it was read as {reading.encoding}. If the word shown is wrong, name"
            " the encoding in `encoding`, or save the sheet as CSV UTF-8.",
            next(iter(reading.words), "")[:_SHOWN_WORD_CHARS],
        )
    )
    return _not_blank(text)


def _with_words(body: SheetBody) -> bytes:
    """Return the part of a file in which its first words with bytes beyond ASCII are."""
    first = find_byte(body, _HIGH_BYTE)
    return read_at(body, 0 if first is None else max(0, first[0] - LONGEST_WORD_BYTES), SAMPLED_BYTES)


def _unclear(line: int, candidates: tuple[Reading, ...]) -> str:
    """Say that the encoding is not clear, and how the file would read in the likeliest ones."""
    shown = []
    for reading in candidates[:_SHOWN_READINGS]:
        words = " ".join(word[:_SHOWN_WORD_CHARS] for word in reading.words[:_SHOWN_WORDS])
        shown.append(f"as {reading.encoding} it reads '{words}'")
    told = f" {'; '.join(shown)}.".replace(" as", " As", 1) if shown else ""
    return (
        f"The encoding of the file is not clear: line {line} is not UTF-8.{told} Name the encoding in `encoding` (such"
        f" as {USUAL[1]}), or save the sheet as CSV UTF-8."
    )
