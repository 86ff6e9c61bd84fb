"""A `localcloud serve` in a process of its own, on free ports, for tests that see it from outside."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import requests

from localcloud.stack.free_ports import is_port_taken

T = TypeVar("T")

PARENT = "projects/demo/locations/us-central1"
GREETING = """
main:
  params: [args]
  steps:
    - greet:
        return: ${"Hello " + args.name}
"""
PORT_FLAGS = ("workflows", "workflows-grpc", "tasks", "tasks-grpc", "metadata")


class Served:
    """A running `localcloud serve` whose folder of workflows holds `greeting.yaml`.

    Args:
        command: how to start `localcloud`.
        folder: an empty folder, for the workflow and the log.
        source: what to deploy as `greeting`.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, source: str = GREETING) -> None:
        self.ports = dict(zip(PORT_FLAGS, free_ports(len(PORT_FLAGS)), strict=True))
        self.log = folder / "serve.log"
        (folder / "greeting.yaml").write_text(source, encoding="utf-8")
        flags = [text for name, port in self.ports.items() for text in (f"--{name}-port", str(port))]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "serve", "--workflows-dir", folder, *flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "HOME": str(folder)},
            )
        try:
            self._wait_until_deployed()
        except BaseException:
            self.kill()
            raise

    def url(self, name: str) -> str:
        """Return the base URL of a REST port."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def end(self) -> int:
        """Ask the process to end as Ctrl-C does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=10)

    def kill(self) -> None:
        """End the process however it is."""
        self.process.kill()
        self.process.wait(timeout=10)

    def _wait_until_deployed(self) -> None:
        address = f"{self.url('workflows')}/v1/{PARENT}/workflows/greeting"

        def is_over() -> bool:
            try:
                return requests.get(address, timeout=5).ok
            except requests.ConnectionError:
                return self.process.poll() is not None

        assert eventually(is_over, bool, within_s=20), self.log.read_text()
        assert self.process.poll() is None, self.log.read_text()


def lonely_gcloud(home: Path, **endpoints: str) -> dict[str, str]:
    """Return an environment in which gcloud knows nothing but these endpoints, and keeps its files in `home`.

    `endpoints` are root URLs by the name of the API as gcloud spells it in capitals, e.g. `CLOUDTASKS`.
    """
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLOUDSDK_CONFIG": str(home / "gcloud"),
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CORE_PROJECT": "demo",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
        "CLOUDSDK_CORE_CHECK_GCE_METADATA": "false",
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{api}": f"{url}/" for api, url in endpoints.items()},
    }


def gcloud_environment(served: Served, home: Path) -> dict[str, str]:
    """Return an environment in which gcloud knows nothing but this server, and keeps its files in `home`."""
    workflows = served.url("workflows")
    return {
        **lonely_gcloud(home, WORKFLOWS=workflows, WORKFLOWEXECUTIONS=workflows),
        "CLOUDSDK_WORKFLOWS_LOCATION": "us-central1",
    }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, below the ephemeral ones, so that no outgoing connection takes them."""
    ports: list[int] = []
    while len(ports) < count:
        port = secrets.choice(range(20_000, 31_000))
        if port not in ports and not is_port_taken(port):
            ports.append(port)
    return ports


def eventually(read: Callable[[], T], is_right: Callable[[T], bool], within_s: float = 10.0) -> T:
    """Return what `read` gives once it is right; the last value when time is up."""
    deadline = time.monotonic() + within_s
    while not is_right(value := read()) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return value
