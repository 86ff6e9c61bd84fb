"""The whole stack under load: upload a sheet, wait for the end, images a second from upload to final status."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from samples.demo import ROOT, STACK_FILE, without_samples

from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports
from pressroom.answers import FINAL

_POLL_S = 0.3


class BenchError(Exception):
    """A measurement that means nothing, because something failed."""


@contextmanager
def fresh_stack() -> Iterator[Stack]:
    """Run the stack of `make up` on free ports with empty state."""
    state: Path = ROOT / ".local" / "bench"
    shutil.rmtree(state, ignore_errors=True)
    config = without_samples(load_stack_config(STACK_FILE))
    stack = Stack(config, state, free_ports(config))
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


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
    began = time.perf_counter()
    answer = requests.post(
        f"{stack.url('ingest')}/upload",
        files={"file": ("bench.csv", table.getvalue().encode(), "text/csv")},
        timeout=60,
    )
    answer.raise_for_status()
    request_id = answer.json()["request_id"]
    while True:
        status = requests.get(f"{stack.url('ingest')}/status/{request_id}", params={"page_size": 1}, timeout=30).json()
        if status["status"] in FINAL:
            break
        time.sleep(_POLL_S)
    elapsed = time.perf_counter() - began
    if status["counts"]["succeeded"] != len(urls):
        raise BenchError(f"not every image succeeded: {status['counts']}")
    if status["reused"] != reused:
        raise BenchError(f"{status['reused']} images were reused, not {reused}")
    return len(urls) / elapsed
