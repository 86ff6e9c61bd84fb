"""PostgreSQL through a proxy that loses answers, cuts and stalls: what was asked for happens once, or is 503."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chassis.db.engine import new_engine
from localcloud.stack.postgres import Postgres
from support.ingest_service import Lab, sheet_of
from support.postgres_proxy import PostgresProxy

A = "https://a.example/1.jpg"
B = "https://a.example/2.jpg"


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[PostgresProxy]:
    with PostgresProxy(postgres.port) as running:
        yield running


@pytest.fixture
def engine_through(proxy: PostgresProxy, empty_database: Engine) -> Iterator[Engine]:
    engine = new_engine(proxy.url("ingest"), pool_size=2)
    yield engine
    engine.dispose()


@pytest.fixture
def lab(engine_through: Engine, certs_url: str, issuer: Any) -> Lab:
    return Lab(engine_through, certs_url, issuer, {})


@pytest.mark.fault("B3")
def test_an_upload_whose_commit_was_not_answered_is_stored_once(lab: Lab, proxy: PostgresProxy) -> None:
    """The unit runs again, finds its own batch, and the sender gets the id that is in the table."""
    lab.rows("SELECT 1")
    proxy.lose_commits = 1

    answer = lab.upload(sheet_of(A, B), headers={"Idempotency-Key": "k"})

    assert proxy.lost == 1
    assert answer.code == 202
    assert [str(row["request_id"]) for row in lab.rows("SELECT request_id FROM batches")] == [answer.json["request_id"]]
    assert len(lab.rows("SELECT id FROM images")) == 2


def test_an_upload_without_a_key_is_stored_once_too(lab: Lab, proxy: PostgresProxy) -> None:
    """The request id is chosen before the transaction, so it is the key of its own repetition."""
    lab.rows("SELECT 1")
    proxy.lose_commits = 1

    answer = lab.upload(sheet_of(A))

    assert (proxy.lost, answer.code) == (1, 202)
    assert [str(row["request_id"]) for row in lab.rows("SELECT request_id FROM batches")] == [answer.json["request_id"]]


@pytest.mark.fault("B3")
def test_an_outcome_whose_commit_was_not_answered_counts_once(lab: Lab, proxy: PostgresProxy) -> None:
    """The repetition meets its own terminal image; the counters are exact and the batch is sealed."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    (payload,) = lab.claim(request_id, execution)
    proxy.lose_commits = 1

    answer = lab.report(payload)

    batch = lab.batch_row(request_id)
    assert (proxy.lost, answer.code, answer.json["image_status"]) == (1, 200, "SUCCEEDED")
    assert (batch["status"], batch["pending"], batch["succeeded"]) == ("SEALING", 0, 1)


@pytest.mark.fault("B3")
def test_a_claim_whose_commit_was_not_answered_loses_no_image(lab: Lab, proxy: PostgresProxy) -> None:
    """The page of the lost answer is leased by nobody; its images come back when the leases end."""
    request_id = lab.submit(A, B)
    execution = lab.start(request_id)
    proxy.lose_commits = 1

    handed = lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = now() WHERE status = 'DISPATCHED'")
    handed += lab.claim(request_id, execution)

    assert proxy.lost == 1
    assert {payload["url"] for payload in handed} == {A, B}


@pytest.mark.fault("B3")
def test_a_finish_whose_commit_was_not_answered_is_announced_once(lab: Lab, proxy: PostgresProxy) -> None:
    """One final status, one entry in the outbox."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    (payload,) = lab.claim(request_id, execution)
    lab.report(payload)
    proxy.lose_commits = 1

    answer = lab.finish(request_id, execution)

    assert (proxy.lost, answer.json["status"]) == (1, "COMPLETED")
    assert len(lab.rows("SELECT id FROM outbox WHERE kind = 'notify'")) == 1


def test_a_database_that_cuts_off_is_tried_again(lab: Lab, proxy: PostgresProxy) -> None:
    """Broken connections cost no request."""
    request_id = lab.submit(A)
    for _ in range(3):
        proxy.cut()
        assert lab.get(f"/status/{request_id}").code == 200


@pytest.mark.fault("B5")
def test_a_pool_that_waits_for_a_stalled_database_is_503_in_time(lab: Lab, proxy: PostgresProxy) -> None:
    """Two requests hold both connections; the third is told after two seconds, and all is well afterwards."""
    request_id = lab.submit(A)
    # Both connections are open and checked before the database stops answering.
    with lab.engine.connect() as one, lab.engine.connect() as two:
        one.execute(text("SELECT 1"))
        two.execute(text("SELECT 1"))
    proxy.stalled = True
    held = [threading.Thread(target=lab.get, args=(f"/status/{request_id}",)) for _ in range(2)]
    for thread in held:
        thread.start()
    while lab.engine.pool.checkedout() < 2:  # type: ignore[attr-defined]
        time.sleep(0.01)
    began = time.monotonic()

    answer = lab.get(f"/status/{request_id}")
    waited = time.monotonic() - began
    proxy.stalled = False
    for thread in held:
        thread.join(10)

    assert (answer.code, answer.reason) == (503, "DATABASE_BUSY")
    assert answer.headers["Retry-After"]
    assert waited < 3
    assert lab.get(f"/status/{request_id}").code == 200


@pytest.mark.fault("B6")
def test_a_batch_that_somebody_holds_locked_is_503_and_unharmed(
    engine: Engine, proxy: PostgresProxy, empty_database: Engine, certs_url: str, issuer: Any
) -> None:
    """The wait for a lock ends and the workflow asks again; reading waits for nobody."""
    impatient = new_engine(proxy.url("ingest"), pool_size=2, lock_timeout_s=0.3)
    lab = Lab(impatient, certs_url, issuer, {})
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    with engine.begin() as rival:
        rival.execute(text("SELECT 1 FROM batches WHERE request_id = :id FOR UPDATE"), {"id": request_id})
        refused = lab.batch_call(request_id, "claim", execution=execution, max_rows=100)
        read = lab.get(f"/status/{request_id}")

    assert (refused.code, refused.reason) == (503, "DATABASE_BUSY")
    assert read.code == 200
    assert len(lab.claim(request_id, execution)) == 1
    impatient.dispose()
