"""What people see: results on standard output, progress and errors on standard error, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pressroom.answers import Estimate, Problem, Summary


def out() -> Console:
    """Return the console of results; made anew, because tests exchange the streams."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def err() -> Console:
    """Return the console of progress and errors."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Tell people something that is no result."""
    err().print(message, markup=False)


def print_json(value: Any) -> None:
    """Write a value, or dataclasses, as JSON."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2) + "\n")


def print_line(text: str) -> None:
    """Write a line of a result as it is."""
    out().print(text, markup=False)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table; off a terminal its cells are parted by tabs."""
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join(row) + "\n")
        return
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    out().print(table)


def problem_line(sheet: str, problem: Problem) -> str:
    """Return e.g. `sheet.csv:3:Input Image Urls: URL_INVALID: ...`, as compilers do; what is missing is left out."""
    place = ":".join(str(part) for part in (sheet, problem.row, problem.column) if part is not None)
    return f"{place}: {problem.code}: {problem.message}"


def size(value: int) -> str:
    """Return e.g. `1.4 MB`, in powers of 1000."""
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def expected(estimate: Estimate) -> str:
    """Return e.g. `about 2.0 MB to fetch and 3 s (assumed)`."""
    guess = "learned" if estimate.learned else "assumed"
    return f"about {size(estimate.bytes_in)} to fetch and {estimate.seconds} s ({guess})"


def saved(summary: Summary) -> str:
    """Return e.g. `saved 38.0 MB (64.4 %)`."""
    percent = "" if summary.savings.saved_percent is None else f" ({summary.savings.saved_percent} %)"
    return f"saved {size(summary.savings.saved_bytes)}{percent}"


def told(summary: Summary) -> str:
    """Return a batch in one line."""
    counts = summary.counts
    return (
        f"{summary.request_id} {summary.status}: {counts.succeeded} of {counts.total} images,"
        f" {counts.failed} failed, {saved(summary)}"
    )


class Shown(Protocol):
    """Shows how a batch gets on."""

    def __call__(self, summary: Summary) -> None:
        """Show a batch."""
        ...


@contextmanager
def progress(*, silent: bool = False) -> Iterator[Shown]:
    """Give what shows the progress of a batch: a bar on a terminal, else a line every 10 %."""
    if silent:
        yield lambda _summary: None
        return
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("compressing"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("[red]{task.fields[failed]}[/]"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("[green]{task.fields[saved]}[/]"),
    )
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("images", total=1, failed="", rate="", saved="")

        def show(summary: Summary) -> None:
            counts = summary.counts
            bar.update(
                task,
                total=max(1, counts.total),
                completed=counts.ended,
                failed=f"{counts.failed} failed" if counts.failed else "",
                rate=f"{summary.images_per_s:.0f}/s" if summary.images_per_s else "",
                saved=saved(summary),
            )

        yield show


class _Lines:
    """Shows a line whenever another tenth of the batch is done."""

    def __init__(self) -> None:
        self._tenth = -1

    def __call__(self, summary: Summary) -> None:
        tenth = int(summary.progress_percent // 10)
        if tenth > self._tenth:
            self._tenth = tenth
            left = "" if summary.eta_seconds is None else f", {summary.eta_seconds} s left"
            done = f"{summary.counts.ended} of {summary.counts.total}"
            say(f"{summary.progress_percent:.0f} %: {done}{left}, {saved(summary)}")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value
