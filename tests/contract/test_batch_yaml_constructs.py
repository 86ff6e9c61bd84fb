"""One truth: `workflows/batch.yaml` uses the constructs that the documents show, and none that nobody has seen work.

https://cloud.google.com/workflows/docs/reference/syntax/retrying shows literal counts and whole seconds; jumps out of
an `except` within a parallel loop, and variables that are read before they are assigned, are shown nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from localcloud.check.approximations import approximations
from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.loader import load_program

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


LEANS_ON = {
    "callback-received-time",
    "callback-url-field",
    "callback-wrong-method",
    "connector-operation-result",
    "connector-time-limit",
    "equality",
    "google-hosts",
    "http-bodies",
    "http-encoding",
    "http-redirects",
    "index-types",
    "json-numbers",
    "literal-forms",
    "loop-corners",
    "parallel-corners",
    "raise-any-value",
    "retry-corners",
    "short-circuit",
    "sleep-corners",
    "step-corners",
    "tasks-response-codes",
    "tasks-texts",
    "try-corners",
}
"""Rows of localcloud's fidelity table that batch.yaml touches and that are not known for certain."""

SERVERS = {"tasks-batches", "tasks-overload"}
"""Likewise of what answers it: `batchCreate`, and a queue that slows down when the compressor says 429 or 503."""


def test_everything_without_proof_has_its_line_in_the_fidelity_table() -> None:
    """`localcloud check` names it, with what is documented and assumed; a new lean is a decision."""
    program = load_program(SOURCE.read_text(encoding="utf-8"), connectors=connector_methods())
    readme = (SOURCE.parents[1] / "infra/local/README.md").read_text(encoding="utf-8")

    assert {found.fact.id for found in approximations(program)} == LEANS_ON
    assert {name for name in LEANS_ON | SERVERS if f"| `{name}` |" not in readme} == set()


BOUNDS = {
    "claim_page": "condition: ${steps_used >= 80000}",
    "claim": "condition: ${steps_used >= 80000}",
    "import_chunks": "- steps_used: ${steps_used + 16}",
    "look": "condition: ${pause_s > 32}",
}
"""Step that the workflow jumps back to, and the line that ends it: a successor takes over, or the wait is given up.
Chunks end with the sheet, and each of them is longer than its call."""


def test_every_loop_of_the_workflow_has_an_end() -> None:
    """Each jump back is in the table, and what ends it is in the source."""
    text = SOURCE.read_text(encoding="utf-8")
    seen: set[str] = set()
    back: set[str] = set()
    for line in text.splitlines():
        if line.strip().startswith("- ") and line.endswith(":"):
            seen.add(line.strip("- :"))
        if line.strip().startswith("next: ") and line.split()[-1] in seen:
            back.add(line.split()[-1])

    assert back == set(BOUNDS)
    assert [bound for bound in BOUNDS.values() if bound not in text] == []


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
