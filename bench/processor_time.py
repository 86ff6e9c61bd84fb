"""Processor time by the part that took it: wall time on a busy machine says little.

`python -m bench.processor_time` tells what a photo and a tiny picture take in the whole stack. Milliseconds depend on
the machine, so they are told as multiples of bare Pillow's for the photo too, measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Mapping

import psutil

from bench.bare import bare_ms
from bench.origin import photo_origin
from bench.stack import fresh_stack, stack_rate
from localcloud.stack.blocking import Stack

AIMS = {"photo": 1.74, "tiny": 0.41}
"""Multiples of bare Pillow's time for a photo, without tables made to measure: 38 and 9 ms where that took 21.9."""

_BARE_PHOTOS = 40
_WARM_UP_IMAGES = 40

PARTS = {
    "codec": "compressor.sandbox.child",
    "compressor": "compressor.wsgi",
    "ingest": "ingest.wsgi",
    "reporter": "reporter.wsgi",
    "storage emulator": "fake-gcs-server",
    "PostgreSQL": "postgres",
    "origin": "bench.origin",
    "localcloud": "localcloud",
}
"""What stands in the command line of each part's processes; the first that fits counts."""

THIS = "this program"
OTHERS = "others"


def processor_times() -> dict[str, float]:
    """Return the seconds that each part has used since it began: user and system, with its children that have ended."""
    spent: Counter[str] = Counter({THIS: time.process_time()})
    for process in psutil.Process().children(recursive=True):
        try:
            part = _part_of(" ".join(process.cmdline()))
            times = process.cpu_times()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        spent[part] += times.user + times.system
        # A compressor's worker has one kind of children: codecs, which are replaced now and then.
        ended = "codec" if part == "compressor" else part
        spent[ended] += times.children_user + times.children_system
    return dict(spent)


def _part_of(command: str) -> str:
    return next((part for part, mark in PARTS.items() if mark in command), OTHERS)


def spent_per_image(before: Mapping[str, float], after: Mapping[str, float], images: int) -> dict[str, float]:
    """Return milliseconds an image of each part between two readings, and their sum without the origin's."""
    spent = {part: 1000 * (after[part] - before.get(part, 0.0)) / images for part in after}
    ordered = dict(sorted(spent.items(), key=lambda item: -item[1]))
    return {"all": sum(value for part, value in ordered.items() if part != "origin"), **ordered}


def multiples(ms: float, bare: tuple[float, float]) -> str:
    """Return milliseconds as multiples of bare Pillow's for a photo."""
    return f"{ms / bare[0]:.2f} times bare Pillow, {ms / bare[1]:.2f} times the same with tables made to measure"


def _measured(stack: Stack, links: list[str], images: int) -> dict[str, float]:
    stack_rate(stack, links[images:])
    before = processor_times()
    stack_rate(stack, links[:images])
    return spent_per_image(before, processor_times(), images)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    images = parser.parse_args().images
    found: dict[str, dict[str, float]] = {}
    with photo_origin(images + _WARM_UP_IMAGES, delay_s=0.0) as origin, fresh_stack() as stack:
        # Bare Pillow before and after the photos: whatever else the machine does slows both down.
        before_ms = bare_ms(_BARE_PHOTOS)
        found["photo"] = _measured(stack, origin.urls("fast"), images)
        after_ms = bare_ms(_BARE_PHOTOS)
        found["tiny"] = _measured(stack, origin.urls("tiny"), images)
    bare = ((before_ms[0] + after_ms[0]) / 2, (before_ms[1] + after_ms[1]) / 2)
    print(f"bare Pillow, a photo: {bare[0]:.1f} ms of processor, {bare[1]:.1f} with tables made to measure")
    for name, parts in found.items():
        told = ", ".join(f"{part} {ms:.1f}" for part, ms in parts.items())
        print(f"{name}: {told}\n  {multiples(parts['all'], bare)}; the aim is {AIMS[name]} times bare Pillow")


if __name__ == "__main__":
    main()
