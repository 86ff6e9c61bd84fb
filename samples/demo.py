"""`make demo`: the main job once, end to end, on embedded defaults.

Starts the whole stack on free ports, serves a generated catalogue, uploads its sheet by REST, shows the progress,
waits for the signed webhook, downloads the sheet and checks it slot by slot. Exit status 0 only if every image is
accounted for and exactly the expected ones failed.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from localcloud.stack.blocking import Stack
from localcloud.stack.config import StackConfig, load_stack_config
from localcloud.stack.free_ports import free_ports
from pressroom import Batch, Image, Pressroom, PressroomError, Summary
from samples.catalogue import Catalogue, make_catalogue
from samples.origin import Origin
from samples.receiver import Received, Receiver

ROOT = Path(__file__).resolve().parent.parent
STACK_FILE = ROOT / "infra/local/stack.yaml"
PATIENCE_S = 240.0
"""After this long without an end the demo gives up; it takes well under a minute on two cores."""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: the batch at its end, every image, the sheet, the webhook and the seconds it took."""

    summary: Summary
    images: list[Image]
    sheet: list[list[str]]
    event: Received
    elapsed_s: float


def main() -> int:
    """Run the demo; return the exit status."""
    console = Console(highlight=False)
    state = ROOT / ".local" / "demo"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    # The demo serves its catalogue itself, already drawn.
    config = without_samples(load_stack_config(STACK_FILE))
    ports = free_ports(config)
    console.print(
        "[bold]Pressroom demo[/]: a shop's sheet of image links becomes the same sheet with compressed images"
    )
    with _step(console, "drawing the catalogue"):
        origin = Origin({})
        catalogue = make_catalogue(origin.base_url)
        origin.files = catalogue.files
    stack = Stack(config, state, ports)
    with _step(console, "starting PostgreSQL, Storage, Workflows, Cloud Tasks and the three services"):
        stack.start()
    try:
        with origin, Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]) as receiver:
            outcome = _run(console, stack, catalogue, receiver)
            sheet_path = state / "output.csv"
            with sheet_path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(outcome.sheet)
            faults = check(catalogue, outcome)
            _report(console, outcome, sheet_path)
    finally:
        stack.stop()
    for fault in faults:
        console.print(f"[red]not as expected:[/] {fault}")
    return 1 if faults else 0


def without_samples(config: StackConfig) -> StackConfig:
    """Return the stack without its sample origin, for callers that serve images themselves."""
    return replace(config, processes=tuple(process for process in config.processes if process.name != "samples"))


def _run(console: Console, stack: Stack, catalogue: Catalogue, receiver: Receiver) -> Outcome:
    started = time.monotonic()
    with Pressroom(stack.url("ingest")) as pressroom:
        batch = pressroom.compress(catalogue.sheet, name="catalogue.csv", webhook_url=receiver.url)
        console.print(
            f"uploaded: request_id {batch.request_id}, {catalogue.row_count} rows, {catalogue.image_count} images"
        )
        summary = _follow(console, batch, catalogue.image_count, deadline=started + PATIENCE_S)
        elapsed = time.monotonic() - started
        event = receiver.wait_for(batch.request_id, within_s=30)
        if event is None:
            raise DemoError("the webhook did not arrive within 30 s")
        sheet = list(csv.reader(io.StringIO(batch.read().decode("utf-8-sig"), newline="")))
        return Outcome(summary, list(batch.images()), sheet, event, elapsed)


def _follow(console: Console, batch: Batch, total: int, *, deadline: float) -> Summary:
    """Show a bar until the batch is final; return it."""
    columns = (
        TextColumn("compressing"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("images", total=total, failed=0)

        def show(summary: Summary) -> None:
            counts = summary.counts
            progress.update(task, completed=counts.ended, failed=counts.failed)
            if time.monotonic() > deadline:
                raise DemoError(f"not finished after {PATIENCE_S:.0f} s: {summary.status}, {counts}")

        return batch.wait(on_progress=show)


def check(catalogue: Catalogue, outcome: Outcome) -> list[str]:
    """Return everything that is not as it must be; empty means that all is well."""
    faults = []
    counts = outcome.summary.counts
    if counts.total != catalogue.image_count or counts.ended != counts.total:
        faults.append(f"counts do not add up: {counts}")
    if not outcome.event.verified:
        faults.append("the webhook's signature is wrong")
    given = list(csv.reader(io.StringIO(catalogue.sheet.decode("utf-8-sig"), newline="")))
    header = outcome.sheet[0]
    if header[: len(given[0])] != given[0] or len(outcome.sheet) != len(given):
        return [*faults, "the sheet's columns or rows changed"]
    output, errors = header.index("Output Image Urls"), header.index("Image Errors")
    links = given[0].index("Input Image Urls")
    for row, (before, after) in enumerate(zip(given[1:], outcome.sheet[1:], strict=True), start=1):
        if after[: len(before)] != before:
            faults.append(f"row {row}: an input cell changed")
        slots = after[output].split(",")
        # Every sample link begins with http, so this counts them whatever separates them.
        if len(slots) != before[links].count("http://"):
            faults.append(f"row {row}: {len(slots)} output slots")
        reasons = after[errors].split(",") if after[errors] else [""] * len(slots)
        for slot, url in enumerate(slots):
            expected = catalogue.expected_failures.get((row, slot))
            if expected is None and not url:
                faults.append(f"row {row}, slot {slot}: failed unexpectedly: {reasons[slot]}")
            if expected is not None and (url or expected not in reasons[slot]):
                faults.append(f"row {row}, slot {slot}: expected {expected}, got {url or reasons[slot]}")
            if url:
                faults += _stored_faults(row, slot, url)
    return faults


def _stored_faults(row: int, slot: int, url: str) -> Iterator[str]:
    answer = requests.get(url, timeout=30)
    if answer.status_code != 200 or not answer.content.startswith(b"\xff\xd8"):
        yield f"row {row}, slot {slot}: {url} does not serve a JPEG"


def _report(console: Console, outcome: Outcome, sheet_path: Path) -> None:
    failed = [image for image in outcome.images if image.status != "SUCCEEDED"]
    savings = outcome.summary.savings
    table = Table(title="Result", show_header=False)
    table.add_row("images", str(len(outcome.images)))
    table.add_row("succeeded", str(savings.images))
    table.add_row("failed", str(len(failed)))
    for image in failed:
        table.add_row("", f"{image.code} ({image.detail}): {image.input_url}")
    table.add_row("bytes before", f"{savings.bytes_in:,}")
    table.add_row("bytes after", f"{savings.bytes_out:,}")
    table.add_row("saved", "-" if savings.saved_percent is None else f"{savings.saved_percent} %")
    table.add_row("seconds", f"{outcome.elapsed_s:.1f}")
    table.add_row("webhook", f"{outcome.event.event['type']}, signature verified: {outcome.event.verified}")
    table.add_row("sheet", os.path.relpath(sheet_path))
    console.print(table)
    console.print("The links in it end with the demo's own storage; `make up` keeps one, and has a page.")


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DemoError, PressroomError) as error:
        sys.exit(f"demo: {error}")
