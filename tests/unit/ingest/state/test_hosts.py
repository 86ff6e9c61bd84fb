"""What a host's row says of it, and what an answer brings about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from chassis.db.engine import transact
from ingest.state.hosts import (
    AnswerKind,
    Asked,
    HostAnswer,
    HostState,
    add_hosts,
    add_missing_hosts,
    begin_at,
    count_failure,
    count_succeeded,
    host_state,
    learn_of_host,
    learned_rate,
    note_starts,
)
from support.ingest_service import Lab, MakeLab

A, B = "a.example", "b.example"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("is_shut", "blocked_s", "state"),
    [
        (False, -1.0, HostState.CLOSED),
        (False, 0.0, HostState.CLOSED),
        (False, 0.5, HostState.WAITING),
        (True, 0.5, HostState.OPEN),
        (True, 0.0, HostState.HALF_OPEN),
        (True, -1.0, HostState.HALF_OPEN),
    ],
)
def test_a_host_waits_or_is_open_as_long_as_no_image_may_start(
    is_shut: bool, blocked_s: float, state: HostState
) -> None:
    assert host_state(is_shut=is_shut, blocked_s=blocked_s) is state


@pytest.mark.parametrize(
    ("rate", "floor_s", "expected"),
    [(10.0, None, 10.0), (80.0, None, 50.0), (80.0, 0.2, 20.0), (10.0, 0.2, 10.0), (80.0, 0.0, 50.0)],
)
def test_the_rate_that_is_shown_keeps_to_both_bounds(
    make_lab: MakeLab, rate: float, floor_s: float | None, expected: float
) -> None:
    lab = make_lab(INGEST_HOST_LIMITS=f"{A}=4/50")

    assert learned_rate(lab.settings, A, rate, floor_s) == pytest.approx(expected)


def test_an_answer_in_no_time_bounds_the_rate_as_one_in_a_millisecond(make_lab: MakeLab) -> None:
    lab = make_lab(INGEST_HOST_LIMITS=f"{A}=4/9999")

    assert learned_rate(lab.settings, A, 1e6, 0.0) == 4000.0


def learned(lab: Lab, kind: AnswerKind, retry_after_s: float | None = None, host: str = A) -> float:
    """Tell of an answer of an image that has just started."""
    answer = HostAnswer(kind, 0.05, datetime.now(UTC), retry_after_s)
    return transact(lab.engine, lambda connection: learn_of_host(connection, lab.settings, host, answer))


def known(lab: Lab, host: str = A) -> Any:
    """Return what is learned of a host."""
    [row] = lab.rows("SELECT * FROM hosts WHERE host = :host", host=host)
    return row


@pytest.fixture(name="two_hosts")
def _two_hosts(lab: Lab) -> Lab:
    lab.change("INSERT INTO hosts (host, judged_from) VALUES ('a.example', '2026-01-01'), ('b.example', '2026-01-01')")
    return lab


def test_a_good_answer_closes_nobody(two_hosts: Lab) -> None:
    assert learned(two_hosts, AnswerKind.GOOD) == 0.0


@pytest.mark.parametrize(("asked_s", "waits_s"), [(30.0, 30.0), (1e9, 300.0)], ids=["as-asked", "our-patience"])
def test_a_refusal_closes_the_host_for_as_long_as_it_asks(two_hosts: Lab, asked_s: float, waits_s: float) -> None:
    """And no other one."""
    before = known(two_hosts, B)

    assert learned(two_hosts, AnswerKind.REFUSED, asked_s) == pytest.approx(waits_s, abs=1.0)
    assert known(two_hosts)["failures"] == 1
    assert known(two_hosts, B) == before


def test_it_is_logged_once_that_a_host_is_shut(two_hosts: Lab) -> None:
    """By the answer that shut it: neither by those before and after, nor by a good one."""
    kinds = [AnswerKind.GOOD, *[AnswerKind.DEAD] * 4, AnswerKind.GOOD]

    was_shut = []
    with capture_logs() as lines:
        for kind in kinds:
            learned(two_hosts, kind)
            was_shut.append((known(two_hosts)["opened_at"] is not None, len(lines)))

    assert [(line["event"], line["host"], line["kind"]) for line in lines] == [("host.opened", A, "dead")]
    before = was_shut.index((True, 1))
    assert was_shut[:5] == [(False, 0)] * before + [(True, 1)] * (5 - before)


def test_a_host_without_a_row_teaches_nothing(two_hosts: Lab) -> None:
    """Its last batch may just have been deleted."""
    assert learned(two_hosts, AnswerKind.REFUSED, 30.0, host="gone.example") == 0.0


def test_hosts_begin_at_the_rates_that_are_known_of_them(two_hosts: Lab) -> None:
    transact(two_hosts.engine, lambda connection: begin_at(connection, {A: 20.0, B: 7.0}))

    assert (known(two_hosts)["rate"], known(two_hosts, B)["rate"]) == (20.0, 7.0)


def test_counters_of_a_batch_and_its_host_are_those_of_no_other(lab: Lab) -> None:
    """Of two batches with two hosts each, one pair is counted."""
    ids = [UUID(lab.submit(f"https://{A}/1.jpg https://{B}/1.jpg")) for _ in range(2)]

    def work(connection: Connection) -> None:
        count_failure(connection, ids[0], A)
        count_succeeded(connection, ids[0], A, images=2, bytes_in=30, bytes_out=20)
        count_succeeded(connection, ids[0], A, images=1, bytes_in=3, bytes_out=2)

    transact(lab.engine, work)

    counted = "batch, host, failures, succeeded, bytes_in, bytes_out"
    rows = lab.rows(f"SELECT {counted} FROM batch_hosts WHERE failures + succeeded + bytes_in + bytes_out > 0")
    assert [tuple(row.values()) for row in rows] == [(ids[0], A, 1, 3, 33, 22)]


def test_starts_are_noted_at_their_hosts_and_requests_at_batch_and_host(lab: Lab) -> None:
    ids = [UUID(lab.submit(f"https://{A}/1.jpg https://{B}/1.jpg")) for _ in range(2)]
    moments = {B: NOON, A: NOON + timedelta(seconds=1)}
    asked = {host: Asked(count, moments[host], (NOON, 2)) for host, count in {B: 1, A: 2}.items()}

    transact(lab.engine, lambda connection: note_starts(connection, ids[0], asked))

    assert {host: known(lab, host)["next_start_at"] for host in (A, B)} == moments
    rows = lab.rows("SELECT batch, host, requests FROM batch_hosts WHERE requests > 0")
    assert {(row["batch"], row["host"]): row["requests"] for row in rows} == {(ids[0], A): 2, (ids[0], B): 1}


@pytest.mark.parametrize(
    ("due_s_ago", "begins_s_ago", "row"),
    [(600, 600, 7), (61, 61, 7), (59, 60, 0), (0, 60, 0)],
    ids=["long-ago", "settled", "not-settled", "now"],
)
def test_claims_begin_to_look_at_the_first_due_image_or_a_minute_ago(
    lab: Lab, due_s_ago: int, begins_s_ago: int, row: int
) -> None:
    """What began a minute ago has ended: nothing comes back to wait with an earlier time."""
    request_id = UUID(lab.submit(f"https://{A}/1.jpg"))
    now = datetime.now(UTC)
    asked = {A: Asked(1, now, (now - timedelta(seconds=due_s_ago), 7))}

    transact(lab.engine, lambda connection: note_starts(connection, request_id, asked))

    [found] = lab.rows("SELECT due_from, due_row FROM batch_hosts")
    assert (now - found["due_from"]).total_seconds() == pytest.approx(begins_s_ago, abs=0.9)
    assert found["due_row"] == row


@pytest.mark.parametrize(
    ("of_host", "is_judged_later"),
    [
        ("calm_until = now() + interval '1 minute', judged_from = '2026-11-30T11:00Z'", True),
        ("calm_until = now() - interval '1 minute', judged_from = '2026-11-30T11:00Z'", False),
        ("calm_until = now() + interval '1 minute', judged_from = '2026-11-30T13:00Z'", False),
    ],
    ids=["after-a-cut", "long-after-it", "judged-later-already"],
)
def test_a_host_that_is_given_time_after_a_cut_is_judged_from_its_next_start(
    two_hosts: Lab, of_host: str, is_judged_later: bool
) -> None:
    """What it answered before is forgotten; the others are judged as they were."""
    two_hosts.change(f"UPDATE hosts SET sampled = 3, {of_host.replace(':', chr(92) + ':')}")
    asked = {A: Asked(1, NOON, (NOON, 2), waits_until=NOON), B: Asked(1, NOON, (NOON, 2))}

    transact(two_hosts.engine, lambda connection: note_starts(connection, uuid4(), asked))

    assert (known(two_hosts)["judged_from"] == NOON, known(two_hosts)["sampled"]) == (
        is_judged_later,
        0 if is_judged_later else 3,
    )
    assert (known(two_hosts, B)["judged_from"] == NOON, known(two_hosts, B)["sampled"]) == (False, 3)


def test_images_of_a_host_add_up_chunk_by_chunk(lab: Lab) -> None:
    """A host that is known stays as it is."""
    request_id = UUID(lab.submit(f"https://{A}/1.jpg"))
    lab.change("UPDATE hosts SET rate = 77")

    transact(lab.engine, lambda connection: add_hosts(connection, request_id, {B: 2, A: 3}))

    rows = lab.rows("SELECT host, images FROM batch_hosts ORDER BY host")
    assert [(row["host"], row["images"]) for row in rows] == [(A, 4), (B, 2)]
    assert (known(lab)["rate"], known(lab, B)["rate"]) == (77.0, 5.0)


@pytest.mark.parametrize(
    "lost",
    ["DELETE FROM batch_hosts", "DELETE FROM hosts WHERE host = 'b.example'"],
    ids=["of-the-batch", "one-of-all"],
)
def test_a_batch_is_given_the_hosts_that_it_lacks(lab: Lab, lost: str) -> None:
    request_id = UUID(lab.submit(f"https://{A}/1.jpg https://{B}/1.jpg https://{B}/2.jpg"))
    lab.change(lost)

    transact(lab.engine, lambda connection: add_missing_hosts(connection, request_id))

    rows = lab.rows("SELECT host, images FROM batch_hosts JOIN hosts USING (host) ORDER BY host")
    assert [(row["host"], row["images"]) for row in rows] == [(A, 1), (B, 2)]
