"""Where tasks lead: to the addresses that the settings name, however these are written."""

from __future__ import annotations

import base64
import json

import pytest

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
