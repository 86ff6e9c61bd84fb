"""What a batch will probably take: bytes and time, from the batches that this caller had before."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from ingest.settings import IngestSettings
from ingest.sheets.model import SheetFacts

RECENT_BATCHES = 20
"""How many finished batches the sizes of images are taken from."""

ASSUMED_BYTES_IN = 500_000
"""Bytes of an image, as long as there is no batch to learn from: a product photo of some 1500 pixels."""

ASSUMED_BYTES_OUT = 200_000
"""Bytes of its compressed form at quality 50."""

ASSUMED_IMAGES_PER_S = 25.0
"""Images a second that one compressor of the default deployment does (measured: docs/scaling.md)."""

_MEANS = text(
    """
    SELECT sum(bytes_in)::float / sum(succeeded) AS bytes_in, sum(bytes_out)::float / sum(succeeded) AS bytes_out
    FROM (SELECT bytes_in, bytes_out, succeeded FROM batches
          WHERE finished_at IS NOT NULL AND succeeded > 0 AND owner IS NOT DISTINCT FROM :owner
          ORDER BY finished_at DESC LIMIT :limit) AS recent
    """
)


def estimate(engine: Engine, settings: IngestSettings, facts: SheetFacts, *, caller: Caller) -> dict[str, Any]:
    """Return e.g. `{"bytes_in": 1500000, "bytes_out": 600000, "seconds": 1, "learned": False}`.

    `bytes_in` is what is downloaded, `bytes_out` what is stored, both of the images that differ. `seconds` counts what
    the compressors need and what each host is spared; waiting behind other batches and for slow hosts comes on top.

    Raises:
        ApiError: 503 when the database is away.
    """

    def read(connection: Connection) -> tuple[float, float] | None:
        row = connection.execute(_MEANS, {"owner": caller.owner, "limit": RECENT_BATCHES}).one()
        return None if row.bytes_in is None else (row.bytes_in, row.bytes_out)

    learned = transact(engine, read)
    mean_in, mean_out = (ASSUMED_BYTES_IN, ASSUMED_BYTES_OUT) if learned is None else learned
    images = facts.unique_images
    by_host = (min(count, images) / settings.host_limits_of(host).starts_per_s for host, count in facts.hosts.items())
    return {
        "bytes_in": round(images * mean_in),
        "bytes_out": round(images * mean_out),
        "seconds": math.ceil(max(images / ASSUMED_IMAGES_PER_S, *by_host, 0.0)),
        "learned": learned is not None,
    }
