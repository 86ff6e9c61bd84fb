"""The client: what it sends, what it repeats, how it waits, and what becomes of errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from pressroom import (
    ApiError,
    NotAllowedError,
    Pressroom,
    PressroomError,
    SheetInvalidError,
    UnexpectedAnswerError,
    UnreachableError,
)
from support.fake_pressroom import ID, INGEST, REPORTER, SHEET_OUT, FakePressroom, body_of, ok, refused, summary


@pytest.fixture(name="fake")
def _fake() -> FakePressroom:
    return FakePressroom()


def client_of(fake: FakePressroom, **given: Any) -> Pressroom:
    """Return a client of the fake."""
    return Pressroom(INGEST, transport=fake.transport, sleep=fake.sleep, **given)


def image(row: int) -> dict[str, Any]:
    """Return an image as the list tells it."""
    empty = dict.fromkeys(("code", "detail", "output_url", "bytes_in", "bytes_out", "width", "height", "format"))
    text = dict.fromkeys(("id", "serial_number", "product_name", "input_url", "host", "status"), "x")
    return {**empty, **text, "row": row, "slot": 0, "attempts": 1}


def test_a_sheet_goes_its_whole_way(fake: FakePressroom, tmp_path: Path) -> None:
    """Upload with options, wait, download by a link that needs no key."""
    sheet = tmp_path / "spring.csv"
    sheet.write_bytes(b"a,b\n")
    fake.on("GET", f"/status/{ID}", ok(summary("PROCESSING", succeeded=1)), ok(summary()))
    seen: list[str] = []

    with client_of(fake, api_key="prk_1") as pressroom:
        batch = pressroom.compress(sheet, quality=50, max_width=None)
        ended = batch.wait(on_progress=lambda found: seen.append(found.status))
        written = batch.download(tmp_path / "out.csv")

    [upload] = fake.requests("POST", "/upload")
    assert b'filename="spring.csv"' in upload.content
    assert b'name="quality"\r\n\r\n50' in upload.content
    assert b"max_width" not in upload.content
    assert (seen, ended.savings.saved_bytes, written.read_bytes()) == (["PROCESSING", "COMPLETED"], 1200, SHEET_OUT)
    keys = {request.url.path: request.headers.get("Authorization") for request in fake.asked}
    assert keys.pop(f"/reports/{ID}/output.csv") is None
    assert set(keys.values()) == {"Bearer prk_1"}


def test_an_upload_whose_answer_is_lost_is_repeated_with_its_key(fake: FakePressroom) -> None:
    """The very same request, so that the service makes one batch of both."""
    fake.on("POST", "/upload", httpx2.ReadTimeout("lost"), ok({}, 503), ok({"request_id": ID}, 202))

    batch = client_of(fake).compress(b"a,b\n")

    sent = fake.requests("POST", "/upload")
    assert batch.request_id == ID
    assert len(sent) == 3
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1
    assert len({request.content.split(b"\r\n", 1)[1].split(b"--")[0] for request in sent}) == 1
    assert len(fake.waits) == 2


def test_two_uploads_have_two_keys(fake: FakePressroom) -> None:
    """Of the same sheet too: the second one is meant."""
    pressroom = client_of(fake)
    pressroom.compress(b"a,b\n")
    pressroom.compress(b"a,b\n")

    assert len({request.headers["Idempotency-Key"] for request in fake.requests("POST", "/upload")}) == 2


@pytest.mark.parametrize(
    ("reply", "tries"),
    [(httpx2.ReadTimeout("lost"), 1), (httpx2.ConnectError("nobody there"), 5)],
    ids=["perhaps done", "not sent"],
)
def test_what_must_not_be_done_twice_is_repeated_only_if_it_was_not_sent(
    fake: FakePressroom, reply: Exception, tries: int
) -> None:
    """A retry that is asked for twice would be two."""
    fake.on("POST", "/retry", reply)

    with pytest.raises(UnreachableError):
        client_of(fake).retry(ID)

    assert len(fake.requests("POST", "/retry")) == tries


def test_a_wait_that_the_service_asks_for_is_kept_and_a_long_one_is_an_error(fake: FakePressroom) -> None:
    """Retry-After of seconds is waited for; of an hour it is left to the caller."""
    fake.on("GET", "/limits", ok({}, 429, **{"Retry-After": "7"}), ok({"limits": []}))
    pressroom = client_of(fake)
    assert pressroom.limits() == []
    assert fake.waits[-1] >= 7

    fake.on("GET", "/limits", ok({}, 429, **{"Retry-After": "3600"}))
    with pytest.raises(ApiError):
        pressroom.limits()


def test_waiting_asks_for_changes_only_and_less_often_with_time(fake: FakePressroom) -> None:
    """By ETag; a batch that did not change is not told again."""
    running = ok(summary("PROCESSING", succeeded=1), ETag='W/"1"')
    same = [httpx2.Response(304)] * 200
    fake.on("GET", f"/status/{ID}", running, *same, ok(summary(), ETag='W/"2"'))
    seen: list[str] = []

    client_of(fake).batch(ID).wait(on_progress=lambda found: seen.append(found.status))

    asked = fake.requests("GET", f"/status/{ID}")
    assert seen == ["PROCESSING", "COMPLETED"]
    assert asked[0].url.params["view"] == "summary"
    assert {request.headers.get("If-None-Match") for request in asked[1:]} == {'W/"1"'}
    assert sorted(set(fake.waits)) == [0.5, 2.0, 10.0]
    assert fake.waits == sorted(fake.waits)


def test_lists_follow_their_pages(fake: FakePressroom) -> None:
    """Filters and all."""
    fake.on(
        "GET",
        f"/status/{ID}/images",
        ok({"images": [image(2)], "next_page_token": "t"}),
        ok({"images": [], "next_page_token": "u"}),
        ok({"images": [image(9)], "next_page_token": ""}),
    )

    rows = [found.row for found in client_of(fake).batch(ID).images(status="FAILED")]

    asked = [dict(request.url.params) for request in fake.requests("GET", f"/status/{ID}/images")]
    assert rows == [2, 9]
    assert [query.get("page_token") for query in asked] == [None, "t", "u"]
    assert {query["status"] for query in asked} == {"FAILED"}


def test_a_retry_names_only_what_is_chosen(fake: FakePressroom) -> None:
    """An empty list would be refused."""
    fake.on("POST", "/retry", ok({"retried_images": 3}, 202))

    assert client_of(fake).batch(ID).retry(codes=["TIMEOUT"]) == 3

    assert body_of(fake.requests("POST", "/retry")[0]) == {"request_id": ID, "codes": ["TIMEOUT"]}


def test_a_bad_sheet_is_an_error_with_its_problems(fake: FakePressroom) -> None:
    """Row, column, code."""
    problem = {"row": 3, "column": "Bild", "code": "URL_INVALID", "message": "No link.", "value": "x"}
    fake.on("POST", "/upload", refused(400, "SHEET_INVALID", problems=[problem]))

    with pytest.raises(SheetInvalidError) as caught:
        client_of(fake).compress(b"a\n")

    assert [(one.row, one.column, one.code) for one in caught.value.problems] == [(3, "Bild", "URL_INVALID")]
    assert (caught.value.reason, caught.value.request_id) == ("SHEET_INVALID", "r1")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refused(401, "API_KEY_MISSING"), NotAllowedError),
        (refused(403, "SCOPE_MISSING"), NotAllowedError),
        (refused(404, "BATCH_NOT_FOUND"), ApiError),
        (httpx2.Response(500, text="<html>"), ApiError),
        (httpx2.Response(200, text="<html>"), UnexpectedAnswerError),
        (ok({"request_id": ID}), UnexpectedAnswerError),
        (ok([]), UnexpectedAnswerError),
        (httpx2.ConnectError("nobody there"), UnreachableError),
    ],
)
def test_every_error_is_one_of_this_package(fake: FakePressroom, reply: Any, kind: type[PressroomError]) -> None:
    """Whatever stands behind the URL."""
    fake.on("GET", f"/status/{ID}", reply)

    with pytest.raises(PressroomError) as caught:
        client_of(fake).batch(ID).summary()

    assert type(caught.value) is kind


def test_the_reporter_is_found_by_ingest_and_asked_for_once(fake: FakePressroom) -> None:
    """One URL is enough; a second one may be given."""
    client = client_of(fake)
    client.links(ID)
    client.links(ID)
    assert len(fake.requests("GET", "/whoami")) == 1
    assert {request.url.host for request in fake.requests("GET", "/download_csv")} == {"reporter.test"}

    Pressroom(INGEST, reporter_url=REPORTER, transport=fake.transport).links(ID)
    assert len(fake.requests("GET", "/whoami")) == 1


def test_a_file_that_a_batch_does_not_have_is_an_error(fake: FakePressroom) -> None:
    """A sheet that was no workbook has none."""
    with pytest.raises(PressroomError, match="has no xlsx file"):
        client_of(fake).batch(ID).read("xlsx")
