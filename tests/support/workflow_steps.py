"""Counts the steps that `workflows/batch.yaml` takes for a batch of a given shape, by running it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from contract.test_batch_yaml import (
    EXECUTION_CREATE,
    PROGRAM,
    QUEUE,
    REQUEST_ID,
    SOURCE,
    TASK_CREATE,
    Cloud,
    Services,
    pages_of,
)
from localcloud.workflows.runtime.interpreter import run_program
from localcloud.workflows.runtime.scripted_host import RememberedSteps, make_host

EXTERNAL_CALLS = {"await_signal"}
"""Waiting for a callback is billed as an external step (https://cloud.google.com/workflows/pricing)."""


@dataclass(frozen=True, slots=True)
class StepCount:
    """Steps of one execution: as the API lists them, and as they are billed."""

    entries: int
    internal: int
    external: int


@cache
def _assignments() -> dict[tuple[str, str], int]:
    """Return how many variables each assign step of each routine sets: each is billed."""
    found: dict[tuple[str, str], int] = {}

    def walk(routine: str, node: Any) -> None:
        match node:
            case dict():
                for name, value in node.items():
                    if isinstance(value, dict) and "assign" in value:
                        found[routine, name] = len(value["assign"])
                    walk(routine, value)
            case list():
                for item in node:
                    walk(routine, item)

    for routine, body in yaml.safe_load(SOURCE.read_text(encoding="utf-8")).items():
        walk(routine, body["steps"])
    return found


def count_steps(*, images: int, images_per_page: int = 90, images_per_group: int = 100) -> StepCount:
    """Run the workflow for a batch in which everything succeeds at once, and count.

    Args:
        images: images of the batch.
        images_per_page: images that ingest hands out at once.
        images_per_group: of these, images whose tasks are created by one call.
    """
    pages = pages_of(images, images_per_page, images_per_group)
    steps = RememberedSteps()
    cloud = Cloud()
    host = make_host(
        http=Services(pages),
        observer=steps,
        env={
            "INGEST_INTERNAL_URL": "https://ingest.example",
            "REPORTER_INTERNAL_URL": "https://reporter-internal.example",
            "REPORTER_URL": "https://reporter.example",
            "IMAGES_QUEUE": QUEUE,
            "CREATE_TASKS_BY": "batchCreate",
            "GOOGLE_CLOUD_PROJECT_ID": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "GOOGLE_CLOUD_WORKFLOW_ID": "batch",
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": "e1",
        },
        connectors={TASK_CREATE: cloud.create_task, EXECUTION_CREATE: cloud.create_execution},
    )
    asyncio.run(run_program(PROGRAM, {"request_id": REQUEST_ID}, host))
    external = sum(step.step in EXTERNAL_CALLS and step.step_type.endswith("CALL") for step in steps.started)
    billed = sum(_assignments().get((step.routine, step.step), 1) for step in steps.started)
    return StepCount(
        entries=len(steps.started),
        internal=billed - external,
        external=external,
    )
