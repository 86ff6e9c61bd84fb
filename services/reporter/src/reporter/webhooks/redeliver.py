"""Shows an endpoint's deliveries and sends events on request: a test event, one event again, or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from chassis.http.page_tokens import Position, page_token, position_of
from chassis.logs import get_logger
from reporter.clients.task_queue import give_hint, give_hints
from reporter.dependencies import Dependencies
from reporter.errors import delivery_not_found, delivery_under_way
from reporter.state.deliveries import DeliveryState, Hint
from reporter.state.delivery_log import LoggedDelivery, deliveries_to, find_delivery, newest_deliveries
from reporter.state.endpoints import DisabledReason, endpoint_of_delivery
from reporter.state.locks import lock_endpoint, lock_endpoint_of_delivery
from reporter.state.redeliveries import redeliver, redeliver_since
from reporter.webhooks.endpoints import enabled_endpoint, found_endpoint, get_endpoint
from reporter.webhooks.notify import send_sample

log = get_logger(__name__)

HINTS_AT_ONCE = 50
"""Most tasks that one request makes; the sweeper makes the rest, some hundreds a minute."""


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """A page of a list of deliveries; the token is empty on the last page."""

    deliveries: Sequence[LoggedDelivery]
    next_page_token: str


def read_deliveries(
    dependencies: Dependencies, caller: Caller, endpoint_id: UUID, *, state: str | None, page_size: int, token: str
) -> DeliveryPage:
    """Return a page of an endpoint's deliveries, newest first.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND, 400 PAGE_TOKEN_INVALID.
    """
    scope = f"webhooks/{endpoint_id}/{state or ''}"
    before = position_of(scope, token)

    def work(connection: Connection) -> list[LoggedDelivery]:
        found_endpoint(connection, caller, endpoint_id)
        return deliveries_to(connection, endpoint_id, state=state, before=before, limit=page_size + 1)

    return _page(transact(dependencies.engine, work), scope, page_size)


def read_all_deliveries(dependencies: Dependencies, caller: Caller, *, page_size: int, token: str) -> DeliveryPage:
    """Return a page of the deliveries of all batches that the caller may see, newest first.

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    scope = "deliveries"
    before = position_of(scope, token)
    found = transact(
        dependencies.engine, lambda c: newest_deliveries(c, caller=caller, before=before, limit=page_size + 1)
    )
    return _page(found, scope, page_size)


def _page(found: Sequence[LoggedDelivery], scope: str, page_size: int) -> DeliveryPage:
    """Return the page of one delivery more than it holds, if there is one more."""
    page = found[:page_size]
    if len(found) <= page_size:
        return DeliveryPage(page, "")
    return DeliveryPage(page, page_token(scope, Position(page[-1].created_at, page[-1].id)))


def send_test(dependencies: Dependencies, caller: Caller, endpoint_id: UUID) -> LoggedDelivery:
    """Send a test event; return its delivery, which is attempted like any other.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_DISABLED.
    """
    endpoint = enabled_endpoint(get_endpoint(dependencies, caller, endpoint_id))
    return _logged(dependencies, caller, send_sample(dependencies, endpoint))


def redeliver_one(dependencies: Dependencies, caller: Caller, delivery_id: UUID) -> LoggedDelivery:
    """Make a delivery due now with the whole schedule before it, under its old message id; return it.

    Raises:
        ApiError: 404 DELIVERY_NOT_FOUND, 400 ENDPOINT_DISABLED, 409 DELIVERY_UNDER_WAY.
    """
    grace_s = dependencies.settings.webhook_hint_grace_s

    def work(connection: Connection) -> Hint:
        if find_delivery(connection, delivery_id, caller=caller) is None:
            raise delivery_not_found(str(delivery_id))
        lock_endpoint_of_delivery(connection, delivery_id)
        endpoint = endpoint_of_delivery(connection, delivery_id)
        if endpoint is not None and endpoint.disabled_reason is DisabledReason.DELETED:
            raise delivery_not_found(str(delivery_id))
        if endpoint is not None:
            enabled_endpoint(endpoint)
        hint = redeliver(connection, delivery_id, hint_grace_s=grace_s)
        if hint is None:
            raise delivery_under_way(str(delivery_id))
        return hint

    give_hint(dependencies.tasks, transact(dependencies.engine, work))
    log.info("delivery.redelivered", delivery_id=str(delivery_id))
    return _logged(dependencies, caller, delivery_id)


def redeliver_many(
    dependencies: Dependencies, caller: Caller, endpoint_id: UUID, *, since: datetime, only_failed: bool
) -> int:
    """Make an endpoint's ended deliveries of events since a time due again; return how many they are.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_DISABLED.
    """
    states = (DeliveryState.FAILED,) if only_failed else (DeliveryState.FAILED, DeliveryState.DELIVERED)

    def work(connection: Connection) -> tuple[int, list[Hint]]:
        lock_endpoint(connection, endpoint_id, caller=caller)
        enabled_endpoint(found_endpoint(connection, caller, endpoint_id))
        return redeliver_since(
            connection,
            endpoint_id,
            since=since,
            states=states,
            hint_limit=HINTS_AT_ONCE,
            hint_grace_s=dependencies.settings.webhook_hint_grace_s,
        )

    count, hints = transact(dependencies.engine, work)
    give_hints(dependencies.tasks, hints)
    log.info("endpoint.redelivered", endpoint_id=str(endpoint_id), deliveries=count)
    return count


def _logged(dependencies: Dependencies, caller: Caller, delivery_id: UUID) -> LoggedDelivery:
    found = transact(dependencies.engine, lambda c: find_delivery(c, delivery_id, caller=caller))
    if found is None:
        raise delivery_not_found(str(delivery_id))
    return found
