"""Publishing: one report per batch and generation, made of a complete export of sealed rows."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from support.reporter_service import INGEST, World, batch_line, export, failed_image, image, ndjson, row


def stored(world: World, answer: dict[str, Any], name: str) -> bytes:
    content: bytes = (
        world.storage.bucket("reports-under-test")
        .blob(answer["reports"][name].removeprefix("gs://reports-under-test/"))
        .download_as_bytes()
    )
    return content


@pytest.mark.fault("C8")
@pytest.mark.threat("T8")
def test_a_sealed_batch_becomes_three_objects(world: World) -> None:
    """The answer names three objects under the request and generation, and the counts."""
    request_id = str(uuid4())

    answer = world.publish(
        export(request_id, [row(2), row(3, [image(0), image(1)])], generation=4), request_id=request_id
    )

    base = f"gs://reports-under-test/reports/{request_id}/4"
    assert answer["reports"] == {
        "output_csv": f"{base}/output.csv",
        "failed_csv": f"{base}/failed.csv",
        "results_jsonl": f"{base}/results.jsonl",
    }
    assert (answer["rows"], answer["images"]) == (2, 3)


@pytest.mark.fault("C7")
def test_a_repeated_report_is_the_same_objects(world: World) -> None:
    """A second call writes nothing: object generations stay, and the answer names the same objects."""
    request_id = str(uuid4())
    first = world.publish(request_id=request_id)
    before = {blob.name: blob.generation for blob in world.bucket.list_blobs(prefix=f"reports/{request_id}/")}

    second = world.publish(request_id=request_id)

    after = {blob.name: blob.generation for blob in world.bucket.list_blobs(prefix=f"reports/{request_id}/")}
    assert (second["reports"], after) == (first["reports"], before)
    assert len(after) == 4


def test_objects_left_by_a_crash_are_found_written(world: World) -> None:
    """A run that died before its row was written left objects; the next run keeps them and writes the row."""
    request_id = str(uuid4())
    blob = world.bucket.blob(f"reports/{request_id}/1/output.csv")
    blob.upload_from_string(b"as the first run wrote it", content_type="text/csv")

    answer = world.publish(request_id=request_id)

    assert stored(world, answer, "output_csv") == b"as the first run wrote it"


@pytest.mark.fault("C7")
def test_concurrent_reports_of_one_batch_agree(world: World) -> None:
    """Eight callers at once all get the same report."""
    request_id = str(uuid4())
    world.ingest.exports[request_id] = export(request_id, [row()])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.internal("/internal/reports", {"request_id": request_id}), range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.get_json()["reports"]) for answer in answers}) == 1


def test_another_generation_is_another_report(world: World) -> None:
    """A retried batch gets new objects; the old ones stay."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row(2, [failed_image()])], generation=1), request_id=request_id)

    world.publish(export(request_id, [row(2, [image()])], generation=2), request_id=request_id)

    names = sorted(blob.name for blob in world.bucket.list_blobs(prefix=f"reports/{request_id}/"))
    assert [name.split("/")[2] for name in names] == ["1"] * 4 + ["2"] * 4


def test_ingest_may_publish_too(world: World) -> None:
    """Ingest's sweeper publishes what the workflow did not."""
    request_id = str(uuid4())
    world.ingest.exports[request_id] = export(request_id, [row()])

    answer = world.internal("/internal/reports", {"request_id": request_id}, account=INGEST)

    assert answer.status_code == 200


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_an_unsealed_batch_is_refused(world: World, status: str) -> None:
    """Rows that may still change make no report."""
    request_id = str(uuid4())
    world.ingest.exports[request_id] = export(request_id, [row()], status=status)

    answer = world.internal("/internal/reports", {"request_id": request_id})

    error = answer.get_json()["error"]
    assert (answer.status_code, error["status"]) == (400, "FAILED_PRECONDITION")
    assert error["details"][0]["reason"] == "BATCH_NOT_SEALED"


@pytest.mark.parametrize("status", ["SEALING", "COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"])
def test_a_frozen_batch_is_accepted(world: World, status: str) -> None:
    """Sealed and finished batches have a report."""
    request_id = str(uuid4())

    answer = world.publish(export(request_id, [row()], status=status), request_id=request_id)

    assert answer["request_id"] == request_id


