"""The results of the bench, sizes side by side, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.million.sheets import PARTS

Result = Mapping[str, Any]

PHASES = {
    "import": "import",
    "claim": "claims and outcomes",
    "export": "export",
    "report": "report",
    "finish": "finish",
    "delete": "deletion of some pages",
}
KINDS = {
    "claim": "claim",
    "outcome": "outcome",
    "outcome_without_reuse": "outcome without reuse",
}
BLOCKS = {
    "status": "status of 100 rows",
    "list": "list of 100 batches",
    "claim": "claim of a page",
    "outcome": "outcome",
}


def told(results: Sequence[Result]) -> str:
    """Return what the phases took, what an image costs, and which blocks are read; what was not measured is empty."""
    lines = _head("", results)
    for phase, name in PHASES.items():
        for value, unit in (
            ("s", "s"),
            ("cpu_s", "processor seconds of its own"),
            ("postgres_cpu_s", "processor seconds of PostgreSQL"),
            ("peak_mb", "MB at most"),
            ("began_mb", "MB before it began"),
        ):
            lines.append(_line(f"{name}: {unit}", results, "phases", phase, value))
    lines.extend(["", *_head("processor milliseconds an image: own + PostgreSQL", results)])
    for kind, name in KINDS.items():
        for part in PARTS:
            lines.append(_line(f"{name}, {part}", results, "claim", part, kind))
    lines.extend(["", *_head("blocks", results)])
    for what, name in BLOCKS.items():
        for part in PARTS:
            lines.append(_line(f"{name}, {part}", results, "claim", part, "blocks", what))
    lines.append(_line("finish", results, "finish", "finish"))
    lines.append(_line("deletion of 2,000 rows", results, "delete", "blocks"))
    lines.extend(["", *_head("bytes an image, with indexes", results)])
    lines.extend(_line(table, results, "finish", "bytes_each", table) for table in ("images", "rows", "known_sources"))
    return "\n".join(lines)


def _head(title: str, results: Sequence[Result]) -> list[str]:
    sizes = " | ".join(f"{result['rows']:,} rows" for result in results)
    return [f"| {title} | {sizes} |", "| --- |" + " ---: |" * len(results)]


def _line(name: str, results: Sequence[Result], *path: str) -> str:
    return f"| {name} | " + " | ".join(_cell(result, path) for result in results) + " |"


def _cell(result: Result, path: Sequence[str]) -> str:
    found: Any = result
    for key in path:
        if key not in found:
            return ""
        found = found[key]
    if isinstance(found, Mapping):
        return f"{found['own_ms']:.2f} + {found['postgres_ms']:.2f}"
    return f"{found:,}"
