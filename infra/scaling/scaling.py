"""What a day of many images needs: `python3 infra/scaling/scaling.py --images 10000000`.

Costs of an image are in measured.json, as `make bench-million` wrote them; what was not measured is in assumed.json,
each line with its reason; sizes of parts come from infra/sizes.yaml and infra/cost. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INFRA = HERE.parent
PARTS = ("start", "middle", "end")
"""Of a batch, at which the bench measures."""


@dataclass(frozen=True, slots=True)
class Day:
    """Images of a day, and the hours in which they come evenly."""

    images: int
    hours: float

    @property
    def rate(self) -> float:
        """Return images a second while they come."""
        return self.images / self.hours / 3600


def load(path: Path) -> Any:
    """Return the JSON of a file."""
    return json.loads(path.read_text(encoding="utf-8"))


def assumed() -> dict[str, float]:
    """Return what was not measured."""
    return {name: float(line["value"]) for name, line in load(HERE / "assumed.json")["lines"].items()}


def measured() -> list[dict[str, Any]]:
    """Return the results of the bench by size of the sheet, the largest last."""
    found: list[dict[str, Any]] = load(HERE / "measured.json")["sizes"]
    return found


def instance_rate() -> float:
    """Return the photos a second of an instance of the compressor, as infra/cost counts it."""
    return float(load(INFRA / "cost/usage.json")["lines"]["images_per_second"]["value"])


def connections_of(size: str) -> int:
    """Return `max_connections` of a size; the file is read without a YAML library.

    Raises:
        KeyError: there is no such size.
    """
    text = (INFRA / "sizes.yaml").read_text(encoding="utf-8")
    return int(dict(re.findall(r"(?m)^  (\w+):\n    database: \{[^}]*max_connections: (\d+)\}", text))[size])


def largest_cost(kind: str) -> tuple[float, float]:
    """Return milliseconds of ingest's processor and of PostgreSQL's for one image, at the dearest part of a million."""
    result = measured()[-1]
    parts = [result["claim"][part][kind] for part in _parts(result)]
    return max(part["own_ms"] for part in parts), max(part["postgres_ms"] for part in parts)


def per_image_ms(phase: str, value: str) -> float:
    """Return milliseconds an image of a phase of the largest sheet."""
    result = measured()[-1]
    return 1000 * float(result["phases"][phase][value]) / int(result["rows"])


def needs(day: Day) -> list[tuple[str, str]]:
    """Return what a day needs, as names and values with their unit."""
    a, rate = assumed(), day.rate
    spare = a["utilisation"]
    claim, outcome = largest_cost("claim"), largest_cost("outcome")
    imports = per_image_ms("import", "cpu_s"), per_image_ms("import", "postgres_cpu_s")
    export = per_image_ms("export", "cpu_s"), per_image_ms("export", "postgres_cpu_s")
    ingest_ms = claim[0] + outcome[0] + imports[0] + export[0] + a["ingest_http_ms_per_outcome"]
    postgres_ms = claim[1] + outcome[1] + imports[1] + export[1]
    compressors = math.ceil(rate * max(1 / instance_rate(), a["origin_s"] / a["requests_per_instance"]) / spare)
    doors = math.ceil(rate * ingest_ms / 1000 / spare)
    connections = doors * a["connections_per_instance"]
    queues = math.ceil(rate / (a["queue_dispatches_per_second"] * spare))
    shards = math.ceil(rate * outcome[1] / 1000 / spare)
    bytes_each = measured()[-1]["finish"]["bytes_each"]
    day_gb = day.images * (bytes_each["images"] + bytes_each["rows"]) / 1e9
    known_gb = day.images * bytes_each["known_sources"] / 1e9
    deleting_s = _seconds_of_deletion(day.images)
    sweeps_s = 24 * 60 * a["sweep_seconds_per_minute"] * spare
    largest = connections_of("L")
    return [
        ("images a second", f"{rate:,.0f}"),
        ("queues `images`, at most 500 tasks a second each", f"{queues}"),
        ("compressor: instances of 2 vCPU", f"{compressors:,}"),
        ("ingest: processor milliseconds an image", f"{ingest_ms:.1f}"),
        ("ingest-internal: instances of 1 vCPU", f"{doors}"),
        ("PostgreSQL: processor milliseconds an image", f"{postgres_ms:.1f}"),
        ("PostgreSQL: vCPU", f"{math.ceil(rate * postgres_ms / 1000 / spare)}"),
        (f"connections of ingest-internal; size L has {largest} for all", f"{connections:,.0f}"),
        ("connection pooler", "needed" if connections > largest / 2 else "not needed"),
        ("rows a day, GB with indexes", f"{day_gb:,.0f}"),
        (f"rows in {a['retention_days']:.0f} days, GB", f"{day_gb * a['retention_days']:,.0f}"),
        ("known sources, GB, if no URL comes twice in 30 days", f"{known_gb * a['retention_days']:,.0f}"),
        (f"deletion of a day: minutes, of {sweeps_s / 60:.0f} that sweeps may take", f"{deleting_s / 60:.0f}"),
        ("partitions by day", "needed" if deleting_s > sweeps_s else "not needed"),
        ("counters of a batch, if all images were in one", f"{shards}"),
    ]


def _seconds_of_deletion(images: int) -> float:
    result = measured()[-1]
    deleted = result["delete"]["pages"] * result["delete"]["rows"]
    phase = result["phases"]["delete"]
    return float(images * (phase["cpu_s"] + phase["postgres_cpu_s"]) / deleted)


def needs_table(days: Sequence[Day]) -> str:
    """Return a Markdown table: what is needed as rows, days as columns."""
    columns = [needs(day) for day in days]
    titles = " | ".join(f"{day.images:,} within {day.hours:g} h" for day in days)
    rows = [
        f"| {name} | " + " | ".join(column[number][1] for column in columns) + " |"
        for number, (name, _value) in enumerate(columns[0])
    ]
    return "\n".join([f"| a day of images | {titles} |", "| --- |" + " ---: |" * len(days), *rows])


_PHASES = {
    "import": "import",
    "claim": "claims and outcomes",
    "export": "export",
    "report": "report",
    "finish": "finish",
}
_BLOCKS = {
    "status": "a status of 100 rows",
    "list": "a list of batches",
    "outcome": "an outcome",
}


def measured_table() -> str:
    """Return a Markdown table of the bench: sizes of the sheet as columns; start, middle, end of a batch in cells."""
    results = measured()
    rows = [("MB of the sheet", [f"{result['sheet_mb']:,.1f}" for result in results])]
    rows.append(("seconds of the phases below", [f"{sum(p['s'] for p in r['phases'].values()):,.0f}" for r in results]))
    for phase, name in _PHASES.items():
        told = [_phase(result["phases"].get(phase)) for result in results]
        rows.append((f"{name}: seconds, processor seconds of the service + of PostgreSQL, MB more at most", told))
    rows.append(("images claimed and ended by ingest's own code", [_claimed(result) for result in results]))
    rows.append(("of these side by side: images a second, processor milliseconds each", [_between(r) for r in results]))
    for kind, name in (("claim", "a claim"), ("outcome", "an outcome"), ("outcome_without_reuse", "without reuse")):
        rows.append((f"{name}: processor milliseconds an image", [_costs(result, kind) for result in results]))
    rows.append(("reuse: share of an image's processor time in its first run", [_reuse(result) for result in results]))
    for what, name in _BLOCKS.items():
        parts = [[f"{r['claim'][p]['blocks'][what]:,}" for p in _parts(r)] for r in results]
        rows.append((f"blocks of {name}", [" / ".join(part) for part in parts]))
    rows.append(("blocks of a claim, for each of its images", [_blocks_of_claim(result) for result in results]))
    rows.append(("blocks of the finish", [f"{result['finish']['finish']:,}" for result in results]))
    rows.extend(
        (f"bytes of a row of `{table}`, with indexes", [f"{r['finish']['bytes_each'][table]:,}" for r in results])
        for table in ("images", "rows", "known_sources")
    )
    head = "| | " + " | ".join(f"{result['rows']:,} rows" for result in results) + " |"
    lines = [f"| {name} | " + " | ".join(values) + " |" for name, values in rows]
    return "\n".join([head, "| --- |" + " ---: |" * len(results), *lines])


def _blocks_of_claim(result: Mapping[str, Any]) -> str:
    found = [result["claim"][part]["blocks"] for part in _parts(result)]
    return " / ".join(f"{blocks['claim'] / blocks['claimed images']:,.0f}" for blocks in found)


def _claimed(result: Mapping[str, Any]) -> str:
    claim = result["claim"]
    measured_images = sum(
        claim[part]["claim"]["count"] + claim[part]["blocks"]["claimed images"] for part in _parts(result)
    )
    return f"{measured_images + claim.get('between', {}).get('count', 0):,}"


def _between(result: Mapping[str, Any]) -> str:
    between = result["claim"].get("between", {"count": 0})
    if not between["count"]:
        return ""
    return f"{between['count'] / between['seconds']:,.0f}, {_sum(between):.2f}"


def _parts(result: Mapping[str, Any]) -> list[str]:
    return [part for part in PARTS if part in result["claim"]]


def _phase(cost: Mapping[str, float] | None) -> str:
    if cost is None:
        return ""
    grown = max(0.0, cost["peak_mb"] - cost["began_mb"])
    return f"{cost['s']:,.0f}, {cost['cpu_s']:,.1f} + {cost['postgres_cpu_s']:,.1f}, {grown:,.0f}"


def _reuse(result: Mapping[str, Any]) -> str:
    """Return what keeping a source costs the first run: the median of three parts, because a difference is noisy."""
    more = [
        _sum(result["claim"][part]["outcome"]) - _sum(result["claim"][part]["outcome_without_reuse"])
        for part in _parts(result)
    ]
    return f"{100 * statistics.median(more) / assumed()['stack_ms_per_image']:.1f} %"


def _sum(cost: Mapping[str, float]) -> float:
    return cost["own_ms"] + cost["postgres_ms"]


def _costs(result: Mapping[str, Any], kind: str) -> str:
    found = [result["claim"][part][kind] for part in _parts(result)]
    return " / ".join(f"{_sum(part):.2f}" for part in found)


def main() -> int:
    """Print what a day needs; return the exit status."""
    parser = argparse.ArgumentParser(description="What a day of images needs: queues, instances, database.")
    parser.add_argument("--images", type=int, default=10_000_000, help="images a day")
    parser.add_argument("--hours", type=float, default=24.0, help="in which they come")
    given = parser.parse_args()
    print(needs_table([Day(given.images, given.hours)]))  # noqa: T201 - a command line's answer
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
