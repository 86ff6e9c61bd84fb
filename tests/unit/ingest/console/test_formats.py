"""Numbers as people read them."""

from __future__ import annotations

import pytest

from ingest.console.formats import byte_text, duration, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_240_000_000, "1.24 GB"),
        (-5_000_000, "−5.00 MB"),
    ],
)
def test_bytes_have_three_digits_and_a_unit(value: int, text: str) -> None:
    assert byte_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 %"),
        (0.04, "0.0 %"),
        (9.94, "9.9 %"),
        (62.4, "62 %"),
        (99.97, "99.9 %"),
        (100, "100 %"),
        (-12.3, "−12.3 %"),
    ],
)
def test_a_part_is_never_said_to_be_all(value: float, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (7_440, "2 h 4 min"), (90_000, "1 d 1 h")],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
