"""Politeness: no host is asked faster than it has shown to bear, or for nothing, whatever batches its images are in."""

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
DEFAULTS = {
    "INGEST_HOST_FIRST_RATE": "5",
    "INGEST_HOST_MAX_RATE": "500",
    "INGEST_HOST_MAX_CONCURRENCY": "64",
}
"""What everybody gets; the laboratory's own hosts are asked as fast as can be."""

DEAD = {"outcome": "FAILED", "code": "CONNECT_FAILED", "transient": True, "first_byte_ms": None}
TROUBLE = {"outcome": "FAILED", "code": "HTTP_5XX", "detail": "HTTP 500", "transient": True}
REFUSED = {"outcome": "FAILED", "code": "RATE_LIMITED", "detail": "HTTP 429", "transient": True}
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


def host_row(lab: Lab, host: str = "a.example") -> Any:
    """Return what is learned of a host."""
    [row] = lab.rows("SELECT * FROM hosts WHERE host = :host", host=host)
    return row


def starts(page: dict[str, Any]) -> list[datetime]:
    """Return when the images of a claimed page may start."""
    return [datetime.fromisoformat(image["start_at"]) for image in claimed_of(page)]


def later(lab: Lab, seconds: float) -> None:
    """Let time pass for hosts, images and leases."""
    lab.change(
        "UPDATE hosts SET next_start_at = next_start_at - make_interval(secs => :s),"
        " blocked_until = blocked_until - make_interval(secs => :s), opened_at = opened_at - make_interval(secs => :s),"
        " judged_from = judged_from - make_interval(secs => :s), calm_until = calm_until - make_interval(secs => :s)",
        s=seconds,
    )
    lab.change(
        "UPDATE images SET next_at = next_at - make_interval(secs => :s),"
        " lease_until = lease_until - make_interval(secs => :s)",
        s=seconds,
    )
    lab.change("UPDATE batch_hosts SET due_from = due_from - make_interval(secs => :s)", s=seconds)


# --- starts


@pytest.mark.feature("25")
@pytest.mark.threat("T9")
def test_an_unknown_host_is_asked_five_times_a_second(make_lab: MakeLab) -> None:
    """For two seconds ahead; the next claim follows when four answers may have come, or a second is over."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 30))

    page = lab.next_claim(request_id, execution)

    gaps = [(after - before).total_seconds() for before, after in pairwise(starts(page))]
    assert gaps == pytest.approx([0.2] * 9, abs=0.001)
    assert page["open"] == 30
    assert 0.3 <= page["next_claim_s"] <= 1.2


@pytest.mark.parametrize(
    ("host", "least_s", "most_s"),
    [
        ("judged_from = now() + interval '0.3 s'", 0.3, 0.8),
        ("judged_from = now() - interval '1 minute'", 1.0, 2.0),
        ("judged_from = now() + interval '0.3 s', ceiling = 40", 2.5, 4.0),
    ],
    ids=["answers-to-come", "answers-overdue", "limit-known"],
)
def test_a_claim_follows_when_the_pace_may_have_changed(
    make_lab: MakeLab, host: str, least_s: float, most_s: float
) -> None:
    """Faster than once a second only while a host is tried faster, and only if nothing else holds its answers up."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 400))
    lab.change(f"UPDATE hosts SET rate = 20, floor_log_s = ln(0.05), next_start_at = now(), {host}")

    page = lab.next_claim(request_id, execution)

    assert len(claimed_of(page)) >= 38
    assert least_s <= page["next_claim_s"] <= most_s


