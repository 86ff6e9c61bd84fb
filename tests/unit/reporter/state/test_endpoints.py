"""Rows of endpoints: whose they are, how many there may be, and what becomes of their deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from chassis.auth.callers import SYSTEM, Caller
from chassis.db.engine import new_engine
from chassis.http.page_tokens import Position
from reporter.state.deliveries import (
    DeliveryState,
    EndReason,
    Event,
    Target,
    add_deliveries,
    end_waiting_deliveries,
    standing,
)
from reporter.state.endpoints import (
    DisabledReason,
    Endpoint,
    EndpointChange,
    NewEndpoint,
    add_endpoint,
    change_endpoint,
    count_endpoints,
    delete_endpoint,
    disable_endpoint,
    enable_endpoint,
    endpoint_of_delivery,
    find_endpoint,
    list_endpoints,
    subscribed_endpoints,
)

NEW = NewEndpoint(uuid4(), "alice", "https://shop.example/hook", "orders", None, enabled=True)


@pytest.fixture(name="connection")
def _connection(database_url: str) -> Iterator[Connection]:
    engine = new_engine(database_url, pool_size=1)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def added(connection: Connection, *, owner: str | None = "alice", limit: int = 100, **changes: Any) -> Endpoint:
    """Add an endpoint and return it."""
    endpoint = add_endpoint(connection, replace(NEW, id=uuid4(), owner=owner, **changes), limit=limit)
    assert isinstance(endpoint, Endpoint)
    return endpoint


def delivered_to(connection: Connection, *endpoint_ids: UUID | None) -> list[UUID]:
    """Add a delivery for each endpoint, or for the URL of a batch, and return their ids."""
    ids = []
    for endpoint_id in endpoint_ids:
        event = Event(uuid4(), 0, "batch.completed", b"{}", "alice")
        target = Target("https://shop.example/hook", endpoint_id)
        ids += [hint.delivery_id for hint in add_deliveries(connection, event, [target], hint_grace_s=60)]
    return ids


@pytest.mark.parametrize("types", [None, (), ("batch.completed",)], ids=str)
def test_an_endpoint_is_found_as_it_was_added(connection: Connection, types: tuple[str, ...] | None) -> None:
    """No choice of events is another thing than a choice of none."""
    endpoint = added(connection, event_types=types)

    assert find_endpoint(connection, endpoint.id, caller=Caller("alice")) == endpoint
    assert (endpoint.owner, endpoint.url, endpoint.description) == ("alice", NEW.url, "orders")
    assert (endpoint.event_types, endpoint.disabled_reason, endpoint.disabled_at) == (types, None, None)


def test_an_endpoint_may_be_added_paused(connection: Connection) -> None:
    """Since that moment."""
    endpoint = added(connection, enabled=False)

    assert (endpoint.disabled_reason, endpoint.disabled_at) == (DisabledReason.PAUSED, endpoint.created_at)


def test_an_endpoint_is_added_once(connection: Connection) -> None:
    """A transaction that is run again finds what it has made, also when nothing more may be added."""
    endpoint = added(connection)

    again = add_endpoint(connection, replace(NEW, id=endpoint.id, url="https://other.example/"), limit=0)

    assert again == endpoint


@pytest.mark.parametrize("owner", ["alice", None])
def test_an_owner_may_have_so_many_endpoints(connection: Connection, owner: str | None) -> None:
    """Those of others do not count, and neither do deleted ones."""
    for other in {"alice", "bob", None} - {owner}:
        added(connection, owner=other)
    delete_endpoint(connection, added(connection, owner=owner).id)
    added(connection, owner=owner, limit=2)
    added(connection, owner=owner, limit=2)

    assert add_endpoint(connection, replace(NEW, id=uuid4(), owner=owner), limit=2) == 2
    assert count_endpoints(connection, owner=owner) == 2


def test_a_caller_sees_the_endpoints_of_its_owner_oldest_first_and_an_admin_all(connection: Connection) -> None:
    """A deleted one is seen by nobody."""
    mine, theirs, nobodys, gone = (added(connection, owner=owner) for owner in ("alice", "bob", None, "alice"))
    delete_endpoint(connection, gone.id)
    expected = {Caller("alice"): [mine], Caller("bob"): [theirs], Caller(None): [nobodys], Caller("carol"): []}
    expected[SYSTEM] = sorted([mine, theirs, nobodys], key=lambda endpoint: (endpoint.created_at, endpoint.id))

    for caller, endpoints in expected.items():
        assert list_endpoints(connection, caller=caller, after=None, limit=10) == endpoints
        seen = [find_endpoint(connection, each.id, caller=caller) for each in (mine, theirs, nobodys, gone)]
        assert [each for each in seen if each] == [each for each in (mine, theirs, nobodys) if each in endpoints]


def test_endpoints_come_in_pages(connection: Connection) -> None:
    """Each begins after the last one of the page before."""
    ids = {added(connection).id for _ in range(5)}
    pages: list[list[Endpoint]] = []
    after: Position | None = None
    while page := list_endpoints(connection, caller=Caller("alice"), after=after, limit=2):
        pages.append(page)
        after = Position(page[-1].created_at, page[-1].id)
        assert len(pages) <= 3

    assert [len(page) for page in pages] == [2, 2, 1]
    assert {endpoint.id for page in pages for endpoint in page} == ids


def test_an_event_is_for_its_owners_endpoints_that_want_it(connection: Connection) -> None:
    """Also for disabled ones, which hear of it later."""
    every, chosen, paused = added(connection), added(connection, event_types=("a", "b")), added(connection)
    added(connection, event_types=("b",))
    added(connection, owner="bob")
    nobodys = added(connection, owner=None)
    disable_endpoint(connection, paused.id, DisabledReason.PAUSED)

    wanting = subscribed_endpoints(connection, owner="alice", event_type="a")
    assert {endpoint.id for endpoint in wanting} == {every.id, chosen.id, paused.id}
    assert [endpoint.id for endpoint in subscribed_endpoints(connection, owner=None, event_type="a")] == [nobodys.id]


def test_a_change_sets_what_it_names_and_leaves_the_rest(connection: Connection) -> None:
    """Also the choice of events can be taken back."""
    endpoint = added(connection, event_types=("a",))
    untouched = added(connection)
    changes: dict[EndpointChange, dict[str, Any]] = {
        EndpointChange(url="https://new.example/"): {"url": "https://new.example/"},
        EndpointChange(description="new"): {"description": "new"},
        EndpointChange(event_types=("ignored",)): {},
        EndpointChange(new_event_types=True, event_types=("b",)): {"event_types": ("b",)},
        EndpointChange(new_event_types=True): {"event_types": None},
    }
    for change, differences in changes.items():
        endpoint = replace(endpoint, **differences)
        assert change_endpoint(connection, endpoint.id, change) == endpoint

    assert find_endpoint(connection, untouched.id, caller=SYSTEM) == untouched


def test_disabling_ends_what_waits_for_this_endpoint_and_enabling_forgets(connection: Connection) -> None:
    """The first reason stays; deliveries of others wait on."""
    endpoint, other = added(connection), added(connection)
    mine, theirs, batchs = delivered_to(connection, endpoint.id, other.id, None)

    disable_endpoint(connection, endpoint.id, DisabledReason.FAILING)
    (later,) = delivered_to(connection, endpoint.id)
    disable_endpoint(connection, endpoint.id, DisabledReason.PAUSED)

    disabled = find_endpoint(connection, endpoint.id, caller=SYSTEM)
    assert disabled is not None
    assert disabled.disabled_reason is DisabledReason.FAILING
    states = [standing(connection, each) for each in (mine, theirs, batchs, later)]
    assert [each and each.state for each in states] == [DeliveryState.FAILED, *[DeliveryState.PENDING] * 3]
    enable_endpoint(connection, endpoint.id)
    assert find_endpoint(connection, endpoint.id, caller=SYSTEM) == endpoint


def test_deleting_ends_what_waits_for_this_endpoint(connection: Connection) -> None:
    """Its deliveries still lead to it; nobody else finds it."""
    endpoint, other = added(connection), added(connection)
    mine, theirs, batchs = delivered_to(connection, endpoint.id, other.id, None)

    delete_endpoint(connection, endpoint.id)

    states = [standing(connection, each) for each in (mine, theirs, batchs)]
    assert [each and each.delivery_id for each in states] == [mine, theirs, batchs]
    assert [each and each.state for each in states] == [DeliveryState.FAILED, *[DeliveryState.PENDING] * 2]
    assert find_endpoint(connection, endpoint.id, caller=SYSTEM) is None
    found = [endpoint_of_delivery(connection, each) for each in (mine, theirs, batchs)]
    assert [each and each.disabled_reason for each in found] == [DisabledReason.DELETED, None, None]
    assert [each and each.id for each in found] == [endpoint.id, other.id, None]


def test_what_ended_once_does_not_end_again(connection: Connection) -> None:
    """Its first reason is the one that its log shows."""
    endpoint = added(connection)
    (mine,) = delivered_to(connection, endpoint.id)
    for reason in (EndReason.ENDPOINT_DISABLED, EndReason.ENDPOINT_DELETED):
        end_waiting_deliveries(connection, endpoint.id, reason)

    statement = "SELECT end_reason FROM deliveries WHERE id = %(id)s"
    assert connection.exec_driver_sql(statement, {"id": str(mine)}).scalar_one() == "ENDPOINT_DISABLED"
