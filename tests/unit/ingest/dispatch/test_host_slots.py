"""Politeness: no host is asked by too many at once, too fast, or for nothing, whatever batches its images are in."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chassis.settings import SettingsError
from ingest.dispatch.claim import claim_page
from ingest.settings import HostLimits
from ingest.sheets.links import host_of
from support.ingest_service import Lab, MakeLab, claimed_of

A, B = "https://a.example", "https://b.example"
TROUBLE = {"outcome": "FAILED", "code": "HTTP_5XX", "detail": "HTTP 503", "transient": True}
# The wait after trouble is a random part of this: none is over while a test runs.
NO_RETRY_SOON = {"INGEST_RETRY_BASE_S": "1e9", "INGEST_RETRY_MAX_S": "1e9"}
GONE = {"outcome": "FAILED", "code": "HTTP_4XX", "detail": "HTTP 404"}


def urls(root: str, count: int) -> list[str]:
    """Return so many cells with one URL each."""
    return [f"{root}/{n}.jpg" for n in range(count)]


def started(lab: Lab, *cells: str) -> tuple[str, str]:
    """Return a batch and the execution that owns it."""
    request_id = lab.submit(*cells)
    return request_id, lab.start(request_id)


def hosts_of(lab: Lab, request_id: str) -> dict[str, dict[str, Any]]:
    """Return the hosts of a batch's status by name."""
    return {found["host"]: found for found in lab.status(request_id)["hosts"]}


def in_flight(lab: Lab) -> Counter[str]:
    """Count dispatched images by host."""
    found = lab.rows("SELECT host, count(*) AS count FROM images WHERE status = 'DISPATCHED' GROUP BY host")
    return Counter({row["host"]: row["count"] for row in found})


def handed_on(lab: Lab) -> list[dict[str, Any]]:
    """Return the payloads of the tasks that ingest made itself."""
    return lab.tasks.bodies("/compress")


# --- places


def test_a_host_gets_no_more_than_its_places(make_lab: MakeLab) -> None:
    """The page holds four images of each host and says that nothing more is due; neither does the poll after it."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="4")
    request_id, execution = started(lab, *urls(A, 10), *urls(B, 10))

    page = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json

    claimed = [host_of(image["payload"]["url"]) for image in claimed_of(page)]
    assert Counter(claimed) == {"a.example": 4, "b.example": 4}
    assert page["exhausted"] is True
    progress = lab.progress(request_id, execution)
    assert (progress["open"], progress["due"]) == (20, 0)
    # Nothing but the leases is a time to wait for: the places are handed on by the outcomes.
    assert 890 < progress["next_due_s"] <= 901


@pytest.mark.fault("D20")
def test_places_are_counted_over_all_batches_at_the_same_moment(make_lab: MakeLab) -> None:
    """Twelve claims of six batches race for the four places of one host."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="4")
    batches = [UUID(started(lab, *urls(A, 10))[0]) for _ in range(6)]

    def claim(request_id: UUID) -> int:
        return len(claim_page(lab.engine, lab.settings, request_id, execution=None, max_rows=100).images)

    with ThreadPoolExecutor(8) as pool:
        claimed = sum(pool.map(claim, batches * 2))

    assert (claimed, in_flight(lab)) == (4, {"a.example": 4})


def test_a_claim_waits_for_another_that_is_filling_the_host(make_lab: MakeLab) -> None:
    """And counts what that one has dispatched: the last place cannot be seen free by two."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="4")
    first, second = (UUID(started(lab, *urls(A, 10))[0]) for _ in range(2))
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM hosts%'")
    fill = text(
        "UPDATE images SET status = 'DISPATCHED', lease_until = now() + interval '1 hour'"
        " WHERE batch = :batch AND row_number <= 5"
    )

    def claim() -> int:
        return len(claim_page(lab.engine, lab.settings, second, execution=None, max_rows=100).images)

    with ThreadPoolExecutor(1) as pool, lab.engine.connect() as rival, lab.engine.connect() as watcher:
        rival.execute(text("SELECT 1 FROM hosts FOR UPDATE"))
        claimed = pool.submit(claim)
        while not claimed.done() and not watcher.execute(waiting).scalar_one():
            watcher.rollback()
        rival.execute(fill, {"batch": first})
        rival.commit()

        assert claimed.result() == 0


def test_an_image_that_ends_hands_its_place_on(make_lab: MakeLab) -> None:
    """The next one of the host has its task the moment the report is answered; nobody claimed."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="2")
    request_id, execution = started(lab, *urls(A, 5))
    first, second = lab.claim(request_id, execution)

    lab.report(first)
    lab.report(second, **GONE)

    assert [body["url"] for body in handed_on(lab)] == [f"{A}/2.jpg", f"{A}/3.jpg"]
    assert in_flight(lab) == {"a.example": 2}


