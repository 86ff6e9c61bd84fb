"""Journeys through the whole stack over real HTTP: sheet in, workflow, queue, images, sheet and webhook out."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]
from samples.catalogue import SampleFile
from samples.demo import ROOT
from samples.origin import Origin
from samples.photos import encoded, photo
from samples.receiver import Receiver

from e2e.conftest import running_stack
from localcloud.stack.blocking import Stack
from support.payload_schemas import assert_matches
from support.shop_client import FINAL, Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(name="origin", scope="module")
def _origin() -> Iterator[Origin]:
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(400, 300, seed=n), "JPEG")) for n in range(12)}
    files["/page.jpg"] = SampleFile("image/jpeg", b"<html>please log in</html>")
    with Origin(files) as origin:
        yield origin


def test_demo_accounts_for_every_image() -> None:
    """`make demo` ends with status 0: every image accounted for, exactly the expected ones failed, webhook verified."""
    command = [sys.executable, "-m", "samples.demo"]

    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.feature("23")
def test_sheet_comes_back_with_slots_aligned(shop: Shop, origin: Origin) -> None:
    """A failed image leaves its slot empty between its commas, so every other link keeps its place."""
    base = origin.base_url
    request_id = shop.upload(
        sheet_of([[f"{base}/0.jpg", f"{base}/missing.jpg", f"{base}/1.jpg"], [f"{base}/page.jpg"]])
    )

    status = shop.finished(request_id)

    assert status["status"] == "COMPLETED_WITH_ERRORS"
    rows = shop.rows(request_id)
    assert rows[0] == ["S. No.", "Product Name", "Input Image Urls", "Output Image Urls", "Image Errors"]
    slots = rows[1][3].split(",")
    assert [bool(slot) for slot in slots] == [True, False, True]
    assert [part.split(":")[0] for part in rows[1][4].split(",")] == ["", "HTTP_4XX", ""]
    assert rows[2][3] == ""
    assert rows[2][4].startswith("NOT_AN_IMAGE")
    assert requests.get(slots[0], timeout=10).headers["Content-Type"] == "image/jpeg"


def test_failed_csv_can_be_uploaded_again(shop: Shop, origin: Origin) -> None:
    """`failed.csv` holds only what failed and is itself a sheet."""
    base = origin.base_url
    first = shop.upload(sheet_of([[f"{base}/2.jpg", f"{base}/gone.jpg"], [f"{base}/3.jpg"]]))
    shop.finished(first)

    again = shop.upload(shop.sheet(first, "failed.csv"))

    assert shop.finished(again)["counts"] == {"total": 1, "pending": 0, "succeeded": 0, "failed": 1}


def test_a_workbook_comes_back_as_a_workbook(shop: Shop, origin: Origin) -> None:
    """Rows and columns of `output.csv`, in a file that is a sheet of its own when it is uploaded again."""
    book = openpyxl.Workbook()
    book.active.append(["Code", "Product Name", "Image Urls"])
    book.active.append(["007", "Lamp", f"{origin.base_url}/6.jpg"])
    book.active.append([8, "=1+1", f"{origin.base_url}/missing.jpg"])
    book.active["B3"].data_type = "s"
    file = io.BytesIO()
    book.save(file)
    request_id = shop.upload(file.getvalue())
    shop.finished(request_id)

    result = shop.sheet(request_id, "output.xlsx")

    sheet = openpyxl.load_workbook(io.BytesIO(result)).active
    rows = [["" if value is None else value for value in row] for row in sheet.iter_rows(values_only=True)]
    assert rows == shop.rows(request_id)
    assert [row[:2] for row in rows[1:]] == [["007", "Lamp"], ["8", "=1+1"]]
    again = shop.upload(result)
    assert shop.finished(again)["counts"] == {"total": 2, "pending": 0, "succeeded": 1, "failed": 1}


@pytest.mark.feature("21")
def test_same_url_is_fetched_once(shop: Shop, origin: Origin) -> None:
    """Ten slots with one URL cause one download and hold one link."""
    url = f"{origin.base_url}/4.jpg"
    request_id = shop.upload(sheet_of([[url, url]] * 5))

    status = shop.finished(request_id)

    assert status["counts"]["succeeded"] == 10
    assert origin.hits["/4.jpg"] == 1
    assert len({link for row in shop.rows(request_id)[1:] for link in row[3].split(",")}) == 1


@pytest.mark.feature("59")
@pytest.mark.fault("H1")
def test_webhook_has_the_first_releases_keys_and_is_signed(shop: Shop, origin: Origin, receiver: Receiver) -> None:
    """The batch's webhook arrives once, verified by the public library, and matches its schema."""
    request_id = shop.upload(sheet_of([[f"{origin.base_url}/5.jpg"]]), webhook_url=receiver.url)
    shop.finished(request_id)

    received = receiver.wait_for(request_id, within_s=30)

    assert received is not None
    assert received.verified
    assert [received.event[key] for key in ("request_id", "status", "message")] == [
        request_id,
        "COMPLETED",
        "Compression done",
    ]
    assert_matches("webhook_event", received.event)


