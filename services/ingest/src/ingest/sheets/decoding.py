"""Bytes to text: UTF-8, UTF-16, else Windows-1252 with a warning; what is no text is refused by name.

Nothing is guessed from statistics. UTF-8 and UTF-16 prove themselves: other encodings do not happen to be valid in
them. What is left can only be assumed, and Windows-1252 is what Excel writes in most of the countries that do not
write UTF-8; the warning shows a word as it was read, so that a wrong assumption is seen before anything runs.
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import TextIO

from ingest.sheets.model import Problem, ProblemCode, ProblemList, refuse
from ingest.sheets.signatures import name_of_binary, name_of_text

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "windows-1252")
"""The encodings that are read, by the names that answers use."""

_CHUNK_BYTES = 1024 * 1024
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PROOF_BYTES = 64  # a header's first 32 letters: that many zeros at every second place are no accident
_UTF_8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH_BYTE = re.compile(rb"[\x80-\xff]")
_NEVER_IN_1252_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f\x81\x8d\x8f\x90\x9d]")
_FOREIGN_WORD = re.compile(rb"[^\x00-\x20\",;|]*[\x80-\xff][^\x00-\x20\",;|]*")


@dataclass(frozen=True, slots=True)
class SheetText:
    """The text of a sheet, decoded piece by piece each time it is read, so that it is never in memory as a whole."""

    body: bytes
    encoding: str
    bom: bool
    start: int

    def open(self) -> TextIO:
        """Return the text without its BOM; line ends are kept as they are."""
        source = io.BytesIO(self.body)
        source.seek(self.start)
        return io.TextIOWrapper(source, encoding=self.encoding, newline="")


def decode_sheet(body: bytes, warnings: ProblemList) -> SheetText:
    """Return the text of a sheet; an assumption about its encoding goes to `warnings`.

    Raises:
        SheetError: SHEET_EMPTY, NOT_A_CSV or SHEET_ENCODING.
    """
    if not body.strip():
        raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    name = name_of_binary(body)
    if name is not None:
        raise refuse(ProblemCode.NOT_A_CSV, f"This is not a CSV file; it looks like {name}.")
    if body.startswith(_UTF_32):
        raise refuse(
            ProblemCode.SHEET_ENCODING, "The file is UTF-32, which is not read. Save it as CSV UTF-8 and try again."
        )
    text = _text_of(body, warnings)
    with text.open() as stream:
        name = name_of_text(stream.read(512))
        stream.seek(0)
    if name is not None:
        raise refuse(ProblemCode.NOT_A_CSV, f"This is not a CSV file; it looks like {name}.")
    return text


def _text_of(body: bytes, warnings: ProblemList) -> SheetText:
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            text = SheetText(body, encoding, bom=True, start=len(mark))
            error = _first_fault(text)
            if error is not None:
                raise _broken(encoding, error)
            return _not_blank(text)
    encoding = _utf_16_without_mark(body) or "utf-8"
    text = SheetText(body, encoding, bom=False, start=0)
    error = _first_fault(text)
    if error is None:
        return _not_blank(text)
    if encoding != "utf-8" or _looks_like_damaged_utf_8(body, error.start):
        raise _broken(encoding, error)
    return _assumed(body, error, warnings)


def _not_blank(text: SheetText) -> SheetText:
    with text.open() as stream:
        if all(piece.isspace() for piece in iter(lambda: stream.read(_CHUNK_BYTES // 16), "")):
            raise refuse(ProblemCode.SHEET_EMPTY, "The file is empty.")
    return text


def _utf_16_without_mark(body: bytes) -> str | None:
    """Return the byte order when the file's begin can be nothing but UTF-16 of western letters."""
    begin = body[:_PROOF_BYTES]
    first, second = begin[0::2], begin[1::2]
    if len(begin) < 8 or len(body) % 2:
        return None
    if not any(second) and all(first):
        return "utf-16-le"
    if not any(first) and all(second):
        return "utf-16-be"
    return None


def _first_fault(text: SheetText) -> UnicodeDecodeError | None:
    """Return the first place that is not in the encoding, with its position in the file."""
    decoder = codecs.getincrementaldecoder(text.encoding)(errors="strict")
    view = memoryview(text.body)
    for at in range(text.start, len(view) + 1, _CHUNK_BYTES):
        waiting = len(decoder.getstate()[0])
        chunk = view[at : at + _CHUNK_BYTES]
        try:
            decoder.decode(bytes(chunk), final=at + _CHUNK_BYTES > len(view))
        except UnicodeDecodeError as error:
            begin = at - waiting
            return UnicodeDecodeError(text.encoding, text.body, begin + error.start, begin + error.end, error.reason)
    return None


def _looks_like_damaged_utf_8(body: bytes, position: int) -> bool:
    """Return whether most of what is not ASCII around a fault is valid UTF-8 all the same.

    Then the file was cut or pasted together, and reading it as something else would garble what is right in it.
    """
    around = body[max(0, position - _CHUNK_BYTES) : position + _CHUNK_BYTES]
    in_sequences = sum(len(found[0]) for found in _UTF_8_SEQUENCE.finditer(around))
    high = sum(1 for _ in _HIGH_BYTE.finditer(around))
    return in_sequences * 2 >= high


def _broken(encoding: str, error: UnicodeDecodeError) -> Exception:
    body: bytes = error.object
    if encoding == "utf-8":
        line = body.count(b"\n", 0, error.start) + 1
        where = f"Byte 0x{body[error.start]:02x} in line {line} of the file is not UTF-8, though most of it is."
    else:
        where = f"The file is {encoding.upper()} up to byte {error.start}, where it is broken."
    return refuse(ProblemCode.SHEET_ENCODING, f"{where} Save the sheet as CSV UTF-8 and try again.")


def _assumed(body: bytes, error: UnicodeDecodeError, warnings: ProblemList) -> SheetText:
    line = body.count(b"\n", 0, error.start) + 1
    never = _NEVER_IN_1252_TEXT.search(body)
    if never is not None:
        raise refuse(
            ProblemCode.SHEET_ENCODING,
            f"Byte 0x{body[error.start]:02x} in line {line} of the file is not UTF-8, and byte"
            f" 0x{body[never.start()]:02x} is not Windows-1252 either. Save the sheet as CSV UTF-8 and try again.",
        )
    word = _FOREIGN_WORD.search(body)
    shown = "" if word is None else word[0].decode("cp1252")
    warnings.add(
        Problem(
            None,
            None,
            ProblemCode.ENCODING_ASSUMED,
            f"The file is not UTF-8 (line {line}); it was read as Windows-1252. If the word shown is wrong, save the"
            " sheet as CSV UTF-8.",
            shown,
        )
    )
    return SheetText(body, "windows-1252", bom=False, start=0)
