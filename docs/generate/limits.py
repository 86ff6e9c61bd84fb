"""Writes the tables of limits from their declarations (`chassis.limited`)."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from docs.generate.settings import SETTINGS, defaults_of

from chassis.limits import Limit, limits_of_modules, limits_of_settings
from chassis.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def table(package: str) -> str:
    """Return every limit that a package declares, with its default."""
    lines = ["| limit | default | what it limits | beyond it |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{limit.setting or limit.name}` | {limit.value:,.10g} {limit.unit} | {limit.meaning} | {limit.beyond} |"
        for limit in declared(package)
    ]
    return "\n".join(lines)


def declared(package: str) -> list[Limit]:
    """Return the limits of a package: of its settings, those that follow from settings, and its constants."""
    found = []
    if package == "chassis":
        found += limits_of_settings(defaults_of(Settings))
    else:
        shared = Settings.model_fields.keys()
        settings = defaults_of(SETTINGS[package])
        names = {name for name in type(settings).model_fields if name not in shared}
        aliases = {type(settings).model_fields[name].alias for name in names}
        found += [limit for limit in limits_of_settings(settings) if limit.setting in aliases]
        found += _computed(package, settings)
    return found + limits_of_modules(modules_with_limits(package))


def modules_with_limits(package: str) -> list[ModuleType]:
    """Import and return the modules of a package that declare limits as constants."""
    source = ROOT / f"services/{package}/src"
    return [
        importlib.import_module(".".join(path.relative_to(source).with_suffix("").parts))
        for path in sorted(source.rglob("*.py"))
        if "Limited(" in path.read_text(encoding="utf-8") and path.name != "limited.py"
    ]


def _computed(package: str, settings: Any) -> tuple[Limit, ...]:
    if package == "compressor":
        return ()
    computed: tuple[Limit, ...] = importlib.import_module(f"{package}.http.limits").computed_limits(settings)
    return computed
