"""The deployed form of a source: routines whose expressions are parsed, checked and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A checked workflow: its routines by name, `main` among them."""

    routines: Mapping[str, object]
