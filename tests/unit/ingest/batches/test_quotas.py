"""Quotas of owners, and fair shares: refused with limit, value and use, never half-stored."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from chassis.auth.api_keys import new_key
from ingest.batches.quotas import Use, check_quotas, confirm_quotas, read_use
from ingest.errors import ApiError
from ingest.settings import IngestSettings
from support import deployment_files as d
from support.ingest_service import Answered, Lab, MakeLab, sheet_of

A, B, C = (f"https://a.example/{name}.jpg" for name in "abc")
ALICE, BOB = new_key(owner="alice", scopes=["read", "write"]), new_key(owner="bob", scopes=["read", "write"])
KEYS = f"{ALICE.line}\n{BOB.line}"


def facts(answer: Answered) -> dict[str, str]:
    """Return the metadata of an error."""
    found: dict[str, str] = answer.json["error"]["details"][0]["metadata"]
    return found


def upload_as(lab: Lab, key: str, *cells: str) -> Answered:
    """Upload a sheet with an API key."""
    data = {"file": (io.BytesIO(sheet_of(*cells).encode()), "sheet.csv")}
    return Answered(lab.client().post("/upload", data=data, headers={"Authorization": f"Bearer {key}"}))


def quotas(lab: Lab) -> dict[str, int]:
    """Return the use of every quota as /limits tells it."""
    return {row["name"]: row["use"] for row in lab.get("/limits").json["limits"] if row["use"] is not None}


LIMITS = {"INGEST_MAX_OPEN_BATCHES": "2", "INGEST_MAX_OPEN_IMAGES": "5", "INGEST_MAX_DAILY_IMAGES": "9"}


@pytest.fixture(name="stored")
def _stored(make_lab: MakeLab) -> Lab:
    """One batch of two images of nobody, one of three of Alice, and one of Bob that has ended."""
    lab = make_lab(**LIMITS)
    for owner, cell in (("bob", A), ("alice", f"{A} {B} {C}"), (None, f"{A} {B}")):
        request_id = lab.submit(cell)
        if owner == "bob":
            lab.finish_all(request_id)
        lab.change("UPDATE batches SET owner = :owner WHERE request_id = :id", owner=owner, id=request_id)
    return lab


def test_the_use_of_each_owner_is_its_own(stored: Lab) -> None:
    """Nobody's is that of all who have no name; what has ended counts for its day only."""
    with stored.engine.connect() as connection:
        uses = [read_use(connection, owner) for owner in (None, "alice", "bob", "carol")]

    assert uses == [Use(1, 2, 2), Use(1, 3, 3), Use(0, 0, 1), Use(0, 0, 0)]


def test_what_fits_exactly_is_accepted_and_one_more_is_not(stored: Lab) -> None:
    """The refusal names the limit that is passed, its value, what is asked, what is used, and when to ask again."""
    for owner, new in (("alice", Use(1, 2, 6)), (None, Use(1, 3, 7)), ("bob", Use(2, 5, 8))):
        with stored.engine.connect() as connection:
            check_quotas(connection, stored.settings, owner, new)

    found = []
    for owner, new in (("alice", Use(2, 0, 0)), ("alice", Use(0, 3, 0)), (None, Use(0, 0, 8)), ("bob", Use(0, 0, 9))):
        with stored.engine.connect() as connection, pytest.raises(ApiError) as caught:
            check_quotas(connection, stored.settings, owner, new)
        assert caught.value.reason == "QUOTA_EXCEEDED"
        found.append((*caught.value.metadata.items(), caught.value.retry_after_s))

    def refusal(name: str, limit: str, value: str, use: str, retry_after_s: int) -> tuple[object, ...]:
        return ("limit_name", name), ("limit", limit), ("value", value), ("use", use), retry_after_s

    assert found == [
        refusal("max_open_batches", "2", "2", "1", 60),
        refusal("max_open_images", "5", "3", "3", 60),
        refusal("max_daily_images", "9", "8", "2", 3600),
        refusal("max_daily_images", "9", "9", "1", 3600),
    ]