def test_answers_that_waited_behind_those_before_a_cut_do_not_count(make_lab: MakeLab) -> None:
    """The rate is judged from the first start that waited until the host had got done with what was under way."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 60))
    lab.claim(request_id, execution)
    later(lab, 3)
    lab.change(
        "UPDATE hosts SET rate = 5, floor_log_s = ln(0.2), ceiling = 10, calm_until = now() + interval '1 minute'"
    )

    [first, *_] = starts(lab.next_claim(request_id, execution))

    assert host_row(lab)["judged_from"] == first


@pytest.mark.fault("D20")
def test_starts_are_spread_over_all_batches_at_the_same_moment(make_lab: MakeLab) -> None:
    """Twelve claims of six batches race for the two seconds of one host."""
    lab = make_lab(**DEFAULTS)
    batches = [UUID(started(lab, *urls(A, 10))[0]) for _ in range(6)]

    def claim(batch: UUID) -> list[datetime]:
        return [
            image.start_at for image in claim_page(lab.engine, lab.settings, batch, execution=None, max_rows=9).images
        ]

    later(lab, 60)
    with ThreadPoolExecutor(8) as pool:
        planned = sorted(start for found in pool.map(claim, batches * 2) for start in found)

    gaps = [(after - before).total_seconds() for before, after in pairwise(planned)]
    assert len(planned) == 60
    assert min(gaps) > 0.19


def test_a_claim_waits_for_another_that_plans_for_the_host(make_lab: MakeLab) -> None:
    """And sees what that one has planned: the last start cannot be taken by two."""
    lab = make_lab(**DEFAULTS)
    batch = UUID(started(lab, *urls(A, 10))[0])
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM hosts%'")

    def claim() -> int:
        return len(claim_page(lab.engine, lab.settings, batch, execution=None, max_rows=100).images)

    with ThreadPoolExecutor(1) as pool, lab.engine.connect() as rival, lab.engine.connect() as watcher:
        rival.execute(text("SELECT 1 FROM hosts FOR UPDATE"))
        claimed = pool.submit(claim)
        while not claimed.done() and not watcher.execute(waiting).scalar_one():
            watcher.rollback()
        rival.execute(text("UPDATE hosts SET next_start_at = now() + interval '1 hour'"))
        rival.commit()

        assert claimed.result() == 0


def test_a_lease_begins_with_the_start(make_lab: MakeLab) -> None:
    """An image that has to wait for its start does not lose that time."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 3))

    page = lab.next_claim(request_id, execution)

    leases = lab.rows("SELECT lease_until FROM images ORDER BY slot, row_number")
    waits = [(row["lease_until"] - at).total_seconds() for row, at in zip(leases, starts(page), strict=True)]
    assert waits == pytest.approx([900.0] * 3)


@pytest.mark.feature("29")
def test_batches_share_a_host(make_lab: MakeLab) -> None:
    """A small batch that comes later gets half of what can be planned, whatever came before it."""
    lab = make_lab(**DEFAULTS)
    large, large_execution = started(lab, *urls(A, 100))
    under_way = lab.claim(large, large_execution)
    small, small_execution = started(lab, *urls(A, 10))
    lab.claim(small, small_execution)
    taken: Counter[str] = Counter()
    for _second in range(5):
        later(lab, 1)
        for name, request_id, execution in (("large", large, large_execution), ("small", small, small_execution)):
            claimed = lab.claim(request_id, execution)
            taken[name] += len(claimed)
            under_way += claimed
        # It bears no more than it is asked for now.
        lab.change("UPDATE hosts SET ceiling = rate, calm_until = now() + interval '1 hour'")
        while under_way:
            lab.report(under_way.pop())

    [small_images] = lab.rows("SELECT count(*) AS asked FROM images WHERE batch = :b AND attempt > 0", b=small)
    assert small_images["asked"] == 10
    assert taken["large"] >= 10


def test_a_batch_plans_its_part_of_a_host_that_others_wait_for_too(make_lab: MakeLab) -> None:
    """Ten starts of two seconds; a third batch has no image left that is due, so it does not share."""
    lab = make_lab(**DEFAULTS)
    batches = [started(lab, *urls(A, 20)) for _ in range(3)]
    lab.change("UPDATE images SET next_at = now() + interval '1 hour' WHERE batch = :b", b=batches[2][0])

    first = len(lab.claim(*batches[0]))
    # However slowly the test runs, none of these starts meanwhile.
    lab.change("UPDATE images SET lease_until = lease_until + interval '1 minute' WHERE status = 'DISPATCHED'")

    assert (first, len(lab.claim(*batches[0])), len(lab.claim(*batches[1]))) == (5, 0, 5)


