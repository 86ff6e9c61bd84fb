"""What is stored of rows: every character as it came, each image once, and what an image does not share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection

from chassis.db.engine import transact
from ingest.options import ImageOptions
from ingest.sheets.model import Problem, ProblemCode, SheetRow
from ingest.state.sheet_copy import MAX_ROW_PROBLEMS, Copied, copy_rows, copy_sheet
from support.ingest_service import Lab

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"
BAD = Problem(7, "Links", ProblemCode.URL_INVALID, "No link.", value="ftp://x\x00y")
OPTIONS = ImageOptions(quality=50, format="jpeg")


def row(number: int, *urls: str, **values: Any) -> SheetRow:
    """Return a row with links and nothing else unless given."""
    return SheetRow(number, **{"serial": "", "name": "", "cells": (), **values}, urls=urls)


@pytest.fixture(name="batch")
def _batch(lab: Lab) -> UUID:
    """A batch without rows."""
    request_id = UUID(lab.submit(A))
    for table in ("images", "rows", "batch_hosts", "hosts"):
        lab.change(f"DELETE FROM {table}")
    return request_id


def copied(lab: Lab, batch: UUID, rows: Sequence[SheetRow], *, is_first: bool = True) -> Copied:
    """Store rows."""

    def work(connection: Connection) -> Copied:
        return copy_rows(connection, batch, rows, options=OPTIONS, attempt_limit=6, is_first=is_first)

    return transact(lab.engine, work)


def images(lab: Lab) -> list[Any]:
    """Return the images in the order of the sheet."""
    return lab.rows("SELECT * FROM images ORDER BY row_number, slot")


def test_every_character_of_a_cell_is_stored_as_it_came(lab: Lab, batch: UUID) -> None:
    """Alone and in the middle of a text, in every column of text."""
    marks = ["\t", "\n", "\r", "\b", "\f", "\v", "\\", "\\N", "\\.", "\\t", '"', "ü", "😀", ""]
    texts = [text for mark in marks for text in (mark, f"a{mark}b")]

    copied(lab, batch, [row(number, serial=text, name=text, cells=(text, "x")) for number, text in enumerate(texts, 2)])

    stored = lab.rows("SELECT serial, product_name, cells FROM rows ORDER BY row_number")
    assert stored == [{"serial": text, "product_name": text, "cells": [text, "x"]} for text in texts]


def test_the_first_problems_of_a_row_are_kept(lab: Lab, batch: UUID) -> None:
    """Without the number of the row, which it has; a row without any has none."""
    problems = tuple(Problem(2, f"c{n}", ProblemCode.URL_INVALID, "No\tlink.") for n in range(MAX_ROW_PROBLEMS + 1))

    copied(lab, batch, [row(2, problems=problems), row(3)])

    kept = [found["problems"] for found in lab.rows("SELECT problems FROM rows ORDER BY row_number")]
    assert kept == [[problem.to_row_json() for problem in problems[:MAX_ROW_PROBLEMS]], None]


def test_an_image_is_stored_open_with_its_place_and_its_host(lab: Lab, batch: UUID) -> None:
    counted = copied(lab, batch, [row(2, A, B, url_columns=(4,)), row(3, f"{A}?\\x")])

    wanted = ("batch", "row_number", "slot", "input_url", "host", "sheet_column", "attempt_limit", "status")
    assert [tuple(image[name] for name in wanted) for image in images(lab)] == [
        (batch, 2, 0, A, "a.example", 4, 6, "PENDING"),
        (batch, 2, 1, B, "b.example", None, 6, "PENDING"),
        (batch, 3, 0, f"{A}?\\x", "a.example", None, 6, "PENDING"),
    ]
    nothing = ("same_as", "options", "code", "detail", "finished_at")
    assert all(image[name] is None for image in images(lab) for name in nothing)
    assert counted == Copied(3, 0, 0, counted.images_of_host)
    assert counted.images_of_host == {"a.example": 2, "b.example": 1}


def test_a_link_that_cannot_be_used_has_failed_and_keeps_its_place(lab: Lab, batch: UUID) -> None:
    """It has no host and is never asked for; what the owner wrote is shown as far as it can be stored."""
    nothing = Problem(2, "Links", ProblemCode.URL_INVALID, "No link.")
    counted = copied(lab, batch, [row(2, "", A, "", "", faults={0: BAD, 2: nothing, 3: BAD}, url_columns=(4, 5, 6))])

    wanted = ("slot", "input_url", "host", "sheet_column", "status", "code", "detail", "same_as", "attempt_limit")
    failed = ("FAILED", "URL_INVALID", "No link.", None, 6)
    assert [tuple(image[name] for name in wanted) for image in images(lab)] == [
        (0, "ftp://x\ufffdy", "", 4, *failed),
        (1, A, "a.example", 5, "PENDING", None, None, None, 6),
        (2, "?", "", 6, *failed),
        (3, "ftp://x\ufffdy", "", None, *failed),
    ]
    assert [image["finished_at"] is None for image in images(lab)] == [False, True, False, False]
    assert (counted.images, counted.failed, counted.deduplicated) == (4, 3, 0)
    assert counted.images_of_host == {"a.example": 1}


def test_a_link_that_is_far_too_long_is_cut(lab: Lab, batch: UUID) -> None:
    fault = Problem(2, "Links", ProblemCode.URL_INVALID, "Too long.", value="https://a.example/" + "x" * 5000)

    copied(lab, batch, [row(2, "", faults={0: fault})])

    [image] = images(lab)
    assert image["input_url"] == (fault.value or "")[:2083]


@pytest.mark.parametrize("at_once", [True, False], ids=["one-chunk", "two-chunks"])
def test_equal_links_with_equal_options_are_one_image_and_those_that_repeat_it(
    lab: Lab, batch: UUID, at_once: bool
) -> None:
    """In the same chunk of the sheet or in an earlier one; other options or a fault are no repeat."""
    first, second = row(2, A, B), row(3, A, A, "", faults={2: BAD})
    third = row(4, A, options={"quality": 80})
    chunks = [[first, second, third]] if at_once else [[first], [second, third]]

    counted = [copied(lab, batch, chunk, is_first=chunk[0] is first) for chunk in chunks]

    found = images(lab)
    assert [image["same_as"] for image in found] == [None, None, found[0]["id"], found[0]["id"], None, None]
    assert len({image["id"] for image in found}) == 6
    assert [sum(each.deduplicated for each in counted), sum(each.failed for each in counted)] == [2, 1]


def test_the_id_of_a_first_image_is_the_same_in_every_release(lab: Lab, batch: UUID) -> None:
    """An import that another release goes on with must find it: the SHA-256 of batch, options and link, as a UUID."""
    copied(lab, batch, [row(2, A), row(3, A, options={"quality": 80})])

    own = json.dumps(OPTIONS.model_dump() | {"quality": 80}, sort_keys=True)
    digests = [hashlib.sha256(b"\0".join((batch.bytes, text.encode(), A.encode()))) for text in ("\\N", own)]
    made = [UUID(bytes=digest.digest()[:16]) for digest in digests]
    assert [image["id"] for image in images(lab)] == [UUID(int=_as_version_8(each.int)) for each in made]


def _as_version_8(number: int) -> int:
    """Return the number of a UUID whose version is 8 and whose variant is that of RFC 9562."""
    without = number & ~(0xF << 76) & ~(0x3 << 62)
    return without | 0x8 << 76 | 0x2 << 62


def test_the_first_chunk_does_not_look_for_earlier_images(lab: Lab, batch: UUID) -> None:
    """`is_first` promises that there are none; who breaks the promise is told by the key of the images."""
    copied(lab, batch, [row(2, A)])

    with pytest.raises(Exception, match="images_pkey"):
        copied(lab, batch, [row(3, A)])


def test_equal_links_of_two_batches_are_two_images(lab: Lab, batch: UUID) -> None:
    other = UUID(lab.submit(A))

    copied(lab, batch, [row(2, A)])

    assert [image["same_as"] for image in images(lab)] == [None, None]
    assert {image["batch"] for image in images(lab)} == {batch, other}


def test_an_image_keeps_options_only_where_they_are_not_the_batchs(lab: Lab, batch: UUID) -> None:
    copied(lab, batch, [row(2, A, options={"quality": 50}), row(3, A, options={"quality": 80}), row(4, A)])

    same, own, none = (image["options"] for image in images(lab))
    assert (same, none) == (None, None)
    assert own == OPTIONS.model_dump() | {"quality": 80}


def test_a_whole_sheet_is_stored_chunk_by_chunk_with_its_hosts(
    lab: Lab, batch: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeats are found across chunks, and images of a host are counted over all of them."""
    monkeypatch.setattr("ingest.state.sheet_copy._CHUNK_ROWS", 2)
    rows = [row(2, A), row(3, B), row(4, A), row(5, f"{A}?x"), row(6, B)]

    transact(lab.engine, lambda connection: copy_sheet(connection, batch, iter(rows), options=OPTIONS, attempt_limit=6))

    assert [image["same_as"] is None for image in images(lab)] == [True, True, False, True, False]
    hosts = lab.rows("SELECT host, images FROM batch_hosts JOIN hosts USING (host) ORDER BY host")
    assert [(found["host"], found["images"]) for found in hosts] == [("a.example", 3), ("b.example", 2)]
