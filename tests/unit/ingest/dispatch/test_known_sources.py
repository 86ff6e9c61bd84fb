"""What an earlier batch found behind a URL is handed out with the next claim of it: to its owner, for its options."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from chassis.db.engine import transact
from ingest.state.known_sources import forget_sources
from support.ingest_service import Lab, MakeLab, sheet_of
from support.query_plans import planned_awkwardly

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"
FOUND = {"source_sha256": "cd" * 32, "etag": '"v1"', "last_modified": None}


def first_run(lab: Lab, *cells: str, **outcome: Any) -> None:
    """Run a batch whose images are found with an ETag."""
    request_id = lab.submit(*cells)
    for payload in lab.claim(request_id, lab.start(request_id)):
        assert "known" not in payload
        assert lab.report(payload, **FOUND | outcome).json["applied"]


def claimed(lab: Lab, *cells: str, **form: Any) -> list[dict[str, Any]]:
    """Return what a new batch of the same links hands out."""
    answer = lab.upload(sheet_of(*cells), **form)
    assert answer.code == 202, answer.text
    request_id = str(answer.json["request_id"])
    return lab.claim(request_id, lab.start(request_id))


@pytest.mark.feature("22")
def test_a_known_link_is_handed_out_with_what_is_known(lab: Lab) -> None:
    first_run(lab, A)

    known, unknown = claimed(lab, f"{A} {B}")

    assert known["known"] == {
        "etag": '"v1"',
        "last_modified": None,
        "source_sha256": "cd" * 32,
        "bytes_in": 1000,
        "format": "jpeg",
    }
    assert "known" not in unknown


@pytest.mark.parametrize(
    "form", [{"quality": "30"}, {"format": "webp"}, {"fresh": "true"}, {"max_width": "100"}], ids=str
)
def test_other_options_and_a_fresh_run_begin_at_the_source(lab: Lab, form: dict[str, str]) -> None:
    """What is stored is of other options; and whoever asks for `fresh` distrusts the origin's word."""
    first_run(lab, A)

    [payload] = claimed(lab, A, **form)

    assert "known" not in payload


def test_options_of_a_row_are_told_apart(lab: Lab) -> None:
    """They are another rendition of the same link."""
    first_run(lab, A)
    sheet = f"S. No.,Product Name,Input Image Urls,quality\r\n1,a,{A},50\r\n2,b,{A},20\r\n"
    request_id = str(lab.upload(sheet).json["request_id"])

    payloads = lab.claim(request_id, lab.start(request_id))

    assert {payload["options"]["quality"]: "known" in payload for payload in payloads} == {50: True, 20: False}


def test_what_an_owner_has_is_nobody_elses(lab: Lab) -> None:
    """A rival's upload must not tell that the link was here before."""
    first_run(lab, A)
    request_id = lab.submit(A)
    lab.change("UPDATE batches SET owner = 'rival' WHERE request_id = CAST(:id AS uuid)", id=request_id)

    [payload] = lab.claim(request_id, lab.start(request_id))

    assert "known" not in payload


def test_a_changed_source_takes_the_place_of_the_old_one(lab: Lab) -> None:
    """Of one link and its options one source is known: the last."""
    first_run(lab, A)
    [payload] = claimed(lab, A)
    lab.report(payload, source_sha256="ef" * 32, etag=None, last_modified="Sun, 29 Nov 2026 10:00:00 GMT")

    [payload] = claimed(lab, A)

    assert payload["known"]["source_sha256"] == "ef" * 32
    assert (payload["known"]["etag"], payload["known"]["last_modified"]) == (None, "Sun, 29 Nov 2026 10:00:00 GMT")
    assert len(lab.rows("SELECT 1 FROM known_sources")) == 1


@pytest.mark.feature("22")
def test_reused_images_are_counted_each_and_shown(lab: Lab) -> None:
    """Those with the same link too, as they are in all counters."""
    first_run(lab, A, B)
    request_id = lab.submit(f"{A} {A}", B)
    one, other = lab.claim(request_id, lab.start(request_id))
    lab.report(one, **FOUND, reused=True, detail="REUSED")
    lab.report(one, **FOUND, reused=True, detail="REUSED")
    lab.report(other, **FOUND)

    status = lab.status(request_id)

    assert (status["reused"], status["counts"]["succeeded"]) == (2, 3)
    assert [image["detail"] for product in status["products"] for image in product["images"]] == [
        "REUSED", "REUSED", ""
    ]  # fmt: skip


def test_a_success_that_is_looked_at_closely_is_remembered_and_counted_too(lab: Lab) -> None:
    """At a host whose last image failed, a success is more than one statement."""
    request_id = lab.submit(A)
    lab.change("UPDATE hosts SET failures = 1")
    [payload] = lab.claim(request_id, lab.start(request_id))
    lab.report(payload, **FOUND, reused=True)

    [again] = claimed(lab, A)

    assert (lab.batch_row(request_id)["reused"], again["known"]["etag"]) == (1, '"v1"')