@pytest.mark.parametrize(
    ("of_alice", "name", "use"),
    [
        ("failed = 0", None, None),
        ("total = 6, pending = 6", "max_open_images", "4"),
        ("total = 10, succeeded = 7", "max_daily_images", "8"),
    ],
)
def test_what_a_transaction_has_stored_is_confirmed_with_what_its_owner_has(
    stored: Lab, of_alice: str, name: str | None, use: str | None
) -> None:
    """Two of Alice's images are the transaction's own; nobody else's count."""
    stored.change(f"UPDATE batches SET {of_alice} WHERE owner = 'alice'")
    stored.change("UPDATE batches SET total = 9, succeeded = 7 WHERE owner IS NULL")
    with stored.engine.begin() as connection:
        if name is None:
            confirm_quotas(connection, stored.settings, "alice", Use(1, 2, 2))
            return
        with pytest.raises(ApiError) as caught:
            confirm_quotas(connection, stored.settings, "alice", Use(1, 2, 2))

    assert (caught.value.metadata["limit_name"], caught.value.metadata["use"]) == (name, use)


def test_a_batch_too_many_is_not_confirmed(stored: Lab) -> None:
    """Two are allowed, of which one is the transaction's own."""
    stored.change("UPDATE batches SET owner = 'alice', finished_at = NULL, status = 'SEALING' WHERE owner = 'bob'")
    stored.change("UPDATE batches SET owner = 'alice' WHERE owner IS NULL")
    with stored.engine.begin() as connection, pytest.raises(ApiError) as caught:
        confirm_quotas(connection, stored.settings, "alice", Use(1, 2, 2))

    assert (caught.value.metadata["limit_name"], caught.value.metadata["use"]) == ("max_open_batches", "2")


@pytest.mark.feature("29", "48")
@pytest.mark.fault("J9")
@pytest.mark.threat("T6")
@pytest.mark.parametrize(
    ("setting", "cells", "expected"),
    [
        ("INGEST_MAX_OPEN_IMAGES", (A, B), {"limit_name": "max_open_images", "limit": "3", "value": "2", "use": "2"}),
        ("INGEST_MAX_DAILY_IMAGES", (A, B), {"limit_name": "max_daily_images", "limit": "3", "value": "2", "use": "2"}),
    ],
)
def test_images_over_a_quota_are_refused(
    make_lab: MakeLab, setting: str, cells: tuple[str, ...], expected: dict[str, str]
) -> None:
    """429 with limit, value and use, in the metadata and in words; nothing is stored, not even the key."""
    lab = make_lab(**{setting: "3"})
    lab.submit(*cells)

    refused = lab.upload(sheet_of(*cells), headers={"Idempotency-Key": "k"})

    assert (refused.code, refused.reason, facts(refused)) == (429, "QUOTA_EXCEEDED", expected)
    assert "may have 3 " in refused.json["error"]["message"]
    assert int(refused.headers["Retry-After"]) >= 60
    assert len(lab.rows("SELECT 1 FROM batches")) == 1
    assert lab.rows("SELECT 1 FROM idempotency_keys") == []
    assert lab.upload(sheet_of(C)).code == 202


def test_batches_over_the_quota_are_refused_until_one_ends(make_lab: MakeLab) -> None:
    """Also batches without images count while they are unfinished."""
    lab = make_lab(INGEST_MAX_OPEN_BATCHES="2")
    first = lab.submit(A)
    lab.submit("")

    refused = lab.upload(sheet_of(B))
    assert facts(refused) == {"limit_name": "max_open_batches", "limit": "2", "value": "1", "use": "2"}

    lab.finish_all(first)
    assert lab.upload(sheet_of(B)).code == 202


def test_a_day_counts_what_has_ended_too(make_lab: MakeLab) -> None:
    """And forgets it after 24 hours."""
    lab = make_lab(INGEST_MAX_DAILY_IMAGES="1")
    lab.finish_all(lab.submit(A))
    assert lab.upload(sheet_of(B)).reason == "QUOTA_EXCEEDED"

    lab.change("UPDATE batches SET created_at = now() - interval '25 hours'")
    assert lab.upload(sheet_of(B)).code == 202


