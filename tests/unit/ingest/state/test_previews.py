"""What people look at: counted for each owner and minute, and never more than a host bears."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.db.engine import transact
from ingest.state.previews import count_previews, take_start
from support.ingest_service import Lab

HOST = "a.example"


def counted(lab: Lab, owner: str | None, pictures: int) -> int:
    """Count pictures of an owner."""
    return transact(lab.engine, lambda connection: count_previews(connection, owner, pictures))


def taken(lab: Lab, *, max_starts_per_s: float = 100.0) -> bool:
    """Ask for a start of the host, within two seconds."""
    return transact(
        lab.engine,
        lambda connection: take_start(connection, HOST, max_starts_per_s=max_starts_per_s, patience_s=2.0),
    )


def host_with(lab: Lab, **columns: str) -> None:
    """Store the host with columns by their SQL."""
    lab.change(f"INSERT INTO hosts (host, {', '.join(columns)}) VALUES ('{HOST}', {', '.join(columns.values())})")


def next_start(lab: Lab) -> Any:
    """Return in how many seconds the host's next image may start, and at what moment."""
    [row] = lab.rows("SELECT extract(epoch FROM next_start_at - now())::float AS s, next_start_at FROM hosts")
    return row


@pytest.fixture(autouse=True)
def _nothing_counted(lab: Lab) -> None:
    lab.change("DELETE FROM previews")


def test_pictures_of_a_minute_add_up(lab: Lab) -> None:
    with lab.engine.begin() as connection:
        # One transaction has one time, so the minute cannot end between the two.
        found = [count_previews(connection, "bob", 2), count_previews(connection, "bob", 3)]

    assert found == [2, 5]


def test_a_new_minute_begins_with_its_own_pictures(lab: Lab) -> None:
    counted(lab, "alice", 7)
    lab.change("UPDATE previews SET minute = minute - interval '1 minute'")

    assert counted(lab, "alice", 2) == 2


def test_owners_are_counted_apart_and_everybody_without_a_name_together(lab: Lab) -> None:
    with lab.engine.begin() as connection:
        found = [count_previews(connection, owner, 4) for owner in ("alice", None, "bob", None)]

    assert found == [4, 4, 4, 8]
    assert {row["owner"] for row in lab.rows("SELECT owner FROM previews")} == {"alice", "bob", ""}


def test_a_host_that_nobody_has_asked_yet_may_be_asked(lab: Lab) -> None:
    """It comes from a sheet that is tried before it is uploaded; nothing is noted of it."""
    assert taken(lab) is True
    assert lab.rows("SELECT 1 FROM hosts") == []


@pytest.mark.parametrize(("max_starts_per_s", "gap_s"), [(100.0, 0.5), (0.25, 4.0)], ids=["its-pace", "its-bound"])
def test_a_preview_takes_a_start_from_the_batches(lab: Lab, max_starts_per_s: float, gap_s: float) -> None:
    """The next image waits as long as it would have to after one of a sheet: by the host's pace or the bound of it."""
    host_with(lab, rate="2", next_start_at="now() - interval '1 hour'")

    assert taken(lab, max_starts_per_s=max_starts_per_s) is True
    assert next_start(lab)["s"] == pytest.approx(gap_s, abs=0.4)


def test_a_preview_waits_its_turn_behind_what_is_planned(lab: Lab) -> None:
    """Within the patience it takes the start after the planned ones."""
    host_with(lab, rate="0.1", next_start_at="now() + interval '1 second'")
    before = next_start(lab)["next_start_at"]

    assert taken(lab) is True
    assert (next_start(lab)["next_start_at"] - before).total_seconds() == pytest.approx(10.0)


@pytest.mark.parametrize(
    "columns",
    [{"next_start_at": "now() + interval '1 minute'"}, {"blocked_until": "now() + interval '1 minute'"}],
    ids=["planned-for-long", "paused"],
)
def test_a_host_that_has_no_time_is_not_asked_for_a_preview(lab: Lab, columns: dict[str, str]) -> None:
    """And nothing of its pace changes."""
    host_with(lab, **columns)
    before = lab.rows("SELECT * FROM hosts")

    assert taken(lab) is False
    assert lab.rows("SELECT * FROM hosts") == before
