"""Who waits for whom: changes of one endpoint follow one another, and nothing else waits for them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from chassis.auth.callers import SYSTEM, Caller
from reporter.state.locks import lock_endpoint, lock_endpoint_count, lock_endpoint_of_delivery
from support.reporter_service import SCHEDULER, Subscriber, World
from support.webhook_subscriptions import log_of, subscribe

Lock = Callable[[Connection], None]


def waits(world: World, first: Lock, second: Lock) -> bool:
    """Return whether a second transaction has to wait for what a first one holds."""
    with world.engine.connect() as holder, world.engine.connect() as other:
        first(holder)
        other.execute(text("SET LOCAL lock_timeout = '200ms'"))
        try:
            second(other)
        except OperationalError:
            return True
    return False


@pytest.fixture(name="endpoint_id")
def _endpoint_id(world: World, subscriber: Subscriber) -> UUID:
    return UUID(subscribe(world, subscriber.url)["id"])


@pytest.fixture(name="delivery_id")
def _delivery_id(world: World, endpoint_id: UUID) -> UUID:
    world.notify()
    return UUID(log_of(world, str(endpoint_id))[0]["id"])


def test_two_changes_of_an_endpoint_follow_one_another(world: World, endpoint_id: UUID, delivery_id: UUID) -> None:
    """By its id or by a delivery to it."""

    def by_id(connection: Connection) -> None:
        lock_endpoint(connection, endpoint_id, caller=SYSTEM)

    def by_delivery(connection: Connection) -> None:
        lock_endpoint_of_delivery(connection, delivery_id)

    assert waits(world, by_id, by_id)
    assert waits(world, by_delivery, by_id)
    assert waits(world, by_id, by_delivery)


def test_an_endpoint_of_somebody_else_is_not_locked(world: World, endpoint_id: UUID) -> None:
    """A stranger who knows the id cannot hold up its owner."""
    assert not waits(
        world,
        lambda c: lock_endpoint(c, endpoint_id, caller=Caller("stranger")),
        lambda c: lock_endpoint(c, endpoint_id, caller=Caller(None)),
    )


def test_counting_is_done_by_one_at_a_time(world: World) -> None:
    """So that two who add at once do not both find room for the last endpoint."""
    assert waits(world, lock_endpoint_count, lock_endpoint_count)


def test_an_event_is_recorded_while_its_endpoint_is_being_changed(world: World, endpoint_id: UUID) -> None:
    """The foreign key of the new delivery does not wait for the lock of a change."""
    with world.engine.connect() as holder:
        lock_endpoint(holder, endpoint_id, caller=SYSTEM)
        world.notify()

    assert len(log_of(world, str(endpoint_id))) == 1


def test_a_sweep_waits_for_nobody(world: World, endpoint_id: UUID, delivery_id: UUID) -> None:
    """A delivery that somebody has locked is passed over and found the next time."""
    world.notify()
    world.clock.advance(121)
    with world.engine.connect() as holder:
        holder.execute(text("SELECT FROM deliveries WHERE id = :id FOR UPDATE"), {"id": delivery_id})
        during = world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"]["lost_deliveries"]
    after = world.internal("/internal/sweep", account=SCHEDULER).get_json()["swept"]["lost_deliveries"]

    assert (during, after) == (1, 1)
