"""Which due images a claim gets to see, and which of them it leases."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from chassis.db.engine import transact
from ingest.state.due_images import find_due
from ingest.state.images import dispatch_images
from ingest.state.locks import lock_image
from support.ingest_service import Lab

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOSTS = [f"h{number}.example" for number in range(5)]
LAYOUTS = {
    "in turn": [HOSTS[number % 5] for number in range(60)],
    "one after the other": [HOSTS[number // 12] for number in range(60)],
    "nearly all of one": [HOSTS[0]] * 50 + HOSTS * 2,
    "nearly all of one at the end": HOSTS * 2 + [HOSTS[0]] * 50,
    "one each, then one host": HOSTS + [HOSTS[4]] * 55,
}


def submitted(lab: Lab, hosts: list[str]) -> UUID:
    """Upload an image of each host, in this order."""
    return UUID(lab.submit(*(f"https://{host}/{number}.jpg" for number, host in enumerate(hosts))))


def due(lab: Lab, batch: UUID, starts: dict[str, int], limit: int, *, from_start: bool = False) -> list[int]:
    """Return the rows that a claim sees."""
    found = transact(lab.engine, lambda c: find_due(c, batch, starts, limit=limit, from_start=from_start))
    return [row["row_number"] for row in found]


def expected(hosts: list[str], starts: dict[str, int], limit: int, order: dict[int, int]) -> list[int]:
    """Return the first images that wait, of each host at most its starts; rows begin below the header."""
    taken: Counter[str] = Counter()
    rows = []
    for row in sorted(order, key=lambda row: (order[row], row)):
        host = hosts[row - 2]
        if taken[host] < starts.get(host, 0):
            taken[host] += 1
            rows.append(row)
    return rows[:limit]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("limit", [1, 7, 30, 100])
def test_images_come_in_the_order_of_rows_and_of_each_host_no_more_than_its_starts(
    lab: Lab, layout: str, limit: int
) -> None:
    """However the hosts are spread, whatever has moved on, and though some have come back to wait since."""
    draw = random.Random(limit)
    hosts = LAYOUTS[layout]
    batch = submitted(lab, hosts)
    order = {row: draw.choice([0, 0, 0, 5]) for row in range(2, 62) if draw.random() < 0.7}
    lab.change("UPDATE images SET status = 'SUCCEEDED', output_url = 'x'")
    for row, back_s in order.items():
        values = {"row": row, "s": 600 - back_s}
        lab.change(
            "UPDATE images SET status = 'PENDING', next_at = now() - make_interval(secs => :s) WHERE row_number = :row",
            **values,
        )
    for _ in range(5):
        starts = {host: draw.randint(1, 40) for host in draw.sample(HOSTS, draw.randint(1, 5))}

        assert due(lab, batch, starts, limit) == expected(hosts, starts, limit, order)


def test_images_that_wait_for_a_later_time_or_another_image_are_not_due(lab: Lab) -> None:
    """Nor those of another batch."""
    url = f"https://{HOSTS[0]}/1.jpg"
    batch, _other = UUID(lab.submit(url, url, f"{url}?2", f"{url}?3")), lab.submit(url)
    lab.change("UPDATE images SET next_at = now() + interval '1 s' WHERE row_number = 5")

    assert due(lab, batch, {HOSTS[0]: 9}, 9) == [2, 4]


def test_what_lies_before_the_known_begin_is_seen_only_by_who_looks_from_the_start(lab: Lab) -> None:
    batch = submitted(lab, [HOSTS[0]] * 4)
    lab.change("UPDATE batch_hosts SET due_from = (SELECT min(next_at) FROM images), due_row = 4")

    assert due(lab, batch, {HOSTS[0]: 9}, 9) == [4, 5]
    assert due(lab, batch, {HOSTS[0]: 9}, 9, from_start=True) == [2, 3, 4, 5]


def test_only_images_that_are_still_as_they_were_found_are_leased(lab: Lab) -> None:
    """Not one that has ended, was tried meanwhile, or is held by an outcome: nobody waits for it."""
    batch = submitted(lab, [HOSTS[0]] * 4)
    found = transact(lab.engine, lambda c: find_due(c, batch, {HOSTS[0]: 4}, limit=4))
    ended, tried, held, free = (row["id"] for row in found)
    lab.change("UPDATE images SET status = 'SUCCEEDED', output_url = 'x' WHERE id = :id", id=ended)
    lab.change("UPDATE images SET attempt = 1 WHERE id = :id", id=tried)

    with lab.engine.begin() as outcome:
        lock_image(outcome, batch, held)
        with lab.engine.begin() as claim:
            claim.execute(text("SET LOCAL lock_timeout = '100ms'"))
            leased = dispatch_images(claim, [(row["id"], 0, NOON) for row in found], lease_s=60)

    assert leased == {free}
    rows = lab.rows("SELECT id, attempt FROM images WHERE status = 'DISPATCHED'")
    assert rows == [{"id": free, "attempt": 1}]
