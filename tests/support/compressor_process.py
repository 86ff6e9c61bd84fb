"""The compressor's processes: started as its Dockerfile does, waited for, and asked for their memory."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests

DOCKERFILE = Path(__file__).parents[2] / "services" / "compressor" / "Dockerfile"


def docker_command(port: str) -> list[str]:
    """Return the CMD, which is JSON, bound to loopback."""
    match = re.search(r"^CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert match
    *start, app = json.loads(match.group(1))
    return [*start, "--bind", f"127.0.0.1:{port}", app]


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the first answer."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            threading.Event().wait(0.05)
    pytest.fail("the service did not start")


def wait_for_family(pid: int, count: int) -> list[psutil.Process]:
    """Wait until a process has so many descendants, and return them."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        family: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        if len(family) == count:
            return family
        threading.Event().wait(0.05)
    pytest.fail(f"not {count} processes")
