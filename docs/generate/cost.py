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
