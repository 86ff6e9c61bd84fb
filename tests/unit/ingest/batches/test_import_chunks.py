"""A large sheet is imported in chunks: the same batch as at once, whatever dies on the way."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chassis.failpoints import FailpointError, arm
from ingest.batches import import_chunks
from ingest.failpoints import Failpoint
from ingest.sheets.intake import SheetRequest, open_surveyed, read_sheet, survey_sheet
from ingest.sheets.model import OnInvalid, SheetLimits
from ingest.state import imports
from support.ingest_service import Answered, Lab, MakeLab, sheet_of
from support.memory_clients import PiecewiseBody

URI = "gs://sheets/in/products.csv"
CELLS = [f"https://h{row % 3}.example/{row}.jpg,https://h0.example/{row % 4}.png" for row in range(40)]
SHEET = sheet_of(*CELLS).encode()
IMAGES = """
    SELECT row_number, slot, input_url, host, status, options,
           (SELECT row_number || '/' || slot FROM images AS first WHERE first.id = images.same_as) AS first
    FROM images WHERE batch = :id ORDER BY row_number, slot
"""
ROWS = "SELECT row_number, serial, product_name, cells, problems FROM rows WHERE batch = :id ORDER BY row_number"
HOSTS = "SELECT host, images FROM batch_hosts WHERE batch = :id ORDER BY host"


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a chunk end at ten images."""
    monkeypatch.setattr(import_chunks, "CHUNK_IMAGES", 10)


@pytest.fixture
def lab(make_lab: MakeLab, small_chunks: None) -> Lab:
    """Give a service for which a sheet of 1000 bytes is large; its bucket may be named by clients."""
    lab = make_lab(INGEST_MAX_SHEET_BYTES="1000", INGEST_SHEET_BUCKETS="sheets")
    lab.storage.objects[URI] = SHEET
    return lab


@pytest.fixture
def tickets(tmp_path: Path) -> Iterator[Path]:
    """Give the folder of the failpoints' tickets; disarm them afterwards."""
    yield tmp_path
    arm((), "", known=())


def begin(lab: Lab) -> tuple[str, str]:
    """Let an execution begin an import; return batch and execution."""
    execution = lab.new_execution()
    body = {"execution": execution, "csv_uri": URI, "webhook_url": None, "options": None}
    answer = lab.internal("workflow", "POST", "/internal/imports", body)
    assert (answer.code, answer.json["status"]) == (200, "IMPORTING"), answer.text
    request_id = answer.json["request_id"]
    return request_id, lab.start(request_id, execution)


def go_on(lab: Lab, request_id: str, execution: str) -> Answered:
    """Call as the workflow does."""
    return lab.batch_call(request_id, "import", execution=execution)


def stored(lab: Lab, request_id: str) -> dict[str, Any]:
    """Return everything that an import has made."""
    row = lab.batch_row(request_id)
    names = ("header", "columns", "dialect", "row_count", "invalid_rows", "deduplicated", "total", "pending", "failed")
    return {
        "rows": lab.rows(ROWS, id=request_id),
        "images": lab.rows(IMAGES, id=request_id),
        "hosts": lab.rows(HOSTS, id=request_id),
        **{name: row[name] for name in names},
    }


def at_once(make_lab: MakeLab, body: bytes = SHEET, **form: Any) -> dict[str, Any]:
    """Return what an upload of the same sheet makes."""
    lab = make_lab()
    answer = lab.upload(body, **form)
    assert answer.code == 202, answer.text
    return stored(lab, answer.json["request_id"])


def test_chunks_make_the_same_batch_as_an_upload(lab: Lab, make_lab: MakeLab) -> None:
    """Rows, images, repeated links, hosts and counters."""
    request_id, execution = begin(lab)

    answer = go_on(lab, request_id, execution)

    assert (answer.json["status"], answer.json["counts"]["pending"]) == ("PENDING", 80)
    assert stored(lab, request_id) == at_once(make_lab)
    assert stored(lab, request_id)["deduplicated"] == 36


def test_an_imported_batch_runs_to_its_end(lab: Lab) -> None:
    """Its repeated links are done with the first of them."""
    request_id, execution = begin(lab)
    go_on(lab, request_id, execution)
    while payloads := lab.claim(request_id, execution):
        for payload in payloads:
            lab.report(payload)
    assert lab.finish(request_id, execution).json["status"] == "COMPLETED"
    assert lab.batch_row(request_id)["succeeded"] == 80


