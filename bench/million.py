"""`make bench-million`: one sheet of 10 thousand, 100 thousand and a million rows, from its import to its report.

The real code and a real PostgreSQL, without pictures: in place of the compressor a statement ends the images of each
claimed page. Each phase runs in a process of its own, whose highest memory is what the phase took. Then the blocks that
statements read are counted. The sheet lies in a file, which is read by ranges as an object is.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import SYSTEM
from chassis.clock import SystemClock
from chassis.db.engine import new_engine, transact
from ingest.batches.export import export_batch
from ingest.batches.import_chunks import ChunkedImport
from ingest.batches.import_sheet import import_sheet
from ingest.batches.status import list_batches, read_products
from ingest.clients.sheet_storage import StoredSheet
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.migrate import upgrade
from ingest.options import ImageOptions
from ingest.settings import IngestSettings
from ingest.sheets.body import PIECE_BYTES, SheetBody
from ingest.state.batch import BatchStatus, load_batch
from ingest.state.batch_status import count_ended
from ingest.state.images import Outcome
from ingest.supervision.finish import finish_batch
from ingest.supervision.ownership import start_batch
from localcloud.stack.postgres import Postgres
from reporter.reports.export_reader import read_export
from reporter.reports.publish import _write_files
from support.statement_costs import statement_costs

SIZES = (10_000, 100_000, 1_000_000)
HOSTS = 20
REPEATED = 10
"""Every tenth row has the link of an earlier one."""

URI = "gs://bench/sheet.csv"
EXECUTION = "projects/demo/locations/us-central1/workflows/batch/executions/bench"
RESULTS = Path(__file__).resolve().parent / "results" / "million.json"

_STUB = text(
    """
    WITH ended AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || id || '.jpg',
                          detail = '', bytes_in = 500000, bytes_out = 200000,
                          width = 1500, height = 1500, format = 'jpeg',
                          sha256 = repeat('ab', 32), duration_ms = 60, lease_until = NULL, finished_at = now()
        WHERE id = ANY(:ids) RETURNING id)
    , copied AS (
        UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || ended.id || '.jpg',
                          finished_at = now()
        FROM ended WHERE images.same_as = ended.id RETURNING images.id)
    SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM copied)
    """
)


CLAIMED = 100_000
"""Images that are claimed of a larger sheet: each page costs the same, and so many say how much."""

_STUB_UNCLAIMED = text(
    """
    UPDATE images SET status = 'SUCCEEDED', code = 'OK', output_url = 'https://s.example/' || id || '.jpg',
                      detail = '', bytes_in = 500000, bytes_out = 200000, width = 1500, height = 1500,
                      format = 'jpeg', sha256 = repeat('ab', 32), duration_ms = 60, lease_until = NULL,
                      finished_at = now()
    WHERE batch = :batch AND row_number > :first AND row_number <= :last AND status IN ('PENDING', 'DISPATCHED')
    """
)


class FileSheets:
    """Sheets that lie in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, uri: str, *, max_bytes: int, limit: str) -> StoredSheet:  # noqa: ARG002
        """Return the file."""
        return StoredSheet(uri, self._path.stat().st_size, 1)

    def read(self, sheet: StoredSheet) -> bytes:  # noqa: ARG002
        """Return the whole file."""
        return self._path.read_bytes()

    def body(self, sheet: StoredSheet) -> SheetBody:
        """Return the file, to be read piece by piece."""
        return _FileBody(self._path, sheet.size_bytes)

    def begin_upload(self, uri: str, *, size_bytes: int | None) -> str:
        """Refuse: nothing is uploaded here."""
        raise NotImplementedError


class _FileBody:
    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self.size_bytes = size_bytes

    @property
    def head(self) -> bytes:
        with self._path.open("rb") as stream:
            return stream.read(PIECE_BYTES)

    def open(self, start: int) -> BinaryIO:
        stream = self._path.open("rb", buffering=8 * 1024 * 1024)
        stream.seek(start)
        return stream


def settings_of(url: str) -> IngestSettings:
    """Return settings with which every sheet is imported in chunks, and no host is spared."""
    queue = "projects/demo/locations/us-central1/queues/"
    accounts = ("workflow", "tasks", "compressor_tasks", "scheduler", "compressor", "reporter")
    return IngestSettings.from_environ(
        {
            "GOOGLE_CLOUD_PROJECT": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "AUTH_CERTS_URL": "http://certs.test",
            "DATABASE_URL": url,
            **{f"{name}_URL": f"http://{name.lower()}.test" for name in ("INGEST", "INGEST_INTERNAL", "COMPRESSOR")},
            **{f"{name}_URL": f"http://{name.lower()}.test" for name in ("REPORTER", "REPORTER_INTERNAL")},
            "WORKFLOW_ID": "batch",
            "BATCHES_QUEUE": queue + "batches",
            "IMAGES_QUEUE": queue + "images",
            **{f"{name.upper()}_SERVICE_ACCOUNT": f"{name}@demo.example" for name in accounts},
            "INGEST_HOST_FIRST_RATE": "10000",
            "INGEST_HOST_MAX_RATE": "10000",
            "INGEST_HOST_MAX_CONCURRENCY": "10000",
            "INGEST_MAX_SHEET_BYTES": "1000",
        }
    )