def test_what_others_have_under_way_and_planned_counts_against_the_hosts_bound(make_lab: MakeLab) -> None:
    """Four times what may be under way, of all batches together."""
    lab = make_lab(**DEFAULTS | {"INGEST_HOST_FIRST_RATE": "500", "INGEST_HOST_MAX_CONCURRENCY": "2"})
    (first, execution), second = started(lab, *urls(A, 20)), started(lab, *urls(A, 20))
    lab.change("UPDATE batches SET status = 'PENDING', started_at = NULL WHERE request_id = :b", b=second[0])
    planned = lab.claim(first, execution, max_rows=3)
    later(lab, 1)
    under_way = lab.claim(first, execution, max_rows=2)

    assert (len(planned), len(under_way), len(lab.claim(*second))) == (3, 2, 3)


@pytest.mark.threat("T9")
def test_a_host_that_is_known_begins_at_its_own_rate(make_lab: MakeLab) -> None:
    """Whoever names it in `INGEST_HOST_LIMITS` knows that it bears so much."""
    lab = make_lab(**DEFAULTS, INGEST_HOST_LIMITS="a.example=50/20")
    request_id, execution = started(lab, *urls(A, 60), *urls(B, 60))

    hosts = Counter(host_of(image["payload"]["url"]) for image in claimed_of(lab.next_claim(request_id, execution)))

    assert (hosts["a.example"], hosts["b.example"]) == (38, 10)


def test_a_sweep_alone_plans_for_the_minute_until_the_next(make_lab: MakeLab) -> None:
    """Without Workflows nobody claims in between."""
    lab = make_lab(**DEFAULTS)
    lab.executions.down = True
    lab.submit(*urls(A, 400))
    lab.change("UPDATE batches SET heartbeat_at = now() - interval '1 hour'")

    lab.sweep()

    made = [task["start_at"] for task in lab.tasks.tasks.values() if task["url"].endswith("/compress")]
    # No more than four times what may be under way at once.
    assert len(made) == 256
    assert (max(made) - min(made)).total_seconds() == pytest.approx(255 / 5, abs=1)


# --- what answers change


@pytest.mark.feature("25")
def test_a_host_that_answers_well_is_asked_faster(make_lab: MakeLab) -> None:
    """Twice as fast after each good sample; `/status` shows how fast it is and how long it takes to answer."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 100))

    rates = []
    for _round in range(3):
        payloads = lab.claim(request_id, execution)
        later(lab, 2)
        for payload in payloads:
            lab.report(payload, first_byte_ms=40)
        rates.append(host_row(lab)["rate"])

    assert rates == [10, 20, 40]
    found = hosts_of(lab, request_id)["a.example"]
    assert (found["images_per_s"], found["first_byte_ms"], found["under_way"]) == (40, 40, 0)


def test_a_host_that_slows_down_is_asked_slower(make_lab: MakeLab) -> None:
    """What it answered at the lower rate is its floor; ten times as long means that it has a queue."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 200))
    for first_byte_ms in (40, 40, 40, 400):
        payloads = lab.claim(request_id, execution)
        later(lab, 2)
        for payload in payloads:
            lab.report(payload, first_byte_ms=first_byte_ms)

    row = host_row(lab)
    assert (row["rate"], row["ceiling"]) == (20, 40)


