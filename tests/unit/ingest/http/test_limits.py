"""`/limits` forgets no limit, and whoever passes one is told it and the value."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ingest
import ingest.http.limits
from contract.test_limits_document import NO_LIMITS
from ingest.settings import IngestSettings
from support.ingest_service import Answered, Lab, MakeLab, sheet_of

A = "https://a.example/1.jpg"
INTERNAL = {
    # They bound what our own parts exchange; no client meets them.
    "ingest.dispatch.claim.MAX_PAGE_BYTES",
    "ingest.http.internal_schemas.MAX_ERROR_CHARS",
    "ingest.supervision.without_workflow.MAX_PAGES",
}


def listed(lab: Lab) -> dict[str, Any]:
    """Return the rows of /limits by name."""
    return {row["name"]: row for row in lab.get("/limits").json["limits"]}


@pytest.mark.feature("48")
def test_every_setting_that_limits_is_listed_with_its_value(make_lab: MakeLab) -> None:
    """A number among the settings is a limit unless the documentation's test says why not."""
    lab = make_lab(INGEST_MAX_ROWS="77")
    found = {row["setting"]: row["value"] for row in listed(lab).values() if row["setting"]}
    expected = {
        str(field.alias): getattr(lab.settings, name)
        for name, field in IngestSettings.model_fields.items()
        if type(field.default) in {int, float} and field.alias not in NO_LIMITS
    }

    assert found == expected
    assert found["INGEST_MAX_ROWS"] == 77


def test_every_constant_that_limits_is_listed() -> None:
    """A new `MAX_...` in any module of ingest must be told to clients, or be named here as internal."""
    root = Path(ingest.__file__).parent
    constants = {
        f"{'.'.join(path.relative_to(root.parent).with_suffix('').parts)}.{target.id}"
        for path in root.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("MAX_")
    }
    told = {name for name in vars(ingest.http.limits) if name.startswith("MAX_")}

    assert {name for name in constants if name.rpartition(".")[2] not in told} == INTERNAL


def test_every_row_has_a_unit_and_a_meaning_and_an_own_name(lab: Lab) -> None:
    """And only quotas have a use."""
    rows = lab.get("/limits").json["limits"]

    assert len({row["name"] for row in rows}) == len(rows)
    assert [row for row in rows if not row["unit"] or not row["meaning"] or row["value"] <= 0] == []
    assert {row["name"] for row in rows if row["use"] is not None} == {
        "max_open_batches",
        "max_open_images",
        "max_daily_images",
    }


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
        INGEST_MAX_SHEET_BYTES="200000", INGEST_MAX_IMAGES="150", INGEST_MAX_URLS_PER_CELL="20", INGEST_MAX_COLUMNS="30"
    )
    limit = listed(lab)[name]["value"]

    refused, value = OVER[name](lab, limit)

    assert refused.code in {400, 413}, refused.text
    assert str(limit) in refused.text
    assert str(value) in refused.text
    assert lab.rows("SELECT 1 FROM batches") == []
