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
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from localcloud.stack.blocking import Stack
from localcloud.stack.config import StackConfig, load_stack_config
from localcloud.stack.free_ports import free_ports
from samples.catalogue import Catalogue, make_catalogue
from samples.origin import Origin
from samples.receiver import Received, Receiver

ROOT = Path(__file__).resolve().parent.parent
STACK_FILE = ROOT / "infra/local/stack.yaml"
PATIENCE_S = 240.0
"""After this long without an end the demo gives up; it takes well under a minute on two cores."""

FINAL = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED"})


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back: the final status body, every image, the sheet, the webhook and the seconds it took."""

    status: dict[str, Any]
    images: list[dict[str, Any]]
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
    ingest, reporter = stack.url("ingest"), stack.url("reporter")
    started = time.monotonic()
    answer = requests.post(
        f"{ingest}/upload",
        files={"file": ("catalogue.csv", catalogue.sheet, "text/csv")},
        data={"webhook_url": receiver.url},
        timeout=30,
    )
    if answer.status_code != 202:
        raise DemoError(f"upload refused: {answer.text}")
    request_id = answer.json()["request_id"]
    console.print(f"uploaded: request_id {request_id}, {catalogue.row_count} rows, {catalogue.image_count} images")
    status = _follow(console, ingest, request_id, catalogue.image_count, deadline=started + PATIENCE_S)
    elapsed = time.monotonic() - started
    event = receiver.wait_for(request_id, within_s=30)
    if event is None:
        raise DemoError("the webhook did not arrive within 30 s")
    link = requests.get(f"{reporter}/download_csv", params={"request_id": request_id}, timeout=30).json()[
        "download_url"
    ]
    download = requests.get(link, timeout=30)
    download.raise_for_status()
    sheet = list(csv.reader(io.StringIO(download.content.decode("utf-8-sig"), newline="")))
    return Outcome(status, _images(ingest, request_id), sheet, event, elapsed)


def _follow(console: Console, ingest: str, request_id: str, total: int, *, deadline: float) -> dict[str, Any]:
    """Show a bar until the batch is final; return its last status."""
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
        while True:
            status: dict[str, Any] = requests.get(
                f"{ingest}/status/{request_id}", params={"page_size": 1}, timeout=30
            ).json()
            counts = status["counts"]
            progress.update(task, completed=counts["succeeded"] + counts["failed"], failed=counts["failed"])
            if status["status"] in FINAL:
                return status
            if time.monotonic() > deadline:
                raise DemoError(f"not finished after {PATIENCE_S:.0f} s: {status['status']}, {counts}")
            time.sleep(0.3)


def _images(ingest: str, request_id: str) -> list[dict[str, Any]]:
    """Return every image of the batch with its row's number, page by page."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        page = requests.get(
            f"{ingest}/status/{request_id}", params={"page_size": "1000", "page_token": token}, timeout=30
        ).json()
        for product in page["products"]:
            found += product["images"]
        token = page.get("next_page_token") or ""
        if not token:
            return found


def check(catalogue: Catalogue, outcome: Outcome) -> list[str]:
    """Return everything that is not as it must be; empty means that all is well."""
    faults = []
    counts = outcome.status["counts"]
    if counts["total"] != catalogue.image_count or counts["succeeded"] + counts["failed"] != counts["total"]:
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
    done = [image for image in outcome.images if image["status"] == "SUCCEEDED"]
    failed = [image for image in outcome.images if image["status"] != "SUCCEEDED"]
    before, after = (sum(image[key] for image in done) for key in ("bytes_in", "bytes_out"))
    table = Table(title="Result", show_header=False)
    table.add_row("images", str(len(outcome.images)))
    table.add_row("succeeded", str(len(done)))
    table.add_row("failed", str(len(failed)))
    for image in failed:
        table.add_row("", f"{image['code']} ({image['detail']}): {image['input_url']}")
    table.add_row("bytes before", f"{before:,}")
    table.add_row("bytes after", f"{after:,}")
    table.add_row("saved", f"{100 * (1 - after / before):.1f} %" if before else "-")
    table.add_row("seconds", f"{outcome.elapsed_s:.1f}")
    table.add_row("webhook", f"{outcome.event.event['type']}, signature verified: {outcome.event.verified}")
    table.add_row("sheet", os.path.relpath(sheet_path))
    console.print(table)


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    began = time.monotonic()
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DemoError as error:
        sys.exit(f"demo: {error}")