@pytest.mark.fault("D20")
def test_no_host_is_asked_faster_than_the_bounds_allow(make_lab: MakeLab) -> None:
    """Neither than `INGEST_HOST_MAX_RATE`, nor so that more than `INGEST_HOST_MAX_CONCURRENCY` are under way."""
    lab = make_lab(**DEFAULTS | {"INGEST_HOST_MAX_RATE": "30", "INGEST_HOST_MAX_CONCURRENCY": "2"})
    request_id, execution = started(lab, *urls(A, 20), *urls(B, 20))
    lab.change("UPDATE hosts SET rate = 400, floor_log_s = ln(0.01) WHERE host = 'a.example'")
    lab.change("UPDATE hosts SET rate = 400, floor_log_s = ln(2) WHERE host = 'b.example'")

    page = claimed_of(lab.next_claim(request_id, execution))

    def gap(host: str) -> float:
        moments = [datetime.fromisoformat(image["start_at"]) for image in page if host in image["payload"]["url"]]
        return (moments[1] - moments[0]).total_seconds()

    assert gap("a.example") == pytest.approx(1 / 30, abs=0.001)
    assert gap("b.example") == pytest.approx(1.0, abs=0.001)
    assert {found["images_per_s"] for found in hosts_of(lab, request_id).values()} == {30, 1}


def test_an_answer_about_the_image_says_nothing_bad_of_the_host(make_lab: MakeLab) -> None:
    """A 404 is an answer like any other; an address that was never asked is none."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 20))
    payloads = lab.claim(request_id, execution)

    for payload in payloads[:4]:
        lab.report(payload, **GONE, first_byte_ms=40)
    lab.report(payloads[4], outcome="FAILED", code="URL_FORBIDDEN", first_byte_ms=None)

    assert (host_row(lab)["rate"], host_row(lab)["failures"]) == (10, 0)


# --- refusals


@pytest.mark.feature("25")
def test_retry_after_keeps_that_host_waiting_and_no_other(make_lab: MakeLab) -> None:
    """30 s for every image of the host, in the status until when; the other host goes on, and no attempt is lost."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 30), *urls(B, 30))
    payload = next(found for found in lab.claim(request_id, execution) if found["url"].startswith(A))

    answer = lab.report(payload, **REFUSED, retry_after_s=30).json
    later(lab, 2)
    claimed = {host_of(found["url"]) for found in lab.claim(request_id, execution)}

    assert 29 < answer["host_closed_s"] <= 30
    assert claimed == {"b.example"}
    found = hosts_of(lab, request_id)
    assert (found["a.example"]["state"], found["b.example"]["state"]) == ("WAITING", "CLOSED")
    until = datetime.fromisoformat(found["a.example"]["until"])
    assert 25 < (until - datetime.now(until.tzinfo)).total_seconds() <= 31
    [image] = lab.rows("SELECT attempt, attempt_limit FROM images WHERE id = :id", id=payload["image_id"])
    assert (image["attempt"], image["attempt_limit"]) == (1, lab.settings.max_attempts + 1)


@pytest.mark.fault("D15")
@pytest.mark.threat("T5")
def test_no_host_can_ask_for_more_patience_than_we_have(make_lab: MakeLab) -> None:
    """Retry-After: 1000000000 is five minutes."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *urls(A, 3))

    answer = lab.report(lab.claim(request_id, execution)[0], **REFUSED, retry_after_s=1e9)

    assert 298 < answer.json["host_closed_s"] <= 300


def test_an_image_that_is_always_refused_ends(make_lab: MakeLab) -> None:
    """A host that refuses is no fault of the image, but not for ever."""
    lab = make_lab(INGEST_MAX_ATTEMPTS="2", INGEST_RETRY_BASE_S="0")
    request_id, execution = started(lab, f"{A}/1.jpg")
    attempts = 0
    while lab.batch_row(request_id)["status"] == "PROCESSING":
        later(lab, 61)
        for payload in lab.claim(request_id, execution):
            lab.report(payload, **REFUSED)
            attempts += 1

    assert (attempts, lab.batch_row(request_id)["failed"]) == (9, 1)


@pytest.mark.fault("D20")
def test_an_image_that_was_handed_back_loses_no_attempt(make_lab: MakeLab) -> None:
    """Its host was closed after its task had been planned; nothing is counted, and it is due again in a moment."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, f"{A}/1.jpg")
    [payload] = lab.claim(request_id, execution)
    before = host_row(lab)

    answer = lab.report(payload, outcome="DEFERRED", code="HOST_CLOSED", transient=True, output_url=None)

    assert (answer.json["applied"], answer.json["image_status"]) == (True, "PENDING")
    assert host_row(lab) == before
    later(lab, 2)
    [again] = lab.claim(request_id, execution)
    [image] = lab.rows("SELECT attempt_limit - attempt AS left FROM images")
    assert (again["attempt"], image["left"]) == (2, lab.settings.max_attempts - 1)
    assert hosts_of(lab, request_id)["a.example"]["failures"] == 0


