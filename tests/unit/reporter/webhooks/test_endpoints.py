"""Webhook endpoints: made, shown, changed, deleted; each with the events it wants."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args
from uuid import uuid4

import psycopg2
import pytest

from reporter.http.webhook_schemas import EventType
from reporter.webhooks.events import EVENT_TYPES
from support.reporter_service import Subscriber, World, export, notification, row
from support.webhook_subscriptions import endpoint, log_of, opens, patch, reason, subscribe

STATUSES = list(EVENT_TYPES)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class PublicNames:
    """A getaddrinfo that knows a few names."""

    def __init__(self, **addresses: str) -> None:
        self.addresses = {name.replace("_", "."): address for name, address in addresses.items()}

    def __call__(self, host: str, port: int, *_rest: object) -> list[Any]:
        """Answer one lookup."""
        found = self.addresses.get(host)
        if found is None:
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]


def test_an_endpoint_is_shown_as_it_was_made(world: World, subscriber: Subscriber) -> None:
    """All fields come back; only the first answer holds the secret."""
    created = subscribe(world, subscriber.url, event_types=["batch.failed"], description="Ops – 春")

    shown = endpoint(world, created["id"])

    secret = created.pop("secret")
    assert secret.startswith("whsec_")
    assert shown == created
    assert (shown["url"], shown["event_types"], shown["description"]) == (subscriber.url, ["batch.failed"], "Ops – 春")
    assert (shown["enabled"], shown["disabled_reason"], shown["failing_since"]) == (True, None, None)


@pytest.mark.threat("T14")
def test_the_secret_is_nowhere_but_in_the_first_answer(
    world: World, subscriber: Subscriber, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in any later answer, not in any table, not in the log."""
    secret = subscribe(world, subscriber.url)["secret"]
    raw = secret.removeprefix("whsec_")
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_jsonb(s)::text FROM webhook_secrets s UNION SELECT to_jsonb(e)::text FROM webhook_endpoints e"
        )
        rows = str(cursor.fetchall())
    connection.close()

    assert raw not in world.client.get("/webhooks").text
    assert raw not in rows
    assert raw not in "".join(capfd.readouterr())


@pytest.mark.feature("58")
@pytest.mark.threat("T13")
def test_every_endpoint_has_its_own_secret(world: World, subscriber: Subscriber) -> None:
    """Two subscriptions of one URL are told twice, each with its signature."""
    first, second = (subscribe(world, subscriber.url)["secret"] for _ in range(2))
    world.notify()
    for hint in world.queue.hints:
        world.deliver(hint)

    opened = {(opens(first, got), opens(second, got)) for got in subscriber.received}
    assert opened == {(True, False), (False, True)}
    assert subscriber.verified == [False, False]


@pytest.mark.parametrize("status", STATUSES)
def test_an_endpoint_without_a_choice_hears_of_everything(world: World, subscriber: Subscriber, status: str) -> None:
    """Accepted, started, and every ending; null is no choice."""
    created = subscribe(world, subscriber.url, event_types=None)
    world.notify(status=status, finished_at=None)
    world.deliver(world.queue.hints[0])

    assert [event["type"] for event in subscriber.events] == [EVENT_TYPES[status]]
    assert opens(created["secret"], subscriber.received[0])


@pytest.mark.feature("58")
@pytest.mark.parametrize("status", STATUSES)
def test_an_endpoint_with_a_choice_hears_of_it_only(world: World, subscriber: Subscriber, status: str) -> None:
    """The filter is a list of event types."""
    subscribe(world, subscriber.url, event_types=["batch.accepted", "batch.failed"])

    answer = world.internal("/internal/notifications", notification(status=status))

    assert answer.get_json()["deliveries"] == (1 if status in {"PENDING", "FAILED"} else 0)


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_the_urls_of_a_batch_and_the_deployment_hear_of_endings_only(
    make_world: Callable[..., World], status: str
) -> None:
    """As ever: whoever named a URL with a batch expects one event."""
    world = make_world(WEBHOOK_URL="https://ops.test/hook")

    answer = world.internal(
        "/internal/notifications", notification(status=status, webhook_url="https://shop.test/hook")
    )

    assert (answer.get_json()["deliveries"], world.queue.hints) == (0, [])


