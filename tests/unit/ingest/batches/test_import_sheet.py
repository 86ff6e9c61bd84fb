"""Sheets from Cloud Storage: once per execution, with the same rules as an upload."""

from __future__ import annotations

from typing import Any

from support.ingest_service import Lab

SHEET = b"Product Name,Input Image Urls\nx,https://a.example/1.jpg\n"
URI = "gs://sheets/in/products.csv"


def imported(lab: Lab, execution: str, **changes: Any) -> Any:
    """Import the sheet for an execution."""
    body = {"execution": execution, "csv_uri": URI, "webhook_url": None, "options": None} | changes
    return lab.internal("workflow", "POST", "/internal/imports", body)


def test_an_execution_imports_once(lab: Lab) -> None:
    """A repeat returns the same batch without reading the object again."""
    lab.storage.objects[URI] = SHEET
    execution = lab.new_execution()

    answers = [imported(lab, execution).json for _ in range(2)]

    assert answers[0] == answers[1]
    assert answers[0]["counts"] == {"total": 1, "pending": 1, "succeeded": 0, "failed": 0}
    assert (len(lab.rows("SELECT 1 FROM batches")), lab.storage.reads) == (1, 1)


def test_another_execution_imports_anew(lab: Lab) -> None:
    """The key is the execution, not the sheet."""
    lab.storage.objects[URI] = SHEET
    ids = {imported(lab, lab.new_execution()).json["request_id"] for _ in range(2)}
    assert len(ids) == 2


def test_options_and_webhook_are_kept(lab: Lab) -> None:
    """As with an upload."""
    lab.storage.objects[URI] = SHEET
    answer = imported(lab, lab.new_execution(), webhook_url="https://hook.example/", options={"quality": 30})
    row = lab.batch_row(answer.json["request_id"])
    assert (row["webhook_url"], row["options"]["quality"]) == ("https://hook.example/", 30)
    assert row["source_name"] == "products.csv"


def test_a_bad_sheet_is_refused_with_its_problems(lab: Lab) -> None:
    """The execution fails with the reason."""
    lab.storage.objects[URI] = b"Product Name,Input Image Urls\nx,nonsense\n"
    answer = imported(lab, lab.new_execution())
    assert (answer.code, answer.reason) == (400, "SHEET_INVALID")


def test_a_missing_sheet_is_not_found(lab: Lab) -> None:
    """404, which the workflow does not retry."""
    answer = imported(lab, lab.new_execution())
    assert (answer.code, answer.reason) == (404, "SHEET_NOT_FOUND")