@pytest.mark.feature("58")
@pytest.mark.fault("H16")
def test_an_endpoint_is_told_the_whole_story(shop: Shop, origin: Origin, stack: Stack) -> None:
    """Accepted, started, completed: once each, without a sweep, signed with the endpoint's own secret."""
    endpoints = f"{stack.url('reporter')}/webhooks"
    created = requests.post(endpoints, json={"url": "http://127.0.0.1:9/", "enabled": False}, timeout=10).json()
    with Receiver(created["secret"]) as receiver:
        change = {"url": receiver.url, "enabled": True}
        assert requests.patch(f"{endpoints}/{created['id']}", json=change, timeout=10).status_code == 200
        try:
            request_id = shop.upload(sheet_of([[f"{origin.base_url}/5.jpg"]]))
            shop.finished(request_id)

            def story() -> list[str] | None:
                heard = [item for item in receiver.received if item.event["request_id"] == request_id]
                return sorted(item.event["type"] for item in heard) if len(heard) >= 3 else None

            told = eventually(story, within_s=30, what="three events arrive")
        finally:
            requests.delete(f"{endpoints}/{created['id']}", timeout=10)

        assert told == ["batch.accepted", "batch.completed", "batch.started"]
        assert all(item.verified for item in receiver.received)
        [end] = [item.event for item in receiver.received if item.event["type"] == "batch.completed"]
        assert requests.get(end["data"]["download_url"], timeout=10).status_code == 200
        for item in receiver.received:
            assert_matches("webhook_event", item.event)


def test_webhook_is_retried_through_cloud_tasks(shop: Shop, origin: Origin, stack: Stack) -> None:
    """A receiver that fails once gets the same message id again."""
    with Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"], answer=lambda n: 500 if n == 0 else 204) as receiver:
        request_id = shop.upload(sheet_of([[f"{origin.base_url}/5.jpg"]]), webhook_url=receiver.url)
        shop.finished(request_id)

        eventually(lambda: len(receiver.received) >= 2 or None, within_s=40, what="the second attempt arrives")

        assert [item.verified for item in receiver.received] == [True, True]
        assert len({item.message_id for item in receiver.received}) == 1


def test_sheet_in_cloud_storage_is_a_second_door(shop: Shop, origin: Origin, stack: Stack) -> None:
    """An execution with `csv_uri` imports the sheet and returns the schema's result."""
    client = storage.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": stack.url("storage")}
    )
    blob = client.bucket("pressroom-sheets").blob("in/spring.csv")
    blob.upload_from_string(
        sheet_of([[f"{origin.base_url}/6.jpg", f"{origin.base_url}/7.jpg"]]), content_type="text/csv"
    )

    execution = run_batch(stack, {"csv_uri": "gs://pressroom-sheets/in/spring.csv"})

    assert execution["state"] == "SUCCEEDED", execution
    result = json.loads(execution["result"])
    assert_matches("batch_result", result)
    assert result["counts"] == {"total": 2, "pending": 0, "succeeded": 2, "failed": 0}
    link = requests.get(result["download_url"], timeout=10).json()["download_url"]
    assert requests.get(link, timeout=10).status_code == 200


def test_second_execution_of_a_batch_changes_nothing(shop: Shop, origin: Origin, stack: Stack) -> None:
    """An execution for a finished batch returns its present state and downloads nothing."""
    request_id = shop.upload(sheet_of([[f"{origin.base_url}/8.jpg"]]))
    shop.finished(request_id)
    hits = origin.hits["/8.jpg"]

    execution = run_batch(stack, {"request_id": request_id})

    assert json.loads(execution["result"])["status"] == "COMPLETED"
    assert origin.hits["/8.jpg"] == hits


def test_missing_sheet_fails_the_execution_with_the_reason(stack: Stack) -> None:
    """An import that cannot work ends FAILED and says why."""
    execution = run_batch(stack, {"csv_uri": "gs://pressroom-sheets/none.csv"})

    assert execution["state"] == "FAILED"
    assert "none.csv" in execution["error"]["payload"]