class _Alive:
    """Executions that live."""

    def create(self, request_id: UUID) -> str:  # noqa: ARG002
        return EXECUTION

    def is_live(self, execution: str) -> bool:  # noqa: ARG002
        return True


def write_sheet(path: Path, rows: int) -> None:
    """Write a sheet with one link a row."""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write("S. No.,Product Name,Description,Input Image Urls\r\n")
        for row in range(rows):
            link = row // REPEATED if row % REPEATED == REPEATED - 1 else row
            name = f"Product number {row} of a catalogue"
            out.write(
                f'{row},{name},"What is said of it, in a few words",https://h{link % HOSTS}.example/p/{link}.jpg\r\n'
            )


def import_all(url: str, path: str) -> str:
    """Import the sheet in chunks; return the id of the batch."""
    engine, settings, sheets = new_engine(url, pool_size=2), settings_of(url), FileSheets(Path(path))
    batch = import_sheet(
        engine,
        settings,
        sheets,
        execution=EXECUTION,
        csv_uri=URI,
        webhook_url=None,
        options=ImageOptions(),
        owner=None,
    )
    while batch.status is BatchStatus.IMPORTING:
        batch = ChunkedImport(engine, settings, sheets, SystemClock(), budget_s=60).go_on(
            batch.request_id, execution=None
        )
    start_batch(engine, _Alive(), batch.request_id, execution=EXECUTION, callback_url="http://callback.test")
    return str(batch.request_id)


def claim_all(url: str, request_id: str) -> int:
    """Claim images, a page at a time, and end each page; return how many pages there were.

    After `CLAIMED` images the others are ended without a claim, a few thousand rows at a time.
    """
    engine, settings, batch = new_engine(url, pool_size=2), settings_of(url), UUID(request_id)
    pages = claimed = 0
    while claimed < CLAIMED and transact(engine, partial(load_batch, request_id=batch)).pending:
        page = claim_page(engine, settings, batch, execution=EXECUTION, max_rows=100)
        transact(engine, partial(_end, batch, [UUID(image.payload["image_id"]) for image in page.images]))
        pages += 1
        claimed += len(page.images)
    first = 0
    while transact(engine, partial(load_batch, request_id=batch)).pending:
        transact(engine, partial(_end_unclaimed, batch, first))
        first += 5000
    return pages


def _end_unclaimed(batch: UUID, first: int, connection: Connection) -> None:
    values = {"batch": batch, "first": first, "last": first + 5000}
    ended = connection.execute(_STUB_UNCLAIMED, values).rowcount
    count_ended(connection, batch, succeeded=ended, bytes_in=500_000 * ended, bytes_out=200_000 * ended)


def _end(batch: UUID, ids: list[UUID], connection: Connection) -> None:
    ended = int(connection.execute(_STUB, {"ids": ids}).scalar_one())
    count_ended(connection, batch, succeeded=ended, bytes_in=500_000 * ended, bytes_out=200_000 * ended)


def export_all(url: str, request_id: str) -> int:
    """Read the export to its end, as ingest sends it; return its bytes."""
    return sum(len(line) for line in export_batch(new_engine(url, pool_size=2), UUID(request_id)))


def report_all(export: str) -> int:
    """Write the files of a report from an export in a file, as the reporter does; return their bytes."""
    with Path(export).open("rb") as lines, ExitStack() as spools:
        written = _write_files(*read_export(iter(lines)), spools)
        return sum(content.seek(0, io.SEEK_END) for content in written.files.values())


def finish(url: str, request_id: str) -> str:
    """End the batch."""
    batch = finish_batch(
        new_engine(url, pool_size=2), settings_of(url), UUID(request_id), execution=EXECUTION, report_uri="gs://x/y"
    )
    return batch.status.value


def apart(work: Callable[..., Any], *arguments: Any) -> tuple[Any, dict[str, float]]:
    """Run a phase in a process of its own; return its result, seconds, processor seconds and highest memory in MB."""
    spawning = get_context("spawn")
    here, there = spawning.Pipe()
    process = spawning.Process(target=_measured, args=(there, work, arguments))
    process.start()
    there.close()
    result, cost = here.recv()
    process.join()
    return result, cost


