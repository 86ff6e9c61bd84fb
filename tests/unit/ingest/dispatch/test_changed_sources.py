"""An origin that serves other bytes to another attempt: the first success stands."""

from __future__ import annotations

import pytest

from support.ingest_service import Lab

A, B = "https://a.example/1.jpg", "https://a.example/2.jpg"


@pytest.mark.fault("C3", "D18")
@pytest.mark.threat("T12")
def test_a_second_success_with_another_object_changes_nothing(lab: Lab) -> None:
    """Both attempts stored what they got under its own name; the sheet will link the first, and bytes count once."""
    request_id = lab.submit(f"{A} {B}")
    execution = lab.start(request_id)
    first, _ = lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE id = :id", id=first["image_id"])
    [second] = lab.claim(request_id, execution)
    where = "SELECT output_url, bytes_in FROM images WHERE id = :id"

    lab.report(second, output_url="https://storage.example/new.jpg", bytes_in=2000)
    [before] = lab.rows(where, id=first["image_id"])
    late = lab.report(first, output_url="https://storage.example/old.jpg", bytes_in=3000)

    assert (second["image_id"], second["attempt"]) == (first["image_id"], 2)
    assert late.json == {
        "applied": False,
        "image_status": "SUCCEEDED",
        "batch_status": "PROCESSING",
        "host_closed_s": 0.0,
    }
    assert lab.rows(where, id=first["image_id"]) == [before]
    assert (before["output_url"], before["bytes_in"]) == ("https://storage.example/new.jpg", 2000)
    assert lab.batch_row(request_id)["bytes_in"] == 2000
