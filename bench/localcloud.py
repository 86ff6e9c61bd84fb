"""`python -m bench.localcloud`: how fast localcloud's interpreter is, and what thousands of waiting executions cost.

The server runs as a process of its own, as `localcloud serve` starts it; every figure is seen through its API, but for
the comparison with the PyPI package `workflows-emulator`, which runs both interpreters without a server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from localcloud.core.clock import SystemClock
from localcloud.stack.free_ports import is_port_taken
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.interpreter import run_program
from localcloud.workflows.runtime.scripted_host import make_host

RESULTS = Path(__file__).resolve().parent / "results" / "localcloud.json"
PEER = "workflows-emulator"
PARENT = "projects/demo/locations/us-central1"

STEPS = 45_000
"""Assign steps of the measured execution: below the documented 100,000 steps, iterations included."""

PEER_STEPS = 3_000
"""Fewer for the peer, which takes long; rates are compared, not times."""

WAITING = 2_000
CLIENT_THREADS = 8

AIMS = {"steps_per_s": 30_000.0, "waiting_start_s": 20.0, "waiting_rss_mb": 300.0}

COUNT = """
main:
  params: [args]
  steps:
    - init:
        assign:
          - total: 0
    - loop:
        for:
          value: number
          range: ${[1, args.steps]}
          steps:
            - add:
                assign:
                  - total: ${total + number}
    - done:
        return: ${total}
"""
SLEEP = """
- wait:
    call: sys.sleep
    args: {seconds: 3600}
"""
AWAIT = """
- open:
    call: events.create_callback_endpoint
    args: {http_callback_method: POST}
    result: endpoint
- wait:
    call: events.await_callback
    args: {callback: "${endpoint}", timeout: 3600}
"""
PEER_CODE = """
import json, logging, sys, time
from workflows_emulator.main import execute_workflow, load_workflow
logging.disable(logging.CRITICAL)
path, steps = sys.argv[1], int(sys.argv[2])
program = load_workflow(path)
began = time.perf_counter()
total = execute_workflow(program, {"args": {"steps": steps}})
print(json.dumps([total, time.perf_counter() - began]))
"""


class BenchError(Exception):
    """A measurement that means nothing, because something failed."""


class Served:
    """A running `localcloud serve`."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str) -> None:
        self.process = process
        self._base_url = base_url

    def create(self, workflow: str, argument: Any, session: requests.Session) -> str:
        """Start an execution and return its name."""
        url = f"{self._base_url}/v1/{PARENT}/workflows/{workflow}/executions"
        answer = session.post(url, json={"argument": json.dumps(argument)}, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["name"])

    def read(self, path: str) -> Any:
        """Return a resource."""
        answer = requests.get(f"{self._base_url}/v1/{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def rss_mb(self) -> float:
        """Return the resident memory of the server in MB."""
        shown = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], check=True, capture_output=True, text=True
        )
        return int(shown.stdout) / 1024


@contextmanager
def served(workflows: dict[str, str]) -> Iterator[Served]:
    """Run `localcloud serve` on free ports with some workflows deployed.

    Raises:
        BenchError: it did not start.
    """
    names = ("workflows", "workflows-grpc", "tasks", "tasks-grpc", "metadata")
    # Below the ephemeral ports, so that no outgoing connection takes one first.
    bases = range(21_000, 31_000, len(names))
    base = next(base for base in bases if not any(is_port_taken(base + number) for number in range(len(names))))
    ports = {name: base + number for number, name in enumerate(names)}
    flags = [text for name, port in ports.items() for text in (f"--{name}-port", str(port))]
    with tempfile.TemporaryDirectory() as folder:
        for name, source in workflows.items():
            Path(folder, f"{name}.yaml").write_text(source, encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "serve", "--workflows-dir", folder, *flags], stdout=subprocess.DEVNULL
        )
        server = Served(process, f"http://127.0.0.1:{ports['workflows']}")
        try:
            _wait_until_ready(server, next(iter(workflows)))
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(server: Served, workflow: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            server.read(f"{PARENT}/workflows/{workflow}")
        except (requests.ConnectionError, requests.HTTPError):
            time.sleep(0.1)
        else:
            return
    raise BenchError("localcloud serve did not start")


def steps_per_second(server: Served, rounds: int = 3) -> float:
    """Return assign steps a second of one execution, history and all; the best of some rounds, as others share the CPU.

    Raises:
        BenchError: an execution failed.
    """
    best = 0.0
    with requests.Session() as session:
        for _ in range(rounds):
            name = server.create("count", {"steps": STEPS}, session)
            while (execution := server.read(name))["state"] == "ACTIVE":
                time.sleep(0.2)
            if execution.get("result") != str(STEPS * (STEPS + 1) // 2):
                raise BenchError(f"the execution gave {execution.get('error') or execution.get('result')}")
            best = max(best, STEPS / float(execution["duration"].removesuffix("s")))
    return best


def waiting_executions(server: Served) -> dict[str, float]:
    """Start executions of which half sleep and half await a callback; return seconds to start them and the memory.

    Raises:
        BenchError: not all of them wait.
    """
    before_mb = server.rss_mb()
    began = time.perf_counter()
    with requests.Session() as session, ThreadPoolExecutor(CLIENT_THREADS) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=CLIENT_THREADS))
        names = list(pool.map(lambda n: server.create(("sleep", "await")[n % 2], None, session), range(WAITING)))
    for name in names[-2:]:
        # They started last, so the others are at their waits too.
        _wait_until_at(server, name, "wait")
    elapsed = time.perf_counter() - began
    active = sum(_count_active(server, workflow) for workflow in ("sleep", "await"))
    if active != WAITING:
        raise BenchError(f"{active} of {WAITING} executions wait")
    return {"start_s": elapsed, "rss_before_mb": before_mb, "rss_mb": server.rss_mb()}


