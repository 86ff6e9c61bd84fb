"""Reports, deliveries and deleted endpoints past their retention are forgotten; what still matters is not."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from support.query_plans import planned_awkwardly
from support.reporter_service import SCHEDULER, Answer, Got, Subscriber, World

DAY_S = 86_400


def sweep(world: World) -> dict[str, int]:
    """Sweep; return what was forgotten by kind."""
    swept = world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"]
    return {name.removesuffix("_expired"): count for name, count in swept.items() if name.endswith("s_expired")}


def left(world: World, *names: str) -> list[int]:
    """Return how many rows tables have."""
    with world.engine.connect() as connection:
        return [connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one() for name in names]


@pytest.mark.feature("55")
@pytest.mark.fault("J8")
@pytest.mark.threat("T19")
def test_reports_past_their_retention_are_forgotten(world: World) -> None:
    """A day before they are there, on the day they are not, and a second sweep finds nothing."""
    request_id = world.publish()["request_id"]
    world.clock.advance(30 * DAY_S - 1)
    early = sweep(world)["reports"]
    found = world.client.get("/download_csv", query_string={"request_id": request_id}).status_code
    world.clock.advance(1)

    assert (early, found, sweep(world)["reports"], sweep(world)["reports"]) == (0, 200, 1, 0)
    assert world.client.get("/download_csv", query_string={"request_id": request_id}).status_code == 404


def test_objects_are_left_to_their_bucket(world: World) -> None:
    """The rule of the bucket deletes them; the reporter may not and does not."""
    world.publish()
    world.clock.advance(30 * DAY_S)
    before = {blob.name for blob in world.bucket.list_blobs()}

    assert sweep(world)["reports"] == 1
    assert {blob.name for blob in world.bucket.list_blobs()} == before != set()


def test_ended_deliveries_go_with_their_attempts(world: World, subscriber: Subscriber) -> None:
    """Counted from their end; one that still waits for an attempt is kept, however old it is."""
    world.notify(webhook_url=subscriber.url)
    world.deliver(world.queue.hints[0])
    world.clock.advance(30 * DAY_S)
    waiting = world.notify(webhook_url=subscriber.url)
    world.clock.advance(30 * DAY_S)

    assert sweep(world)["deliveries"] == 1
    assert left(world, "deliveries", "delivery_attempts") == [1, 0]
    assert [delivery["state"] for delivery in world.deliveries(waiting)] == ["PENDING"]


def test_a_deleted_endpoint_goes_after_its_deliveries(world: World, subscriber: Subscriber) -> None:
    """It stays for the sake of its deliveries; a living endpoint stays in any case."""
    created = [world.client.post("/webhooks", json={"url": subscriber.url}).get_json() for _ in range(2)]
    world.notify()
    for hint in list(world.queue.hints):
        world.deliver(hint)
    assert world.client.delete(f"/webhooks/{created[0]['id']}").status_code in {200, 204}
    world.clock.advance(30 * DAY_S)

    first = sweep(world)
    kept = [endpoint["id"] for endpoint in world.client.get("/webhooks").get_json()["endpoints"]]

    assert first["deliveries"] == 2
    assert first["endpoints"] == 1
    assert kept == [created[1]["id"]]
    assert left(world, "webhook_endpoints", "webhook_secrets") == [1, 1]


def test_a_sweep_forgets_one_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is worked off sweep by sweep and never in one long statement."""
    monkeypatch.setattr("reporter.retention.PAGE_SIZE", 2)
    for _ in range(3):
        world.publish()
    world.clock.advance(30 * DAY_S)

    with planned_awkwardly(world.engine):
        forgotten = [sweep(world)["reports"] for _ in range(3)]

    assert forgotten == [2, 1, 0]


def test_retention_can_be_switched_off(make_world: Any) -> None:
    """0 keeps everything."""
    world: World = make_world(REPORTER_RETENTION_DAYS="0")
    world.publish()
    world.clock.advance(3000 * DAY_S)

    assert sweep(world) == {"reports": 0, "deliveries": 0, "endpoints": 0}
    assert left(world, "reports") == [1]


def test_a_delivery_that_ended_after_its_endpoint_keeps_it(world: World, subscriber: Subscriber) -> None:
    """It was being sent when the endpoint was deleted; until it goes, so does not the row that it refers to."""
    created = world.client.post("/webhooks", json={"url": subscriber.url}).get_json()

    def answer(_got: Got) -> Answer:
        world.client.delete(f"/webhooks/{created['id']}")
        world.clock.advance(30)
        return Answer(204)

    subscriber.answer = answer
    world.notify()
    world.deliver(world.queue.hints[0])
    world.clock.advance(30 * DAY_S - 15)
    early = sweep(world)
    world.clock.advance(15)
    late = sweep(world)

    assert (early["deliveries"], early["endpoints"]) == (0, 0)
    assert (late["deliveries"], late["endpoints"]) == (1, 1)
