"""How many pictures each owner has looked at in the present minute, and the starts that this takes from hosts."""

from __future__ import annotations

from sqlalchemy import Connection, text

_COUNT = text(
    """
    INSERT INTO previews (owner, minute, used) VALUES (:owner, date_trunc('minute', now()), :pictures)
    ON CONFLICT (owner) DO UPDATE SET
        used = CASE WHEN previews.minute = excluded.minute THEN previews.used ELSE 0 END + excluded.used,
        minute = excluded.minute
    RETURNING used
    """
)
# Only an unknown host has no row: it comes from a sheet that nobody has uploaded yet.
_START = text(
    """
    WITH known AS (SELECT blocked_until <= now() AND next_start_at <= now() + make_interval(secs => :patience_s) AS free
                   FROM hosts WHERE host = :host FOR UPDATE),
         started AS (UPDATE hosts SET next_start_at = greatest(next_start_at, now())
                         + make_interval(secs => 1 / greatest(least(rate, :max_starts_per_s), 0.001))
                     WHERE host = :host AND (SELECT free FROM known) RETURNING host)
    SELECT NOT EXISTS (SELECT FROM known) OR EXISTS (SELECT FROM started)
    """
)


def count_previews(connection: Connection, owner: str | None, pictures: int) -> int:
    """Count pictures that an owner looks at now; return how many there were in this minute, with these.

    used → used + pictures. Locks the owner's row.
    """
    return int(connection.execute(_COUNT, {"owner": owner or "", "pictures": pictures}).scalar_one())


def take_start(connection: Connection, host: str, *, max_starts_per_s: float, patience_s: float) -> bool:
    """Take the next start of a host for a preview, so that it is asked no more often than for batches.

    free start → taken start, if the host may be asked within `patience_s`; false if it may not. Locks the host.
    """
    values = {"host": host, "max_starts_per_s": max_starts_per_s, "patience_s": patience_s}
    return bool(connection.execute(_START, values).scalar_one())