def test_the_batchs_own_url_is_told_beside_the_endpoints(world: World, subscriber: Subscriber) -> None:
    """Signed with the deployment's secret, the endpoint's with its own, also where the URL is the same."""
    subscribe(world, subscriber.url)
    request_id = world.notify(webhook_url=subscriber.url)
    for hint in world.queue.hints:
        world.deliver(hint)

    assert sorted(subscriber.verified) == [False, True]
    assert len({delivery["endpoint_id"] for delivery in world.deliveries(request_id)}) == 2


def test_a_repeated_notification_tells_an_endpoint_once(world: World, subscriber: Subscriber) -> None:
    """One delivery per event and endpoint."""
    created = subscribe(world, subscriber.url)
    request_id = world.notify()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.notify(request_id=request_id), range(4)))

    assert len(log_of(world, created["id"])) == 1


@pytest.mark.threat("T10")
def test_an_endpoint_is_not_told_of_an_owners_batch(world: World, subscriber: Subscriber) -> None:
    """As far as its report tells whose it is."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row()], owner="alice"), request_id=request_id)
    subscribe(world, subscriber.url)

    answer = world.internal("/internal/notifications", notification(request_id=request_id))

    assert answer.get_json()["deliveries"] == 0


@pytest.mark.parametrize(("owner", "deliveries"), [(None, 1), ("alice", 0)])
def test_before_there_is_a_report_the_notification_says_whose_batch_it_is(
    world: World, subscriber: Subscriber, owner: str | None, deliveries: int
) -> None:
    """What begins is told to whom its end will be told."""
    subscribe(world, subscriber.url)

    answer = world.internal("/internal/notifications", notification(status="PROCESSING", owner=owner))

    assert answer.get_json()["deliveries"] == deliveries


def test_the_event_types_of_the_interface_are_those_that_are_sent() -> None:
    """The list is written twice, for the type checker."""
    assert set(get_args(EventType)) == set(EVENT_TYPES.values())


def test_a_patch_changes_what_it_names(world: World, subscriber: Subscriber) -> None:
    """The rest stays; null chooses all events."""
    created = subscribe(world, subscriber.url, event_types=["batch.failed"], description="old")
    world.clock.advance(1)

    changed = patch(world, created["id"], description="new")
    widened = patch(world, created["id"], event_types=None)

    assert (changed["description"], changed["event_types"]) == ("new", ["batch.failed"])
    assert (widened["description"], widened["event_types"]) == ("new", None)
    assert changed["updated_at"] > created["updated_at"]


def test_a_waiting_delivery_goes_to_the_new_url(world: World, subscriber: Subscriber, free_port: int) -> None:
    """Nobody listens at the old one any more; that is why it was changed."""
    created = subscribe(world, f"http://127.0.0.1:{free_port}/old")
    world.notify()
    world.deliver(world.queue.last[0])
    patch(world, created["id"], url=subscriber.url)

    answer = world.deliver(world.queue.last[0])

    assert (answer["state"], len(subscriber.received)) == ("DELIVERED", 1)


def test_a_paused_endpoint_is_sent_nothing(world: World, subscriber: Subscriber) -> None:
    """What waited ends, what happens is recorded, the reason is visible; enabled again, the next event arrives."""
    created = subscribe(world, subscriber.url)
    world.notify()
    waiting = world.queue.last[0]
    paused = patch(world, created["id"], enabled=False)
    world.deliver(waiting)
    told = world.internal("/internal/notifications", notification()).get_json()["deliveries"]

    ended = {(delivery["state"], delivery["end_reason"]) for delivery in log_of(world, created["id"])}
    assert (paused["enabled"], paused["disabled_reason"], told) == (False, "PAUSED", 0)
    assert ended == {("FAILED", "ENDPOINT_DISABLED")}
    assert subscriber.received == []

    assert patch(world, created["id"], enabled=True)["disabled_reason"] is None
    world.notify()
    assert world.deliver(world.queue.last[0])["state"] == "DELIVERED"


def test_an_endpoint_may_begin_paused(world: World, subscriber: Subscriber) -> None:
    """To be enabled when its receiver has the secret."""
    created = subscribe(world, subscriber.url, enabled=False)

    assert (created["enabled"], created["disabled_reason"]) == (False, "PAUSED")


@pytest.mark.fault("H13")
def test_a_deleted_endpoint_is_sent_nothing(world: World, subscriber: Subscriber, database_url: str) -> None:
    """It is a 404, its secrets are gone, and what waited to be sent ends; the batch's log still tells so."""
    created = subscribe(world, subscriber.url)
    request_id = world.notify()

    answer = world.client.delete(f"/webhooks/{created['id']}")
    world.deliver(world.queue.last[0])
    world.notify()

    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM webhook_secrets")
        secrets = cursor.fetchone()
    connection.close()
    delivery = world.deliveries(request_id)[0]
    assert answer.get_json() == {"id": created["id"]}
    assert (delivery["state"], delivery["end_reason"]) == ("FAILED", "ENDPOINT_DELETED")
    assert (subscriber.received, len(world.queue.hints), secrets) == ([], 1, (0,))
    assert world.client.get("/webhooks").get_json()["endpoints"] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"description": "x"}),
        ("PATCH", "", {"url": "http://10.0.0.1/"}),
        ("DELETE", "", None),
        ("POST", "/rotate_secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("POST", "/redeliver", {"since": "2026-11-22T10:00:00Z"}),
    ],
)
@pytest.mark.parametrize("deleted", [False, True], ids=["unknown", "deleted"])
def test_an_endpoint_that_is_not_there_is_a_404(
    world: World, subscriber: Subscriber, method: str, path: str, body: Any, deleted: bool
) -> None:
    """On every route, whether it never was or is no more."""
    endpoint_id = UNKNOWN
    if deleted:
        endpoint_id = subscribe(world, subscriber.url)["id"]
        world.client.delete(f"/webhooks/{endpoint_id}")

    answer = world.client.open(f"/webhooks/{endpoint_id}{path}", method=method, json=body)

    assert reason(answer) == (404, "ENDPOINT_NOT_FOUND")


