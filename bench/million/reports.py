"""The report of the bench: the export of ingest, streamed by the reporter's own code to a storage emulator."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from chassis.db.engine import new_engine
from ingest.batches.export import export_batch
from localcloud.stack.storage import Storage
from reporter.clients.bucket import ReportObjects
from reporter.reports.export_reader import read_export
from reporter.reports.publish import write_files

BUCKET = "bench-reports"


def export_all(url: str, request_id: str, export: str) -> dict[str, Any]:
    """Write the export to a file, line by line as ingest sends it; return its megabytes."""
    with Path(export).open("wb") as out:
        size = sum(out.write(line) for line in export_batch(new_engine(url, pool_size=2), UUID(request_id)))
    return {"export_mb": round(size / 1e6, 1)}


def report_all(export: str, folder: str) -> dict[str, Any]:
    """Stream the files of a report from an export to storage; return their megabytes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Storage(Path(folder), port)
    server.start()
    try:
        server.create_buckets([BUCKET], project="demo")
        client = gcs.Client(
            project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.base_url}
        )
        with Path(export).open("rb") as lines, ExitStack() as unfinished:
            written = write_files(ReportObjects(client.bucket(BUCKET)), *read_export(iter(lines)), unfinished)
            for file in written.files.values():
                file.finish()
        size = sum(blob.size for blob in client.list_blobs(BUCKET))
    finally:
        server.stop()
    return {"report_mb": round(size / 1e6, 1)}
