"""What a batch will probably take: bytes and time, from the batches that this caller had before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

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
          WHERE coalesce(owner, '') = :owner AND finished_at IS NOT NULL AND succeeded > 0
          ORDER BY created_at DESC, request_id DESC LIMIT :limit) AS recent
    """
)


@dataclass(frozen=True, slots=True)
class Needed:
    """Seconds that the images of a sheet take, and which assumptions they follow from, as sentences."""

    seconds: float
    assumes: tuple[str, ...]


def estimate(engine: Engine, settings: IngestSettings, facts: SheetFacts, *, owner: str | None) -> dict[str, Any]:
    """Return what a sheet will probably take, e.g. `{"bytes_in": 1500000, "bytes_out": 600000, "seconds": 1, ...}`.

    Raises:
        ApiError: 503 when the database is away.
    """
    return transact(engine, lambda connection: estimated(connection, settings, facts, owner=owner))


def estimated(
    connection: Connection, settings: IngestSettings, facts: SheetFacts, *, owner: str | None
) -> dict[str, Any]:
    """Return what a sheet will probably take, as `EstimateAnswer` has it and a batch keeps it.

    `bytes_in` is what is downloaded, `bytes_out` what is stored, both of the images that differ. `seconds` counts what
    the compressors need and how fast each host is asked, as far as its pace is learned. `learned` is whether the bytes
    follow from the owner's batches. `assumes` says the rest in words.
    """
    row = connection.execute(_MEANS, {"owner": owner or "", "limit": RECENT_BATCHES}).one()
    learned = row.bytes_in is not None
    mean_in, mean_out = (row.bytes_in, row.bytes_out) if learned else (ASSUMED_BYTES_IN, ASSUMED_BYTES_OUT)
    needed = needed_time(connection, settings, facts)
    source = "as in your last batches" if learned else "as no batch of yours tells more"
    images = facts.unique_images
    return {
        "bytes_in": round(images * mean_in),
        "bytes_out": round(images * mean_out),
        "seconds": math.ceil(needed.seconds),
        "learned": learned,
        "assumes": [
            f"an image has {mean_in:,.0f} bytes and its output {mean_out:,.0f}, {source}",
            *needed.assumes,
            "nothing waits behind other batches",
        ],
    }


def needed_time(connection: Connection, settings: IngestSettings, facts: SheetFacts) -> Needed:
    """Return what the images of a sheet take: all of them here, and those of each host at its pace."""
    images = facts.unique_images
    found = connection.execute(_PACES, {"hosts": list(facts.hosts)}).mappings()
    learned = {row["host"]: learned_rate(settings, row["host"], row["rate"], row["floor_s"]) for row in found}
    paces = {host: learned.get(host, settings.host_limits_of(host).starts_per_s) for host in facts.hosts}
    by_host = {host: min(count, images) / paces[host] for host, count in facts.hosts.items()}
    slowest = max(by_host, key=by_host.__getitem__, default=None)
    here_s = images / ASSUMED_IMAGES_PER_S
    assumes = [f"the compressors do {ASSUMED_IMAGES_PER_S:g} images a second"]
    if slowest is not None and by_host[slowest] > here_s:
        source = "as learned" if slowest in learned else "the most it may be, as its pace is not learned yet"
        assumes = [f"{slowest} is asked for {paces[slowest]:.3g} images a second, {source}"]
    elif len(learned) < len(paces):
        assumes.append(f"{len(paces) - len(learned)} of {len(paces)} hosts, whose pace is not learned yet, bear that")
    return Needed(max(here_s, by_host[slowest] if slowest is not None else 0.0), tuple(assumes))


def deadline_s(settings: IngestSettings, told: Mapping[str, Any] | None) -> float:
    """Return the seconds after which the images of a batch fail that are still open: none that cannot be kept.

    `told` is its estimate; None in batches of the release before.
    """
    return max(settings.batch_deadline_s, DEADLINE_FACTOR * (0 if told is None else told["seconds"]))
