"""`python -m bench.second_run`: how much faster and cheaper the second run of unchanged photos is than the first.

The whole stack; `make bench` measures the same with more photos.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise

from bench.origin import OriginProcess, photo_origin
from bench.processor_time import processor_times, spent_per_image
from bench.stack import fresh_stack, stack_rate
from localcloud.stack.blocking import Stack

WARM_UP_IMAGES = 40
"""Compressed once before anything is measured: processes start, and pages of memory are mapped for the first time."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Images a second and milliseconds of processor an image, by part, of both runs; bytes sent for the second."""

    first_per_s: float
    again_per_s: float
    first_ms: dict[str, float]
    again_ms: dict[str, float]
    bytes_again: int

    @property
    def ratio(self) -> float:
        """Return how many times as fast the second run was."""
        return self.again_per_s / self.first_per_s

    def told(self) -> str:
        """Return processor times of both runs, by part."""
        first, again = (
            ", ".join(f"{part} {ms:.1f}" for part, ms in spent.items()) for spent in (self.first_ms, self.again_ms)
        )
        cheaper = self.first_ms["all"] / self.again_ms["all"]
        return (
            f"  ms of processor an image, first run: {first}\n"
            f"  second run: {again}\n"
            f"  {cheaper:.1f} times less; {self.bytes_again} bytes of pictures sent"
        )


def both_runs(stack: Stack, origin: OriginProcess, images: int) -> Runs:
    """Warm a stack up with an origin's last pictures, then compress its first `images` ones twice."""
    stack_rate(stack, origin.urls()[images:])
    times, rates, sent = [processor_times()], [], 0
    for reused in (0, images):
        sent = origin.picture_bytes()
        rates.append(stack_rate(stack, origin.urls()[:images], reused=reused))
        times.append(processor_times())
    spent = [spent_per_image(before, after, images) for before, after in pairwise(times)]
    return Runs(rates[0], rates[1], spent[0], spent[1], origin.picture_bytes() - sent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    images = parser.parse_args().images
    with photo_origin(images + WARM_UP_IMAGES, delay_s=0.0) as origin, fresh_stack() as stack:
        runs = both_runs(stack, origin, images)
    print(f"second run {runs.again_per_s:.1f}/s, first {runs.first_per_s:.1f}/s, ratio {runs.ratio:.1f}")
    print(runs.told())


if __name__ == "__main__":
    main()
