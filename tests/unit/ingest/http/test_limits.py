"""`/limits` shows the values of the deployment, and whoever passes a limit is told it and the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.ingest_service import Answered, Lab, MakeLab, sheet_of

A = "https://a.example/1.jpg"


def listed(lab: Lab) -> dict[str, Any]:
    """Return the rows of /limits by name."""
    return {row["name"]: row for row in lab.get("/limits").json["limits"]}


@pytest.mark.feature("48")
def test_a_limit_is_listed_with_the_value_of_its_setting(make_lab: MakeLab) -> None:
    """As this deployment has it."""
    row = listed(make_lab(INGEST_MAX_ROWS="77"))["max_rows"]

    assert (row["setting"], row["value"], row["unit"]) == ("INGEST_MAX_ROWS", 77, "rows")


Send = Callable[[Any, int], tuple[Answered, int]]


def _post(lab: Lab, path: str, body: bytes) -> Answered:
    return Answered(lab.client().post(path, data=body, content_type="application/json"))


def _json_of(size: int) -> bytes:
    return b'{"request_id": "' + b"x" * (size - 18) + b'"}'


_FIELD = b'--b\r\nContent-Disposition: form-data; name="csv_text"\r\n\r\n%s\r\n'


def _form(lab: Lab, body: bytes) -> Answered:
    return Answered(lab.client().post("/upload", data=body, content_type="multipart/form-data; boundary=b"))


def _items(lab: Lab, **item: Any) -> Answered:
    answered: Answered = lab.post("/upload", {"items": [{"urls": [A], **item}]})
    return answered


OVER: dict[str, Send] = {
    "max_body_bytes": lambda lab, n: (_form(lab, b"x" * (n + 1)), n + 1),
    "max_sheet_bytes": lambda lab, n: (lab.upload(b"x" * (n + 1)), n + 1),
    "max_columns": lambda lab, n: (lab.upload("Input Image Urls" + ",x" * n + "\n"), n + 1),
    "max_images": lambda lab, n: (lab.upload(sheet_of(*[A] * (n + 1))), n + 1),
    "max_urls_per_cell": lambda lab, n: (lab.upload(sheet_of(" ".join([A] * (n + 1)))), n + 1),
    "max_url_characters": lambda lab, n: (lab.upload(sheet_of(A + "x" * (n + 1 - len(A)))), n + 1),
    # The value cannot be told: the field is not read to its end.
    "max_form_field_bytes": lambda lab, n: (_form(lab, _FIELD % (b"x" * (n + 1))), n),
    # Nor that of rows: the sheet is read no further.
    "max_rows": lambda lab, n: (lab.upload(sheet_of(*[""] * (n + 1))), n),
    "max_form_parts": lambda lab, n: (_form(lab, _FIELD % b"x" * (n + 1) + b"--b--\r\n"), n),
    "max_items": lambda lab, n: (lab.post("/upload", {"items": [{"urls": []}] * (n + 1)}), n + 1),
    "max_items_bytes": lambda lab, n: (_post(lab, "/upload", b" " * (n + 1)), n + 1),
    "max_item_id_characters": lambda lab, n: (_items(lab, id="x" * (n + 1)), n + 1),
    "max_item_name_characters": lambda lab, n: (_items(lab, name="x" * (n + 1)), n + 1),
    "max_json_bytes": lambda lab, n: (_post(lab, "/cancel", _json_of(n + 1)), n + 1),
    "max_page_size": lambda lab, n: (lab.get("/requests", page_size=n + 1), n + 1),
    "max_page_token_characters": lambda lab, n: (lab.get("/requests", page_token="x" * (n + 1)), n + 1),
    "max_idempotency_key_characters": lambda lab, n: (
        lab.upload(sheet_of(A), headers={"Idempotency-Key": "x" * (n + 1)}),
        n + 1,
    ),
    "max_side_pixels": lambda lab, n: (lab.upload(sheet_of(A), max_width=str(n + 1)), n + 1),
}


@pytest.mark.feature("48")
@pytest.mark.fault("F2", "F19")
@pytest.mark.threat("T6")
@pytest.mark.parametrize("name", OVER)
def test_whoever_passes_a_limit_is_told_it_and_the_value(make_lab: MakeLab, name: str) -> None:
    """One above what /limits says is refused, with both numbers."""
    lab = make_lab(
        INGEST_MAX_SHEET_BYTES="200000",
        INGEST_MAX_ROWS="300",
        INGEST_MAX_IMAGES="150",
        INGEST_MAX_URLS_PER_CELL="20",
        INGEST_MAX_COLUMNS="30",
    )
    limit = listed(lab)[name]["value"]

    refused, value = OVER[name](lab, limit)

    assert refused.code in {400, 413}, refused.text
    assert str(limit) in refused.text
    assert str(value) in refused.text
    assert lab.rows("SELECT 1 FROM batches") == []
