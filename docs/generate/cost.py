"""Writes what a month costs, as `infra/cost/cost.py` computes it."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def table(*months: str) -> str:
    """Return the parts of the bill as rows, months as columns.

    Args:
        months: `images/batches` of each.
    """
    cost = script()
    counts = [month.split("/") for month in months]
    return str(cost.table([cost.Month(int(images), int(batches)) for images, batches in counts]))


def sizes() -> str:
    """Return what each size costs idle, and with a million images of quick and of slow origins."""
    cost = script()
    many = cost.Month(1_000_000, 500)
    months = [
        ("idle", cost.Month(0, 0)),
        ("1,000,000 images, origins at 0.5 s", many),
        ("origins at 5 s", cost.replace(many, origin_s=5.0)),
        ("0.5 s, with a standby", cost.replace(many, highly_available=True)),
    ]
    return str(cost.sizes_table(months))


def parts() -> str:
    """Return what each part of each size costs in a month in which the size has something to do."""
    cost = script()
    months = [("S", 1_000_000, 500), ("M", 3_000_000, 1_500), ("L", 10_000_000, 5_000)]
    return str(cost.parts_table([cost.Month(images, batches, size=size) for size, images, batches in months]))


@cache
def script() -> ModuleType:
    """Import the script, which lies in no package."""
    spec = importlib.util.spec_from_file_location("pressroom_cost", ROOT / "infra/cost/cost.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["pressroom_cost"] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded
