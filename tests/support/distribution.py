"""How a run is spread over workers of pytest-xdist: what needs the same stack together, and what is slow first.

A worker that got a slow file last would run alone at the end. A stack costs as much as hundreds of small tests, so the
files that share one go to one worker.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

import pytest

E2E = "tests/e2e/"
KILLED_STACK = ("tests/e2e/test_failpoints.py", "tests/e2e/test_trouble.py")
"""They share `bench`."""
OWN_STACK = tuple(f"{E2E}test_{name}.py" for name in ("logs", "owners", "private_images", "restore", "wire"))
"""They start one each; all others of tests/e2e share `stack`."""

SLOW = (
    f"{E2E}test_journey.py",
    *KILLED_STACK,
    E2E,
    "tests/contract/",
    "infra/local/tests/contract/",
    "tests/unit/compressor/sandbox/",
    "tests/unit/ingest/test_fresh_batches.py",
    "tests/unit/ingest/batches/test_import_chunks.py",
)
"""Beginnings of paths, the slowest first; a file of all others takes seconds. The first file brings its whole part."""


def part_of(nodeid: str) -> str:
    """Return the name of what one worker runs as a whole: a file, or the files that share a stack."""
    path = nodeid.partition("::")[0]
    if path in KILLED_STACK:
        return "killed stack"
    return "stack" if path.startswith(E2E) and path not in OWN_STACK else path


def rank_of(nodeid: str) -> int:
    """Return the place of a test in a run: the lower, the earlier."""
    return next((rank for rank, path in enumerate(SLOW) if nodeid.startswith(path)), len(SLOW))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow files first; within a rank the order stays as pytest-randomly made it."""
    items.sort(key=lambda item: rank_of(item.nodeid))


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Return one worker more than the processors that xdist counts: one that waits for a stack leaves them idle."""
    return (yield) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return the scheduler of `--dist loadfile`, with parts of our own in our order."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler.loadfile import LoadFileScheduling

    config.option.loadscopereorder = False
    scheduling = LoadFileScheduling(config, log)
    scheduling._split_scope = part_of
    return scheduling


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Keep the garbage collector away from the collected tests: there are millions of objects that all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