def test_an_owner_does_not_use_up_what_another_may(make_lab: MakeLab) -> None:
    """Each has the whole of it."""
    lab = make_lab(INGEST_MAX_OPEN_IMAGES="1", API_KEYS=KEYS)

    assert upload_as(lab, ALICE.key, A).code == 202
    assert upload_as(lab, ALICE.key, B).code == 429
    assert upload_as(lab, BOB.key, A).code == 202


@pytest.mark.fault("J9")
@pytest.mark.threat("T6")
def test_uploads_at_the_same_moment_do_not_pass_the_quota_together(make_lab: MakeLab) -> None:
    """Eight at once for three places: three get in."""
    lab = make_lab(INGEST_MAX_OPEN_BATCHES="3")
    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(lambda _: lab.upload(sheet_of(A)).code, range(8)))

    assert codes == [202] * 3 + [429] * 5


def test_a_replay_is_answered_although_the_quota_is_used_up(make_lab: MakeLab) -> None:
    """It adds nothing."""
    lab = make_lab(INGEST_MAX_OPEN_BATCHES="1")
    first = lab.upload(sheet_of(A), headers={"Idempotency-Key": "k"})
    again = lab.upload(sheet_of(A), headers={"Idempotency-Key": "k"})

    assert (again.code, again.json) == (202, first.json)


def test_a_check_of_a_sheet_needs_no_room(make_lab: MakeLab) -> None:
    """Nothing is stored."""
    lab = make_lab(INGEST_MAX_OPEN_BATCHES="1")
    lab.submit(A)
    assert lab.upload(sheet_of(A), validate_only="true").code == 200


def test_a_retry_needs_room_for_what_it_reopens(make_lab: MakeLab) -> None:
    """Refused as a whole: the batch stays as it ended, and its images are no part of the day again."""
    lab = make_lab(INGEST_MAX_OPEN_IMAGES="2", INGEST_MAX_DAILY_IMAGES="4")
    failed = lab.submit(A, B)
    execution = lab.start(failed)
    for payload in lab.claim(failed, execution):
        lab.report(payload, outcome="FAILED")
    lab.finish(failed, execution)
    running = lab.submit(C)

    refused = lab.post("/retry", {"request_id": failed})
    assert facts(refused) == {"limit_name": "max_open_images", "limit": "2", "value": "2", "use": "1"}
    assert lab.status(failed)["status"] == "FAILED"

    lab.finish_all(running)
    assert lab.post("/retry", {"request_id": failed}).code == 202
    assert quotas(lab) == {"max_open_batches": 1, "max_open_images": 2, "max_daily_images": 3}


def test_an_import_of_an_operator_is_counted_and_not_refused(make_lab: MakeLab) -> None:
    """Whoever may start the workflow decides."""
    lab = make_lab(INGEST_MAX_OPEN_IMAGES="1")
    lab.submit(A)
    lab.storage.objects["gs://sheets/a.csv"] = sheet_of(A, B).encode()
    body = {
        "execution": lab.new_execution(),
        "csv_uri": "gs://sheets/a.csv",
        "webhook_url": None,
        "options": None,
        "owner": None,
    }

    assert lab.internal("workflow", "POST", "/internal/imports", body).code == 200
    assert quotas(lab)["max_open_images"] == 3


@pytest.mark.feature("29")
def test_a_small_batch_is_not_kept_waiting_by_a_large_one(make_lab: MakeLab) -> None:
    """The large one has a window; all ten images of the small one are handed out at once beside it."""
    lab = make_lab(INGEST_MAX_IN_FLIGHT="50")
    large = lab.submit(*(f"https://large.example/{number}.jpg" for number in range(500)))
    execution, handed_out = lab.start(large), 0
    while page := lab.claim(large, execution):
        handed_out += len(page)

    small = lab.submit(*(f"https://small.example/{number}.jpg" for number in range(10)))

    assert handed_out == 50
    assert len(lab.claim(small, lab.start(small))) == 10


@pytest.mark.feature("29")
def test_the_window_is_worked_off_in_seconds() -> None:
    """What a small batch finds before it in the queue, one window of a large one, is dispatched in 10 s."""
    window = IngestSettings.model_fields["max_in_flight"].default
    rates = d.queues()["images"]["rate_limits"]

    assert window / rates["max_dispatches_per_second"] <= 10
