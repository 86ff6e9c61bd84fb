"""What an owner may have at once and in a day: refused with limit, value and use.

Whoever stores first looks (a refusal costs little then) and looks again before it commits, one of an owner at a time:
two uploads that fit one by one cannot slip past the limit together. Without API keys everybody is one owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from chassis.limits import over_limit_facts, quota_exceeded
from ingest.errors import Reason
from ingest.settings import IngestSettings
from ingest.state.locks import lock_owner

RETRY_AFTER_S = 60
"""Seconds after which a refused upload may be tried again: batches end at any time."""

RETRY_AFTER_DAY_S = 3600
"""The same when a day's images are used up: they come back as slowly as they went."""

_USE = text(
    """
    SELECT (SELECT count(*) FROM batches WHERE finished_at IS NULL AND coalesce(owner, '') = :owner),
           (SELECT coalesce(sum(pending), 0) FROM batches WHERE finished_at IS NULL AND coalesce(owner, '') = :owner),
           (SELECT coalesce(sum(total), 0) FROM batches
            WHERE coalesce(owner, '') = :owner AND created_at > now() - interval '24 hours')
    """
)


@dataclass(frozen=True, slots=True)
class Use:
    """What an owner uses: unfinished batches, unfinished images, and images uploaded in the last 24 hours."""

    open_batches: int
    open_images: int
    daily_images: int


def read_use(connection: Connection, owner: str | None) -> Use:
    """Return what an owner uses now; None is everybody without a name."""
    batches, images, daily = connection.execute(_USE, {"owner": owner or ""}).one()
    return Use(int(batches), int(images), int(daily))


def check_quotas(connection: Connection, settings: IngestSettings, owner: str | None, new: Use) -> None:
    """Refuse what is over a quota, before anything is stored.

    Raises:
        ApiError: 429 QUOTA_EXCEEDED naming the limit, what was asked, and what is used.
    """
    _check(read_use(connection, owner), new, settings)


def confirm_quotas(connection: Connection, settings: IngestSettings, owner: str | None, new: Use) -> None:
    """Refuse what this transaction has stored if that, with what others committed meanwhile, is over a quota.

    Raises:
        ApiError: 429 QUOTA_EXCEEDED; the transaction must be given up.
    """
    lock_owner(connection, owner)
    use = read_use(connection, owner)
    before = Use(
        use.open_batches - new.open_batches, use.open_images - new.open_images, use.daily_images - new.daily_images
    )
    _check(before, new, settings)


def _check(use: Use, new: Use, settings: IngestSettings) -> None:
    rows = (
        ("max_open_batches", "unfinished batches", settings.max_open_batches, use.open_batches, new.open_batches),
        ("max_open_images", "unfinished images", settings.max_open_images, use.open_images, new.open_images),
        ("max_daily_images", "images in 24 hours", settings.max_daily_images, use.daily_images, new.daily_images),
    )
    for name, what, limit, used, asked in rows:
        if used + asked > limit:
            raise quota_exceeded(
                Reason.QUOTA_EXCEEDED,
                f"An owner may have {limit} {what}; {used} are used and {asked} more are asked for.",
                over_limit_facts(name, limit=limit, value=asked, use=used),
                retry_after_s=RETRY_AFTER_DAY_S if name == "max_daily_images" else RETRY_AFTER_S,
            )
