"""Which hosts a claim may plan for, with what it knows of them, and what it notes of its plan.

Each case is one transaction, whose time stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from ingest.dispatch.host_starts import PlannedHost, assign_starts, plan_hosts, ready_hosts, start_images
from ingest.dispatch.pace import Plan
from ingest.state.due_images import find_due
from support.ingest_service import Lab, MakeLab

A, B, C = "a.example", "b.example", "c.example"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
DEFAULTS = {
    "INGEST_HOST_FIRST_RATE": "5",
    "INGEST_HOST_MAX_RATE": "500",
    "INGEST_HOST_MAX_CONCURRENCY": "64",
}
T = TypeVar("T")


@pytest.fixture(name="polite")
def _polite(make_lab: MakeLab) -> Lab:
    """Ask hosts as they are asked where nobody has set anything."""
    return make_lab(**DEFAULTS)


def batch_of(lab: Lab, *hosts: str) -> UUID:
    """Return a batch that has begun, with an image of each host in a row of its own."""
    request_id = lab.submit(*[f"https://{host}/{number}.jpg" for number, host in enumerate(hosts)])
    lab.start(request_id)
    return UUID(request_id)


def after(lab: Lab, changes: list[str], work: Callable[[Connection], T]) -> T:
    """Change the database and do something in the same transaction."""
    with lab.engine.begin() as connection:
        connection.execute(text("UPDATE hosts SET blocked_until = now(), next_start_at = now()"))
        connection.execute(text("UPDATE images SET next_at = now()"))
        for change in changes:
            connection.execute(text(change))
        return work(connection)


@pytest.mark.parametrize("column", ["blocked_until", "next_start_at"])
@pytest.mark.parametrize(
    ("ahead_s", "away_s", "is_ready"), [(None, 3.9, True), (None, 4.0, False), (60.0, 59.9, True), (60.0, 60.0, False)]
)
def test_a_host_is_ready_that_may_be_asked_within_the_time_that_is_planned(
    polite: Lab, column: str, ahead_s: float | None, away_s: float, is_ready: bool
) -> None:
    """Four seconds, unless it is given."""
    request_id = batch_of(polite, A, B)
    away = f"UPDATE hosts SET {column} = now() + interval '{away_s} s' WHERE host = '{A}'"

    found = after(polite, [away], lambda connection: ready_hosts(connection, request_id, ahead_s=ahead_s))

    assert sorted(found) == ([A, B] if is_ready else [B])


@pytest.mark.parametrize(
    "of_image",
    [
        "next_at = now() + interval '1 s'",
        "status = 'DISPATCHED', lease_until = now() + interval '1 h'",
        "status = 'FAILED', finished_at = now()",
    ],
    ids=["later", "under-way", "ended"],
)
def test_a_host_is_ready_that_has_an_image_of_the_batch_which_is_due(polite: Lab, of_image: str) -> None:
    """Images of other batches do not count."""
    request_id = batch_of(polite, A, B)
    batch_of(polite, A, C)
    change = f"UPDATE images SET {of_image} WHERE batch = '{request_id}' AND host = '{A}'"

    assert after(polite, [change], lambda c: ready_hosts(c, request_id, ahead_s=None)) == [B]


def test_those_that_were_asked_least_recently_come_first_and_no_more_than_a_claim_looks_at(
    polite: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = batch_of(polite, A, B, C)
    monkeypatch.setattr("ingest.dispatch.host_starts._MAX_HOSTS", 2)
    asked = f"UPDATE hosts SET next_start_at = now() - interval '9 s' WHERE host = '{C}'"

    assert after(polite, [asked], lambda c: ready_hosts(c, request_id, ahead_s=None)) == [C, A]


def planned(lab: Lab, request_id: UUID, *changes: str, ahead_s: float | None = None) -> dict[str, PlannedHost]:
    """Plan for all hosts of a batch after some changes."""
    return after(
        lab,
        list(changes),
        lambda connection: plan_hosts(connection, lab.settings, request_id, [A, B, C], ahead_s=ahead_s, most=1000),
    )


def rates(found: dict[str, PlannedHost]) -> dict[str, int]:
    """Return how many images may start in a second, by host."""
    return {host: round(1 / (plan.plan.starts[1] - plan.plan.starts[0])) for host, plan in found.items()}


def test_where_there_is_no_host_nothing_is_planned(polite: Lab) -> None:
    request_id = batch_of(polite, A)

    assert after(polite, [], lambda c: plan_hosts(c, polite.settings, request_id, [], ahead_s=None, most=1000)) == {}


def test_hosts_at_which_nothing_may_start_are_left_out(polite: Lab) -> None:
    """The others are planned from the moment at which they were locked."""
    request_id = batch_of(polite, A, B)
    before = datetime.now(UTC)

    found = planned(polite, request_id, f"UPDATE hosts SET blocked_until = now() + interval '9 s' WHERE host = '{A}'")

    assert list(found) == [B]
    assert before - timedelta(seconds=1) < found[B].moment < datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("of_host", "expected"),
    [
        ("rate = 5", 20),
        ("rate = 8", 8),
        ("rate = 5, floor_log_s = ln(0.05)", 5),
        ("rate = 8, floor_log_s = ln(0.05)", 8),
    ],
    ids=["unknown", "tried", "known", "known-and-tried"],
)
def test_a_host_of_which_nothing_is_learned_begins_at_the_rate_that_is_set(
    make_lab: MakeLab, of_host: str, expected: int
) -> None:
    """The row says the same from then on; what was learned stays."""
    lab = make_lab(**DEFAULTS | {"INGEST_HOST_FIRST_RATE": "20"}, INGEST_HOST_LIMITS=f"{B}=64/30")
    request_id = batch_of(lab, A, B, C)

    found = planned(lab, request_id, f"UPDATE hosts SET {of_host} WHERE host = '{A}'")

    assert rates(found) == {A: expected, B: 30, C: 20}
    rows = lab.rows("SELECT host, rate FROM hosts")
    assert {row["host"]: row["rate"] for row in rows} == {A: expected, B: 30.0, C: 20.0}


@pytest.mark.parametrize(
    ("of_image", "starts"),
    [
        ("next_at = now() + interval '1 h'", 8),
        ("status = 'DISPATCHED', lease_until = now() + interval '899 s'", 7),
        ("status = 'DISPATCHED', lease_until = now() + interval '990 s'", 7),
    ],
    ids=["nothing", "under-way", "planned"],
)
def test_what_is_under_way_or_planned_at_a_host_counts_whatever_its_batch(
    make_lab: MakeLab, of_image: str, starts: int
) -> None:
    """Against four times what may be under way at once: eight."""
    lab = make_lab(**DEFAULTS | {"INGEST_HOST_FIRST_RATE": "100", "INGEST_HOST_MAX_CONCURRENCY": "2"})
    request_id, other = batch_of(lab, A), batch_of(lab, A)

    found = planned(lab, request_id, f"UPDATE images SET {of_image} WHERE batch = '{other}'")

    assert len(found[A].plan.starts) == starts


@pytest.mark.parametrize(("due", "starts"), [(False, 10), (True, 5)], ids=["alone", "shared"])
def test_a_host_is_shared_with_batches_that_have_due_images_of_it(polite: Lab, due: bool, starts: int) -> None:
    """Two seconds of five a second, of which a batch that shares has the half; other hosts are its own."""
    request_id, other = batch_of(polite, A, B), batch_of(polite, A)
    later = f"UPDATE images SET next_at = now() + interval '1 hour' WHERE batch = '{other}'"

    found = planned(polite, request_id, *([] if due else [later]))

    assert {host: len(plan.plan.starts) for host, plan in found.items()} == {A: starts, B: 10}


def test_what_the_batch_has_planned_itself_counts_against_its_part(polite: Lab) -> None:
    """Of five starts one is taken already."""
    request_id, _other = batch_of(polite, A, A), batch_of(polite, A)
    own = (
        "UPDATE images SET status = 'DISPATCHED', lease_until = now() + interval '990 s'"
        f" WHERE batch = '{request_id}' AND row_number = 2"
    )

    assert len(planned(polite, request_id, own)[A].plan.starts) == 4


def test_a_host_whose_limit_is_known_is_planned_for_longer(polite: Lab) -> None:
    """Four seconds instead of two."""
    request_id = batch_of(polite, A, B)

    found = planned(polite, request_id, f"UPDATE hosts SET ceiling = 9 WHERE host = '{B}'")

    assert {host: len(plan.plan.starts) for host, plan in found.items()} == {A: 10, B: 20}


def test_as_long_as_the_sweeper_plans_so_many_starts_there_are(polite: Lab) -> None:
    """The time is given to every host."""
    request_id = batch_of(polite, A, B)

    found = planned(polite, request_id, f"UPDATE hosts SET ceiling = 9 WHERE host = '{B}'", ahead_s=20.0)

    assert {host: len(plan.plan.starts) for host, plan in found.items()} == {A: 100, B: 100}


def test_a_plan_counts_its_starts_from_the_moment_of_the_lock() -> None:
    """After the last planned one the host goes on where the plan ends."""
    host = PlannedHost(Plan((0.5, 1.0), 1.5), NOON)

    assert [host.start_at(number) for number in range(2)] == [NOON + timedelta(seconds=s) for s in (0.5, 1.0)]
    assert [host.next_after(count) for count in range(4)] == [NOON + timedelta(seconds=s) for s in (0.5, 1.0, 1.5, 1.5)]


def test_images_are_leased_from_their_own_starts_on(polite: Lab) -> None:
    """Each host's in turn; the host and the batch know what was asked."""
    request_id = batch_of(polite, A, B, A)
    soon = {A: PlannedHost(Plan((1.0, 2.0, 3.0), 4.0), NOON), B: PlannedHost(Plan((5.0,), 6.0), NOON)}

    def start(connection: Connection) -> list[Any]:
        found = find_due(connection, request_id, {A: 2, B: 1}, limit=9)
        return start_images(connection, polite.settings, soon, assign_starts(soon, found))

    started = after(polite, [], start)

    moments = {each.image["row_number"]: each.start_at for each in started}
    assert moments == {row: NOON + timedelta(seconds=s) for row, s in ((2, 1.0), (3, 5.0), (4, 2.0))}
    images = polite.rows("SELECT row_number, status, attempt, lease_until FROM images")
    lease = timedelta(seconds=polite.settings.lease_s)
    assert {row["row_number"]: row["lease_until"] - lease for row in images} == moments
    assert {(row["status"], row["attempt"]) for row in images} == {("DISPATCHED", 1)}
    hosts = polite.rows("SELECT host, next_start_at FROM hosts")
    assert {row["host"]: row["next_start_at"] for row in hosts} == {
        A: NOON + timedelta(seconds=3),
        B: NOON + timedelta(seconds=6),
    }
    asked = polite.rows("SELECT host, requests FROM batch_hosts")
    assert {row["host"]: row["requests"] for row in asked} == {A: 2, B: 1}


def test_without_images_nothing_is_noted(polite: Lab) -> None:
    before = (batch_of(polite, A), polite.rows("SELECT * FROM hosts"))

    started = after(polite, [], lambda c: start_images(c, polite.settings, {}, []))

    assert started == []
    assert polite.rows("SELECT rate FROM hosts") == [{"rate": before[1][0]["rate"]}]
