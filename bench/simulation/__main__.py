"""`python -m bench.simulation`: 100 batches at once over 1, 20 and 2,000 hosts, on ingest's own claims and outcomes.

Nothing is fetched or compressed, and the time is the simulation's, so it takes only what PostgreSQL and ingest take.
Half way through, five batches of ten images come. Printed is whether any image was handed out twice or failed untried,
and how long the small batches took.
"""

from __future__ import annotations

import argparse
import logging
import time

import structlog
from sqlalchemy import Engine

from bench.pace.real import ENVIRON, new_database
from bench.simulation.world import Machines, Planned, World
from ingest.settings import IngestSettings

STARTS_PER_S = 5.0
"""Executions that the queue `batches` starts in a second."""

_SMALL = 5


def main() -> int:
    """Print a line for each number of hosts; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--images", type=int, default=1000, help="of each batch")
    parser.add_argument("--hosts", type=int, nargs="*", default=[1, 20, 2000])
    parser.add_argument("--rate", type=float, default=500.0, help="dispatches a second of the queue")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    for hosts in asked.hosts:
        with new_database() as engine:
            print(_line(engine, asked.batches, asked.images, hosts, asked.rate), flush=True)
    return 0


def _line(engine: Engine, batches: int, images: int, hosts: int, rate: float) -> str:
    names = [f"h{number}.example" for number in range(hosts)]
    machines = Machines(dispatches_per_s=rate, concurrency=512, processors=64)
    large = [Planned(images, names, number / STARTS_PER_S) for number in range(batches)]
    half = max(batches / STARTS_PER_S, batches * images / rate / 2)
    small = [Planned(10, names, half + number) for number in range(_SMALL)]
    begun = time.monotonic()
    settings = IngestSettings.from_environ(ENVIRON)
    seen = World(engine, settings, machines).run([*large, *small])
    took = sorted(seen.took_s[number] for number in range(batches, batches + _SMALL))
    return (
        f"{batches} x {images} images, {hosts} hosts: {seen.seconds:.0f} s, "
        f"handed out {sum(seen.handed_out.values())}, "
        f"{batches * images / seen.seconds:.0f}/s, handed out twice {seen.twice}, late {seen.late}, "
        f"{dict(seen.statuses)}, ten images took {took[len(took) // 2]:.1f} s (most {took[-1]:.1f}), "
        f"claims {seen.claims}, most work with tasks {seen.work_waiting_s:.0f} s; ran {time.monotonic() - begun:.0f} s"
    )


if __name__ == "__main__":
    raise SystemExit(main())
