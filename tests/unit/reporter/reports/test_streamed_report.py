"""A report of any size: streamed to storage, visible when it is whole, begun anew after a death."""

from __future__ import annotations

import json
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from chassis.clock import SystemClock
from chassis.failpoints import arm_failpoints
from reporter.clients.object_file import PIECE_BYTES
from reporter.failpoints import Failpoint
from reporter.reports.export_reader import read_export
from reporter.reports.publish import publish_report, write_files
from reporter.settings import ReporterSettings
from reporter.wsgi import assemble
from support.reporter_service import MemoryQueue, NamedTokens, World, batch_line, export, ndjson, row

LONG = "x" * 30_000
MEMORY_BYTES = 16 * PIECE_BYTES
"""What a report of any size may take: of each of its three streams a piece that is filled and one that is sent, twice
over for what Python holds meanwhile, and some."""


def large_rows(count: int) -> list[dict[str, Any]]:
    """Return rows of 30 KB each."""
    return [row(number, cells=[str(number), LONG, "u"]) for number in range(2, count + 2)]


ROWS = PIECE_BYTES // len(LONG) + 20
"""Rows of a report that is larger than a piece."""


def names(world: World, request_id: str) -> list[str]:
    """Return the objects that a batch has."""
    return [blob.name for blob in world.bucket.list_blobs(prefix=f"reports/{request_id}/")]


@pytest.mark.fault("C11")
def test_of_a_large_export_that_breaks_off_nothing_is_visible(world: World) -> None:
    """Pieces were sent before anybody knew; no object came of them."""
    request_id = str(uuid4())
    rows = large_rows(ROWS)
    world.ingest.exports[request_id] = ndjson(batch_line(request_id, rows), *rows)

    answer = world.internal("/internal/reports", {"request_id": request_id})

    assert (answer.status_code, answer.get_json()["error"]["details"][0]["reason"]) == (503, "EXPORT_INCOMPLETE")
    assert names(world, request_id) == []


def publish_and_die(environment: dict[str, str], storage_url: str, request_id: str) -> None:
    """Publish a report in a process whose failpoints are armed."""
    settings = ReporterSettings.from_environ(environment)
    arm_failpoints("reporter", settings, Failpoint)
    client = gcs.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage_url}
    )
    dependencies = assemble(
        settings,
        clock=SystemClock(),
        queue=MemoryQueue(),
        storage_client=client,
        tokens=NamedTokens(),
        jitter=lambda: 0.5,
    )
    publish_report(dependencies, UUID(request_id))


@pytest.mark.feature("19")
@pytest.mark.fault("A1", "C11")
def test_a_death_in_the_middle_of_a_report_leaves_nothing(
    world: World, environment: dict[str, str], storage_url: str, tmp_path: Path
) -> None:
    """The process is killed when storage has a piece: there is no object; the next call writes the whole report."""
    request_id = str(uuid4())
    lines = export(request_id, large_rows(ROWS))
    world.ingest.exports[request_id] = lines
    (tmp_path / f"{Failpoint.REPORT_PIECE_STORED}.1").touch()
    armed = {"FAILPOINTS": f"{Failpoint.REPORT_PIECE_STORED}:kill", "FAILPOINTS_DIR": str(tmp_path)}
    process = get_context("spawn").Process(
        target=publish_and_die, args=({**environment, **armed}, storage_url, request_id)
    )

    process.start()
    process.join()

    assert process.exitcode == -signal.SIGKILL
    assert names(world, request_id) == []
    world.publish(lines, request_id=request_id)
    other = str(uuid4())
    world.publish(lines.replace(request_id.encode(), other.encode()), request_id=other)
    for name in names(world, request_id):
        content = world.bucket.blob(name).download_as_bytes()
        undisturbed = world.bucket.blob(name.replace(request_id, other)).download_as_bytes()
        assert content.replace(request_id.encode(), other.encode()) == undisturbed, name


def test_memory_does_not_grow_with_the_report(world: World) -> None:
    """A report of five pieces takes what one of two takes, and both less than the bound."""
    small, large = (_peak_bytes(world, count * PIECE_BYTES // len(LONG)) for count in (2, 5))

    assert large < MEMORY_BYTES
    assert large - small < PIECE_BYTES


def test_a_download_is_not_held_in_memory(world: World) -> None:
    """As it is stored and with escaped cells: a file of four pieces takes less than three."""
    request_id = str(uuid4())
    lines = export(request_id, large_rows(4 * PIECE_BYTES // len(LONG)))
    url = world.publish(lines, request_id=request_id)["download_url"]
    for asked in ("", "&excel_safe=1"):
        with world.client.get(url.removeprefix(world.settings.reporter_url) + asked, buffered=False) as answer:
            tracemalloc.start()
            size = sum(len(piece) for piece in answer.iter_encoded())
            _now, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert size > 4 * PIECE_BYTES
        assert peak < 3 * PIECE_BYTES, (asked, peak)


def _peak_bytes(world: World, count: int) -> int:
    """Return the most memory that the files of a report of so many long rows take while they are written."""
    request_id = str(uuid4())
    first, *rows, last, _nothing = export(request_id, [row(number) for number in range(2, count + 2)]).split(b"\n")

    def lines() -> Iterator[bytes]:
        yield first
        for line in rows:
            yield json.dumps({**json.loads(line), "cells": ["1", LONG, "u"]}).encode()
        yield last

    with ExitStack() as unfinished:
        tracemalloc.start()
        write_files(world.dependencies.objects, *read_export(lines()), unfinished)
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak
