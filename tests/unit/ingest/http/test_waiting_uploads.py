"""A database slower than a client's patience: an upload is stored and 202, or 503 and not stored."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from chassis.db.engine import new_engine
from support.ingest_service import Lab, sheet_of


@pytest.mark.fault("B6", "F24")
@pytest.mark.parametrize("table", ["batches", "images", "outbox"])
def test_an_upload_that_the_database_keeps_waiting_is_503_and_not_stored(
    table: str, engine: Engine, empty_database: Engine, certs_url: str, issuer: Any
) -> None:
    """Wherever the transaction has to wait; the same upload, sent again, is one batch."""
    impatient = new_engine(engine.url.render_as_string(hide_password=False), pool_size=2, lock_timeout_s=0.2)
    lab = Lab(impatient, certs_url, issuer, {})
    sheet, headers = sheet_of("https://a.example/1.jpg"), {"Idempotency-Key": "k"}
    with engine.begin() as rival:
        rival.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
        refused = lab.upload(sheet, headers=headers)

    assert (refused.code, refused.reason) == (503, "DATABASE_BUSY")
    assert refused.headers["Retry-After"]
    assert lab.tasks.calls == 0
    assert lab.rows("SELECT 1 FROM batches") == []
    assert lab.upload(sheet, headers=headers).code == 202
    assert len(lab.rows("SELECT 1 FROM images")) == 1
    impatient.dispose()
