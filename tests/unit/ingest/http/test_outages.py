"""The database goes away and comes back: 503 while it is gone, and the first request afterwards works."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.db.engine import new_engine
from support.ingest_service import Lab

A = "https://a.example/1.jpg"


@pytest.fixture
def cut_off(certs_url: str, issuer: Any) -> Lab:
    """Give a laboratory whose database cannot be reached."""
    return Lab(new_engine("postgresql://nobody@127.0.0.1:9/nothing", pool_size=2), certs_url, issuer, {})


@pytest.mark.fault("B1")
def test_an_upload_during_an_outage_is_unavailable(cut_off: Lab) -> None:
    """503 with Retry-After; no hint is sent for a batch that does not exist."""
    answer = cut_off.upload(f"Product Name,Input Image Urls\nx,{A}\n")
    assert (answer.code, answer.reason) == (503, "DATABASE_UNAVAILABLE")
    assert "Retry-After" in answer.headers
    assert cut_off.tasks.calls == 0


@pytest.mark.parametrize("path", ["/requests", "/status/00000000-0000-4000-8000-000000000000"])
def test_reading_during_an_outage_is_unavailable(cut_off: Lab, path: str) -> None:
    """And says so in the one error form."""
    assert cut_off.get(path).reason == "DATABASE_UNAVAILABLE"


def test_an_export_during_an_outage_is_unavailable(cut_off: Lab) -> None:
    """Before the first byte, so the reporter asks again."""
    path = "/internal/batches/00000000-0000-4000-8000-000000000000/export"
    assert cut_off.internal("reporter", "GET", path).reason == "DATABASE_UNAVAILABLE"


@pytest.mark.fault("J6")
def test_the_process_is_healthy_during_an_outage(cut_off: Lab) -> None:
    """Restarting it would not bring the database back."""
    assert cut_off.get("/health").code == 200


@pytest.mark.fault("B4")
def test_the_first_request_after_a_failover_works(lab: Lab) -> None:
    """Connections that died while idle are replaced unnoticed."""
    request_id = lab.submit(A)
    lab.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert lab.get(f"/status/{request_id}").code == 200


@pytest.mark.fault("B12", "F24")
def test_a_read_only_database_is_unavailable(lab: Lab) -> None:
    """After a failover to a replica nothing is answered 202 that was not committed."""
    database = lab.engine.url.database
    lab.change(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    lab.engine.dispose()
    try:
        answer = lab.upload(f"Product Name,Input Image Urls\nx,{A}\n")
    finally:
        lab.change("SET TRANSACTION READ WRITE; " + f'ALTER DATABASE "{database}" RESET default_transaction_read_only')
        lab.engine.dispose()
    assert (answer.code, answer.reason) == (503, "DATABASE_UNAVAILABLE")


@pytest.mark.fault("A8")
@pytest.mark.threat("T16")
def test_a_queue_that_is_paused_for_ten_minutes_loses_nothing(lab: Lab) -> None:
    """The default lease outlasts the pause: no image is taken for lost, none gets a second task."""
    request_id = lab.submit(A)
    execution = lab.start(request_id)
    (payload,) = lab.claim(request_id, execution)
    lab.change("UPDATE images SET lease_until = lease_until - interval '10 minutes' WHERE status = 'DISPATCHED'")

    lab.sweep()

    assert lab.claim(request_id, execution) == []
    assert lab.report(payload).json["applied"] is True
