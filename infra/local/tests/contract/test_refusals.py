"""What the fidelity table calls refused is answered with an error that says so, never accepted and ignored."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from conformance_report import fidelity_lines
from localcloud_process import PARENT, Served

TESTS = Path(__file__).parents[1]
WORKFLOW = f"{PARENT}/workflows/greeting"
QUEUE = f"{PARENT}/queues/refusals"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that must be answered with a status; `server` is the port's name."""

    method: str
    path: str
    status: str
    body: dict[str, Any] | None = None
    server: str = "workflows"
    code: int = 501


REQUESTS: dict[str, list[Refusal]] = {
    "tasks-app-engine": [
        Refusal(
            "POST",
            f"v2/{QUEUE}/tasks",
            "UNIMPLEMENTED",
            {"task": {"appEngineHttpRequest": {"relativeUri": "/"}}},
            server="tasks",
        ),
        Refusal(
            "POST",
            f"v2/{PARENT}/queues",
            "UNIMPLEMENTED",
            {"name": QUEUE, "appEngineRoutingOverride": {"service": "s"}},
            server="tasks",
        ),
    ],
    "tasks-cmek": [Refusal("GET", f"v2/{PARENT}/cmekConfig", "UNIMPLEMENTED", server="tasks")],
}
"""Requests that must be refused, by the id of the line."""

SOURCES = {
    "http-private-arguments": [
        "call: http.get, args: {url: 'https://a.example', private_service_name: x}",
        "call: http.get, args: {url: 'https://a.example', ca_certificate: x}",
    ],
    "other-connectors": ["call: googleapis.translate.v3.projects.translateText, args: {parent: p}"],
    "secretmanager-writes": [
        "call: googleapis.secretmanager.v1.projects.secrets.create, args: {parent: projects/demo}"
    ],
}
"""Steps that must not deploy, by the id of the line."""

ELSEWHERE = {"scheduler-job-changes": "unit/scheduler/test_scheduler.py::test_changes_to_jobs_are_refused"}
"""Tests of what `localcloud serve` alone does not start, by the id of the line."""


def each(probes: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return every probe as a parameter that is called after its line."""
    return [
        pytest.param(probe, id=f"{name}-{number}")
        for name, of_line in probes.items()
        for number, probe in enumerate(of_line)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server = Served([sys.executable, "-m", "localcloud"], tmp_path_factory.mktemp("served"))
    requests.post(f"{server.url('tasks')}/v2/{PARENT}/queues", json={"name": QUEUE}, timeout=10).raise_for_status()
    yield server
    server.kill()


def test_every_refused_line_has_a_probe() -> None:
    """No refusal is claimed that is not shown."""
    refused = {line["id"] for line in fidelity_lines() if line["status"] == "refused"}

    assert refused == REQUESTS.keys() | SOURCES.keys() | ELSEWHERE.keys()
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("refusal", each(REQUESTS))
def test_request_is_refused(served: Served, refusal: Refusal) -> None:
    """The API answers with the status that the line gives."""
    answer = requests.request(
        refusal.method, f"{served.url(refusal.server)}/{refusal.path}", json=refusal.body, timeout=10
    )

    assert (answer.status_code, answer.json()["error"]["status"]) == (refusal.code, refusal.status)


@pytest.mark.parametrize("step", each(SOURCES))
def test_source_is_refused(served: Served, step: str) -> None:
    """The deploy fails and says that localcloud does not emulate it."""
    operation = deploy(served, "refused", f"- a: {{{step}}}\n")

    assert "localcloud does not emulate" in operation["error"]["message"]


def deploy(served: Served, workflow_id: str, source: str) -> dict[str, Any]:
    """Deploy a source and return the operation."""
    url = f"{served.url('workflows')}/v1/{PARENT}/workflows?workflowId={workflow_id}"
    operation: dict[str, Any] = requests.post(url, json={"sourceContents": source}, timeout=10).json()
    return operation