def test_an_owners_endpoint_is_a_404_to_the_unknown(world: World, subscriber: Subscriber, database_url: str) -> None:
    """Without API keys only what nobody owns is shown, changed or told."""
    created = subscribe(world, subscriber.url)
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE webhook_endpoints SET owner = 'alice'")
    connection.close()

    assert reason(world.client.get(f"/webhooks/{created['id']}")) == (404, "ENDPOINT_NOT_FOUND")
    assert world.client.get("/webhooks").get_json()["endpoints"] == []
    assert world.internal("/internal/notifications", notification()).get_json()["deliveries"] == 0


def test_endpoints_are_listed_in_pages(world: World, subscriber: Subscriber) -> None:
    """Oldest first, each once, whatever has the same time."""
    made = [subscribe(world, subscriber.url)["id"] for _ in range(5)]
    seen, token = [], ""
    while True:
        page = world.client.get("/webhooks", query_string={"page_size": 2, "page_token": token}).get_json()
        seen += [e["id"] for e in page["endpoints"]]
        token = page["next_page_token"]
        if not token:
            break

    assert sorted(seen) == sorted(made)
    assert len(seen) == 5


@pytest.mark.parametrize("token", ["x", "e30", "WyJ3ZWJob29rcyIsICJub3ciLCAieCJd", "ü", "W1tbW1tbW1s"])
def test_a_foreign_page_token_is_refused(world: World, token: str) -> None:
    """Garbage, JSON of another shape, a time that is none."""
    answer = world.client.get("/webhooks", query_string={"page_token": token})

    assert reason(answer) == (400, "PAGE_TOKEN_INVALID")