def test_a_call_ends_in_time_and_the_next_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one stored, and how far it is, shows in the status; nothing is handed out before the end."""
    request_id, execution = begin(lab)
    monkeypatch.setattr("ingest.http.internal_routes.IMPORT_CALL_S", 0.0)
    checked = go_on(lab, request_id, execution)
    shown = lab.status(request_id)
    assert checked.json["status"] == "IMPORTING"
    assert (shown["status"], shown["counts"]["total"]) == ("PENDING", 80)
    assert shown["sheet_import"] == {
        "state": "STORING",
        "rows_checked": 40,
        "rows_stored": 0,
        "images_stored": 0,
        "warnings": [],
        "warning_count": 0,
    }
    assert lab.claim(request_id, execution) == []
    monkeypatch.undo()
    monkeypatch.setattr(import_chunks, "CHUNK_IMAGES", 10)
    assert go_on(lab, request_id, execution).json["status"] == "PENDING"
    assert lab.status(request_id)["sheet_import"]["state"] == "ENDED"


@pytest.mark.fault("A17")
@pytest.mark.parametrize(
    ("point", "arrival"),
    [
        (Failpoint.IMPORT_CHECKED, 1),
        (Failpoint.IMPORT_CHUNK_WRITTEN, 1),
        (Failpoint.IMPORT_CHUNK_WRITTEN, 8),
        (Failpoint.IMPORT_CHUNK_COMMITTED, 1),
        (Failpoint.IMPORT_CHUNK_COMMITTED, 8),
        (Failpoint.IMPORT_COMPLETED, 1),
    ],
)
def test_whoever_dies_on_the_way_the_next_one_makes_the_same_batch(
    lab: Lab, make_lab: MakeLab, tickets: Path, point: Failpoint, arrival: int
) -> None:
    """At each failpoint, at the first chunk and at later ones; nothing is doubled or left out."""
    request_id, execution = begin(lab)
    for number in range(1, arrival + 1):
        (tickets / f"{point}.{number}").touch()
    arm([f"{point}:raise"], str(tickets), known=list(Failpoint))
    with pytest.raises(FailpointError):
        import_all(lab, request_id)

    answer = go_on(lab, request_id, execution)

    assert answer.json["status"] == "PENDING"
    assert stored(lab, request_id) == at_once(make_lab)


def import_all(lab: Lab, request_id: str) -> None:
    """Import as the sweeper does, in this thread."""
    work = import_chunks.ChunkedImport(lab.engine, lab.settings, lab.storage, lab.dependencies.clock, budget_s=60.0)
    work.go_on(lab.batch_row(request_id)["request_id"], execution=None)


def test_two_at_once_store_each_row_once(lab: Lab, make_lab: MakeLab) -> None:
    """The second finds that the rows are stored, and leaves the rest to the first."""
    request_id, execution = begin(lab)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: go_on(lab, request_id, execution), range(3)))
    assert go_on(lab, request_id, execution).json["status"] == "PENDING"
    assert stored(lab, request_id) == at_once(make_lab)


def test_the_sweeper_imports_when_there_is_no_workflow(lab: Lab, make_lab: MakeLab) -> None:
    """Then it goes on with the images."""
    request_id = lab.post("/upload", {"csv_uri": URI}).json["request_id"]
    lab.executions.down = True
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")
    lab.sweep()
    assert stored(lab, request_id)["rows"] == at_once(make_lab)["rows"]
    assert lab.batch_row(request_id)["status"] == "PROCESSING"
    assert sum(task["url"].endswith("/compress") for task in lab.tasks.tasks.values()) == 44


def test_a_large_upload_is_answered_before_it_is_read(lab: Lab) -> None:
    """What it holds is null; with the same key the answer is the same."""
    answers = [
        Answered(lab.client().post("/upload", json={"csv_uri": URI}, headers={"Idempotency-Key": "a"}))
        for _ in range(2)
    ]
    assert [answer.code for answer in answers] == [202, 202]
    assert answers[0].json == answers[1].json
    assert (answers[0].json["status"], answers[0].json["total_images"]) == ("PENDING", None)
    assert lab.storage.reads == 0
    assert len(lab.rows("SELECT 1 FROM batches")) == 1


def test_a_sheet_with_too_many_rows_for_an_upload_is_imported_in_chunks(make_lab: MakeLab) -> None:
    """It is not its bytes alone that make a sheet large."""
    lab = make_lab(INGEST_MAX_ROWS="30", INGEST_SHEET_BUCKETS="sheets")
    lab.storage.objects[URI] = SHEET
    request_id, execution = begin(lab)
    assert go_on(lab, request_id, execution).json["counts"]["total"] == 80
    assert lab.post("/upload", {"csv_uri": URI}).json["total_images"] is None


def test_a_large_sheet_is_not_checked_only(lab: Lab) -> None:
    """That would take longer than a request; the limit is named."""
    answer = lab.post("/upload", {"csv_uri": URI, "validate_only": True})
    assert (answer.code, answer.reason) == (413, "SHEET_TOO_LARGE")


def faulty(lab: Lab, request_id: str, execution: str) -> dict[str, Any]:
    """Let an import fail; return the status of the batch that has ended."""
    answer = go_on(lab, request_id, execution)
    assert answer.json["status"] == "SEALING", answer.text
    assert lab.finish(request_id, execution).json["status"] == "FAILED"
    return lab.status(request_id)


def test_a_faulty_sheet_fails_with_its_problems(lab: Lab) -> None:
    """Nothing of it is stored, and a retry does not help."""
    lab.storage.objects[URI] = sheet_of(*CELLS, "nonsense").encode()
    request_id, execution = begin(lab)

    shown = faulty(lab, request_id, execution)

    error = shown["error"]["error"]
    assert (shown["status"], shown["error"]["step"], error["reason"]) == ("FAILED", "sheet", "SHEET_INVALID")
    assert [problem["row"] for problem in error["details"][0]["problems"]] == [42]
    assert stored(lab, request_id)["rows"] == []
    assert lab.post("/retry", {"request_id": request_id}).reason == "NOTHING_TO_RETRY"


def test_bad_rows_can_be_skipped(lab: Lab, make_lab: MakeLab) -> None:
    """As in an upload."""
    body = sheet_of(*CELLS[:20], "nonsense", *CELLS[20:], f"{CELLS[0]},https://no good").encode()
    lab.storage.objects[URI] = body
    request_id = lab.post("/upload", {"csv_uri": URI, "on_invalid": "skip"}).json["request_id"]
    import_all(lab, request_id)
    found = stored(lab, request_id)
    assert found == at_once(make_lab, body, on_invalid="skip")
    assert found["invalid_rows"] == 1


def test_a_sheet_that_is_gone_fails(lab: Lab) -> None:
    """Also when some of it is stored: those images fail, and are in the report."""
    request_id, execution = begin(lab)
    go_on_until(lab, request_id, rows=10)
    del lab.storage.objects[URI]

    answer = go_on(lab, request_id, execution)

    assert answer.json == answer.json | {"status": "PENDING", "counts": answer.json["counts"] | {"total": 20}}
    assert lab.claim(request_id, execution) == []
    assert lab.finish(request_id, execution).json["status"] == "FAILED"
    assert lab.status(request_id)["error"]["error"]["reason"] == "SHEET_NOT_FOUND"
    assert {row["code"] for row in lab.rows("SELECT code FROM images")} == {"BATCH_FAILED"}


def go_on_until(lab: Lab, request_id: str, *, rows: int) -> None:
    """Import until so many rows are stored, and die."""
    with pytest.MonkeyPatch.context() as patch:
        real = imports.note_chunk

        def dying(connection: Any, batch: Any, chunk: Any) -> None:
            if lab.rows("SELECT rows_stored FROM imports")[0]["rows_stored"] >= rows:
                raise FailpointError
            real(connection, batch, chunk)

        patch.setattr(import_chunks, "note_chunk", dying)
        with pytest.raises(FailpointError):
            import_all(lab, request_id)


def test_storage_that_is_away_is_asked_again(lab: Lab) -> None:
    """503: the workflow repeats the call, and nothing is lost."""
    request_id, execution = begin(lab)
    lab.storage.down = True
    assert go_on(lab, request_id, execution).reason == "STORAGE_UNAVAILABLE"
    lab.storage.down = False
    assert go_on(lab, request_id, execution).json["status"] == "PENDING"


def test_a_cancelled_import_ends_with_what_is_stored(lab: Lab) -> None:
    """Its images are cancelled; the rest of the sheet is not read any more."""
    request_id, execution = begin(lab)
    go_on_until(lab, request_id, rows=10)

    answer = lab.post("/cancel", {"request_id": request_id})

    assert (answer.code, answer.json["cancelled_images"]) == (202, 20)
    assert go_on(lab, request_id, execution).json["status"] == "SEALING"
    assert lab.finish(request_id, execution).json["status"] == "CANCELLED"
    assert lab.status(request_id)["total_rows"] == 10


def test_an_import_that_is_cancelled_at_once_ends_empty(lab: Lab) -> None:
    """There is a report, without rows."""
    request_id, execution = begin(lab)
    lab.post("/cancel", {"request_id": request_id})
    assert lab.finish(request_id, execution).json["status"] == "CANCELLED"


def test_a_late_import_fails(lab: Lab) -> None:
    """The deadline of a batch counts from its upload."""
    request_id, _execution = begin(lab)
    lab.change("UPDATE batches SET deadline_at = now()")
    lab.sweep()
    assert lab.batch_row(request_id)["status"] == "SEALING"
    assert "deadline" in lab.batch_row(request_id)["error"]["error"]


def test_a_quota_of_images_is_looked_at_once_they_are_counted(make_lab: MakeLab) -> None:
    """The upload's own answer could not know."""
    lab = make_lab(INGEST_MAX_SHEET_BYTES="1000", INGEST_SHEET_BUCKETS="sheets", INGEST_MAX_OPEN_IMAGES="79")
    lab.storage.objects[URI] = SHEET
    request_id = lab.post("/upload", {"csv_uri": URI}).json["request_id"]
    import_all(lab, request_id)
    assert lab.batch_row(request_id)["error"]["error"]["reason"] == "QUOTA_EXCEEDED"


