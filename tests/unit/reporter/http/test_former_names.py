"""The former names of times stand beside the present ones for one release, with the same values."""

from __future__ import annotations

from typing import Any

import pytest

from reporter.http.openapi import document
from support.reporter_service import ROOT_URL, Answer, Subscriber, World
from support.webhook_subscriptions import endpoint, log_of, patch, subscribe

FORMER = {
    "created_at": "create_time",
    "updated_at": "update_time",
    "disabled_at": "disable_time",
    "started_at": "start_time",
    "next_attempt_at": "next_attempt_time",
    "expires_at": "expire_time",
}


def pairs_of(answer: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the two values of each time of an answer."""
    return {name: (answer[name], answer[former]) for name, former in FORMER.items() if name in answer}


def test_both_names_of_a_time_have_its_value(world: World, subscriber: Subscriber) -> None:
    """In endpoints, deliveries, attempts and links."""
    subscriber.answer = lambda _got: Answer(500)
    created = subscribe(world, subscriber.url)
    world.notify()
    world.deliver(world.queue.last[0])
    (delivery,) = log_of(world, created["id"])
    patch(world, created["id"], enabled=False)
    world.publish()
    answers = [
        endpoint(world, created["id"]),
        delivery,
        delivery["attempts"][0],
        world.client.get("/download_csv").get_json(),
    ]

    pairs = [pairs_of(answer) for answer in answers]

    assert {name for found in pairs for name in found} == set(FORMER)
    assert all(now == former and now is not None for found in pairs for now, former in found.values())


@pytest.mark.parametrize("former", FORMER.values())
def test_the_document_says_that_a_former_name_goes(former: str) -> None:
    """Wherever it stands it is deprecated, and the description names the present one."""
    fields = [
        schema["properties"][former]
        for schema in document(ROOT_URL)["components"]["schemas"].values()
        if former in schema.get("properties", {})
    ]
    present = next(name for name, old in FORMER.items() if old == former)

    assert fields
    assert all(field["deprecated"] and present in field["description"] for field in fields)
