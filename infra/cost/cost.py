"""What Pressroom costs a month: `python3 infra/cost/cost.py --images 100000 --batches 100`.

Prices are in prices.json (with date and source), what an image or batch uses in usage.json (measured, derived or
assumed: each line says which). Every line is usage minus the free share, times the price. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Month:
    """What happens in a month.

    Args:
        images: images compressed.
        batches: sheets they come in.
        views_per_image: how often each stored image is downloaded from the bucket.
        highly_available: whether the database has a standby.
        size: row of infra/sizes.yaml; only its database is paid for while nothing is done.
        origin_s: seconds in which origins answer; slow ones hold instances that wait.
    """

    images: int
    batches: int
    views_per_image: float = 0.0
    highly_available: bool = False
    size: str = "S"
    origin_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """One priced quantity."""

    part: str
    price: str
    quantity: float
    usd: float


def load(name: str) -> dict[str, dict[str, object]]:
    """Return the lines of prices.json or usage.json."""
    lines: dict[str, dict[str, object]] = json.loads((HERE / name).read_text(encoding="utf-8"))["lines"]
    return lines


def tier(size: str) -> tuple[float, float]:
    """Return vCPUs and GiB of the database of a size; the file is read without a YAML library.

    Raises:
        KeyError: there is no such size.
    """
    text = (HERE.parent / "sizes.yaml").read_text(encoding="utf-8")
    found = dict(re.findall(r"(?m)^  (\w+):\n    database: \{tier: db-custom-(\d+-\d+),", text))
    cpus, megabytes = found[size].split("-")
    return float(cpus), int(megabytes) / 1024


def alert_conditions() -> int:
    """Return how many conditions of alerts the module monitoring makes; its files are read without an HCL library.

    Raises:
        ValueError: an alert is made for each of something that is not known here.
    """
    folder = HERE.parent / "terraform/modules/monitoring"
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.tf")))

    def entries(name: str) -> int:
        block = text.partition(f"\n  {name} = {{\n")[2].partition("\n  }\n")[0]
        return len(re.findall(r"(?m)^    \w+ += \{", block))

    each = {
        "local.alerts": entries("alerts"),
        "local.sweeps": entries("sweeps"),
        "local.burn_alerts": entries("objectives") * entries("burns"),
        "var.public_hosts": 2,
        "": 1,
    }
    policies = re.findall(r'resource "google_monitoring_alert_policy" "\w+" \{\n(?:  for_each = (\S+)\n)?', text)
    unknown = set(policies) - set(each)
    if unknown:
        message = f"alerts for each of {sorted(unknown)}: how many are there?"
        raise ValueError(message)
    return sum(each[made_for] for made_for in policies)


def usage_values() -> dict[str, float]:
    """Return what an image, a batch and a month use."""
    return {name: float(str(line["value"])) for name, line in load("usage.json").items()}


def quantities(month: Month, u: Mapping[str, float]) -> list[tuple[str, str, float]]:
    """Return part, price line and quantity of everything that is used in a month, before any free share."""
    if month.images and not month.batches:
        message = "images come in batches: at least one is needed"
        raise ValueError(message)
    pages = month.batches * math.ceil(month.images / max(1, month.batches) / u["images_per_page"])
    busy_s = month.images * max(1 / u["images_per_second"], month.origin_s / u["requests_per_instance"])
    database_vcpu, database_gib = tier(month.size)
    polls = month.batches * u["waits_per_batch"] + busy_s / u["seconds_between_polls"]
    sweep_s = u["sweeps_per_month"] * u["sweep_seconds"]
    reporter_s = month.batches * u["reporter_seconds_per_batch"]
    gib = 1024 * 1024
    internal = (
        pages * (u["steps_per_page"] + u["steps_per_group"])
        + month.batches * u["steps_per_batch"]
        + polls * u["steps_per_page"]
    )
    requests = month.images * u["requests_per_image"] + month.batches * u["requests_per_batch"] + u["sweeps_per_month"]
    standby = 2 if month.highly_available else 1
    stored_gib = month.images * (u["output_kib_per_image"] + u["report_kib_per_image"]) / gib
    return [
        ("compressor", "run_cpu", busy_s * u["compressor_vcpu"]),
        ("compressor", "run_memory", busy_s * u["compressor_gib"]),
        ("ingest", "run_cpu", busy_s * u["ingest_vcpu"] + sweep_s / 2),
        ("ingest", "run_memory", (busy_s + sweep_s / 2) * u["ingest_gib"]),
        ("reporter", "run_cpu", reporter_s + sweep_s / 2),
        ("reporter", "run_memory", reporter_s + sweep_s / 2),
        ("all services", "run_requests", requests),
        ("workflow", "workflow_internal_steps", internal),
        ("workflow", "workflow_external_steps", pages + polls),
        (
            "queues",
            "task_operations",
            month.images * u["task_operations_per_image"] + month.batches * u["task_operations_per_batch"],
        ),
        ("buckets", "storage_writes", month.images + month.batches * u["objects_per_batch"]),
        ("buckets", "storage_reads", month.images * month.views_per_image),
        ("buckets", "storage_stored", stored_gib),
        ("buckets", "egress", month.images * month.views_per_image * u["output_kib_per_image"] / gib),
        ("database", "sql_cpu", database_vcpu * u["hours_per_month"] * standby),
        ("database", "sql_memory", database_gib * u["hours_per_month"] * standby),
        (
            "database",
            "sql_disk",
            (u["database_disk_gib"] + month.images * u["database_kib_per_image"] / gib) * standby,
        ),
        ("database", "sql_backup", u["database_backup_gib"]),
        ("schedules", "scheduler_jobs", u["schedules"]),
        ("secrets", "secret_versions", u["secret_versions"]),
        ("registry", "registry_stored", u["registry_gib"]),
        ("logs", "log_ingested", month.images * u["log_kib_per_image"] / gib),
        ("alerts", "alert_conditions", alert_conditions()),
        ("alerts", "alert_series", alert_conditions() * u["alert_evaluations"] * u["series_per_condition"]),
    ]


def cost(month: Month, *, with_free_share: bool = True) -> list[Line]:
    """Return what each quantity of a month costs, in US dollars.

    The free share of a price is used up by the parts in the order in which they are listed.

    Raises:
        ValueError: images without a batch.
    """
    prices = load("prices.json")
    free = {name: float(str(price["free"])) if with_free_share else 0.0 for name, price in prices.items()}
    lines = []
    for part, name, quantity in quantities(month, usage_values()):
        given = min(free[name], quantity)
        free[name] -= given
        lines.append(Line(part, name, quantity, (quantity - given) * float(str(prices[name]["usd"]))))
    return lines


def per_part(lines: list[Line]) -> dict[str, float]:
    """Return US dollars by part, in the order of the lines."""
    parts: dict[str, float] = {}
    for line in lines:
        parts[line.part] = parts.get(line.part, 0.0) + line.usd
    return parts


def table(months: list[Month]) -> str:
    """Return a Markdown table: parts as rows, months as columns."""
    columns = [per_part(cost(month)) for month in months]
    head = "| part | " + " | ".join(f"{month.images:,} images" if month.images else "idle" for month in months) + " |"
    rows = [f"| {part} | " + " | ".join(f"{column[part]:.2f}" for column in columns) + " |" for part in columns[0]]
    total = "| **sum** | " + " | ".join(f"**{sum(column.values()):.2f}**" for column in columns) + " |"
    return "\n".join([head, "| --- |" + " ---: |" * len(months), *rows, total])


def sizes_table(months: list[tuple[str, Month]]) -> str:
    """Return a Markdown table: sizes as rows, months with their names as columns, sums in US dollars."""
    head = "| size | " + " | ".join(name for name, _ in months) + " |"
    rows = []
    for size in ("S", "M", "L"):
        sums = (sum(per_part(cost(replace(month, size=size))).values()) for _, month in months)
        rows.append(f"| {size} | " + " | ".join(f"{total:.2f}" for total in sums) + " |")
    return "\n".join([head, "| --- |" + " ---: |" * len(months), *rows])


def parts_table(months: list[Month]) -> str:
    """Return a Markdown table: parts as rows, sizes at work as columns."""
    columns = [per_part(cost(month)) for month in months]
    head = "| part | " + " | ".join(f"{month.size}, {month.images:,} images" for month in months) + " |"
    rows = [f"| {part} | " + " | ".join(f"{column[part]:.2f}" for column in columns) + " |" for part in columns[0]]
    total = "| **sum** | " + " | ".join(f"**{sum(column.values()):.2f}**" for column in columns) + " |"
    each = "| USD per million images | " + " | ".join(
        f"{sum(column.values()) / month.images * 1e6:.2f}" for month, column in zip(months, columns, strict=True)
    )
    return "\n".join([head, "| --- |" + " ---: |" * len(months), *rows, total, each + " |"])


def main() -> int:
    """Print the cost of a month; return the exit status."""
    parser = argparse.ArgumentParser(description="What Pressroom costs a month, by part, in US dollars.")
    parser.add_argument("--images", type=int, default=100_000, help="images a month")
    parser.add_argument("--batches", type=int, default=100, help="sheets a month")
    parser.add_argument("--views", type=float, default=0.0, help="downloads of each image straight from the bucket")
    parser.add_argument("--highly-available", action="store_true", help="with a standby of the database")
    parser.add_argument("--size", choices=("S", "M", "L"), default="S", help="row of infra/sizes.yaml")
    parser.add_argument("--origin-seconds", type=float, default=0.5, help="in which origins answer")
    given = parser.parse_args()
    month = Month(given.images, given.batches, given.views, given.highly_available, given.size, given.origin_seconds)
    print(table([replace(month, images=0, batches=0), month]))  # noqa: T201 - a command line's answer
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
