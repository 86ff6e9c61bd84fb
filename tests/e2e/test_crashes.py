"""Processes are killed in the middle of a batch; the sheet that comes back must be that of an undisturbed run."""

from __future__ import annotations

import pytest
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo

from localcloud.stack.blocking import Stack
from support.shop_client import FINAL, Shop, eventually, sheet_of

IMAGES = 300
PER_ROW = 3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def unique_jpegs(count: int, label: str) -> dict[str, SampleFile]:
    """Return small photos with distinct bytes: a few pictures, each with label and number in a JPEG comment."""
    drawn = [encoded(photo(320, 240, seed=seed), "JPEG") for seed in range(10)]
    files = {}
    for number in range(count):
        body = drawn[number % len(drawn)]
        comment = f"{label} {number}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        files[f"/{number}.jpg"] = SampleFile("image/jpeg", body[:2] + segment + body[2:])
    return files


@pytest.mark.feature("13", "19")
@pytest.mark.fault("A1")
@pytest.mark.parametrize("victim", ["compressor", "localcloud", "ingest-internal"])
def test_batch_survives_kill_of(victim: str, stack: Stack, shop: Shop) -> None:
    """A process killed in mid-batch and restarted changes nothing in the sheet and stores no image under two names.

    The disturbed run comes first, with pictures of its own, so that it really stores them; the undisturbed run of the
    same sheet must give the same bytes and add no object.
    """
    before = shop.stored_objects()
    with Origin(unique_jpegs(IMAGES, victim), delay_s=0.05) as origin:
        urls = [f"{origin.base_url}/{number}.jpg" for number in range(IMAGES)]
        sheet = sheet_of([urls[start : start + PER_ROW] for start in range(0, IMAGES, PER_ROW)])
        disturbed = shop.upload(sheet)
        shop.until_succeeded(disturbed, 30)
        assert shop.status(disturbed, page_size=1)["counts"]["pending"] > 0, "it was over before the crash"

        stack.kill(victim)
        stack.wait_healthy(victim, 60)

        def probe() -> dict[str, object] | None:
            # What Cloud Scheduler would do each minute.
            shop.sweep()
            status = shop.status(disturbed, page_size=1)
            return status if status["status"] in FINAL else None

        status = eventually(probe, within_s=150, what="the batch finishes after the crash")
        stored = shop.stored_objects()
        undisturbed = shop.upload(sheet)
        shop.finished(undisturbed)

    assert status["counts"] == {"total": IMAGES, "pending": 0, "succeeded": IMAGES, "failed": 0}
    assert len(stored - before) == IMAGES
    assert shop.sheet(disturbed) == shop.sheet(undisturbed)
    assert shop.stored_objects() == stored
