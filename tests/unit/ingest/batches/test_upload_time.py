"""What a large upload costs before it is answered."""

from __future__ import annotations

import time

import pytest

from support.ingest_service import Lab, sheet_of

pytestmark = pytest.mark.timing

ROWS = 10_000
BOUND_S = 2.0


@pytest.mark.feature("1")
def test_ten_thousand_rows_are_answered_within_two_seconds_of_processor_time(lab: Lab) -> None:
    """Ingest's own time, from the first byte to the answer; the clock on the wall would measure the test machine.

    The better of two uploads, because processor time grows too beside others on a machine.
    """
    sheet = sheet_of(*(f"https://cdn.example/{number}.jpg" for number in range(ROWS)))
    taken = []
    for _ in range(2):
        begun = time.process_time()
        answer = lab.upload(sheet)
        taken.append(time.process_time() - begun)
        assert (answer.code, answer.json["total_images"]) == (202, ROWS)

    assert min(taken) < BOUND_S
