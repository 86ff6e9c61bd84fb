"""How a number says that it is a limit. Imports nothing: pure modules and the child processes of the codec use it.

A limit is declared once, where its number stands, by `Limited` in its `Annotated`: on a field of the settings, or on
the constant of the module that enforces it. `/limits` and docs/limits.md are made of these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limited:
    """Says of a number that it limits somebody.

    The name in `/limits` is that of the field or constant, in small letters, unless `name` is given. A field's meaning
    is its description. `internal` limits bound what our own parts exchange: no client meets them, `/limits` is silent.
    """

    unit: str
    beyond: str
    """What whoever passes it sees."""
    meaning: str = ""
    name: str = ""
    internal: bool = False


@dataclass(frozen=True, slots=True)
class NoLimit:
    """Says of a number among the settings that it refuses nobody anything: it times or sizes the service itself."""
