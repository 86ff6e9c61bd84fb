"""`make soak MINUTES=10`: load and disturbances, then quiet, then the invariants. Exit status 1 if one broke."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from samples.demo import ROOT, STACK_FILE, without_samples
from samples.origin import Origin
from samples.receiver import Receiver

from bench.soak.disturbances import Disturber
from bench.soak.invariants import CHECKS, Evidence, rows_of, shown
from bench.soak.shops import Pictures, Shops, Tally
from bench.soak.vitals import WATCHED, Vitals
from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports

QUIET_WITHIN_S = 600.0
_SHOWN = (("MB", "rss_mb"), ("files", "files"), ("threads", "threads"), ("connections", "connections"))
_IMPATIENT = {
    # Only time limits differ from the defaults: what was lost is noticed in seconds, not in minutes.
    "INGEST_LEASE_S": "30",
    "INGEST_HEARTBEAT_TIMEOUT_S": "15",
    "INGEST_START_GRACE_S": "5",
    "INGEST_NOTIFY_GRACE_S": "10",
}


def main() -> int:
    """Run the soak and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--images-per-second", type=float, default=12.0, help="offered by the shops")
    parser.add_argument("--disturb-every", type=float, default=25.0, help="mean seconds between two disturbances")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    asked = parser.parse_args()
    console = Console()
    console.print(f"soak: {asked.minutes:g} minutes, seed {asked.seed}")
    state = ROOT / ".local" / "soak"
    shutil.rmtree(state, ignore_errors=True)
    config = replace(without_samples(load_stack_config(STACK_FILE)), fsync=False)
    stack = Stack(config, state, free_ports(config), environment={**os.environ, **_IMPATIENT})
    with ExitStack() as ending:
        ending.enter_context(stack)
        origin = ending.enter_context(Origin(Pictures(), delay_s=0.1))
        receiver = ending.enter_context(Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]))
        shops = Shops(
            stack.url("ingest"), origin.base_url, receiver.url, images_per_s=asked.images_per_second, seed=asked.seed
        )
        dice = random.Random(asked.seed + 1)
        disturber = Disturber(stack, every_s=asked.disturb_every, dice=dice, told=console.print)
        vitals = Vitals(stack)
        for part in (vitals, shops, disturber):
            part.start()
        _wait(console, asked.minutes * 60, shops.tally)
        disturber.stop()
        shops.stop()
        quiet_s = _quiet(console, stack, shops.tally)
        vitals.stop()
        evidence = Evidence(stack, tuple(shops.tally.uploads), receiver)
        results = {truth: check(evidence) for truth, check in CHECKS.items()}
        _report(console, shops.tally, evidence, vitals, Counter(disturber.done), quiet_s)
    for truth, faults in results.items():
        console.print(f"[red]broken:[/] {truth}\n{shown(faults)}" if faults else f"[green]holds:[/] {truth}")
    return 1 if any(results.values()) or quiet_s is None else 0


def _wait(console: Console, seconds: float, tally: Tally) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("soaking", total=seconds)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            progress.update(task, completed=passed, description=f"{tally.images:,} images accepted")
            time.sleep(1)


def _quiet(console: Console, stack: Stack, tally: Tally) -> float | None:
    """Wait until every batch has ended and every webhook is delivered; None when that takes too long."""
    open_batches = "SELECT count(*) FROM batches WHERE finished_at IS NULL"
    untold = "SELECT count(*) FROM deliveries WHERE end_time IS NULL"
    told = "SELECT count(DISTINCT request_id) FROM deliveries"
    began = time.monotonic()
    with console.status("waiting for the last batch ..."):
        while time.monotonic() - began < QUIET_WITHIN_S:
            waiting = rows_of(stack.database_url("pressroom_ingest"), open_batches)[0][0]
            reporter = stack.database_url("pressroom_reporter")
            is_told = rows_of(reporter, untold)[0][0] == 0 and rows_of(reporter, told)[0][0] == len(tally.uploads)
            if waiting == 0 and is_told:
                return time.monotonic() - began
            time.sleep(1)
    console.print("[red]not quiet:[/] batches or webhooks are still open")
    return None


def _report(
    console: Console, tally: Tally, evidence: Evidence, vitals: Vitals, done: Counter[str], quiet_s: float | None
) -> None:
    table = Table(title="Soak", show_header=False)
    table.add_row("uploads, images", f"{len(tally.uploads):,}, {tally.images:,}")
    statuses = Counter(str(row[1]) for row in evidence.images)
    table.add_row("images by status", ", ".join(f"{name} {count:,}" for name, count in statuses.items()))
    attempts = [int(str(row[2])) for row in evidence.images if row[2]]
    table.add_row("attempts of an image", f"mean {statistics.fmean(attempts):.2f}, most {max(attempts)}")
    table.add_row("disturbances", "\n".join(f"{count} x {name}" for name, count in sorted(done.items())))
    table.add_row("answers", "\n".join(f"{name}: {count:,}" for name, count in sorted(tally.answers.items())))
    if len(tally.status_s) > 1:
        p50, p99 = (statistics.quantiles(tally.status_s, n=100)[at] for at in (49, 98))
        table.add_row("GET /status", f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")
    table.add_row("quiet after", "never" if quiet_s is None else f"{quiet_s:.0f} s")
    for name in WATCHED:
        readings = [reading for _, reading in vitals.readings[name]]
        third = len(readings) // 3
        if third:
            first, last = readings[third : 2 * third], readings[-third:]
            table.add_row(
                name,
                " ".join(
                    f"{what} {statistics.median(getattr(r, field) for r in first):.0f} > "
                    f"{statistics.median(getattr(r, field) for r in last):.0f}"
                    for what, field in (
                        ("MB", "rss_mb"),
                        ("fds", "files"),
                        ("threads", "threads"),
                        ("db", "connections"),
                    )
                ),
            )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
