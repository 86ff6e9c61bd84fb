"""Processes are killed in the middle of a batch; the sheet that comes back must be that of an undisturbed run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo

from e2e.shop import FINAL, Shop, eventually, sheet_of
from localcloud.stack.blocking import Stack

IMAGES = 300
PER_ROW = 3

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def unique_jpegs(count: int) -> dict[str, SampleFile]:
    """Return small photos with distinct bytes: a few pictures, each with its number in a JPEG comment."""
    drawn = [encoded(photo(320, 240, seed=seed), "JPEG") for seed in range(10)]
    files = {}
    for number in range(count):
        body = drawn[number % len(drawn)]
        comment = f"number {number}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        files[f"/{number}.jpg"] = SampleFile("image/jpeg", body[:2] + segment + body[2:])
    return files


@pytest.fixture(name="origin", scope="module")
def _origin() -> Iterator[Origin]:
    with Origin(unique_jpegs(IMAGES), delay_s=0.05) as origin:
        yield origin


@pytest.fixture(name="sheet", scope="module")
def _sheet(origin: Origin) -> bytes:
    urls = [f"{origin.base_url}/{number}.jpg" for number in range(IMAGES)]
    return sheet_of([urls[start : start + PER_ROW] for start in range(0, IMAGES, PER_ROW)])


@pytest.fixture(name="undisturbed", scope="module")
def _undisturbed(shop: Shop, sheet: bytes) -> bytes:
    request_id = shop.upload(sheet)
    assert shop.finished(request_id)["counts"] == {"total": IMAGES, "pending": 0, "succeeded": IMAGES, "failed": 0}
    return shop.sheet(request_id)


@pytest.mark.parametrize("victim", ["compressor", "localcloud", "ingest"])
def test_batch_survives_kill_of(victim: str, stack: Stack, shop: Shop, sheet: bytes, undisturbed: bytes) -> None:
    """A process killed in mid-batch and restarted changes nothing in the sheet and stores no image under two names."""
    stored = shop.stored_objects()
    request_id = shop.upload(sheet)
    shop.until_succeeded(request_id, 30)

    stack.kill(victim)
    stack.wait_healthy(victim, 60)

    def probe() -> dict[str, object] | None:
        # What Cloud Scheduler would do each minute.
        shop.sweep()
        status = shop.status(request_id, page_size=1)
        return status if status["status"] in FINAL else None

    status = eventually(probe, within_s=150, what="the batch finishes after the crash")
    assert status["counts"] == {"total": IMAGES, "pending": 0, "succeeded": IMAGES, "failed": 0}
    assert shop.sheet(request_id) == undisturbed
    assert shop.stored_objects() == stored