# --- hosts that are shut


def shut(lab: Lab, images: int = 20) -> tuple[str, str]:
    """Return a batch whose host did not answer its first images."""
    request_id, execution = started(lab, *urls(A, images))
    for payload in lab.claim(request_id, execution)[:4]:
        lab.report(payload, **DEAD)
    return request_id, execution


@pytest.mark.feature("25")
def test_a_dead_host_is_shut(make_lab: MakeLab) -> None:
    """No further image of the host is planned, the status says so, another batch sees it too and counts for itself."""
    lab = make_lab(**DEFAULTS)
    request_id, execution = shut(lab)
    lab.change("UPDATE hosts SET blocked_until = now() + interval '5 s'")
    other, other_execution = started(lab, *urls(A, 1))

    assert hosts_of(lab, request_id)["a.example"] | {"until": None, "under_way": 0} == {
        "host": "a.example",
        "state": "OPEN",
        "images": 20,
        "requests": 10,
        "failures": 4,
        "images_per_s": 2.5,
        "under_way": 0,
        "first_byte_ms": None,
        "savings": {"images": 0, "bytes_in": 0, "bytes_out": 0, "saved_bytes": 0, "saved_percent": None},
        "until": None,
    }
    assert (lab.claim(request_id, execution), lab.claim(other, other_execution)) == ([], [])
    found = hosts_of(lab, other)["a.example"]
    assert (found["state"], found["requests"], found["failures"]) == ("OPEN", 0, 0)
    assert found["until"] is not None


def half_open(lab: Lab) -> tuple[str, str, dict[str, Any]]:
    """Return a batch whose host may be tried again, and the one image that tries it."""
    request_id, execution = shut(lab)
    later(lab, 1000)
    # What was under way comes back with its leases, which are over.
    [payload] = lab.claim(request_id, execution)
    assert hosts_of(lab, request_id)["a.example"]["state"] == "HALF_OPEN"
    assert lab.claim(request_id, execution) == []
    return request_id, execution, payload


@pytest.mark.fault("A21")
def test_one_image_tries_a_shut_host_and_opens_it(make_lab: MakeLab) -> None:
    """When it succeeds the others follow at half of the pace."""
    lab = make_lab(**DEFAULTS)
    request_id, execution, payload = half_open(lab)

    lab.report(payload)

    assert hosts_of(lab, request_id)["a.example"]["state"] == "CLOSED"
    assert len(lab.claim(request_id, execution)) == 5


def test_an_image_that_finds_the_host_still_dead_loses_no_attempt(make_lab: MakeLab) -> None:
    """The pause grows, and nobody else was sent."""
    lab = make_lab(**DEFAULTS)
    request_id, _, payload = half_open(lab)
    [before] = lab.rows("SELECT attempt_limit - attempt AS left FROM images WHERE id = :id", id=payload["image_id"])

    answer = lab.report(payload, **DEAD)

    [after] = lab.rows("SELECT attempt_limit - attempt AS left FROM images WHERE id = :id", id=payload["image_id"])
    assert 1 < answer.json["host_closed_s"] <= 1.5
    assert after["left"] == before["left"] + 1
    assert hosts_of(lab, request_id)["a.example"]["state"] == "OPEN"


