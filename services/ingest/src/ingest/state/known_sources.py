"""What earlier batches found behind a URL: by it the next batch asks an origin whether anything has changed.

An owner never sees what another one has: the key is the SHA-256 of owner, URL and options. What it does not say is
where the output lies: the compressor finds that by the source's hash, and looks whether it still is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ingest.state.images import Outcome

KEY = """sha256(convert_to(concat_ws(E'\\n', coalesce(batches.owner, ''), images.input_url,
                coalesce(images.options, batches.options)::text), 'UTF8'))"""
"""The key of a row of `images` joined with its row of `batches`; neither owner nor URL has a line break."""

INSERT_SOURCES = "INSERT INTO known_sources AS known (key, owner, etag, last_modified, source_sha256, bytes_in, format)"
KEEP_SOURCES = """
    ON CONFLICT (key) DO UPDATE SET
        etag = excluded.etag, last_modified = excluded.last_modified, source_sha256 = excluded.source_sha256,
        bytes_in = excluded.bytes_in, format = excluded.format, seen_at = now()
    WHERE (known.etag, known.last_modified, known.source_sha256, known.bytes_in, known.format)
          IS DISTINCT FROM
          (excluded.etag, excluded.last_modified, excluded.source_sha256, excluded.bytes_in, excluded.format)
       OR known.seen_at < now() - interval '1 day'
"""
"""Between these two stands a SELECT of what outcomes say of sources; a second run writes nothing but the day."""

_SAVE = text(
    f"""
    {INSERT_SOURCES}
    SELECT {KEY}, coalesce(batches.owner, ''), :etag, :last_modified, :source_sha256,
           coalesce(CAST(:bytes_in AS bigint), 0), :format
    FROM images JOIN batches ON request_id = batch
    WHERE images.id = :image AND CAST(:source_sha256 AS text) IS NOT NULL AND CAST(:format AS text) IS NOT NULL
    {KEEP_SOURCES}
    """
)
_FIND = text(
    """
    SELECT key, etag, last_modified, source_sha256, bytes_in, format FROM known_sources
    WHERE key = ANY(:keys) AND seen_at > now() - make_interval(days => :days)
    """
)
# Materialized: as a plain subquery a page may be looked up anew for each row, and is another one each time.
_FORGET = text(
    """
    WITH page AS MATERIALIZED (
        SELECT key FROM known_sources WHERE seen_at <= now() - make_interval(days => :days)
        ORDER BY seen_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM known_sources WHERE key IN (SELECT key FROM page)
    """
)


def save_source(connection: Connection, image_id: UUID, outcome: Outcome) -> None:
    """Remember what a successful attempt found; an outcome that does not say it changes nothing.

    unknown | known → known. The caller holds the image and its batch; locks the row of `known_sources`.
    """
    values = {
        "image": image_id,
        "etag": outcome.etag,
        "last_modified": outcome.last_modified,
        "source_sha256": outcome.source_sha256,
        "bytes_in": outcome.bytes_in,
        "format": outcome.format,
    }
    connection.execute(_SAVE, values)


def find_sources(connection: Connection, images: Sequence[RowMapping], *, days: int) -> dict[UUID, dict[str, Any]]:
    """Return what is known of images, by id, as the `known` of a compress request; `days` = 0 forbids all use.

    Each image has its `id` and its `source_key`, which is None where nothing that is known may be used.
    """
    keys = {image["id"]: bytes(image["source_key"]) for image in images if image["source_key"] is not None}
    if not keys or not days:
        return {}
    found = connection.execute(_FIND, {"keys": list(keys.values()), "days": days}).mappings()
    known = {bytes(row["key"]): {name: row[name] for name in row if name != "key"} for row in found}
    return {image_id: known[key] for image_id, key in keys.items() if key in known}


def forget_sources(connection: Connection, *, days: int, limit: int) -> int:
    """Delete what was not seen for so many days, at most `limit`; return how many.

    known → nothing. Locks those rows; passes over those that somebody holds.
    """
    return connection.execute(_FORGET, {"days": days, "limit": limit}).rowcount
