"""Outputs that are larger than their source: the batch counts them once each, and tells what would be smaller."""

from __future__ import annotations

from typing import Any

import pytest

from support.ingest_service import Lab, sheet_of

A, B, C = (f"https://a.example/{name}.png" for name in "abc")
NONE = {"images": 0, "bytes": 0, "advice": None}


def grown_by(size: int) -> dict[str, Any]:
    """Return a success whose output has so many bytes more than its source."""
    return {"bytes_in": 1000, "bytes_out": 1000 + size, "detail": "LARGER_THAN_SOURCE"}


def told(lab: Lab, request_id: str) -> dict[str, Any]:
    """Return what the status of a batch says, which its entry in the list says too."""
    shown: dict[str, Any] = lab.status(request_id)["larger_than_source"]
    [listed] = [entry for entry in lab.get("/requests").json["requests"] if entry["request_id"] == request_id]
    assert listed["larger_than_source"] == shown
    return shown


def test_larger_outputs_are_counted_with_their_bytes(lab: Lab) -> None:
    """One grew, one stayed as large as it was, one became smaller."""
    request_id = lab.submit(f"{A} {B} {C}")
    grown, equal, smaller = lab.claim(request_id, lab.start(request_id))
    assert told(lab, request_id) == NONE

    lab.report(grown, **grown_by(1))
    lab.report(equal, **grown_by(0))
    lab.report(smaller, **grown_by(-400))

    shown = told(lab, request_id)
    assert (shown["images"], shown["bytes"]) == (1, 1)
    assert "format=auto" in shown["advice"]


def test_each_slot_with_an_equal_link_counts(lab: Lab) -> None:
    """One download answers three slots, and each links an output that grew."""
    request_id = lab.submit(f"{A} {A}", A)
    [payload] = lab.claim(request_id, lab.start(request_id))

    lab.report(payload, **grown_by(30))

    assert told(lab, request_id) | {"advice": None} == {"images": 3, "bytes": 90, "advice": None}


def test_a_report_that_comes_twice_counts_no_growth_twice(lab: Lab) -> None:
    """Neither the same one, nor another attempt's with other bytes."""
    request_id = lab.submit(f"{A} {B}")
    execution = lab.start(request_id)
    first, _ = lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE id = :id", id=first["image_id"])
    [second] = lab.claim(request_id, execution)

    applied = [
        lab.report(sent, **grown_by(size)).json["applied"] for sent, size in [(second, 30), (second, 30), (first, 50)]
    ]

    assert applied == [True, False, False]
    assert told(lab, request_id) | {"advice": None} == {"images": 1, "bytes": 30, "advice": None}


def test_what_failed_has_not_grown(lab: Lab) -> None:
    """Whatever sizes its report names."""
    request_id = lab.submit(A)
    [payload] = lab.claim(request_id, lab.start(request_id))

    lab.report(payload, outcome="FAILED", code="STORE_ERROR", bytes_in=1000, bytes_out=2000)

    assert told(lab, request_id) == NONE


def test_a_retry_adds_what_grows_then_and_keeps_what_grew_before(lab: Lab) -> None:
    """A success is not tried again, so it is not counted again."""
    request_id = lab.submit(f"{A} {B} {B}")
    execution = lab.start(request_id)
    grown, gone = lab.claim(request_id, execution)
    lab.report(grown, **grown_by(30))
    lab.report(gone, outcome="FAILED", code="HTTP_404")
    lab.finish(request_id, execution)

    lab.post("/retry", {"request_id": request_id})
    assert told(lab, request_id)["bytes"] == 30
    [again] = lab.claim(request_id, lab.start(request_id))
    lab.report(again, **grown_by(7))

    assert told(lab, request_id) | {"advice": None} == {"images": 3, "bytes": 44, "advice": None}


@pytest.mark.parametrize(
    ("output", "named"),
    [
        ("jpeg", ["format=auto", "format=keep"]),
        ("png", ["format=auto", "format=keep"]),
        ("keep", ["format=auto"]),
        ("auto", []),
    ],
)
def test_the_advice_names_only_formats_that_are_not_asked_for_already(lab: Lab, output: str, named: list[str]) -> None:
    """Auto has nothing better."""
    request_id = str(lab.upload(sheet_of(A), format=output).json["request_id"])
    [payload] = lab.claim(request_id, lab.start(request_id))
    lab.report(payload, **grown_by(30))
    advice = told(lab, request_id)["advice"]
    assert [word for word in ("format=auto", "format=keep") if word in (advice or "")] == named