@pytest.mark.feature("18")
def test_cancel_keeps_what_is_done(shop: Shop, stack: Stack) -> None:
    """A cancelled batch ends CANCELLED, its finished images stay in the sheet, the rest say so."""
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(200, 150, seed=n), "JPEG")) for n in range(120)}
    with Origin(files, delay_s=0.5) as slow:
        request_id = shop.upload(sheet_of([[f"{slow.base_url}/{n}.jpg"] for n in range(120)]))
        shop.until_succeeded(request_id, 5)

        answer = requests.post(f"{stack.url('ingest')}/cancel", json={"request_id": request_id}, timeout=10)

        assert answer.status_code == 202
        status = shop.finished(request_id)
    assert status["status"] == "CANCELLED"
    assert status["counts"]["succeeded"] >= 5
    assert status["counts"]["succeeded"] + status["counts"]["failed"] == 120
    errors = [row[4] for row in shop.rows(request_id)[1:]]
    assert sum(error.startswith("CANCELLED") for error in errors) == status["counts"]["failed"]


@pytest.mark.feature("17")
def test_retry_runs_only_what_failed(shop: Shop, origin: Origin, stack: Stack) -> None:
    """After the origin is mended a retry fills the empty slots and leaves the others as they were."""
    base = origin.base_url
    request_id = shop.upload(sheet_of([[f"{base}/9.jpg", f"{base}/later.jpg"]]))
    shop.finished(request_id)
    before = shop.rows(request_id)[1][3].split(",")
    hits = origin.hits["/9.jpg"]
    origin.files = {**origin.files, "/later.jpg": origin.files["/10.jpg"]}

    answer = requests.post(f"{stack.url('ingest')}/retry", json={"request_id": request_id}, timeout=10)

    assert answer.status_code == 202, answer.text
    eventually(
        lambda: True if shop.status(request_id)["status"] == "COMPLETED" else None, within_s=60, what="retry completes"
    )
    after = shop.rows(request_id)[1][3].split(",")
    assert (after[0], bool(before[1]), bool(after[1])) == (before[0], False, True)
    assert origin.hits["/9.jpg"] == hits


@pytest.mark.fault("A14")
def test_sweeper_alone_finishes_a_batch(tmp_path: Path, origin: Origin) -> None:
    """With no workflow deployed at all, sweeping ends the batch, report and webhook included."""
    empty = tmp_path / "no-workflows"
    empty.mkdir()
    with running_stack(tmp_path / "stack", change=lambda config: replace(config, workflows_dir=empty)) as stack:
        shop = Shop(stack)
        with Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]) as receiver:
            request_id = shop.upload(sheet_of([[f"{origin.base_url}/11.jpg"]]), webhook_url=receiver.url)

            def probe() -> dict[str, object] | None:
                shop.sweep()
                status = shop.status(request_id, page_size=1)
                return status if status["status"] in FINAL else None

            status = eventually(probe, within_s=90, what="sweeping finishes the batch")

            assert status["status"] == "COMPLETED"
            assert receiver.wait_for(request_id, within_s=30) is not None
        rows = list(csv.reader(io.StringIO(shop.sheet(request_id).decode("utf-8-sig"), newline="")))
        assert rows[1][3]


def run_batch(stack: Stack, argument: dict[str, str]) -> dict[str, Any]:
    """Run the workflow `batch` by REST as gcloud does and return its finished execution."""
    parent = f"{stack.url('workflows')}/v1/projects/demo/locations/us-central1/workflows/batch/executions"
    created = requests.post(parent, json={"argument": json.dumps(argument)}, timeout=10).json()

    def probe() -> dict[str, Any] | None:
        execution = requests.get(f"{stack.url('workflows')}/v1/{created['name']}", timeout=10).json()
        return dict(execution) if execution["state"] not in {"ACTIVE", "QUEUED"} else None

    return eventually(probe, within_s=90, what="the execution ends")


@pytest.mark.feature("7")
def test_skipped_rows_come_back_with_their_problems(shop: Shop, origin: Origin) -> None:
    """With on_invalid=skip the good rows run and a bad row says in the sheet why it did not."""
    sheet = sheet_of([[f"{origin.base_url}/0.jpg"], ["ftp://cdn.example/a.jpg"]])
    request_id = shop.upload(sheet, on_invalid="skip")

    assert shop.finished(request_id)["status"] == "COMPLETED_WITH_ERRORS"
    rows = shop.rows(request_id)
    assert rows[1][3]
    assert rows[2][4].startswith("ROW_SKIPPED: ")


def test_neighbouring_dialects_come_back_as_rows(shop: Shop, origin: Origin) -> None:
    """A UTF-16 sheet with semicolons, as Excel saves it, runs like any other."""
    text = f"S. No.;Product Name;Input Image Urls\r\n1;Café;{origin.base_url}/1.jpg\r\n"

    request_id = shop.upload(text.encode("utf-16"))

    assert shop.finished(request_id)["status"] == "COMPLETED"
    assert shop.rows(request_id, delimiter=";")[1][1] == "Café"
