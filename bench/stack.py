"""The whole stack under load: upload a sheet, wait for the end, images a second from upload to final status."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import requests
from samples.demo import ROOT, STACK_FILE, without_samples

from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports
from pressroom.answers import FINAL

_POLL_S = 0.5


class BenchError(Exception):
    """A measurement that means nothing, because something failed."""


@contextmanager
def fresh_stack() -> Iterator[Stack]:
    """Run the stack of `make up` on free ports with empty state, which stays only if something fails."""
    state: Path = ROOT / ".local" / "bench"
    shutil.rmtree(state, ignore_errors=True)
    config = without_samples(load_stack_config(STACK_FILE))
    stack = Stack(config, state, free_ports(config))
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
    # Not left to the next run: ext4 takes longer to create files where many were removed within the last minute.
    shutil.rmtree(state)


def stack_rate(stack: Stack, urls: list[str], *, reused: int = 0) -> float:
    """Return images a second of one batch, of whose images so many should be as an earlier one found them.

    Raises:
        BenchError: not every image succeeded, or others were reused.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    for number in range(0, len(urls), 2):
        writer.writerow([number, f"Product {number}", ",".join(urls[number : number + 2])])
    began = datetime.now(UTC)
    with requests.Session() as client:
        answer = client.post(
            f"{stack.url('ingest')}/upload",
            files={"file": ("bench.csv", table.getvalue().encode(), "text/csv")},
            timeout=60,
        )
        answer.raise_for_status()
        where = f"{stack.url('ingest')}/status/{answer.json()['request_id']}"
        while (status := client.get(where, params={"page_size": 1}, timeout=30).json())["status"] not in FINAL:
            time.sleep(_POLL_S)
    # Not when we looked: that is up to half a second later.
    elapsed = (datetime.fromisoformat(status["finished_at"]) - began).total_seconds()
    if status["counts"]["succeeded"] != len(urls):
        raise BenchError(f"not every image succeeded: {status['counts']}")
    if status["reused"] != reused:
        raise BenchError(f"{status['reused']} images were reused, not {reused}")
    return len(urls) / elapsed