def test_a_failure_teaches_nothing(lab: Lab) -> None:
    """Nor does a compressor of the release before, which says nothing of its source."""
    first_run(lab, A, outcome="FAILED", code="HTTP_404", output_url=None)
    first_run(lab, B, source_sha256=None, etag=None)

    assert lab.rows("SELECT 1 FROM known_sources") == []


def test_a_second_run_writes_nothing_about_its_sources(lab: Lab) -> None:
    """But once a day, that they were seen."""
    first_run(lab, A)
    version = "SELECT xmin::text, seen_at > now() - interval '1 hour' AS new FROM known_sources"
    before = lab.rows(version)
    [payload] = claimed(lab, A)
    lab.report(payload, **FOUND, reused=True)
    same = lab.rows(version)
    lab.change("UPDATE known_sources SET seen_at = now() - interval '2 days'")
    [payload] = claimed(lab, A)
    lab.report(payload, **FOUND, reused=True)

    assert same == before
    assert lab.rows(version)[0]["new"] is True


def test_what_was_not_seen_for_long_is_not_used_and_then_forgotten(make_lab: MakeLab) -> None:
    lab = make_lab(INGEST_REUSE_DAYS="10")
    first_run(lab, A)
    lab.change("UPDATE known_sources SET seen_at = now() - interval '11 days'")

    [payload] = claimed(lab, A)
    swept = lab.sweep()

    assert "known" not in payload
    assert swept["sources_forgotten"] == 1
    assert lab.rows("SELECT 1 FROM known_sources") == []


def test_a_backlog_of_old_sources_is_forgotten_by_one_sweep(make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, however the database plans it: a day of millions of new URLs is forgotten within a day."""
    monkeypatch.setattr("ingest.supervision.sweep._MAX_SOURCES", 2)
    lab = make_lab(INGEST_REUSE_DAYS="10")
    for number in range(5):
        first_run(lab, f"{A}?{number}")
    lab.change("UPDATE known_sources SET seen_at = now() - interval '11 days'")
    pages: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
        if "DELETE FROM known_sources" in statement:
            pages.append(cursor.rowcount)

    event.listen(lab.engine, "after_cursor_execute", note)
    try:
        with planned_awkwardly(lab.engine):
            forgotten = [lab.sweep()["sources_forgotten"] for _ in range(2)]
    finally:
        event.remove(lab.engine, "after_cursor_execute", note)

    assert forgotten == [5, 0]
    assert pages == [2, 2, 1, 0]


def test_of_sources_that_are_old_the_oldest_are_forgotten_first(lab: Lab) -> None:
    for number in range(3):
        first_run(lab, f"{A}?{number}", etag=f'"{number}"')
    lab.change(
        "UPDATE known_sources SET seen_at = now() - make_interval(days => 20 - replace(etag, '\"', '')\\:\\:int)"
    )

    forgotten = transact(lab.engine, lambda connection: forget_sources(connection, days=18, limit=2))

    assert forgotten == 2
    assert [row["etag"] for row in lab.rows("SELECT etag FROM known_sources")] == ['"2"']


def test_reuse_can_be_switched_off(make_lab: MakeLab) -> None:
    """Nothing of a source is kept, so nothing costs anything."""
    lab = make_lab(INGEST_REUSE_DAYS="0")
    first_run(lab, A)

    assert lab.rows("SELECT 1 FROM known_sources") == []
    [payload] = claimed(lab, A)
    assert "known" not in payload


def test_images_that_are_known_need_not_show_first_what_they_cost(make_lab: MakeLab) -> None:
    """Of a second run as many begin as of a batch whose images cost as usual; then come those that are new."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="3")
    links = [f"{A}?{number}" for number in range(30)]
    request_id = lab.submit(*links[:20])
    execution = lab.start(request_id)
    while payloads := lab.claim(request_id, execution):
        for payload in payloads:
            lab.report(payload, **FOUND)

    first = claimed(lab, *links)

    assert [len([payload for payload in first if ("known" in payload) is known]) for known in (True, False)] == [20, 3]


def test_a_new_image_before_the_known_ones_keeps_none_of_them_for_ever(make_lab: MakeLab) -> None:
    """Rows are handed out in their order: what waits behind it comes when it has told."""
    lab = make_lab(INGEST_FIRST_IN_FLIGHT="1")
    first_run(lab, A)
    request_id = lab.submit("https://a.example/new/1.jpg", "https://a.example/new/2.jpg", A)
    execution = lab.start(request_id)

    pages = []
    while payloads := lab.claim(request_id, execution):
        pages.append([payload["url"] for payload in payloads])
        for payload in payloads:
            lab.report(payload, **FOUND)

    assert pages == [["https://a.example/new/1.jpg"], ["https://a.example/new/2.jpg", A]]
