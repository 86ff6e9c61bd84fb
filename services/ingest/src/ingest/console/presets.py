"""Ready choices of options, for people who do not want to know what a quality is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """A choice by name; `options` are those that differ from the defaults of a batch."""

    name: str
    title: str
    says: str
    options: Mapping[str, Any] = field(default_factory=dict)


PRESETS: tuple[Preset, ...] = (
    Preset(
        "catalogue", "Catalogue", "JPEG at quality 50, as large as it is. What Pressroom does unless told otherwise."
    ),
    Preset(
        "web",
        "Web, balanced",
        "WebP at quality 75, at most 2000 px wide. For shop pages of today.",
        {"format": "webp", "quality": 75, "max_width": 2000},
    ),
    Preset(
        "smallest",
        "Smallest",
        "Of several formats the smallest file, at quality 45 and at most 1600 px wide.",
        {"format": "auto", "quality": 45, "max_width": 1600},
    ),
    Preset(
        "careful",
        "Nearly lossless",
        "The format of each source at quality 90. For pictures that go on to print.",
        {"format": "keep", "quality": 90},
    ),
)


def options_of(name: str) -> dict[str, Any]:
    """Return the options of a preset; of an unknown one those of the first."""
    return dict(next((preset.options for preset in PRESETS if preset.name == name), {}))
