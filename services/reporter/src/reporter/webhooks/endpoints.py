"""Webhook endpoints: subscriptions of people who do not want to name a URL with every batch.

Each use case is told who asks; what that caller may not see is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from chassis.auth.callers import Caller
from chassis.clock import Clock
from chassis.db.engine import transact
from chassis.egress.client import Egress, EgressError
from chassis.http.page_tokens import Position, page_token, position_of
from chassis.limited import Limited
from chassis.logs import get_logger, safe_url
from reporter.errors import (
    delivery_not_found,
    delivery_under_way,
    endpoint_disabled,
    endpoint_limit,
    endpoint_not_found,
    endpoint_url_refused,
    secret_limit,
)
from reporter.http.schemas import DeliveryBody
from reporter.state.deliveries import Hint
from reporter.state.endpoints import (
    DisabledReason,
    Endpoint,
    add_endpoint,
    add_secret,
    change_endpoint,
    count_endpoints,
    disable_endpoint,
    endpoint_of_delivery,
    find_endpoint,
    list_endpoints,
)
from reporter.state.redeliveries import Redelivered, redeliver_one, redeliver_since
from reporter.webhooks.deliver import Deliveries
from reporter.webhooks.log import deliveries_to, delivery
from reporter.webhooks.secrets import EndpointSecrets

log = get_logger(__name__)

MAX_SECRETS: Annotated[int, Limited("secrets", "400 `SECRET_LIMIT`", "Secrets that sign for an endpoint at once")] = 5
"""Most secrets that sign for an endpoint at once: each adds 48 bytes to a header."""

HINTS_AT_ONCE = 50
"""Most tasks that one request makes; the sweeper makes the rest, some hundreds a minute."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """What the deployment decides: how many endpoints there may be, and how long a replaced secret signs."""

    max_endpoints: int
    secret_overlap: timedelta


class Endpoints:
    """The use cases of webhook endpoints.

    Args:
        engine: the reporter's database.
        deliveries: sends.
        egress: says where events may go.
        secrets: makes and reveals signing secrets.
        policy: the deployment's limits.
        clock: all times are its.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        deliveries: Deliveries,
        egress: Egress,
        secrets: EndpointSecrets,
        policy: EndpointPolicy,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._deliveries = deliveries
        self._egress = egress
        self._secrets = secrets
        self._policy = policy
        self._clock = clock

    def create(
        self, caller: Caller, *, url: str, event_types: tuple[str, ...] | None, description: str, enabled: bool
    ) -> tuple[Endpoint, str]:
        """Add an endpoint; return it and its secret.

        Raises:
            ApiError: 400 ENDPOINT_URL_REFUSED, ENDPOINT_LIMIT.
        """
        self._check_url(url)
        now = self._clock.now()
        endpoint = Endpoint(
            id=uuid4(),
            owner=caller.owner,
            url=url,
            description=description,
            event_types=event_types,
            disabled_reason=None if enabled else DisabledReason.PAUSED,
            disable_time=None if enabled else now,
            failing_since=None,
            create_time=now,
            update_time=now,
        )
        seed = self._secrets.new_seed()

        def work(connection: Connection) -> None:
            count = add_endpoint(connection, endpoint, limit=self._policy.max_endpoints)
            if count is not None:
                raise endpoint_limit(self._policy.max_endpoints, count)
            add_secret(connection, endpoint.id, seed, now=now, overlap=timedelta(0))

        transact(self._engine, work)
        log.info("endpoint.created", endpoint_id=str(endpoint.id), **safe_url(url))
        return endpoint, self._secrets.reveal(endpoint.id, seed)

    def get(self, caller: Caller, endpoint_id: UUID) -> Endpoint:
        """Return an endpoint.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND.
        """
        return transact(self._engine, lambda c: _found(c, caller, endpoint_id))

    def count(self, caller: Caller) -> int:
        """Return how many endpoints the caller's owner has."""
        return transact(self._engine, lambda c: count_endpoints(c, owner=caller.owner))

    def page(self, caller: Caller, *, page_size: int, token: str) -> tuple[list[Endpoint], str]:
        """Return a page of endpoints, oldest first, and the token of the next page.

        Raises:
            ApiError: 400 PAGE_TOKEN_INVALID.
        """
        after = position_of("webhooks", token)
        found = transact(self._engine, lambda c: list_endpoints(c, caller=caller, after=after, limit=page_size + 1))
        page = found[:page_size]
        more = len(found) > page_size
        return page, page_token("webhooks", Position(page[-1].create_time, page[-1].id)) if more else ""

    def change(self, caller: Caller, endpoint_id: UUID, changes: Mapping[str, Any]) -> Endpoint:
        """Set `url`, `event_types`, `description` or `enabled`; return the endpoint.

        Pausing ends what waits to be sent, as does everything that disables; redelivery brings it back.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_URL_REFUSED.
        """
        columns = {name: value for name, value in changes.items() if name != "enabled"}
        enabled = changes.get("enabled")
        if "url" in columns:
            self.get(caller, endpoint_id)  # an unknown endpoint is the greater mistake
            self._check_url(columns["url"])
        now = self._clock.now()

        def work(connection: Connection) -> Endpoint:
            endpoint = _found(connection, caller, endpoint_id, lock=True)
            values: dict[str, Any] = {**columns, "update_time": now}
            if enabled is False and endpoint.disabled_reason is None:
                endpoint = disable_endpoint(connection, endpoint_id, DisabledReason.PAUSED, now=now)
            if "url" in columns and columns["url"] != endpoint.url:
                values["failing_since"] = None
            if enabled is True and endpoint.disabled_reason is not None:
                values.update(disabled_reason=None, disable_time=None, failing_since=None)
            return change_endpoint(connection, endpoint_id, values)

        changed = transact(self._engine, work)
        log.info("endpoint.changed", endpoint_id=str(endpoint_id), fields=sorted(changes))
        return changed

    def delete(self, caller: Caller, endpoint_id: UUID) -> None:
        """Delete an endpoint and its secrets, and end what waits to be sent to it.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND.
        """
        now = self._clock.now()

        def work(connection: Connection) -> None:
            _found(connection, caller, endpoint_id, lock=True)
            disable_endpoint(connection, endpoint_id, DisabledReason.DELETED, now=now)

        transact(self._engine, work)
        log.info("endpoint.deleted", endpoint_id=str(endpoint_id))

    def rotate_secret(self, caller: Caller, endpoint_id: UUID, *, overlap: timedelta | None) -> tuple[Endpoint, str]:
        """Give an endpoint a new secret; those before it sign too for `overlap`, else for the deployment's.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND, 400 SECRET_LIMIT.
        """
        now = self._clock.now()
        seed = self._secrets.new_seed()
        kept_for = self._policy.secret_overlap if overlap is None else overlap

        def work(connection: Connection) -> Endpoint:
            endpoint = _found(connection, caller, endpoint_id, lock=True)
            count = add_secret(connection, endpoint_id, seed, now=now, overlap=kept_for)
            if count > MAX_SECRETS:
                raise secret_limit(MAX_SECRETS, count - 1)
            return endpoint

        endpoint = transact(self._engine, work)
        log.info("endpoint.secret_rotated", endpoint_id=str(endpoint_id))
        return endpoint, self._secrets.reveal(endpoint_id, seed)

    def send_test(self, caller: Caller, endpoint_id: UUID) -> DeliveryBody:
        """Send a test event; return its delivery, which is attempted like any other.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_DISABLED.
        """
        delivery_id = self._deliveries.send_sample(_enabled(self.get(caller, endpoint_id)))
        return self._shown(caller, delivery_id)

    def deliveries(
        self, caller: Caller, endpoint_id: UUID, *, state: str | None, page_size: int, token: str
    ) -> tuple[list[DeliveryBody], str]:
        """Return a page of an endpoint's deliveries, newest first, and the token of the next page.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND, 400 PAGE_TOKEN_INVALID.
        """
        scope = f"webhooks/{endpoint_id}/{state or ''}"
        before = position_of(scope, token)

        def work(connection: Connection) -> tuple[list[DeliveryBody], str]:
            _found(connection, caller, endpoint_id)
            page, last = deliveries_to(
                connection,
                endpoint_id,
                state=state,
                before=before,
                page_size=page_size,
                # Strangers could otherwise read through us what other hosts answer.
                with_answers=caller.owner is not None or caller.sees_all,
            )
            return page, "" if last is None else page_token(scope, last)

        return transact(self._engine, work)

    def redeliver(self, caller: Caller, delivery_id: UUID) -> DeliveryBody:
        """Make a delivery due now with the whole schedule before it, under its old message id; return it.

        Raises:
            ApiError: 404 DELIVERY_NOT_FOUND, 400 ENDPOINT_DISABLED, 409 DELIVERY_UNDER_WAY.
        """
        now = self._clock.now()

        def work(connection: Connection) -> Hint:
            if delivery(connection, delivery_id, caller=caller) is None:
                raise delivery_not_found(str(delivery_id))
            endpoint = endpoint_of_delivery(connection, delivery_id, lock=True)
            if endpoint is not None and endpoint.disabled_reason is DisabledReason.DELETED:
                raise delivery_not_found(str(delivery_id))
            if endpoint is not None:
                _enabled(endpoint)
            hint = redeliver_one(connection, delivery_id, now=now, sweep_time=now + self._deliveries.hint_grace)
            if hint is None:
                raise delivery_under_way(str(delivery_id))
            return hint

        self._deliveries.hint_all([transact(self._engine, work)])
        log.info("delivery.redelivered", delivery_id=str(delivery_id))
        return self._shown(caller, delivery_id)

    def redeliver_since(self, caller: Caller, endpoint_id: UUID, *, since: datetime, only_failed: bool) -> int:
        """Make an endpoint's ended deliveries of events since a time due again; return how many they are.

        Raises:
            ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_DISABLED.
        """
        now = self._clock.now()

        def work(connection: Connection) -> Redelivered:
            _enabled(_found(connection, caller, endpoint_id, lock=True))
            return redeliver_since(
                connection,
                endpoint_id,
                since=since,
                states=("FAILED",) if only_failed else ("FAILED", "DELIVERED"),
                now=now,
                sweep_time=now + self._deliveries.hint_grace,
                hint_limit=HINTS_AT_ONCE,
            )

        redelivered = transact(self._engine, work)
        self._deliveries.hint_all(redelivered.hints)
        log.info("endpoint.redelivered", endpoint_id=str(endpoint_id), deliveries=redelivered.count)
        return redelivered.count

    def _check_url(self, url: str) -> None:
        try:
            self._egress.check_target(url)
        except EgressError as error:
            raise endpoint_url_refused(error.fault, error.detail) from error

    def _shown(self, caller: Caller, delivery_id: UUID) -> DeliveryBody:
        found = transact(self._engine, lambda c: delivery(c, delivery_id, caller=caller))
        if found is None:
            raise delivery_not_found(str(delivery_id))
        return found


def _found(connection: Connection, caller: Caller, endpoint_id: UUID, *, lock: bool = False) -> Endpoint:
    endpoint = find_endpoint(connection, endpoint_id, caller=caller, lock=lock)
    if endpoint is None:
        raise endpoint_not_found(str(endpoint_id))
    return endpoint


def _enabled(endpoint: Endpoint) -> Endpoint:
    if endpoint.disabled_reason is not None:
        raise endpoint_disabled(str(endpoint.id), endpoint.disabled_reason)
    return endpoint