def test_there_are_no_more_endpoints_than_the_limit(make_world: Callable[..., World], subscriber: Subscriber) -> None:
    """Eight at once for two places: two get in, the others hear limit and value."""
    world = make_world(WEBHOOK_MAX_ENDPOINTS="2")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.client.post("/webhooks", json={"url": subscriber.url}), range(8)))

    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 6
    assert {reason(answer) for answer in refused} == {(400, "ENDPOINT_LIMIT")}
    assert refused[0].get_json()["error"]["details"][0]["metadata"] == {
        "limit_name": "webhook_max_endpoints",
        "limit": "2",
        "value": "1",
        "use": "2",
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": ""}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://shop.test/" + "x" * 2083}, "url"),
        ({"url": "https://shop.test/", "event_types": []}, "event_types"),
        ({"url": "https://shop.test/", "event_types": ["batch.exploded"]}, "event_types.0"),
        ({"url": "https://shop.test/", "event_types": ["batch.failed"] * 7}, "event_types"),
        ({"url": "https://shop.test/", "description": "a\x00b"}, "description"),
        ({"url": "https://shop.test/", "description": "x" * 501}, "description"),
        ({"url": "https://shop.test/", "enabled": "yes"}, "enabled"),
        ({"url": "https://shop.test/", "events": ["batch.failed"]}, "events"),
    ],
    ids=str,
)
def test_a_malformed_endpoint_names_its_field(world: World, body: Any, field: str) -> None:
    """Nothing is guessed and nothing is ignored."""
    answer = world.client.post("/webhooks", json=body)

    violations = answer.get_json()["error"]["details"][2]["fieldViolations"]
    assert reason(answer) == (400, "FIELD_INVALID")
    assert [violation["field"] for violation in violations] == [field]


def test_half_a_surrogate_pair_is_refused(world: World) -> None:
    """It is JSON and no text."""
    body = b'{"url": "https://shop.test/", "description": "\\ud800"}'

    answer = world.client.post("/webhooks", data=body, content_type="application/json")

    assert reason(answer) == (400, "FIELD_INVALID")


REFUSED_URLS = {
    "ftp://shop.test/hook": "URL_INVALID",
    "shop.test/hook": "URL_INVALID",
    "https:///hook": "URL_INVALID",
    "https://shop.test/a b": "URL_INVALID",
    "https://shop.test\\@10.0.0.1/": "URL_INVALID",
    "https://user:pass@shop.test/": "URL_FORBIDDEN",
    "https://shop.test:22/": "URL_FORBIDDEN",
    "https://shop.test:5432/": "URL_FORBIDDEN",
    "http://127.0.0.1/": "URL_FORBIDDEN",
    "http://127.1/": "URL_FORBIDDEN",
    "http://2130706433/": "URL_FORBIDDEN",
    "http://0x7f000001/": "URL_FORBIDDEN",
    "http://0.0.0.0/": "URL_FORBIDDEN",
    "http://10.0.0.1/": "URL_FORBIDDEN",
    "http://172.16.0.1/": "URL_FORBIDDEN",
    "http://192.168.1.1/": "URL_FORBIDDEN",
    "http://100.64.0.1/": "URL_FORBIDDEN",
    "http://169.254.169.254/computeMetadata/v1/": "URL_FORBIDDEN",
    "http://224.0.0.1/": "URL_FORBIDDEN",
    "http://255.255.255.255/": "URL_FORBIDDEN",
    "http://[::1]/": "URL_FORBIDDEN",
    "http://[::ffff:10.0.0.1]/": "URL_FORBIDDEN",
    "http://[fd20:ce::254]/": "URL_FORBIDDEN",
    "http://[fe80::1]/": "URL_FORBIDDEN",
    "http://localhost/": "URL_FORBIDDEN",
    "http://api.localhost/": "URL_FORBIDDEN",
    "http://metadata.google.internal./": "URL_FORBIDDEN",
    "http://METADATA/": "URL_FORBIDDEN",
    "http://db.internal/": "URL_FORBIDDEN",
    "http://printer.local/": "URL_FORBIDDEN",
    "http://private.shop.test/": "URL_FORBIDDEN",
    "http://nowhere.invalid/": "DNS_FAILED",
}