def test_a_place_is_handed_on_until_the_batch_is_done(make_lab: MakeLab) -> None:
    """One claim primes a host; the rest of its images follow one another without another claim."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 6))
    [payload] = lab.claim(request_id, execution)

    lab.report(payload)
    for done in range(5):
        lab.report(handed_on(lab)[done])

    assert len(handed_on(lab)) == 5
    assert lab.batch_row(request_id)["status"] == "SEALING"


@pytest.mark.feature("29")
def test_batches_take_turns_at_a_host(make_lab: MakeLab) -> None:
    """A small batch does not wait for the thousands of one that came before it."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    large, execution = started(lab, *urls(A, 30))
    [payload] = lab.claim(large, execution)
    small, _ = started(lab, *urls(A, 3))

    lab.report(payload)
    for done in range(5):
        lab.report(handed_on(lab)[done])

    served = Counter(body["request_id"] for body in handed_on(lab))
    assert served == {small: 3, large: 3}


def test_a_place_that_cannot_be_handed_on_is_not_lost(make_lab: MakeLab) -> None:
    """Cloud Tasks is away: the report is recorded all the same, and the image can be claimed later."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 2))
    [payload] = lab.claim(request_id, execution)
    lab.tasks.down = True

    answer = lab.report(payload)

    assert (answer.code, answer.json["applied"], in_flight(lab)) == (200, True, {})
    lab.change("UPDATE images SET next_at = now() WHERE status = 'PENDING'")
    assert [body["attempt"] for body in lab.claim(request_id, execution)] == [2]


@pytest.mark.parametrize("change", ["cancel_requested = true", "deadline_at = now()", "status = 'PENDING'"])
def test_a_place_is_not_handed_on_to_a_batch_that_must_not_work(make_lab: MakeLab, change: str) -> None:
    """Cancelled, late, or not begun by an execution yet."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    other = lab.submit(*urls(A, 2))
    lab.start(other)
    lab.change(f"UPDATE batches SET {change} WHERE request_id = CAST(:id AS uuid)", id=other)
    request_id, execution = started(lab, *urls(A, 1))
    [payload] = lab.claim(request_id, execution)

    lab.report(payload)

    assert handed_on(lab) == []


def test_a_place_that_a_lost_worker_held_is_found_by_the_next_claim(make_lab: MakeLab) -> None:
    """Its lease runs out and the image comes again; no place leaks."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 2))
    lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE status = 'DISPATCHED'")

    assert lab.progress(request_id, execution)["due"] == 1
    assert len(lab.claim(request_id, execution)) == 1
    assert in_flight(lab) == {"a.example": 1}


def test_a_sweep_alone_respects_the_places_and_primes_them(make_lab: MakeLab) -> None:
    """Without Workflows: the sweeper dispatches what the host allows, the outcomes do the rest."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="2")
    lab.executions.down = True
    request_id = lab.submit(*urls(A, 5))
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")

    lab.sweep()
    primed = len(handed_on(lab))
    for done in range(5):
        lab.report(handed_on(lab)[done])

    assert (primed, len(handed_on(lab))) == (2, 5)
    assert lab.batch_row(request_id)["status"] == "SEALING"


