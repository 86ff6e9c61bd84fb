"""report.html: a batch on one page for people, without scripts and without anything that is loaded from elsewhere.

Numbers, hosts, problems, and the first rows with failures. Rows are counted as they come and not kept, so that the page
of a large batch is as small as that of a small one, and takes no more memory; the whole is in output.csv and
results.jsonl. Text of the sheet is escaped, and only http and https links can be followed. The same rows make the same
bytes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BufferedIOBase
from typing import Annotated, Any

from jinja2 import Environment, StrictUndefined, Template

from chassis.limited import Limited
from reporter.reports.export_reader import ExportBatch, ExportImage, ExportRow

MAX_PAGE_ROWS: Annotated[
    int,
    Limited("rows", "the first ones, and how many more there are", "Rows with failures of `report.html`"),
] = 500
MAX_PAGE_GROUPS: Annotated[
    int, Limited("entries", "those with most images", "Hosts, and problems, that `report.html` lists; all count")
] = 50

MAX_COUNTED_HOSTS: Annotated[
    int,
    Limited("hosts", "later ones are counted as one", "Hosts that `report.html` counts each for itself"),
] = 20_000
"""For memory: a sheet may have a host for each of its images."""

_OTHERS = "other hosts"
_SHOWN_CHARS = 300


@dataclass(slots=True)
class _Sizes:
    """Images that succeeded with their bytes, and images that failed."""

    succeeded: int = 0
    failed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    def add(self, image: ExportImage) -> None:
        if image.failed:
            self.failed += 1
            return
        self.succeeded += 1
        self.bytes_in += _size(image.facts.get("bytes_in"))
        self.bytes_out += _size(image.facts.get("bytes_out"))

    @property
    def images(self) -> int:
        return self.succeeded + self.failed

    @property
    def saved_bytes(self) -> int:
        return self.bytes_in - self.bytes_out

    @property
    def saved_percent(self) -> str:
        return f"{self.saved_bytes * 100 / self.bytes_in:.1f} %" if self.bytes_in else ""


class ReportPage:
    """Takes the rows of a batch, then is saved once."""

    def __init__(self, batch: ExportBatch) -> None:
        self._batch = batch
        self._sizes = _Sizes()
        self._hosts: dict[str, _Sizes] = {}
        self._problems: Counter[tuple[str, str]] = Counter()
        self._rows: list[dict[str, Any]] = []
        self._row_count = self._failed_rows = self._skipped_rows = 0

    def write(self, row: ExportRow) -> None:
        """Count one row."""
        self._row_count += 1
        self._skipped_rows += bool(row.problems)
        for image in row.images:
            host = _host(image.input_url)
            if host not in self._hosts and len(self._hosts) >= MAX_COUNTED_HOSTS:
                host = _OTHERS
            self._sizes.add(image)
            self._hosts.setdefault(host, _Sizes()).add(image)
            if image.failed:
                self._problems[image.code or image.status, host] += 1
        failed = [image for image in row.images if image.failed]
        if not failed and not row.problems:
            return
        self._failed_rows += 1
        if len(self._rows) < MAX_PAGE_ROWS:
            faults = [_fault(image.input_url, image.code or image.status, image.detail or "") for image in failed]
            faults += [_fault("", problem.code, problem.message) for problem in row.problems]
            self._rows.append(
                {"number": row.row_number, "serial": _cut(row.serial), "name": _cut(row.product_name), "faults": faults}
            )

    def save(self, out: BufferedIOBase) -> None:
        """Write the whole page; may be called once."""
        hosts = sorted(self._hosts.items(), key=lambda found: (-found[1].images, found[0]))
        problems = sorted(self._problems.items(), key=lambda found: (-found[1], found[0]))
        html = _template().render(
            batch=self._batch,
            sizes=self._sizes,
            row_count=self._row_count,
            skipped_rows=self._skipped_rows,
            failed_rows=self._failed_rows,
            rows=self._rows,
            hosts=hosts[:MAX_PAGE_GROUPS],
            host_count=len(hosts),
            problems=problems[:MAX_PAGE_GROUPS],
            problem_count=len(problems),
        )
        out.write(html.encode("utf-8", "replace"))


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["bytes"] = _bytes
    return environment.from_string(files("reporter.reports").joinpath("page.html").read_text(encoding="utf-8"))


def _fault(url: str, code: str, detail: str) -> dict[str, str]:
    link = url if url.startswith(("http://", "https://")) else ""
    return {"url": _cut(url), "link": link, "code": code, "detail": _cut(detail)}


def _host(url: str) -> str:
    """Return the host of a link for the table; what a link without one is counted under is the empty text."""
    return url.partition("://")[2].split("/", 1)[0].split("?", 1)[0].rpartition("@")[2][:_SHOWN_CHARS].lower()


def _size(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…"


def _bytes(value: int) -> str:
    """Return e.g. `1.4 MB`, in powers of 1000."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