def _measured(pipe: Pipe, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    began, processor = time.perf_counter(), time.process_time()
    result = work(*arguments)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - processor, "peak_mb": peak_kb / 1024}
    pipe.send((result, {name: round(value, 1) for name, value in cost.items()}))


def blocks(engine: Engine, settings: IngestSettings, batch: UUID) -> dict[str, int]:
    """Return how many blocks the statements of each use case read or write, on a batch that is at work."""
    found: dict[str, int] = {}

    def count(what: str, work: Callable[[], Any]) -> Any:
        with statement_costs(engine) as costs:
            result = work()
        found[what] = sum(cost.buffers for cost in costs)
        return result

    count("status", lambda: read_products(engine, settings, batch, caller=SYSTEM, page_size=100, token=""))
    count("list", lambda: list_batches(engine, caller=SYSTEM, status=None, page_size=100, token=""))
    page = count("claim", lambda: claim_page(engine, settings, batch, execution=EXECUTION, max_rows=100))
    image = page.images[0]
    outcome = Outcome(batch, image.payload["attempt"], True, False, "OK", "", output_url="https://s.example/x.jpg")
    count("outcome", lambda: record_outcome(engine, settings, UUID(image.payload["image_id"]), outcome))
    rest = [UUID(other.payload["image_id"]) for other in page.images[1:]]
    transact(engine, partial(_end, batch, rest))
    return found


def measure(server: Postgres, folder: Path, rows: int) -> dict[str, Any]:
    """Return what a sheet of so many rows takes, phase by phase."""
    name = f"bench_{uuid.uuid4().hex}"
    server.create_database(name)
    url = server.url(name)
    upgrade(url)
    sheet, export = folder / "sheet.csv", folder / "export.ndjson"
    write_sheet(sheet, rows)
    engine, settings = new_engine(url, pool_size=2), settings_of(url)
    phases: dict[str, dict[str, float]] = {}
    request_id, phases["import"] = apart(import_all, url, str(sheet))
    batch = UUID(request_id)
    read = blocks(engine, settings, batch)
    pages, phases["claim and end"] = apart(claim_all, url, request_id)
    _, phases["export"] = apart(export_all, url, request_id)
    with export.open("wb") as out:
        out.writelines(_lines(engine, batch))
    report_bytes, phases["report"] = apart(report_all, str(export))
    with statement_costs(engine) as costs:
        finish_batch(engine, settings, batch, execution=EXECUTION, report_uri="gs://x/y")
    read["finish"] = sum(cost.buffers for cost in costs)
    final = transact(engine, partial(load_batch, request_id=batch))
    assert (final.status, final.succeeded, final.row_count) == (BatchStatus.COMPLETED, rows, rows), final
    engine.dispose()
    sizes = {"sheet_mb": sheet.stat().st_size / 1e6, "report_mb": report_bytes / 1e6, "pages": pages}
    return {"rows": rows, **{key: round(value, 1) for key, value in sizes.items()}, "phases": phases, "blocks": read}


def _lines(engine: Engine, batch: UUID) -> Iterator[bytes]:
    yield from export_batch(engine, batch)


def told(results: list[dict[str, Any]]) -> str:
    """Return the results side by side, as a table in Markdown."""
    titles = [f"{result['rows']:,} rows" for result in results]
    lines = ["| | " + " | ".join(titles) + " |", "| --- |" + " ---: |" * len(titles)]
    keys = ("sheet_mb", "report_mb", "pages")
    lines.extend(f"| {key} | " + " | ".join(f"{result[key]:,}" for result in results) + " |" for key in keys)
    for phase in results[0]["phases"]:
        for value, unit in (("s", "s"), ("cpu_s", "CPU s"), ("peak_mb", "MB at most")):
            cells = (f"{result['phases'][phase][value]:,}" for result in results)
            lines.append(f"| {phase}, {unit} | " + " | ".join(cells) + " |")
    lines.extend(
        f"| blocks: {what} | " + " | ".join(f"{result['blocks'][what]:,}" for result in results) + " |"
        for what in results[0]["blocks"]
    )
    return "\n".join(lines)


def main() -> None:
    """Measure every size and print the table; the numbers go to `bench/results/million.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    sizes: list[int] = parser.parse_args().sizes
    folder = Path(tempfile.mkdtemp(prefix="million-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Postgres(folder / "postgres", port, fsync=False)
    server.start()
    results: list[dict[str, Any]] = []
    try:
        for rows in sizes:
            results.append(measure(server, folder, rows))
            print(json.dumps(results[-1]), flush=True)
    finally:
        server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(told(results))


if __name__ == "__main__":
    main()
