"""The fuzz targets for a few seconds: seeds, and seeds with bytes changed, cut, doubled and swapped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS, Target

NAMED = [pytest.param(target, id=name) for name, target in TARGETS.items()]


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Return a seed after up to four accidents."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "cut", "double", "insert", "join"])):
            case "flip" if data:
                data[place] ^= draw(st.integers(1, 255))
            case "cut":
                del data[place : place + draw(st.integers(1, 64))]
            case "double":
                data[place:place] = data[place : place + draw(st.integers(1, 64))]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=8))
            case "join":
                data = data[:place] + draw(st.sampled_from(seeds))[place:]
            case _:
                pass
    return bytes(data)


@pytest.mark.parametrize("target", NAMED)
def test_seeds_keep_the_truth(target: Target) -> None:
    """Every seed passes."""
    for seed in target.seeds():
        target.check(seed)


@pytest.mark.fault("E19", "G9")
@pytest.mark.threat("T1")
@pytest.mark.parametrize("target", NAMED)
def test_damaged_seeds_keep_the_truth(target: Target) -> None:
    """Whatever the accident, the parser takes the input or refuses it as documented."""

    @settings(max_examples=target.examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(data=damaged(list(target.seeds())) | st.binary(max_size=200))
    def run(data: bytes) -> None:
        target.check(data)

    run()


def test_make_fuzz_drives_every_target() -> None:
    """The Makefile names them one by one."""
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text("utf-8")

    assert f"for target in {' '.join(TARGETS)}; do" in makefile