def _wait_until_at(server: Served, name: str, step: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        current = server.read(name).get("status", {}).get("currentSteps", [])
        if current and current[-1]["step"] == step:
            return
        time.sleep(0.05)
    raise BenchError(f"{name} did not get to its step {step}")


def _count_active(server: Served, workflow: str) -> int:
    count: int = 0
    token = ""
    while True:
        page = server.read(f"{PARENT}/workflows/{workflow}/executions?pageSize=1000&pageToken={token}")
        count += sum(execution["state"] == "ACTIVE" for execution in page.get("executions", []))
        if not (token := page.get("nextPageToken", "")):
            return count


def bare_rate(steps: int) -> float:
    """Return assign steps a second of our interpreter alone, without server and history."""
    program, host = load_program(COUNT), make_host(clock=SystemClock())
    began = time.perf_counter()
    asyncio.run(run_program(program, {"steps": steps}, host))
    return steps / (time.perf_counter() - began)


def peer_rate(steps: int) -> float:
    """Return the same of the peer, installed from PyPI into an environment that is deleted afterwards.

    Raises:
        BenchError: it could not be installed, or gave another result.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = Path(folder, "bin/python")
        installed = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", PEER], check=False, capture_output=True, text=True
        )
        if installed.returncode:
            raise BenchError(f"{PEER} cannot be installed: {installed.stderr.strip().splitlines()[-1]}")
        source = Path(folder, "count.yaml")
        source.write_text(COUNT, encoding="utf-8")
        done = subprocess.run(
            [python, "-c", PEER_CODE, source, str(steps)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise BenchError(f"{PEER} failed: {done.stderr.strip().splitlines()[-1]}")
        total, seconds = json.loads(done.stdout)
        if total != steps * (steps + 1) // 2:
            raise BenchError(f"{PEER} gave {total}")
        return float(steps / seconds)


def main() -> None:
    """Measure, print and write everything."""
    parser = argparse.ArgumentParser(prog="python -m bench.localcloud", description=__doc__)
    parser.add_argument("--no-peer", action="store_true", help=f"leave out {PEER}, which must be downloaded")
    options = parser.parse_args()
    with served({"count": COUNT}) as server:
        figures = {"steps_per_s": steps_per_second(server)}
    with served({"sleep": SLEEP, "await": AWAIT}) as server:
        figures |= {f"waiting_{name}": value for name, value in waiting_executions(server).items()}
    figures["interpreter_steps_per_s"] = bare_rate(STEPS)
    if not options.no_peer:
        figures["peer_steps_per_s"] = peer_rate(PEER_STEPS)
        figures["ratio_to_peer"] = figures["interpreter_steps_per_s"] / figures["peer_steps_per_s"]
    for name, value in figures.items():
        aim = f"  (aim {AIMS[name]:,.0f})" if name in AIMS else ""
        print(f"{name:24} {value:12,.1f}{aim}")
    report = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "steps": STEPS,
        "waiting": WAITING,
        "peer": PEER,
        "aims": AIMS,
        "results": figures,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written to {os.path.relpath(RESULTS)}")


if __name__ == "__main__":
    main()
