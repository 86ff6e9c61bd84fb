"""Processor time by the part that took it: wall time on a busy machine says little."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

import psutil

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