@pytest.mark.fault("A20")
@pytest.mark.threat("T5")
def test_ten_thousand_images_of_a_dead_host_keep_nobody_waiting(make_lab: MakeLab) -> None:
    """They come first in the sheet and fail one after the other; the good host's 150 images are done meanwhile."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="4", INGEST_MAX_IN_FLIGHT="100", **NO_RETRY_SOON)
    request_id, execution = started(lab, *urls("https://dead.example", 10_000), *urls(B, 150))
    worked = 0
    open_tasks = lab.claim(request_id, execution)
    while open_tasks:
        payload = open_tasks.pop(0)
        known = len(handed_on(lab))
        lab.report(payload, **(TROUBLE if "dead" in payload["url"] else {}))
        open_tasks += handed_on(lab)[known:]
        worked += 1
        assert max(in_flight(lab).values(), default=0) <= 4

    counts = lab.batch_row(request_id)
    # The dead host had its ten failures and the three that were under way.
    assert (counts["succeeded"], counts["failed"], worked) == (150, 0, 163)
    progress = lab.progress(request_id, execution)
    assert (progress["due"], 0 < progress["next_due_s"] <= 30) == (0, True)


# --- pace


def start_times(page: dict[str, Any]) -> list[datetime]:
    """Return when the images of a claimed page may start."""
    return [datetime.fromisoformat(image["start_at"]) for image in claimed_of(page)]


@pytest.mark.threat("T9")
def test_starts_at_a_host_are_spread_over_all_batches(make_lab: MakeLab) -> None:
    """At 5 a second each start comes 200 ms after the one before, also across two batches and a place handed on."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="6", INGEST_HOST_RATE="5")
    pages = []
    for _ in range(2):
        request_id, execution = started(lab, *urls(A, 3))
        pages.append(lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json)
    third, execution = started(lab, *urls(A, 1))
    assert lab.claim(third, execution) == []

    lab.report(claimed_of(pages[0])[0]["payload"])

    [last] = [task["start_at"] for task in lab.tasks.tasks.values() if task["start_at"]]
    starts = [*start_times(pages[0]), *start_times(pages[1]), last]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert gaps == pytest.approx([0.2] * 6, abs=0.001)


def test_a_lease_begins_with_the_start(make_lab: MakeLab) -> None:
    """An image that has to wait for its start does not lose that time."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="3", INGEST_HOST_RATE="0.1")
    request_id, execution = started(lab, *urls(A, 3))

    page = lab.batch_call(request_id, "claim", execution=execution, max_rows=100).json

    leases = lab.rows("SELECT lease_until FROM images ORDER BY slot, row_number")
    waits = [(row["lease_until"] - at).total_seconds() for row, at in zip(leases, start_times(page), strict=True)]
    assert waits == pytest.approx([900.0] * 3)


# --- patience


@pytest.mark.feature("25")
def test_retry_after_keeps_that_host_waiting_and_no_other(make_lab: MakeLab) -> None:
    """30 s for every image of the host, in the status until when; the other host goes on."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 3), *urls(B, 3))
    payload = next(found for found in lab.claim(request_id, execution) if found["url"].startswith(A))

    lab.report(payload, **TROUBLE | {"code": "RATE_LIMITED"}, retry_after_s=30)

    progress = lab.progress(request_id, execution)
    assert (progress["due"], 28 < progress["next_due_s"] <= 30) == (0, True)
    assert (lab.claim(request_id, execution), handed_on(lab)) == ([], [])
    found = hosts_of(lab, request_id)
    assert (found["a.example"]["state"], found["b.example"]["state"]) == ("WAITING", "CLOSED")
    until = datetime.fromisoformat(found["a.example"]["until"])
    assert 25 < (until - datetime.now(until.tzinfo)).total_seconds() <= 31


@pytest.mark.fault("D15")
@pytest.mark.threat("T5")
def test_no_host_can_ask_for_more_patience_than_we_have(make_lab: MakeLab) -> None:
    """Retry-After: 1000000000 is five minutes."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 3))

    lab.report(lab.claim(request_id, execution)[0], **TROUBLE, retry_after_s=1e9)

    assert 298 < lab.progress(request_id, execution)["next_due_s"] <= 300


def test_a_host_that_waited_is_asked_again(make_lab: MakeLab) -> None:
    """When the time is over the next claim finds its images."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *urls(A, 3))
    lab.report(lab.claim(request_id, execution)[0], **TROUBLE, retry_after_s=30)
    lab.change("UPDATE hosts SET blocked_until = now()")

    assert lab.progress(request_id, execution)["due"] == 1
    assert len(lab.claim(request_id, execution)) == 1


# --- the breaker


def opened(lab: Lab) -> tuple[str, str, list[dict[str, Any]]]:
    """Return a batch of 20 images of one host that has just failed ten times in a row, and what was claimed."""
    request_id, execution = started(lab, *urls(A, 20))
    payloads = lab.claim(request_id, execution)
    for payload in payloads[:10]:
        lab.report(payload, **TROUBLE)
    return request_id, execution, payloads


