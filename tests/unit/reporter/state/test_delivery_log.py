"""The log of deliveries: who sees which, in which order, and in pages."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import new_engine
from chassis.http.page_tokens import Position
from reporter.state.deliveries import Event, Target, add_deliveries
from reporter.state.delivery_log import LoggedDelivery, deliveries_of, deliveries_to, find_delivery, newest_deliveries
from reporter.state.endpoints import NewEndpoint, add_endpoint

OWNERS = ("alice", "bob", None)
CALLERS = (Caller("alice"), Caller("bob"), Caller(None), Caller("carol"), SYSTEM)


@pytest.fixture(name="connection")
def _connection(database_url: str) -> Iterator[Connection]:
    engine = new_engine(database_url, pool_size=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def added(
    connection: Connection, owner: str | None, *, endpoint_id: UUID | None = None, disabled: bool = False
) -> UUID:
    """Add a delivery of a batch of its own and return the batch."""
    event = Event(uuid4(), 0, "batch.completed", b"{}", owner)
    target = Target("https://shop.example/hook", endpoint_id, disabled=disabled)
    add_deliveries(connection, event, [target], hint_grace_s=60)
    return event.request_id


def test_a_caller_sees_the_deliveries_of_its_owner_and_an_admin_all(connection: Connection) -> None:
    """In the log, by the batch and by the delivery."""
    batches = {owner: added(connection, owner) for owner in OWNERS}
    ids = {owner: deliveries_of(connection, request_id, caller=SYSTEM)[0].id for owner, request_id in batches.items()}
    for caller in CALLERS:
        visible = {owner for owner in OWNERS if caller.sees_all or caller.owner == owner}

        newest = newest_deliveries(connection, caller=caller, before=None, limit=10)
        of_batches = {owner for owner in OWNERS if deliveries_of(connection, batches[owner], caller=caller)}
        found = {owner for owner in OWNERS if find_delivery(connection, ids[owner], caller=caller)}

        assert {delivery.request_id for delivery in newest} == {batches[owner] for owner in visible}
        assert (of_batches, found) == (visible, visible)


@pytest.mark.parametrize("of_endpoint", [True, False])
def test_a_log_comes_newest_first_and_in_pages(connection: Connection, of_endpoint: bool) -> None:
    """Each page begins after the last entry of the one before; nothing is shown twice or left out."""
    endpoint_id = uuid4()
    new = NewEndpoint(endpoint_id, "alice", "https://shop.example/hook", "", None, enabled=True)
    add_endpoint(connection, new, limit=1)
    batches = {added(connection, "alice", endpoint_id=endpoint_id) for _ in range(5)}

    def page(before: Position | None) -> list[LoggedDelivery]:
        if of_endpoint:
            return deliveries_to(connection, endpoint_id, state=None, before=before, limit=2)
        return newest_deliveries(connection, caller=Caller("alice"), before=before, limit=2)

    pages: list[list[LoggedDelivery]] = []
    before: Position | None = None
    while shown := page(before):
        pages.append(shown)
        before = Position(shown[-1].created_at, shown[-1].id)
        assert len(pages) <= 3

    entries = [(delivery.created_at, delivery.id) for each in pages for delivery in each]
    assert [len(each) for each in pages] == [2, 2, 1]
    assert entries == sorted(entries, reverse=True)
    assert {delivery.request_id for each in pages for delivery in each} == batches


@pytest.mark.parametrize("state", ["PENDING", "FAILED", "DELIVERED", None])
def test_an_endpoints_deliveries_can_be_asked_for_by_their_state(connection: Connection, state: str | None) -> None:
    """Those of other endpoints are never among them."""
    ids = [uuid4(), uuid4()]
    for endpoint_id in ids:
        new = NewEndpoint(endpoint_id, "alice", "https://shop.example/hook", "", None, enabled=True)
        add_endpoint(connection, new, limit=2)
    batches = {
        "PENDING": added(connection, "alice", endpoint_id=ids[0]),
        "FAILED": added(connection, "alice", endpoint_id=ids[0], disabled=True),
    }
    added(connection, "alice", endpoint_id=ids[1])

    found = deliveries_to(connection, ids[0], state=state, before=None, limit=10)

    expected = set(batches.values()) if state is None else {batches[state]} if state in batches else set()
    assert {delivery.request_id for delivery in found} == expected
