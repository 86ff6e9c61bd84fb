"""What a day of many images needs: measured costs with their date, assumptions with their reason, and right sums."""

from __future__ import annotations

import json
from datetime import date
from types import ModuleType

import pytest
from docs.generate.scaling import script

from ingest.settings import IngestSettings
from support import deployment_files as d

FOLDER = d.ROOT / "infra/scaling"
DAYS = ((8_640_000, 24.0), (17_280_000, 24.0), (8_640_000, 8.0))
"""Images, and the hours in which they come."""


@pytest.fixture(scope="module")
def scaling() -> ModuleType:
    return script()


def test_every_assumption_says_how_it_is_known() -> None:
    document = json.loads((FOLDER / "assumed.json").read_text(encoding="utf-8"))

    assert date.fromisoformat(document["checked"])
    assert [name for name, line in document["lines"].items() if len(str(line["how"])) < 10] == []


def test_measured_sheets_are_those_of_the_bench() -> None:
    """10 thousand, 100 thousand and a million rows, each brought to its end, with a date."""
    document = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))

    assert date.fromisoformat(document["checked"])
    assert [size["rows"] for size in document["sizes"]] == [10_000, 100_000, 1_000_000]
    assert [size["finish"]["images"] for size in document["sizes"]] == [10_000, 100_000, 1_000_000]


def test_assumptions_are_those_of_the_deployment(scaling: ModuleType) -> None:
    """Requests and connections of an instance, and days of retention, are read from the files that set them."""
    assumed = scaling.assumed()
    ingest = IngestSettings.model_fields

    assert assumed["requests_per_instance"] == d.pod("compressor")["containerConcurrency"]
    assert assumed["connections_per_instance"] == int(d.environment("ingest-internal")["DATABASE_POOL_SIZE"])
    assert assumed["retention_days"] == ingest["retention_days"].default


def test_twice_the_images_need_twice_as_much(scaling: ModuleType) -> None:
    """What grows with the images grows in the table, and a third of the hours needs three times the rate."""
    day, twice, hurried = (dict(scaling.needs(scaling.Day(images, hours))) for images, hours in DAYS)

    assert int(twice["images a second"]) == 2 * int(day["images a second"])
    assert int(hurried["images a second"]) == 3 * int(day["images a second"])
    assert int(hurried["compressor: instances of 2 vCPU"]) > int(day["compressor: instances of 2 vCPU"])
    assert day["rows a day, GB with indexes"] == hurried["rows a day, GB with indexes"]
