"""One whole stack in real processes for the journeys; others for tests that break things."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from samples.demo import STACK_FILE, without_samples
from samples.receiver import Receiver

from localcloud.stack.blocking import Stack
from localcloud.stack.config import StackConfig, load_stack_config
from localcloud.stack.free_ports import free_ports
from support.killed_stack import IMAGES, Bench, Result, running_bench
from support.shop_client import Shop

IMPATIENT = {
    # Nothing but time limits differ from the defaults, so that lost hints are noticed in seconds.
    "PRESSROOM_SCHEDULER": "false",
    "INGEST_LEASE_S": "15",
    "INGEST_HEARTBEAT_TIMEOUT_S": "8",
    "INGEST_START_GRACE_S": "3",
    "INGEST_NOTIFY_GRACE_S": "3",
}


@contextmanager
def running_stack(
    state_dir: Path, *, change: Callable[[StackConfig], StackConfig] = lambda config: config, **environment: str
) -> Iterator[Stack]:
    """Run a stack on free ports; the scheduler is off, tests sweep by hand."""
    config = change(replace(without_samples(load_stack_config(STACK_FILE)), fsync=False))
    stack = Stack(config, state_dir, free_ports(config), environment={**os.environ, **IMPATIENT, **environment})
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


@pytest.fixture(name="stack", scope="session")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(name="shop", scope="session")
def _shop(stack: Stack) -> Shop:
    return Shop(stack)


@pytest.fixture(name="receiver")
def _receiver(stack: Stack) -> Iterator[Receiver]:
    with Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]) as receiver:
        yield receiver


@pytest.fixture(name="bench", scope="session")
def _bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_bench(tmp_path_factory.mktemp("bench"), running_stack) as bench:
        yield bench


@pytest.fixture(name="undisturbed", scope="session")
def _undisturbed(bench: Bench) -> Result:
    result = bench.run()[1]
    assert result.counts == {"total": IMAGES + 2, "pending": 0, "succeeded": IMAGES + 1, "failed": 1}
    assert len(result.objects) == IMAGES
    return result