@pytest.mark.feature("25")
def test_ten_failures_in_a_row_open_the_breaker(make_lab: MakeLab) -> None:
    """No further image of the host is due, the status says so, another batch sees it too and counts for itself."""
    lab = make_lab(**NO_RETRY_SOON)
    request_id, execution, _ = opened(lab)
    other, other_execution = started(lab, *urls(A, 1))

    assert hosts_of(lab, request_id)["a.example"] | {"until": None} == {
        "host": "a.example",
        "state": "OPEN",
        "images": 20,
        "requests": 20,
        "failures": 10,
        "savings": {"images": 0, "bytes_in": 0, "bytes_out": 0, "saved_bytes": 0, "saved_percent": None},
        "until": None,
    }
    assert (lab.claim(request_id, execution), lab.claim(other, other_execution)) == ([], [])
    found = hosts_of(lab, other)["a.example"]
    assert (found["state"], found["requests"], found["failures"]) == ("OPEN", 0, 0)
    assert found["until"] is not None


@pytest.mark.parametrize("answer", [{}, GONE], ids=["an image", "a 404"])
def test_any_answer_starts_the_count_again(make_lab: MakeLab, answer: dict[str, Any]) -> None:
    """Nine failures, an answer, nine failures: the breaker stays closed."""
    lab = make_lab()
    request_id, execution = started(lab, *urls(A, 19))
    payloads = lab.claim(request_id, execution)
    for number, payload in enumerate(payloads):
        lab.report(payload, **(answer if number == 9 else TROUBLE))

    assert hosts_of(lab, request_id)["a.example"]["state"] == "CLOSED"


def test_failures_that_began_before_it_opened_do_not_keep_it_open_longer(make_lab: MakeLab) -> None:
    """Images under way when the breaker opens are no news."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="20", **NO_RETRY_SOON)
    _, _, payloads = opened(lab)
    before = lab.rows("SELECT * FROM hosts")

    for payload in payloads[10:]:
        lab.report(payload, **TROUBLE)

    assert lab.rows("SELECT * FROM hosts") == before


def half_open(lab: Lab) -> tuple[str, str, list[dict[str, Any]]]:
    """Return a batch whose host may be tried again, and the images claimed for it."""
    request_id, execution, payloads = opened(lab)
    for payload in [*payloads[10:], *handed_on(lab)]:
        lab.report(payload, **TROUBLE)
    lab.change("UPDATE hosts SET blocked_until = now()")
    lab.change("UPDATE images SET next_at = now() WHERE status = 'PENDING'")
    assert hosts_of(lab, request_id)["a.example"]["state"] == "HALF_OPEN"
    assert lab.progress(request_id, execution)["due"] == 1
    return request_id, execution, lab.claim(request_id, execution)


@pytest.mark.fault("A21")
def test_one_image_tries_an_open_host_and_closes_it(make_lab: MakeLab) -> None:
    """When it succeeds, the other places are handed out at once."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="12", **NO_RETRY_SOON)
    request_id, execution, claimed = half_open(lab)
    assert len(claimed) == 1
    assert lab.claim(request_id, execution) == []
    before = len(handed_on(lab))

    lab.report(claimed[0])

    assert hosts_of(lab, request_id)["a.example"]["state"] == "CLOSED"
    assert len(handed_on(lab)) - before == 4


def test_an_image_that_finds_the_host_still_dead_doubles_the_pause(make_lab: MakeLab) -> None:
    """30 s, 60 s, ...: and nobody else was sent."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="12", **NO_RETRY_SOON)
    request_id, execution, [payload] = half_open(lab)
    before = len(handed_on(lab))

    lab.report(payload, **TROUBLE)

    assert hosts_of(lab, request_id)["a.example"]["state"] == "OPEN"
    assert 58 < lab.progress(request_id, execution)["next_due_s"] <= 60
    assert len(handed_on(lab)) == before


@pytest.mark.threat("T5")
def test_images_do_not_wait_for_a_dead_host_for_ever(make_lab: MakeLab) -> None:
    """After the patience the next claim fails them, duplicates included, and seals the batch."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="12", INGEST_MAX_ATTEMPTS="1")
    request_id, execution = started(lab, *urls(A, 10), f"{A}/last.jpg {A}/last.jpg")
    for payload in lab.claim(request_id, execution, max_rows=10):
        lab.report(payload, **TROUBLE)
    soon = lab.progress(request_id, execution)
    lab.change("UPDATE hosts SET opened_at = now() - interval '15 minutes', blocked_until = now() + interval '60 s'")
    lab.change("UPDATE images SET next_at = now() - interval '15 minutes' WHERE status = 'PENDING'")

    late = lab.progress(request_id, execution)
    claimed = lab.claim(request_id, execution)

    assert (soon["due"], late["due"], claimed) == (0, 1, [])
    found = lab.rows("SELECT code, detail FROM images WHERE row_number = 12")
    assert found == [{"code": "HOST_UNREACHABLE", "detail": "The last 10 requests to this host failed."}] * 2
    assert lab.batch_row(request_id)["status"] == "SEALING"


