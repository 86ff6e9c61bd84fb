"""Names that are looked up slowly hold up their own kind of work and no other: deliveries here, registrations there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chassis.egress.lookups import MAX_AT_ONCE
from support.reporter_service import Subscriber, World
from support.webhook_subscriptions import reason

MANY = MAX_AT_ONCE
"""As many lookups as may be under way at once."""


class SlowNames:
    """A getaddrinfo that does not answer for `slow...` until the test is over; `quick.test` is a public address."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self, host: str, port: int, *_rest: object) -> list[Any]:
        """Answer one lookup."""
        if host.startswith("slow"):
            self.over.wait(30)
            raise socket.gaierror
        if host == "quick.test":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))]
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)


@pytest.fixture(name="names")
def _names() -> Iterator[SlowNames]:
    names = SlowNames()
    yield names
    names.over.set()


def test_slow_names_of_deliveries_stop_no_registration(make_world: Callable[..., World], names: SlowNames) -> None:
    """As many hanging lookups as there can be, and an endpoint is still checked and made."""
    world = make_world(resolve=names, WEBHOOK_TIMEOUT_S="0.1")
    for number in range(MANY):
        world.notify(webhook_url=f"http://slow{number}.test/")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(world.deliver, world.queue.hints))

    answer = world.client.post("/webhooks", json={"url": "https://quick.test/hook"})

    assert answer.status_code == 201, answer.text


def test_slow_names_of_registrations_stop_no_delivery(
    make_world: Callable[..., World], names: SlowNames, subscriber: Subscriber
) -> None:
    """Whoever registers names that hang keeps nobody's event back."""
    world = make_world(resolve=names)
    request_id = world.notify(webhook_url=subscriber.url)

    def register(number: int) -> tuple[int, str]:
        return reason(world.client.post("/webhooks", json={"url": f"https://slow{number}.test/"}))

    with ThreadPoolExecutor(MANY) as pool:
        refused = set(pool.map(register, range(MANY)))
    world.deliver(world.queue.hints[0])

    assert refused == {(400, "ENDPOINT_URL_REFUSED")}
    assert world.deliveries(request_id)[0]["state"] == "DELIVERED"
