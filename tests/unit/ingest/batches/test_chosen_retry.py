"""A retry of some images: by code, by host, by id; the others stay as they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from support.ingest_service import Answered, Lab

A, B, C = "https://a.example/1.jpg", "https://b.example/2.jpg", "https://b.example/3.jpg"
CODES = {A: "HTTP_404", B: "HTTP_404", C: "TIMEOUT"}


@pytest.fixture
def failed(lab: Lab) -> str:
    """Give a finished batch in which A (twice in the sheet), B and C failed and one more image succeeded."""
    request_id = lab.submit(A, f"{B} {C}", A, "https://a.example/good.jpg")
    execution = lab.start(request_id)
    for payload in lab.claim(request_id, execution):
        code = CODES.get(payload["url"])
        lab.report(payload) if code is None else lab.report(payload, outcome="FAILED", code=code)
    assert lab.finish(request_id, execution).code == 200
    return request_id


def retry(lab: Lab, request_id: str, **chosen: Any) -> Answered:
    """Ask for a retry of chosen images."""
    return lab.post("/retry", {"request_id": request_id, **chosen})


def open_rows(lab: Lab, request_id: str) -> list[tuple[int, int]]:
    """Return row and slot of each image that is open."""
    found = lab.get(f"/status/{request_id}/images", status="PENDING").json["images"]
    return [(image["row"], image["slot"]) for image in found]


@pytest.mark.parametrize(
    ("chosen", "places"),
    [
        ({"codes": ["HTTP_404"]}, [(2, 0), (3, 0), (4, 0)]),
        ({"codes": ["TIMEOUT", "HTTP_404"]}, [(2, 0), (3, 0), (3, 1), (4, 0)]),
        ({"hosts": ["b.example"]}, [(3, 0), (3, 1)]),
        ({"hosts": ["b.example"], "codes": ["HTTP_404"]}, [(3, 0)]),
        ({}, [(2, 0), (3, 0), (3, 1), (4, 0)]),
    ],
)
@pytest.mark.feature("17")
def test_only_chosen_images_are_tried_again(
    lab: Lab, failed: str, chosen: dict[str, Any], places: list[tuple[int, int]]
) -> None:
    """Those that fit every list; an image and its repetition are one download."""
    answer = retry(lab, failed, **chosen)

    assert (answer.code, answer.json["retried_images"]) == (202, len(places))
    assert open_rows(lab, failed) == places
    assert lab.status(failed)["counts"] == {
        "total": 5,
        "pending": len(places),
        "succeeded": 1,
        "failed": 4 - len(places),
    }


@pytest.mark.parametrize("which", [0, 1], ids=["the first", "its repetition"])
def test_an_image_by_its_id_is_tried_again_with_its_repetitions(lab: Lab, failed: str, which: int) -> None:
    """Whichever of them is named: a repetition alone would wait for ever."""
    images = lab.get(f"/status/{failed}/images", q=A).json["images"]

    answer = retry(lab, failed, image_ids=[images[which]["id"]])

    assert answer.json["retried_images"] == 2
    assert open_rows(lab, failed) == [(2, 0), (4, 0)]
    assert [payload["url"] for payload in lab.claim(failed, lab.start(failed))] == [A]


def test_a_batch_with_some_images_tried_again_comes_to_its_end(lab: Lab, failed: str) -> None:
    """The images that were not chosen still count as failed."""
    retry(lab, failed, hosts=["a.example"])
    execution = lab.start(failed)
    [payload] = lab.claim(failed, execution)
    lab.report(payload)

    assert lab.finish(failed, execution).json["status"] == "COMPLETED_WITH_ERRORS"
    assert lab.status(failed)["counts"] == {"total": 5, "pending": 0, "succeeded": 3, "failed": 2}


@pytest.mark.parametrize(
    "chosen", [{"codes": ["HTTP_500"]}, {"hosts": ["c.example"]}, {"image_ids": [str(uuid.uuid4())]}]
)
def test_a_choice_that_fits_no_failed_image_is_refused(lab: Lab, failed: str, chosen: dict[str, Any]) -> None:
    """And the batch stays finished."""
    answer = retry(lab, failed, **chosen)

    assert (answer.code, answer.reason) == (400, "NOTHING_TO_RETRY")
    assert lab.status(failed)["status"] == "COMPLETED_WITH_ERRORS"


@pytest.mark.parametrize(
    "chosen",
    [{"codes": []}, {"hosts": ["x"] * 1001}, {"image_ids": ["nonsense"]}, {"codes": "HTTP_404"}, {"rows": [1]}],
)
def test_a_choice_that_is_none_is_refused(lab: Lab, failed: str, chosen: dict[str, Any]) -> None:
    """An empty list would be all images or none of them: nobody could tell."""
    assert retry(lab, failed, **chosen).reason == "FIELD_INVALID"