def test_a_batch_that_comes_later_has_its_own_patience(make_lab: MakeLab) -> None:
    """Its images wait for the next try instead of failing at once for what happened before."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="12", **NO_RETRY_SOON)
    opened(lab)
    lab.change("UPDATE hosts SET opened_at = now() - interval '1 day'")
    request_id, execution = started(lab, *urls(A, 1))

    lab.claim(request_id, execution)

    assert lab.batch_row(request_id)["pending"] == 1


# --- names, limits, old batches


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://CDN.Example/a.jpg", "cdn.example"),
        ("https://cdn.example.:443/a.jpg", "cdn.example"),
        ("http://cdn.example:80?x", "cdn.example"),
        ("http://cdn.example:8080/a", "cdn.example:8080"),
        ("https://Bücher.example/a", "xn--bcher-kva.example"),
        ("https://cdn。example/a", "cdn.example"),
        ("http://[2606:4700::1]/a", "[2606:4700::1]"),
        ("http://[2606:4700::1]:8443/a", "[2606:4700::1]:8443"),
        ("http://127。0。0。1/a", "127.0.0.1"),
        ("http://" + "ü" * 70 + ".example/a", "ü" * 70 + ".example"),
    ],
)
def test_a_host_has_one_spelling(url: str, host: str) -> None:
    """Whoever writes it in another way asks the same server."""
    assert host_of(url) == host


def test_some_hosts_have_limits_of_their_own(make_lab: MakeLab) -> None:
    """By name with any port, or by name and port; all others have the common ones."""
    lab = make_lab(
        INGEST_HOST_CONCURRENCY="4",
        INGEST_HOST_RATE="5",
        INGEST_HOST_LIMITS="cdn.example=16/50, cdn.example:8080=1/0.5, [::1]=9/9",
    )
    hosts = ["cdn.example", "cdn.example:8443", "cdn.example:8080", "[::1]:8080", "[::1]", "other.example", ""]

    found = [lab.settings.host_limits_of(host) for host in hosts]

    own, slow, v6, common = HostLimits(16, 50.0), HostLimits(1, 0.5), HostLimits(9, 9.0), HostLimits(4, 5.0)
    assert found == [own, own, slow, v6, v6, common, common]


@pytest.mark.parametrize(
    "item", ["cdn.example", "cdn.example=4", "cdn.example=0/5", "cdn.example=4/0", "=4/5", "a=4/x"]
)
def test_a_limit_that_cannot_be_read_stops_the_start(make_lab: MakeLab, item: str) -> None:
    """The message names the item."""
    with pytest.raises(SettingsError, match="INGEST_HOST_LIMITS: .*" + item):
        make_lab(INGEST_HOST_LIMITS=item)


def test_the_status_lists_hosts_in_trouble_first_and_counts_them_all(make_lab: MakeLab) -> None:
    """At most a hundred; whoever has 150 learns that there are more."""
    lab = make_lab(INGEST_HOST_CONCURRENCY="1")
    request_id, execution = started(lab, *(f"https://h{n:03}.example/a.jpg" for n in range(150)))
    payload = next(found for found in lab.claim(request_id, execution) if "h077" in found["url"])
    lab.report(payload, **TROUBLE, retry_after_s=60)

    status = lab.status(request_id)

    assert (status["host_count"], len(status["hosts"])) == (150, 100)
    assert [found["host"] for found in status["hosts"][:2]] == ["h077.example", "h000.example"]


@pytest.mark.fault("B10")
def test_a_batch_of_the_release_before_is_claimed_all_the_same(lab: Lab) -> None:
    """It was stored without hosts, by an instance that had not been replaced yet."""
    request_id, execution = started(lab, *urls(A, 2))
    lab.change("UPDATE images SET host = ''")
    lab.change("DELETE FROM batch_hosts")
    lab.change("DELETE FROM hosts")

    assert lab.progress(request_id, execution)["due"] == 1
    assert len(lab.claim(request_id, execution)) == 2
    assert hosts_of(lab, request_id)[""]["requests"] == 2
