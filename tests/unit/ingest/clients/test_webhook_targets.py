"""Webhook URLs are refused at the upload if the reporter would refuse to call them."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import MakeLab
from unit.chassis.egress.test_address_policy import DENIED
from unit.chassis.egress.test_client import SPELLINGS

SHEET = "Product Name,Input Image Urls\nx,https://a.example/1.jpg\n"
ADDRESSES = [line.split(maxsplit=1)[0] for line in DENIED.strip().split("\n")]


@pytest.fixture
def strict(make_lab: MakeLab) -> Any:
    """Give ingest as it is in production: no network is allowed beside the public ones."""
    return make_lab(EGRESS_ALLOWED_NETWORKS="")


@pytest.mark.feature("45")
@pytest.mark.fault("G1", "H8")
@pytest.mark.threat("T2")
@pytest.mark.parametrize(
    "host",
    [
        *(f"[{address}]" if ":" in address else address for address in ADDRESSES),
        *SPELLINGS,
        *("private.example", "localhost", "METADATA.google.internal.", "db.internal", "hook.example:22"),
    ],
)
def test_a_webhook_that_must_not_be_called_is_refused_with_the_upload(strict: Any, host: str) -> None:
    """The whole table of addresses and spellings; the field is named, the address is not, and nothing is stored."""
    answer = strict.upload(SHEET, webhook_url=f"http://{host}/hook")

    assert (answer.code, answer.reason) == (400, "FIELD_INVALID")
    assert '"webhook_url"' in answer.text
    assert "10.0.0.1" not in answer.text.replace(host, "")
    assert strict.rows("SELECT * FROM batches") == []


@pytest.mark.parametrize("host", ["hook.example", "hook.example:8443", "unknown.example", "93.184.215.14"])
def test_a_webhook_that_may_be_called_is_kept(strict: Any, host: str) -> None:
    """Also one that cannot be looked up now: the reporter looks again when it calls."""
    request_id = strict.upload(SHEET, webhook_url=f"https://{host}/hook").json["request_id"]

    assert strict.batch_row(request_id)["webhook_url"] == f"https://{host}/hook"


def test_a_check_of_a_sheet_says_so_too(strict: Any) -> None:
    """Whoever asks beforehand learns of it beforehand."""
    answer = strict.upload(SHEET, webhook_url="http://10.0.0.1/", validate_only="true")
    assert (answer.code, answer.reason) == (400, "FIELD_INVALID")


def test_an_import_is_held_to_the_same(strict: Any) -> None:
    """The workflow's own door is no way around it."""
    strict.storage.objects["gs://b/sheet.csv"] = SHEET.encode()
    body = {"execution": strict.new_execution(), "csv_uri": "gs://b/sheet.csv", "webhook_url": "http://10.0.0.1/"}

    answer = strict.internal("workflow", "POST", "/internal/imports", body | {"options": None})

    assert (answer.code, answer.reason) == (400, "FIELD_INVALID")
