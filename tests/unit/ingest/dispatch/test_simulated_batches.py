"""Many batches at once on ingest's own claims and outcomes, with a stub behind them: `bench.simulation`, made small."""

from __future__ import annotations

import pytest
from bench.pace.real import ENVIRON
from bench.simulation.world import Machines, Planned, Seen, World
from sqlalchemy import Engine

from ingest.settings import IngestSettings

BATCHES, IMAGES, LEASE_S, DISPATCHES_PER_S = 4, 60, 15, 10.0
"""All tasks at once would wait 24 s in the queue, longer than their leases."""

IN_FLIGHT = 15


def run(engine: Engine, hosts: int, in_flight: int = IN_FLIGHT) -> Seen:
    """Run the batches, and ten images that come when the others are well under way."""
    environ = {**ENVIRON, "INGEST_LEASE_S": str(LEASE_S), "INGEST_MAX_IN_FLIGHT": str(in_flight)}
    names = [f"h{number}.example" for number in range(hosts)]
    batches = [Planned(IMAGES, names) for _ in range(BATCHES)]
    machines = Machines(dispatches_per_s=DISPATCHES_PER_S)
    return World(engine, IngestSettings.from_environ(environ), machines).run([*batches, Planned(10, names, 6.0)])


@pytest.mark.fault("A8")
@pytest.mark.feature("29")
@pytest.mark.parametrize("hosts", [1, BATCHES * IMAGES])
def test_no_image_is_handed_out_twice_and_small_batches_come_first(own_time_engine: Engine, hosts: int) -> None:
    """Leases cover the wait, however many batches there are; what came last and is small is not the last to end."""
    seen = run(own_time_engine, hosts)
    large, small = [seen.took_s[number] for number in range(BATCHES)], seen.took_s[BATCHES]

    assert (seen.twice, seen.late) == (0, 0)
    assert seen.statuses == {("SUCCEEDED", "OK"): BATCHES * IMAGES + 10}
    # It waits for the windows of the others, then for a claim of its own or two.
    assert small < BATCHES * IN_FLIGHT / DISPATCHES_PER_S + 10 / DISPATCHES_PER_S + 4
    assert small < min(large) / 2
