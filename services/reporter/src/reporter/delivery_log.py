"""Reads deliveries and their attempts for people; changes nothing."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from reporter.events import rfc3339
from reporter.models import AttemptBody, DeliveryBody
from reporter.tables import attempts, deliveries


def deliveries_of(connection: Connection, request_id: UUID) -> list[DeliveryBody]:
    """Return the deliveries of a batch, oldest first, with their attempts.

    Of an endpoint only the host is told, and nothing of its answers: path, query and body may hold secrets.
    """
    found = connection.execute(
        sa.select(deliveries)
        .where(deliveries.c.request_id == request_id)
        .order_by(deliveries.c.create_time, deliveries.c.generation, deliveries.c.id)
    ).all()
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
            )
        )
    return [_delivery(row, tried[row.id]) for row in found]


def _delivery(row: Any, tried: list[AttemptBody]) -> DeliveryBody:
    return DeliveryBody(
        id=str(row.id),
        message_id=row.message_id,
        type=row.type,
        generation=row.generation,
        url_host=_host(row.url),
        state=row.state,
        end_reason=row.end_reason,
        create_time=rfc3339(row.create_time),
        next_attempt_time=_optional(row.next_attempt_time),
        attempts=tried,
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _optional(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)
