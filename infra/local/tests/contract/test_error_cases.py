"""Runs the conformance cases of errors: cases/tasks/errors.yaml.

A case fails one call, after others that succeed, and says with which status and text. In a body, `name` of a queue or
task is its id, `queue` another queue for the name; what else a task has belongs to its request, but for two times.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from localcloud.core.clock import ManualClock
from localcloud.tasks.server import start_tasks_server

CASES = Path(__file__).parent / "cases" / "tasks" / "errors.yaml"
OF_THE_TASK = ("scheduleTime", "dispatchDeadline")
LOCATION = "projects/demo/locations/us-central1"
ALL_CASES = [case for group in yaml.safe_load(CASES.read_text(encoding="utf-8")) for case in group["cases"]]


def body_of(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a call as the API wants it."""
    if path == "queues":
        return {
            **given,
            "name": name if (name := given["name"]).startswith("projects/") else f"{LOCATION}/queues/{name}",
        }
    if not path.endswith("/tasks"):
        return given
    task: dict[str, Any] = {key: given[key] for key in OF_THE_TASK if key in given}
    task["httpRequest"] = {key: given[key] for key in given if key not in ("name", "queue", *OF_THE_TASK)}
    if "name" in given:
        collection = f"queues/{given['queue']}/tasks" if "queue" in given else path
        task["name"] = f"{LOCATION}/{collection}/{given['name']}"
    return {"task": task}


async def played(case: dict[str, Any]) -> tuple[list[int], dict[str, Any]]:
    """Make the calls of a case; return the codes of those before the last, and the error of the last."""
    server = await start_tasks_server(
        port=0,
        grpc_port=0,
        clock=ManualClock(),
        location="us-central1",
        queues=[],
        mint_id_token="{} {}".format,
        mint_access_token="{} {}".format,
    )
    codes = []
    answer: dict[str, Any] = {}
    try:
        async with aiohttp.ClientSession() as session:
            for method, path, *given in [*case.get("before", []), case["call"]]:
                url = (
                    f"{server.base_url}/v2{path}" if path.startswith("/") else f"{server.base_url}/v2/{LOCATION}/{path}"
                )
                body = body_of(path, given[0]) if given else None
                async with session.request(method, url, json=body) as response:
                    codes.append(response.status)
                    answer = await response.json()
    finally:
        await server.stop()
    return codes[:-1], answer["error"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in ALL_CASES])
def test_error_has_its_status_and_text(case: dict[str, Any]) -> None:
    """To the letter: programs and people look for them."""
    before, error = asyncio.run(played(case))

    assert set(before) <= {200}
    assert (error["status"], error["message"]) == (case["status"], case["message"])
    assert error.get("details", []) == case.get("details", error.get("details", []))