def broken_exports() -> dict[str, tuple[dict[str, Any], ...]]:
    rows = [row(2), row(3)]
    batch = batch_line("ID", rows)
    return {
        "no end line": (batch, *rows),
        "a row missing": (batch, rows[0], {"kind": "end", "rows": 2, "images": 2}),
        "an image too few": (batch, *rows, {"kind": "end", "rows": 2, "images": 3}),
        "fewer than the batch counts": (batch, rows[0], {"kind": "end", "rows": 1, "images": 1}),
        "lines after the end": (batch, *rows, {"kind": "end", "rows": 2, "images": 2}, rows[1]),
        "rows out of order": (batch, rows[1], rows[0], {"kind": "end", "rows": 2, "images": 2}),
        "an unknown kind": (batch, *rows, {"kind": "footer"}),
        "no batch line": (*rows, {"kind": "end", "rows": 2, "images": 2}),
        "a column outside": ({**batch, "columns": {**batch["columns"], "urls": [9]}}, *rows),
        "another batch": ({**batch, "request_id": str(uuid4())}, *rows, {"kind": "end", "rows": 2, "images": 2}),
        "two images in a slot": (batch, row(2, [image(0), image(0)]), {"kind": "end", "rows": 1, "images": 2}),
        "a row without cells": (batch, {**rows[0], "cells": None}),
        "nothing": (),
    }


@pytest.mark.parametrize("fault", broken_exports())
def test_an_export_that_does_not_add_up_is_refused(world: World, fault: str) -> None:
    """503, because a report of it would silently lack rows; nothing is written."""
    request_id = str(uuid4())
    lines = ndjson(*broken_exports()[fault]).replace(b'"ID"', f'"{request_id}"'.encode())
    world.ingest.exports[request_id] = lines

    answer = world.internal("/internal/reports", {"request_id": request_id})

    error = answer.get_json()["error"]
    assert (answer.status_code, error["details"][0]["reason"]) == (503, "EXPORT_INCOMPLETE")
    assert list(world.bucket.list_blobs(prefix=f"reports/{request_id}/")) == []


def test_a_connection_that_breaks_is_refused(world: World) -> None:
    """An answer shorter than declared is no report, even when it breaks off between two lines."""
    request_id = str(uuid4())
    lines = export(request_id, [row(number) for number in range(2, 50)])
    world.ingest.exports[request_id] = lines
    world.ingest.cut_after = lines.index(b"\n", len(lines) // 2) + 1

    answer = world.internal("/internal/reports", {"request_id": request_id})

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_an_unknown_batch_is_ingests_404(world: World) -> None:
    """Ingest's own error passes through."""
    answer = world.internal("/internal/reports", {"request_id": str(uuid4())})

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (404, "BATCH_NOT_FOUND")


@pytest.mark.feature("51", "52")
def test_results_hold_everything_of_every_image(world: World) -> None:
    """results.jsonl has one line per image: where it was, and each fact of the export."""
    request_id = str(uuid4())
    images = [image(0), failed_image(1)]

    answer = world.publish(export(request_id, [row(7, images)]), request_id=request_id)

    place = {"request_id": request_id, "generation": 1, "row_number": 7, "serial": "7", "product_name": "Product 7"}
    assert [json.loads(line) for line in stored(world, answer, "results_jsonl").splitlines()] == [
        {**place, **facts} for facts in images
    ]


def test_cells_with_every_kind_of_line_end_survive_the_stream(world: World) -> None:
    """NDJSON ends its lines with LF only, whatever the cells hold."""
    request_id = str(uuid4())
    odd = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\r\nh\ri"

    answer = world.publish(export(request_id, [row(2, cells=["1", odd, "u"])]), request_id=request_id)

    text = stored(world, answer, "output_csv").decode("utf-8-sig")
    assert next(iter(list(csv.reader(io.StringIO(text, newline="")))[1:]))[1] == odd


def test_a_large_sheet_is_written_whole(world: World) -> None:
    """Files beyond the spool's memory come out complete."""
    request_id = str(uuid4())
    rows = [row(number, product_name="n", cells=[str(number), "x" * 60_000, "u"]) for number in range(2, 162)]

    answer = world.publish(export(request_id, rows), request_id=request_id)

    text = stored(world, answer, "output_csv").decode("utf-8-sig")
    parsed = list(csv.reader(io.StringIO(text, newline="")))
    assert [line[:3] for line in parsed[1:]] == [r["cells"] for r in rows]


@pytest.mark.parametrize("name", ["a\x00b.csv", "a\ud800b.csv"], ids=["NUL", "half a character"])
def test_a_name_that_no_row_can_hold_is_refused_before_anything_is_stored(world: World, name: str) -> None:
    """Ingest cannot have taken such a name, so the export is not to be trusted."""
    request_id = str(uuid4())
    lines = export(request_id, [row()])
    first, rest = lines.split(b"\n", 1)
    world.ingest.exports[request_id] = json.dumps({**json.loads(first), "source_name": name}).encode() + b"\n" + rest

    answer = world.internal("/internal/reports", {"request_id": request_id})

    assert answer.status_code == 503, answer.text
    assert list(world.bucket.list_blobs(prefix=f"reports/{request_id}/")) == []
