"""Writes what a sheet of a million rows took, and what a day of many images needs, as `infra/scaling` computes it."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def sheets() -> str:
    """Return what `make bench-million` measured, sizes of the sheet as columns."""
    return str(script().measured_table())


def days(*given: str) -> str:
    """Return what days need.

    Args:
        given: `images/hours` of each.
    """
    scaling = script()
    counts = [day.split("/") for day in given]
    return str(scaling.needs_table([scaling.Day(int(images), float(hours)) for images, hours in counts]))


@cache
def script() -> ModuleType:
    """Import the script, which lies in no package."""
    spec = importlib.util.spec_from_file_location("pressroom_scaling", ROOT / "infra/scaling/scaling.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["pressroom_scaling"] = loaded  # dataclasses look their module up
    spec.loader.exec_module(loaded)
    return loaded
