"""`localcloud serve --manual-clock`, in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests

from localcloud_process import PARENT, Served, eventually

WITH_FLAGS = (
    "import sys; from localcloud.__main__ import main; "
    "main([*sys.argv[1:], '--manual-clock', '--queue-tombstone', '3600'])"
)
DAY = "- doze:\n    call: sys.sleep\n    args: {seconds: 86400}\n- answer:\n    return: rested\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Give a running localcloud whose time stands still and whose workflow sleeps a day."""
    running = Served([sys.executable, "-c", WITH_FLAGS], tmp_path_factory.mktemp("served"), DAY)
    yield running
    running.kill()


def test_day_passes_in_one_request(served: Served) -> None:
    """Time begins at the machine's, stands still, and moves by order: the sleeping execution ends."""
    url = served.url("workflows")
    name = requests.post(f"{url}/v1/{PARENT}/workflows/greeting/executions", json={}, timeout=5).json()["name"]
    before = requests.get(f"{url}/_local/time", timeout=5).json()
    after = requests.post(f"{served.url('metadata')}/_local/time", json={"advance_s": 86400}, timeout=5).json()
    ended = eventually(
        lambda: requests.get(f"{url}/v1/{name}", timeout=5).json(), lambda execution: execution["state"] != "ACTIVE"
    )

    assert before["is_manual"] is True
    assert after["now_s"] - before["now_s"] == 86400
    assert (ended["state"], ended["result"]) == ("SUCCEEDED", '"rested"')


def test_name_of_a_deleted_queue_stays_taken_as_long_as_asked_for(served: Served) -> None:
    """With the flag a name cannot be reused at once, as in production."""
    queues = f"{served.url('tasks')}/v2/{PARENT}/queues"
    body = {"name": f"{PARENT}/queues/letters"}
    requests.post(queues, json=body, timeout=5).raise_for_status()
    requests.delete(f"{queues}/letters", timeout=5).raise_for_status()
    at_once = requests.post(queues, json=body, timeout=5).json()
    requests.post(f"{served.url('tasks')}/_local/time", json={"advance_s": 3601}, timeout=5).raise_for_status()
    later = requests.post(queues, json=body, timeout=5).json()

    assert at_once["error"]["status"] == "FAILED_PRECONDITION"
    assert later["state"] == "RUNNING"


async def test_tokens_keep_the_machines_time(instruments: Any) -> None:
    """Whoever verifies them has another clock: a token from before or after a leap would be refused."""
    audience = "http://verifier"
    async with instruments() as cloud:
        await cloud.clock.advance(86400)
        _, token = await cloud.call(
            "metadata",
            "GET",
            f"/computeMetadata/v1/instance/service-accounts/default/identity?audience={audience}",
            headers={"Metadata-Flavor": "Google"},
        )

    claims = jwt.decode(token, options={"verify_signature": False})
    assert abs(claims["iat"] - time.time()) < 60