def test_a_claim_that_may_plan_nothing_at_its_hosts_is_not_repeated_at_once(make_lab: MakeLab) -> None:
    """The one image that tries a shut host has to report first."""
    lab = make_lab(**DEFAULTS)
    request_id, execution, _payload = half_open(lab)
    lab.change("UPDATE hosts SET next_start_at = now()")

    page = lab.next_claim(request_id, execution)

    assert page["image_count"] == 0
    assert page["next_claim_s"] >= 1.0


def test_a_claim_that_could_not_look_at_all_hosts_is_followed_by_the_next(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all were looked at, what is planned has to run first."""
    monkeypatch.setattr("ingest.dispatch.host_starts._MAX_LOCKED", 3)
    lab = make_lab(**DEFAULTS)
    request_id, execution = started(lab, *(f"https://h{n:03}.example/a.jpg" for n in range(5)))

    pages = [lab.next_claim(request_id, execution) for _ in range(2)]

    assert [page["image_count"] for page in pages] == [3, 2]
    assert pages[0]["next_claim_s"] == 0.0
    assert pages[1]["next_claim_s"] > 0


@pytest.mark.fault("A20")
@pytest.mark.threat("T5")
def test_thousands_of_images_of_a_dead_host_keep_nobody_waiting(make_lab: MakeLab) -> None:
    """They come first in the sheet; the good host's 150 images are done meanwhile."""
    lab = make_lab(**DEFAULTS | {"INGEST_HOST_FIRST_RATE": "20"})
    request_id, execution = started(lab, *urls("https://dead.example", 10_000), *urls(B, 150))
    tried = 0
    for _second in range(30):
        for payload in lab.claim(request_id, execution):
            dead = "dead" in payload["url"]
            tried += dead
            lab.report(payload, **(DEAD if dead else {}))
        later(lab, 1)

    assert lab.batch_row(request_id)["succeeded"] == 150
    # Those of the first two seconds, and one now and then.
    assert tried < 60


@pytest.mark.threat("T5")
def test_images_do_not_wait_for_a_dead_host_for_ever(make_lab: MakeLab) -> None:
    """After the patience the next claim fails them, duplicates included, and seals the batch."""
    lab = make_lab(**DEFAULTS, INGEST_MAX_ATTEMPTS="1")
    request_id, execution = started(lab, *urls(A, 4), f"{A}/last.jpg {A}/last.jpg")
    for payload in lab.claim(request_id, execution, max_rows=4):
        lab.report(payload, **DEAD)
    assert lab.batch_row(request_id)["pending"] == 2
    lab.change("UPDATE hosts SET opened_at = now() - interval '15 minutes', blocked_until = now() + interval '60 s'")
    lab.change("UPDATE images SET next_at = now() - interval '15 minutes' WHERE status = 'PENDING'")

    claimed = lab.claim(request_id, execution)

    found = lab.rows("SELECT code, detail FROM images WHERE row_number = 6")
    assert claimed == []
    assert [row["code"] for row in found] == ["HOST_UNREACHABLE"] * 2
    assert found[0]["detail"].startswith("Nothing good came from this host since 20")
    assert lab.batch_row(request_id)["status"] == "SEALING"


def test_a_batch_that_comes_later_has_its_own_patience(make_lab: MakeLab) -> None:
    """Its images wait for the next try instead of failing at once for what happened before."""
    lab = make_lab(**DEFAULTS)
    shut(lab)
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
        INGEST_HOST_MAX_CONCURRENCY="4",
        INGEST_HOST_MAX_RATE="5",
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
    lab = make_lab()
    request_id, execution = started(lab, *(f"https://h{n:03}.example/a.jpg" for n in range(150)))
    payloads = lab.claim(request_id, execution) + lab.claim(request_id, execution)
    payload = next(found for found in payloads if "h077" in found["url"])
    lab.report(payload, **REFUSED, retry_after_s=60)

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

    assert len(lab.claim(request_id, execution)) == 2
    assert hosts_of(lab, request_id)[""]["requests"] == 2
