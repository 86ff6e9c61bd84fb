"""A second run of a catalogue: every picture is asked for, and what has not changed costs next to nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo

from support.shop_client import Shop, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

IMAGES = 6


def picture(seed: int) -> SampleFile:
    return SampleFile("image/jpeg", encoded(photo(160, 120, seed=seed), "JPEG"))


@pytest.fixture(name="origin", params=[True, False], ids=["etags", "no validators"])
def _origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    first = 100 if request.param else 200
    with Origin({f"/{n}.jpg": picture(first + n) for n in range(IMAGES)}, sends_etags=request.param) as origin:
        yield origin


def run(shop: Shop, origin: Origin, **form: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the catalogue; return the status and the images of its report."""
    urls = [f"{origin.base_url}/{n}.jpg" for n in range(IMAGES)]
    request_id = shop.upload(sheet_of([urls[start : start + 2] for start in range(0, IMAGES, 2)]), **form)
    status = shop.finished(request_id)
    assert status["status"] == "COMPLETED", status
    lines = shop.sheet(request_id, "results.jsonl").decode().splitlines()
    return status, [json.loads(line) for line in lines]


@pytest.mark.feature("22")
def test_a_second_run_reuses_what_has_not_changed(shop: Shop, origin: Origin) -> None:
    """Same outputs, none stored anew, all asked for; one changed picture is made anew; `fresh` takes nobody's word."""
    first, receipts = run(shop, origin)
    sent, objects = origin.picture_bytes, shop.stored_objects()

    second, again = run(shop, origin)

    assert (first["reused"], second["reused"]) == (0, IMAGES)
    assert [line["output_url"] for line in again] == [line["output_url"] for line in receipts]
    assert [line["detail"] for line in again] == ["REUSED"] * IMAGES
    assert shop.stored_objects() == objects
    assert sum(origin.hits.values()) == 2 * IMAGES
    if origin.sends_etags:
        assert origin.picture_bytes == sent

    origin.files = {**origin.files, "/3.jpg": picture(999)}
    third, changed = run(shop, origin)

    differing = [
        old["input_url"] for old, new in zip(receipts, changed, strict=True) if old["output_url"] != new["output_url"]
    ]
    assert (third["reused"], differing) == (IMAGES - 1, [f"{origin.base_url}/3.jpg"])

    sent = origin.picture_bytes
    fresh, _ = run(shop, origin, fresh="true")

    assert fresh["reused"] == 0
    assert origin.picture_bytes - sent == sum(len(file.body) for file in origin.files.values())
