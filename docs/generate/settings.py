"""Writes the tables of settings from the settings themselves."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from chassis.settings import Settings, settings_rows
from compressor.settings import CompressorSettings
from ingest.settings import IngestSettings
from reporter.settings import ReporterSettings

SETTINGS: dict[str, type[Settings]] = {
    "ingest": IngestSettings,
    "compressor": CompressorSettings,
    "reporter": ReporterSettings,
}


S = TypeVar("S", bound=Settings)


def defaults_of(settings_class: type[S]) -> S:
    """Return settings where nobody set anything; what is required is missing."""
    nothing: dict[str, Any] = {}
    return cast(S, settings_class.model_construct(**nothing))


def table(service: str) -> str:
    """Return variable, default and meaning of every setting of a service, in the order of the code."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for row in settings_rows(SETTINGS[service]):
        default = row.default if row.default in {"", "required"} else f"`{row.default}`"
        lines.append(f"| `{row.variable}` | {default} | {row.help} |".replace("|  |", "| |"))
    return "\n".join(lines)