def test_only_the_owner_imports(lab: Lab) -> None:
    """As with every call of an execution."""
    request_id, _execution = begin(lab)
    assert go_on(lab, request_id, lab.new_execution()).reason == "NOT_OWNER"


LIMITS = SheetLimits(2**30, 10**6, 10**6, 100, 200)


GROUPED = "Handle,Title,Image Src\r\n" + "".join(
    f"lamp,{'' if row else 'Lamp'},https://a.example/{row}.jpg\r\n" for row in range(9)
)


def peak_bytes(rows: int) -> int:
    """Return the most memory that checking a sheet of so many rows, and reading its rows again, holds at once."""
    body = PiecewiseBody(sheet_of(*(f"https://h{row}.example/{row}.jpg" for row in range(rows))).encode())
    tracemalloc.start()
    surveyed = survey_sheet(body, LIMITS, SheetRequest(), lambda _rows: None)
    again = open_surveyed(body, LIMITS, SheetRequest(), surveyed.way, rows)
    assert sum(1 for _row in again.after(0)) == rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The stream of the test copies the content; that of Cloud Storage reads a piece.
    return peak - len(body.content)


def test_memory_does_not_grow_with_the_sheet() -> None:
    """Links and hosts are not kept."""
    peak_bytes(100)
    # Kept links of the larger one would take two megabytes.
    assert peak_bytes(20_000) < peak_bytes(2000) + 300_000


