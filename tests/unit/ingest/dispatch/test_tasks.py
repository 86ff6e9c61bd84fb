"""Where tasks lead: to the addresses that the settings name, however these are written."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chassis.tracing import span_id_of
from ingest.dispatch.host_starts import Started
from ingest.dispatch.tasks import ImageTask, claimed_image, create_task, task_id
from support.ingest_service import Lab, MakeLab

A = "https://a.example/1.jpg"
SILENT = "UPDATE batches SET heartbeat_at = now() - interval '1 hour'"


def target(lab: Lab) -> tuple[str, str]:
    """Return address and audience of the task of an image, as the workflow creates it."""
    request_id = lab.submit(A)
    page = lab.next_claim(request_id, lab.start(request_id))
    request = page["groups"][0]["requests"][0]["task"]["httpRequest"]
    return request["url"], request["oidcToken"]["audience"]


@pytest.mark.parametrize("address", ["https://c.example", "https://c.example/", "https://c.example/X/"])
def test_a_slash_at_the_end_of_the_compressors_address_does_not_matter(make_lab: MakeLab, address: str) -> None:
    """The token is for the address as it is set."""
    lab = make_lab(COMPRESSOR_URL=address)

    assert target(lab) == (address.rstrip("/") + "/compress", address)


BATCH, IMAGE = UUID("6b1f3c2e-58a4-4d0b-9a55-0f5ad2e7c318"), UUID("1c9de34a-0b41-8a3c-8e55-5d2a61f0b7aa")
KNOWN = {"etag": "e", "format": "jpeg"}


def leased(options: dict[str, Any] | None = None) -> Started:
    """Return the third attempt of an image."""
    row: Any = {"id": IMAGE, "host": "a.example", "attempt": 2, "row_number": 9, "input_url": A, "options": options}
    return Started(row, datetime(2026, 11, 30, 12, 0, 1, 500_000, tzinfo=UTC))


@pytest.mark.parametrize("traced", [False, True])
def test_the_request_of_a_task_is_what_cloud_tasks_expects(lab: Lab, traced: bool) -> None:
    """Whole: name, time, deadline, target, token and body."""
    image = claimed_image(leased(), BATCH, {"quality": 70}, KNOWN, traced=traced)

    payload = {
        "request_id": str(BATCH),
        "image_id": str(IMAGE),
        "attempt": 3,
        "url": A,
        "options": {"quality": 70},
        "known": KNOWN,
    }
    assert image.payload == payload
    task = ImageTask([image])
    assert (task.row_number, task.leases) == (9, f"{IMAGE}/3")
    assert task.request(lab.settings) == {
        "parent": lab.settings.images_queue,
        "task": {
            "name": f"{lab.settings.images_queue}/tasks/{task_id(BATCH, IMAGE, 3)}",
            "scheduleTime": "2026-11-30T12:00:01.500000Z",
            "dispatchDeadline": "120s",
            "httpRequest": {
                "url": "http://compressor.test/compress",
                "httpMethod": "POST",
                "headers": {
                    "Content-Type": "application/json",
                    "traceparent": f"00-{BATCH.hex}-{span_id_of(BATCH, 'workflow')}-{int(traced):02}",
                },
                "body": base64.b64encode(json.dumps(payload).encode()).decode(),
                "oidcToken": {
                    "serviceAccountEmail": "tasks-images@demo.example",
                    "audience": "http://compressor.test",
                },
            },
        },
    }


def test_an_images_own_options_come_before_the_batchs_and_nothing_known_is_not_sent() -> None:
    image = claimed_image(leased({"quality": 20}), BATCH, {"quality": 70})

    assert image.payload["options"] == {"quality": 20}
    assert "known" not in image.payload
    assert image.traced is False


def test_the_name_of_a_task_is_the_same_in_every_release() -> None:
    """During a deployment the next release must find the tasks of the last one."""
    seed = f"{BATCH}/{IMAGE}/3"

    assert task_id(BATCH, IMAGE, 3) == hashlib.sha256(seed.encode()).hexdigest()


@pytest.mark.parametrize("traced", [False, True])
def test_a_task_that_we_create_ourselves_is_the_one_of_the_workflow(lab: Lab, traced: bool) -> None:
    """Name, time, deadline, trace and all."""
    image = claimed_image(leased(), BATCH, {"quality": 70}, KNOWN, traced=traced)

    create_task(lab.tasks, lab.settings, ImageTask([image]))

    task = ImageTask([image]).request(lab.settings)["task"]
    [(name, created)] = lab.tasks.tasks.items()
    assert name == task["name"]
    assert created == {
        "url": task["httpRequest"]["url"],
        "audience": task["httpRequest"]["oidcToken"]["audience"],
        "body": image.payload,
        "deadline_s": 120,
        "start_at": image.start_at,
        "headers": {"traceparent": task["httpRequest"]["headers"]["traceparent"]},
    }


def test_the_sweeper_creates_the_same_task(lab: Lab) -> None:
    """Name, address, audience and body: whoever comes second finds it there."""
    lab.executions.down = True
    request_id = lab.submit(A)
    lab.change(SILENT)
    lab.sweep()
    lab.change("UPDATE images SET status = 'PENDING', attempt = 0, lease_until = NULL, next_at = now()")
    lab.change("UPDATE hosts SET next_start_at = now() - interval '1 hour'")

    [request] = lab.next_claim(request_id, lab.start(request_id))["groups"][0]["requests"]

    task = request["task"]
    created = lab.tasks.tasks[task["name"]]
    assert created["url"] == task["httpRequest"]["url"]
    assert created["audience"] == task["httpRequest"]["oidcToken"]["audience"]
    assert created["body"] == json.loads(base64.b64decode(task["httpRequest"]["body"]))
