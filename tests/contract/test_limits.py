"""Every number that limits somebody says so where it stands, and `/limits` forgets none that a client can meet."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from docs.generate.limits import declared
from docs.generate.settings import SETTINGS, defaults_of

import ingest.http.limits
import reporter.http.limits
from chassis.limited import Limited, NoLimit
from chassis.limits import Limit
from ingest.batches.quotas import Use
from ingest.settings import IngestSettings
from reporter.settings import ReporterSettings

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in (ROOT / "services").glob("*/src/**/*.py"))
PACKAGES = ("chassis", *SETTINGS)
QUOTAS = {"ingest": {"max_open_batches", "max_open_images", "max_daily_images"}, "reporter": {"webhook_max_endpoints"}}


def told(service: str) -> list[Limit]:
    """Return the rows of a service's `/limits`, with its defaults."""
    if service == "ingest":
        return list(ingest.http.limits.limits_of(defaults_of(IngestSettings), Use(1, 2, 3)))
    return list(reporter.http.limits.limits_of(defaults_of(ReporterSettings), endpoint_count=1))


@pytest.mark.feature("48")
@pytest.mark.parametrize("service", SETTINGS)
def test_every_number_among_the_settings_says_whether_it_limits(service: str) -> None:
    """A new setting with a number needs `Limited`, or `NoLimit`."""
    silent = [
        field.alias
        for field in SETTINGS[service].model_fields.values()
        if type(field.default) in {int, float}
        and not any(isinstance(note, Limited | NoLimit) for note in field.metadata)
    ]

    assert silent == []


def test_every_constant_that_limits_says_so() -> None:
    """A new `MAX_...` with a number needs `Limited`."""
    silent = [
        f"{path.relative_to(ROOT)}: {ast.unparse(target)}"
        for path in SOURCES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and not isinstance(node.value, ast.Dict)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if ast.unparse(target).startswith("MAX_") and "Limited(" not in ast.unparse(node)
    ]

    assert silent == []


@pytest.mark.feature("48")
@pytest.mark.parametrize("service", QUOTAS)
def test_limits_tells_every_limit_of_the_service(service: str) -> None:
    """Whatever is declared anywhere in it, but for what our own parts exchange; only quotas have a use."""
    expected = {limit.name for limit in declared(service) if not limit.internal}
    rows = told(service)

    assert expected - {row.name for row in rows} == set()
    assert {row.name for row in rows if row.use is not None} == QUOTAS[service]


@pytest.mark.parametrize("service", QUOTAS)
def test_limits_tells_what_every_service_shares(service: str) -> None:
    """The chassis bounds bodies, keys and page tokens."""
    shared = {limit.name for limit in declared("chassis") if not limit.internal}

    assert shared - {row.name for row in told(service)} == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_limit_has_a_unit_a_meaning_a_consequence_and_a_name_of_its_own(package: str) -> None:
    """They are what `/limits` and docs/limits.md are made of."""
    rows = declared(package)

    assert len({row.name for row in rows}) == len(rows) > 0
    assert [row.name for row in rows if not row.unit or not row.meaning or not row.beyond or row.value <= 0] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_answered_beyond_a_limit_is_a_code_of_ours(package: str) -> None:
    """A reason or outcome that was renamed is noticed here."""
    texts = {
        node.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named = {code for row in declared(package) for code in re.findall(r"`([A-Z][A-Z_]{4,})`", row.beyond)}

    assert sorted(named - texts) == []
