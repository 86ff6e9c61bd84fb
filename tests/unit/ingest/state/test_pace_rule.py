"""The rule that the database runs is the one that was simulated."""

from __future__ import annotations

import random
from dataclasses import astuple

import pytest
from bench.pace.rule import Host, Kind, after
from sqlalchemy import text

from support.ingest_service import Lab

ANSWERS, SEEDS = 400, 5

_STEP = text(
    """
    UPDATE hosts SET (rate, next_start_at, judged_from, sampled, sample_log_s, sample_square, floor_log_s, ceiling,
                      trouble, calm_until, blocked_until, failures, opened_at, refuses) =
        (SELECT p.rate, p.next_start_at, p.judged_from, p.sampled, p.sample_log_s, p.sample_square, p.floor_log_s,
                p.ceiling, p.trouble, p.calm_until, p.blocked_until, p.failures, p.opened_at, p.refuses
         FROM pace_after(hosts, to_timestamp(:now), to_timestamp(:start), :kind, :latency, :retry_after, 1, 500) AS p)
    WHERE host = 'h'
    RETURNING rate, extract(epoch FROM next_start_at)::float, extract(epoch FROM judged_from)::float, sampled,
              sample_log_s, sample_square, floor_log_s, ceiling, trouble, extract(epoch FROM calm_until)::float,
              extract(epoch FROM blocked_until)::float, failures, extract(epoch FROM opened_at)::float, refuses
    """
)
_INSERT = text(
    """
    INSERT INTO hosts (host, next_start_at, judged_from, calm_until, blocked_until)
    VALUES ('h', to_timestamp(0), to_timestamp(0), to_timestamp(0), to_timestamp(0))
    """
)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_database_and_simulation_follow_one_rule(lab: Lab, seed: int) -> None:
    """After each of many random answers, quiet and stormy times in turn, both know the same of the host."""
    rng = random.Random(seed)
    host, now = Host(), 0.0
    with lab.engine.connect() as connection:
        connection.execute(_INSERT)
        for number in range(ANSWERS):
            now = round(now + rng.expovariate(host.rate), 6)
            start = round(max(0.0, min(now - rng.uniform(0.0, 2.0), host.judged_from + rng.uniform(-0.5, 1.5))), 6)
            good = 0.99 if number // 60 % 2 == 0 else 0.6
            kind = Kind.GOOD if rng.random() < good else rng.choice([Kind.REFUSED, Kind.TROUBLE, Kind.DEAD])
            latency = 0.05 * rng.lognormvariate(0, 0.3) * (4 if number % 150 > 120 else 1)
            retry_after = rng.choice([None, None, 2.0])
            host = after(host, now, start, kind, latency, retry_after)
            values = {"now": now, "start": start, "kind": kind.value, "latency": latency, "retry_after": retry_after}
            found, expected = (
                [-99.0 if value is None else float(value) for value in row]
                for row in (connection.execute(_STEP, values).one(), astuple(host))
            )
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-5), (number, kind)
        connection.rollback()
