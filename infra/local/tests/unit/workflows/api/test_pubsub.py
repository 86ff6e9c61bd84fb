"""Executions that a Pub/Sub push notification starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.core.google_errors import GoogleError

WORKFLOW = "projects/demo/locations/us-central1/workflows/w"
SUBSCRIPTION = "projects/demo/subscriptions/s"
MESSAGE = {"data": "aGk=", "attributes": {"k": "v"}, "messageId": "7", "publishTime": "2024-01-01T00:00:00Z"}


async def argument_of(emulator: Any, shown: dict[str, Any]) -> Any:
    """Return the decoded argument of an execution, once it has ended."""
    return json.loads((await emulator.finish(shown["name"]))["argument"])


async def test_argument_is_the_notification(emulator: Any) -> None:
    """As Pub/Sub pushes it, without what only concerns the delivery."""
    emulator.deploy()
    body = {"subscription": SUBSCRIPTION, "message": MESSAGE, "deliveryAttempt": 2}

    shown = emulator.executions.trigger_pubsub(WORKFLOW, body)

    assert await argument_of(emulator, shown) == {"message": MESSAGE, "subscription": SUBSCRIPTION}


async def test_eventarcs_mode_makes_a_cloud_event(emulator: Any) -> None:
    """The samples read `event.data.message.data`."""
    emulator.deploy()
    body = {"subscription": SUBSCRIPTION, "message": MESSAGE}

    shown = emulator.executions.trigger_pubsub(WORKFLOW, body, "CUSTOM_PUBSUB_projects/demo/topics/t")

    assert await argument_of(emulator, shown) == {
        "specversion": "1.0",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": "//pubsub.googleapis.com/projects/demo/topics/t",
        "datacontenttype": "application/json",
        "data": body,
        "id": "7",
        "time": "2024-01-01T00:00:00Z",
    }


async def test_mode_may_be_a_query_parameter(emulator: Any) -> None:
    """Eventarc's push endpoints carry it as `__GCP_CloudEventsMode`; Pub/Sub repeats some names in snake_case."""
    emulator.deploy()
    url = f"/v1/{WORKFLOW}:triggerPubsubExecution?__GCP_CloudEventsMode=CUSTOM_PUBSUB_projects/demo/topics/t"
    message = {**MESSAGE, "message_id": "7", "publish_time": "2024-01-01T00:00:00Z"}

    async with emulator.rest() as client:
        answer = await client.post(url, json={"subscription": SUBSCRIPTION, "message": message})
        shown = await answer.json()
        argument = await argument_of(emulator, shown)

    assert (answer.status, argument["data"]["message"]) == (200, MESSAGE)


async def test_repeated_message_starts_nothing_for_a_day(emulator: Any) -> None:
    """Pub/Sub delivers at least once; the answer is the first execution, until 24 hours have passed."""
    emulator.deploy()
    body = {"subscription": SUBSCRIPTION, "message": MESSAGE}

    first = await emulator.finish(emulator.executions.trigger_pubsub(WORKFLOW, body)["name"])
    await emulator.clock.advance(86_399)
    again = emulator.executions.trigger_pubsub(WORKFLOW, body)
    await emulator.clock.advance(1)
    later = emulator.executions.trigger_pubsub(WORKFLOW, body)
    await emulator.finish(later["name"])

    assert (again["name"] == first["name"], later["name"] == first["name"]) == (True, False)


@pytest.mark.parametrize(
    "other",
    [
        {"subscription": SUBSCRIPTION, "message": {**MESSAGE, "messageId": "8"}},
        {"subscription": f"{SUBSCRIPTION}2", "message": MESSAGE},
    ],
    ids=["message", "subscription"],
)
async def test_another_delivery_is_not_a_repetition(emulator: Any, other: dict[str, Any]) -> None:
    """Message ids count within a subscription."""
    emulator.deploy()

    names = [
        emulator.executions.trigger_pubsub(WORKFLOW, body)["name"]
        for body in ({"subscription": SUBSCRIPTION, "message": MESSAGE}, other)
    ]
    for name in names:
        await emulator.finish(name)

    assert names[0] != names[1]


async def test_messages_without_an_id_are_all_new(emulator: Any) -> None:
    """Nothing tells them apart."""
    emulator.deploy()
    body = {"subscription": SUBSCRIPTION, "message": {"data": "aGk="}}

    names = {emulator.executions.trigger_pubsub(WORKFLOW, body)["name"] for _ in range(2)}
    for name in names:
        await emulator.finish(name)

    assert len(names) == 2


async def test_message_of_a_forgotten_execution_starts_a_new_one(emulator: Any) -> None:
    """A workflow that was deleted and deployed again knows nothing of its predecessor's executions."""
    emulator.deploy()
    body = {"subscription": SUBSCRIPTION, "message": MESSAGE}
    first = emulator.executions.trigger_pubsub(WORKFLOW, body)["name"]
    await emulator.finish(first)
    emulator.workflows.delete(WORKFLOW)
    emulator.deploy()

    second = emulator.executions.trigger_pubsub(WORKFLOW, body)["name"]
    await emulator.finish(second)

    assert second != first


async def test_full_concurrency_refuses_the_notification(make_emulator: Any) -> None:
    """Such executions never wait in the backlog."""
    emulator = make_emulator(max_concurrent=0)
    emulator.deploy()

    with pytest.raises(GoogleError) as caught:
        emulator.executions.trigger_pubsub(WORKFLOW, {"subscription": SUBSCRIPTION, "message": MESSAGE})

    assert caught.value.status == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"message": MESSAGE}, "INVALID_ARGUMENT", "'subscription' is missing"),
        ({"subscription": SUBSCRIPTION}, "INVALID_ARGUMENT", "'message' is missing"),
        ({"subscription": SUBSCRIPTION, "message": {"messageId": "7"}}, "INVALID_ARGUMENT", "at least one attribute"),
        ({"subscription": SUBSCRIPTION, "message": {"data": "?"}}, "INVALID_ARGUMENT", "TYPE_BYTES"),
        ({"subscription": SUBSCRIPTION, "message": {"colour": "red"}}, "INVALID_ARGUMENT", "colour"),
        ({"subscription": SUBSCRIPTION, "message": MESSAGE, "deliveryAttempt": "x"}, "INVALID_ARGUMENT", "TYPE_INT32"),
        ({"subscription": SUBSCRIPTION, "message": MESSAGE, "GCPCloudEventsMode": "NEW"}, "UNIMPLEMENTED", "'NEW'"),
    ],
    ids=["no subscription", "no message", "empty message", "not base64", "unknown field", "bad attempt", "other mode"],
)
def test_bad_notification_is_refused(emulator: Any, body: dict[str, Any], status: str, reason: str) -> None:
    """Nothing starts."""
    emulator.deploy()

    with pytest.raises(GoogleError, match=reason) as caught:
        emulator.executions.trigger_pubsub(WORKFLOW, body)

    assert caught.value.status == status
