"""Webhook endpoints: subscriptions of people who do not want to name a URL with every batch.

Each function is told who asks; what that caller may not see is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from sqlalchemy import Connection

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from chassis.http.page_tokens import Position, page_token, position_of
from chassis.limited import Limited
from chassis.logs import get_logger, safe_url
from reporter.clients.receivers import check_receiver
from reporter.dependencies import Dependencies
from reporter.errors import endpoint_disabled, endpoint_limit, endpoint_not_found, secret_limit
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
    find_endpoint,
    list_endpoints,
)
from reporter.state.locks import lock_endpoint
from reporter.state.secrets import add_secret
from reporter.webhooks.secrets import new_seed, reveal_secret

log = get_logger(__name__)

MAX_SECRETS: Annotated[int, Limited("secrets", "400 `SECRET_LIMIT`", "Secrets that sign for an endpoint at once")] = 5
"""Most secrets that sign for an endpoint at once: each adds 48 bytes to a header."""


@dataclass(frozen=True, slots=True)
class EndpointPage:
    """A page of a list of endpoints; the token is empty on the last page."""

    endpoints: Sequence[Endpoint]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client asks for: where events go, which ones (None: all), for people to read, and whether at once."""

    url: str
    event_types: tuple[str, ...] | None
    description: str
    enabled: bool


def create_endpoint(dependencies: Dependencies, caller: Caller, wanted: Subscription) -> tuple[Endpoint, str]:
    """Add an endpoint; return it and its secret.

    Raises:
        ApiError: 400 ENDPOINT_URL_REFUSED, ENDPOINT_LIMIT.
    """
    check_receiver(dependencies.registrations, wanted.url)
    settings = dependencies.settings
    seed = new_seed(settings.endpoint_keys)
    new = NewEndpoint(
        id=uuid4(),
        owner=caller.owner,
        url=wanted.url,
        description=wanted.description,
        event_types=wanted.event_types,
        enabled=wanted.enabled,
    )

    def work(connection: Connection) -> Endpoint:
        added = add_endpoint(connection, new, limit=settings.webhook_max_endpoints)
        if isinstance(added, int):
            raise endpoint_limit(settings.webhook_max_endpoints, added)
        add_secret(connection, new.id, seed, overlap_s=0)
        return added

    endpoint = transact(dependencies.engine, work)
    log.info("endpoint.created", endpoint_id=str(endpoint.id), **safe_url(wanted.url))
    return endpoint, reveal_secret(settings.endpoint_keys, endpoint.id, seed)


def get_endpoint(dependencies: Dependencies, caller: Caller, endpoint_id: UUID) -> Endpoint:
    """Return an endpoint.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND.
    """
    return transact(dependencies.engine, lambda c: found_endpoint(c, caller, endpoint_id))


def count_own_endpoints(dependencies: Dependencies, caller: Caller) -> int:
    """Return how many endpoints the caller's owner has."""
    return transact(dependencies.engine, lambda c: count_endpoints(c, owner=caller.owner))


def read_endpoints(dependencies: Dependencies, caller: Caller, *, page_size: int, token: str) -> EndpointPage:
    """Return a page of endpoints, oldest first.

    Raises:
        ApiError: 400 PAGE_TOKEN_INVALID.
    """
    after = position_of("webhooks", token)
    found = transact(dependencies.engine, lambda c: list_endpoints(c, caller=caller, after=after, limit=page_size + 1))
    page = found[:page_size]
    if len(found) <= page_size:
        return EndpointPage(page, "")
    return EndpointPage(page, page_token("webhooks", Position(page[-1].created_at, page[-1].id)))


def update_endpoint(
    dependencies: Dependencies, caller: Caller, endpoint_id: UUID, change: EndpointChange, *, enabled: bool | None
) -> Endpoint:
    """Change what is named, then pause (`enabled` False) or enable again (True); return the endpoint.

    Pausing ends what waits to be sent, as does everything that disables; redelivery brings it back.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND, 400 ENDPOINT_URL_REFUSED.
    """
    if change.url is not None:
        get_endpoint(dependencies, caller, endpoint_id)  # an unknown endpoint is the greater mistake
        check_receiver(dependencies.registrations, change.url)

    def work(connection: Connection) -> Endpoint:
        lock_endpoint(connection, endpoint_id, caller=caller)
        found_endpoint(connection, caller, endpoint_id)
        if enabled is False:
            disable_endpoint(connection, endpoint_id, DisabledReason.PAUSED)
        elif enabled is True:
            enable_endpoint(connection, endpoint_id)
        return change_endpoint(connection, endpoint_id, change)

    changed = transact(dependencies.engine, work)
    log.info("endpoint.changed", endpoint_id=str(endpoint_id))
    return changed


def remove_endpoint(dependencies: Dependencies, caller: Caller, endpoint_id: UUID) -> None:
    """Delete an endpoint and its secrets, and end what waits to be sent to it.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND.
    """

    def work(connection: Connection) -> None:
        lock_endpoint(connection, endpoint_id, caller=caller)
        found_endpoint(connection, caller, endpoint_id)
        delete_endpoint(connection, endpoint_id)

    transact(dependencies.engine, work)
    log.info("endpoint.deleted", endpoint_id=str(endpoint_id))


def rotate_secret(
    dependencies: Dependencies, caller: Caller, endpoint_id: UUID, *, overlap_s: int | None
) -> tuple[Endpoint, str]:
    """Give an endpoint a new secret; those before it sign too for `overlap_s`, None: WEBHOOK_SECRET_OVERLAP_S.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND, 400 SECRET_LIMIT.
    """
    settings = dependencies.settings
    seed = new_seed(settings.endpoint_keys)
    kept_s = settings.webhook_secret_overlap_s if overlap_s is None else overlap_s

    def work(connection: Connection) -> Endpoint:
        lock_endpoint(connection, endpoint_id, caller=caller)
        endpoint = found_endpoint(connection, caller, endpoint_id)
        count = add_secret(connection, endpoint_id, seed, overlap_s=kept_s)
        if count > MAX_SECRETS:
            raise secret_limit(MAX_SECRETS, count - 1)
        return endpoint

    endpoint = transact(dependencies.engine, work)
    log.info("endpoint.secret_rotated", endpoint_id=str(endpoint_id))
    return endpoint, reveal_secret(settings.endpoint_keys, endpoint_id, seed)


def found_endpoint(connection: Connection, caller: Caller, endpoint_id: UUID) -> Endpoint:
    """Return an endpoint within a transaction.

    Raises:
        ApiError: 404 ENDPOINT_NOT_FOUND.
    """
    endpoint = find_endpoint(connection, endpoint_id, caller=caller)
    if endpoint is None:
        raise endpoint_not_found(str(endpoint_id))
    return endpoint


def enabled_endpoint(endpoint: Endpoint) -> Endpoint:
    """Return the endpoint if events are sent to it.

    Raises:
        ApiError: 400 ENDPOINT_DISABLED.
    """
    if endpoint.disabled_reason is not None:
        raise endpoint_disabled(str(endpoint.id), endpoint.disabled_reason)
    return endpoint
