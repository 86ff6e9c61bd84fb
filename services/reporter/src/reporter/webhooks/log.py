"""Reads deliveries and their attempts for people; changes nothing."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from chassis.auth.callers import Caller
from chassis.http.page_tokens import Position
from chassis.times import rfc3339
from reporter.http.schemas import AttemptBody, DeliveryBody
from reporter.state.tables import attempts, deliveries


def deliveries_of(connection: Connection, request_id: UUID, *, caller: Caller) -> list[DeliveryBody]:
    """Return the deliveries of a batch that the caller may see, oldest first, with their attempts.

    Of an endpoint only the host is told, and nothing of its answers: path, query and body may hold secrets.
    """
    query = sa.select(deliveries).where(deliveries.c.request_id == request_id, _visible_to(caller))
    return _with_attempts(
        connection, query.order_by(deliveries.c.create_time, deliveries.c.generation, deliveries.c.id)
    )


def delivery(connection: Connection, delivery_id: UUID, *, caller: Caller) -> DeliveryBody | None:
    """Return a delivery; None when there is none that the caller may see."""
    query = sa.select(deliveries).where(deliveries.c.id == delivery_id, _visible_to(caller))
    found = _with_attempts(connection, query)
    return found[0] if found else None


def deliveries_to(
    connection: Connection,
    endpoint_id: UUID,
    *,
    state: str | None,
    before: Position | None,
    page_size: int,
    with_answers: bool,
) -> tuple[list[DeliveryBody], Position | None]:
    """Return a page of an endpoint's deliveries, newest first, and its last entry when more follow.

    `with_answers` tells what the receiver said, for those whose endpoint it is.
    """
    place = sa.tuple_(deliveries.c.create_time, deliveries.c.id)
    chosen = (
        sa.select(deliveries.c.id, deliveries.c.create_time)
        .where(
            deliveries.c.endpoint_id == endpoint_id,
            sa.true() if state is None else deliveries.c.state == state,
            sa.true() if before is None else place < (before.time, before.id),
        )
        .order_by(deliveries.c.create_time.desc(), deliveries.c.id.desc())
        .limit(page_size + 1)
    )
    rows = connection.execute(chosen).all()
    page = rows[:page_size]
    query = sa.select(deliveries).where(deliveries.c.id.in_([row.id for row in page]))
    query = query.order_by(deliveries.c.create_time.desc(), deliveries.c.id.desc())
    shown = _with_attempts(connection, query, with_answers=with_answers)
    return shown, Position(page[-1].create_time, page[-1].id) if len(rows) > page_size else None


def _visible_to(caller: Caller) -> sa.ColumnElement[bool]:
    return sa.true() if caller.sees_all else deliveries.c.owner.is_not_distinct_from(caller.owner)


def _with_attempts(connection: Connection, chosen: sa.Select[Any], *, with_answers: bool = False) -> list[DeliveryBody]:
    found = connection.execute(chosen).all()
    tried: dict[UUID, list[AttemptBody]] = defaultdict(list)
    query = (
        sa.select(attempts)
        .where(attempts.c.delivery_id.in_([row.id for row in found]))
        .order_by(attempts.c.delivery_id, attempts.c.number)
    )
    for row in connection.execute(query):
        tried[row.delivery_id].append(
            AttemptBody(
                number=row.number,
                start_time=rfc3339(row.start_time),
                elapsed_ms=row.elapsed_ms,
                status_code=row.status_code,
                failure=row.failure,
                answer=row.answer if with_answers and row.failure is None else None,
            )
        )
    return [_delivery(row, tried[row.id]) for row in found]


def _delivery(row: Any, tried: list[AttemptBody]) -> DeliveryBody:
    return DeliveryBody(
        id=str(row.id),
        request_id=str(row.request_id),
        endpoint_id=None if row.endpoint_id is None else str(row.endpoint_id),
        message_id=row.message_id,
        type=row.type,
        generation=row.generation,
        url_host=_host(row.url),
        state=row.state,
        end_reason=row.end_reason,
        create_time=rfc3339(row.create_time),
        next_attempt_time=rfc3339(row.next_attempt_time),
        attempts=tried,
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