@pytest.mark.parametrize(
    "body",
    [
        SHEET,
        SHEET.decode().encode("utf-16"),
        sheet_of("https://a.example/ä.jpg", "https://a.example/ö.jpg").encode("cp1252"),
        SHEET.replace(b",", b";"),
        GROUPED.encode(),
        b'Product Name,Input Image Urls\n"a \\"quoted\\" lamp","https://a.example/1.jpg"\n',
    ],
    ids=["utf-8", "utf-16", "cp1252", "semicolons", "groups", "backslashes"],
)
def test_a_survey_reads_as_an_upload_does(body: bytes) -> None:
    """Whatever the dialect: columns, warnings, and the rows from any one on."""
    asked = SheetRequest(on_invalid=OnInvalid.SKIP)
    whole = read_sheet(body, LIMITS, asked)
    surveyed = survey_sheet(PiecewiseBody(body), LIMITS, asked, lambda _rows: None)
    found = surveyed.sheet
    assert (found.columns, found.dialect, found.header) == (whole.columns, whole.dialect, whole.header)
    assert found.warnings == whole.warnings
    rows = list(whole.rows)
    again = open_surveyed(PiecewiseBody(body), LIMITS, asked, surveyed.way, found.facts.rows)
    for first in range(len(rows) + 1):
        assert list(again.after(first)) == rows[first:]
