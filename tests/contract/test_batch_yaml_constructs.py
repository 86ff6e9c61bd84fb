"""One truth: `workflows/batch.yaml` uses the constructs that the documents show, and none that nobody has seen work.

https://cloud.google.com/workflows/docs/reference/syntax/retrying shows literal counts and whole seconds; jumps out of
an `except` within a parallel loop, and variables that are read before they are assigned, are shown nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).resolve().parents[2] / "workflows/batch.yaml"
PROGRAM = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))


def maps(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every map of the source with the keys that lead to it."""
    if isinstance(node, list):
        for item in node:
            yield from maps(item, path)
    elif isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from maps(value, (*path, str(key)))


def test_retries_are_written_as_literals_in_whole_seconds() -> None:
    """Count and delays of each retry are integers, not expressions and not fractions."""
    retries = [node["retry"] for _, node in maps(PROGRAM) if isinstance(node.get("retry"), dict)]
    numbers = [number for retry in retries for number in (retry["max_retries"], *retry["backoff"].values())]

    assert retries
    assert [number for number in numbers if type(number) is not int] == []


def test_no_jump_leaves_an_except_block_within_a_parallel_step() -> None:
    """What an `except` within `parallel` swallows, it swallows by reaching its end."""
    inside = [node for path, node in maps(PROGRAM) if "parallel" in path and "except" in path[path.index("parallel") :]]

    assert [node for node in inside if "next" in node] == []


def test_what_the_failure_path_reads_is_assigned_first() -> None:
    """The `except` of the whole supervision may run after any step, so what it reads has a value from the beginning."""
    main = {name: step for entry in PROGRAM["main"]["steps"] for name, step in entry.items()}
    assigned = {name for entry in main["configure"]["assign"] for name in entry}

    assert {"request_id", "started", "phase", "reporter_url", "ingest_url", "execution"} <= assigned
