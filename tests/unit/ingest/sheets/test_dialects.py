"""The corpus of dialects: what each means, what is said about it, and what is not guessed."""

from __future__ import annotations

import pytest

from ingest.sheets.intake import read_sheet
from ingest.sheets.model import SheetError, SheetLimits
from ingest.sheets.signatures import known_signatures
from support.ingest_service import Lab
from unit.ingest.sheets.dialect_corpus import HEADER, REFUSED, SAVED, WRITTEN, Dialect

LIMITS = SheetLimits(max_bytes=1_000_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=200)


def name_of(case: object) -> str | None:
    """Return the name of a dialect for the test's id."""
    return case.name if isinstance(case, Dialect) else None


@pytest.mark.feature("4")
@pytest.mark.fault("F3", "F9")
@pytest.mark.parametrize("case", SAVED, ids=name_of)
def test_a_sheet_means_the_same_however_it_was_saved(case: Dialect) -> None:
    """Encoding, mark, delimiter, line ends and the separator of URLs make no difference to the rows."""
    sheet = read_sheet(case.body, LIMITS)
    assert tuple((row.number, row.serial, row.name, row.urls) for row in sheet.rows) == case.rows


@pytest.mark.feature("5")
@pytest.mark.parametrize("case", WRITTEN, ids=name_of)
def test_a_sheet_is_read_as_it_was_meant(case: Dialect) -> None:
    """Every habit of writing sheets that was found in use."""
    sheet = read_sheet(case.body, LIMITS)
    assert tuple((row.number, row.serial, row.name, row.urls) for row in sheet.rows) == case.rows


@pytest.mark.feature("4", "5")
@pytest.mark.fault("F3")
@pytest.mark.parametrize("case", [*SAVED, *WRITTEN], ids=name_of)
def test_what_was_found_and_assumed_is_told(case: Dialect) -> None:
    """The dialect is named, and each repair and assumption is a warning; nothing else is."""
    sheet = read_sheet(case.body, LIMITS)
    told = sheet.dialect
    assert (told.encoding, told.delimiter, told.layout.value) == (case.encoding, case.delimiter, case.layout)
    assert tuple((warning.row, warning.code.value) for warning in sheet.warnings.listed) == case.warnings


@pytest.mark.fault("F7")
@pytest.mark.parametrize("case", [*SAVED, *WRITTEN], ids=name_of)
def test_every_row_is_as_wide_as_the_header(case: Dialect) -> None:
    """Also after a repair, so that the output's columns stay where they are."""
    sheet = read_sheet(case.body, LIMITS)
    assert {len(row.cells) for row in sheet.rows} == {len(sheet.header)}


@pytest.mark.parametrize(("body", "code"), [pytest.param(body, code, id=name) for name, body, code in REFUSED])
def test_what_can_be_meant_in_two_ways_is_refused(body: bytes, code: str) -> None:
    """A wrong guess would cost more than a question."""
    with pytest.raises(SheetError) as caught:
        read_sheet(body, LIMITS)
    assert caught.value.problems.listed[0].code.value == code


@pytest.mark.parametrize("signature", known_signatures())
def test_a_file_of_another_kind_is_named(signature: bytes) -> None:
    """The refusal says what the file looks like."""
    with pytest.raises(SheetError) as caught:
        read_sheet(signature + b"rest", LIMITS)
    assert "it looks like" in caught.value.problems.listed[0].message


def test_an_assumed_encoding_shows_a_word_as_it_was_read() -> None:
    """Whoever knows the word sees at once whether the assumption is right."""
    sheet = read_sheet(f"{HEADER}\n1,Ein Stück,\n".encode("cp1252"), LIMITS)
    assert sheet.warnings.listed[0].value == "Stück"


@pytest.mark.parametrize("length", [10, 59, 60, 61, 5000])
def test_a_letter_behind_a_long_run_of_ascii_is_seen(length: int) -> None:
    """The sample of words is cut around what is not ASCII, not at the begin of the word."""
    sheet = read_sheet(f"{HEADER}\n1,{'a' * length}é,\n".encode("cp1252"), LIMITS)
    assert next(iter(sheet.rows)).name.endswith("é")


def test_a_letter_may_lie_across_the_pieces_that_are_decoded() -> None:
    """The check goes through the file in pieces of a MiB; a letter of three bytes at the border is no fault."""
    begin = f"{HEADER}\n1,".encode()
    for shift in range(3):
        padding = (f"x,\n1,{'y' * 90_000}" * 11 + "z" * 60_000)[: 1024 * 1024 - len(begin) - shift]
        body = begin + padding.encode() + "€€,\n".encode()
        assert body[1024 * 1024 - shift :].startswith("€".encode())
        with pytest.raises(SheetError) as caught:
            read_sheet(body, SheetLimits(2_000_000, 1000, 1000, 100, 200))
        assert "SHEET_ENCODING" not in {problem.code.value for problem in caught.value.problems.listed}


def test_the_dialect_is_answered_and_kept_with_the_batch(lab: Lab) -> None:
    """What was detected can be seen by the sender and later in the row of the batch."""
    answer = lab.upload(SAVED[10].body)

    told = {"encoding": "utf-16-be", "bom": True, "delimiter": ";", "layout": "csv"}
    assert answer.json["dialect"] == told
    written = lab.batch_row(answer.json["request_id"])["dialect"].pop("written")
    assert written == {
        "encoding": "utf-8",
        "codec": "utf-8",
        "bom": True,
        "delimiter": ";",
        "line_end": "\r\n",
        "quote_all": False,
    }
    assert lab.status(answer.json["request_id"])["dialect"] == told