class TestGuard:
    """The address guard at registration, with the policy of production."""

    @pytest.fixture
    def public_world(self, make_world: Callable[..., World]) -> World:
        """Give a service that may reach the public internet only."""
        names = PublicNames(shop_test="93.184.215.14", private_shop_test="10.0.0.1")
        return make_world(EGRESS_ALLOWED_NETWORKS="", resolve=names)

    @pytest.mark.feature("45")
    @pytest.mark.fault("H8")
    @pytest.mark.threat("T2")
    @pytest.mark.parametrize(("url", "fault"), REFUSED_URLS.items())
    def test_a_url_that_is_never_dialled_is_refused_at_registration(
        self, public_world: World, url: str, fault: str
    ) -> None:
        """With the reason, and without any address it led to."""
        answer = public_world.client.post("/webhooks", json={"url": url})

        error = answer.get_json()["error"]
        assert reason(answer) == (400, "ENDPOINT_URL_REFUSED")
        assert error["details"][0]["metadata"] == {"fault": fault}
        assert "10.0.0.1" not in json.dumps(error)

    def test_a_refused_url_leaves_no_endpoint(self, public_world: World) -> None:
        """Not even a disabled one."""
        public_world.client.post("/webhooks", json={"url": "http://10.0.0.1/"})

        assert public_world.client.get("/webhooks").get_json()["endpoints"] == []

    def test_a_change_of_the_url_is_guarded_too(self, public_world: World) -> None:
        """The old URL stays."""
        created = subscribe(public_world, "https://shop.test/hook")

        answer = public_world.client.patch(f"/webhooks/{created['id']}", json={"url": "http://10.0.0.1/"})

        assert reason(answer) == (400, "ENDPOINT_URL_REFUSED")
        assert endpoint(public_world, created["id"])["url"] == "https://shop.test/hook"

    @pytest.mark.feature("45")
    @pytest.mark.fault("G11", "H8")
    @pytest.mark.threat("T2")
    def test_a_name_that_turns_private_later_is_refused_at_delivery(self, make_world: Callable[..., World]) -> None:
        """What was public at registration leads to the metadata server now: nothing is dialled."""
        names = PublicNames(shop_test="93.184.215.14")
        world = make_world(EGRESS_ALLOWED_NETWORKS="", resolve=names)
        created = subscribe(world, "http://shop.test/hook")
        world.notify()
        names.addresses["shop.test"] = "169.254.169.254"

        world.deliver(world.queue.last[0])

        assert log_of(world, created["id"])[0]["attempts"][0]["failure"] == "URL_FORBIDDEN"


def test_nothing_is_recorded_for_a_deleted_endpoint(world: World, subscriber: Subscriber) -> None:
    """A disabled one may come back and ask for what it missed; a deleted one would only keep its row for ever."""
    gone, paused = subscribe(world, subscriber.url), subscribe(world, subscriber.url)
    world.client.delete(f"/webhooks/{gone['id']}")
    patch(world, paused["id"], enabled=False)

    request_id = world.notify()

    assert [delivery["endpoint_id"] for delivery in world.deliveries(request_id)] == [paused["id"]]
