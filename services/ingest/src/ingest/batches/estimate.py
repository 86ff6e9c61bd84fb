"""What a batch will probably take: bytes and time, from the batches that this caller had before."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Connection, Engine, text

from chassis.auth.callers import Caller
from chassis.db.engine import transact
from ingest.settings import IngestSettings
from ingest.sheets.model import SheetFacts
from ingest.state.hosts import learned_rate

RECENT_BATCHES = 20
"""How many finished batches the sizes of images are taken from."""

ASSUMED_BYTES_IN = 500_000
"""Bytes of an image, as long as there is no batch to learn from: a product photo of some 1500 pixels."""

ASSUMED_BYTES_OUT = 200_000
"""Bytes of its compressed form at quality 50."""

ASSUMED_IMAGES_PER_S = 25.0
"""Images a second that one compressor of the default deployment does (measured: docs/scaling.md)."""

DEADLINE_FACTOR = 3
"""So many times its estimate a batch may take, if that is more than `INGEST_BATCH_DEADLINE_S`."""

_PACES = text(
    "SELECT host, rate, exp(floor_log_s) AS floor_s FROM hosts WHERE host = ANY(:hosts) AND floor_log_s IS NOT NULL"
)

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
    the compressors need and how fast each host is asked, as far as its pace is learned; waiting behind other batches
    comes on top.

    Raises:
        ApiError: 503 when the database is away.
    """

    def read(connection: Connection) -> tuple[tuple[float, float] | None, float]:
        row = connection.execute(_MEANS, {"owner": caller.owner, "limit": RECENT_BATCHES}).one()
        means = None if row.bytes_in is None else (row.bytes_in, row.bytes_out)
        return means, needed_s(connection, settings, facts)

    learned, seconds = transact(engine, read)
    mean_in, mean_out = (ASSUMED_BYTES_IN, ASSUMED_BYTES_OUT) if learned is None else learned
    images = facts.unique_images
    return {
        "bytes_in": round(images * mean_in),
        "bytes_out": round(images * mean_out),
        "seconds": math.ceil(seconds),
        "learned": learned is not None,
    }


def needed_s(connection: Connection, settings: IngestSettings, facts: SheetFacts) -> float:
    """Return the seconds that the images of a sheet take: all of them here, and those of each host at its pace."""
    images = facts.unique_images
    found = connection.execute(_PACES, {"hosts": list(facts.hosts)}).mappings()
    paces = {row["host"]: learned_rate(settings, row["host"], row["rate"], row["floor_s"]) for row in found}
    by_host = (
        min(count, images) / paces.get(host, settings.host_limits_of(host).starts_per_s)
        for host, count in facts.hosts.items()
    )
    return max(images / ASSUMED_IMAGES_PER_S, *by_host, 0.0)


def deadline_s(connection: Connection, settings: IngestSettings, facts: SheetFacts) -> float:
    """Return the seconds after which the images of a batch fail that are still open: none that cannot be kept."""
    return max(settings.batch_deadline_s, DEADLINE_FACTOR * needed_s(connection, settings, facts))
