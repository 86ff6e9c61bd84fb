"""The restore drill: a database that is lost in the middle of a batch and brought back costs time and no image."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.restore_drill import SLOW_HOST, drill

from e2e.conftest import running_stack


@pytest.mark.fault("B1")
@pytest.mark.feature("13")
def test_restored_databases_bring_their_batch_to_its_end(tmp_path: Path) -> None:
    """Work that finished after the dump is forgotten and done again; counts, sheet and bucket are those of one run."""
    with running_stack(tmp_path / "stack", PRESSROOM_SCHEDULER="true", INGEST_HOST_LIMITS=SLOW_HOST) as stack:
        found = drill(stack, images=60)

    assert found.faults == ()
    assert found.forgotten > 0
