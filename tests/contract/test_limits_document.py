"""docs/limits.md lists every limit with the value that the code has, and no setting that limits is forgotten."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from support.service_apps import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
NO_LIMITS = {
    # How the service waits for its neighbours or itself; nobody's request is refused by them.
    "DATABASE_POOL_SIZE",
    "INGEST_START_GRACE_S",
    "INGEST_NOTIFY_GRACE_S",
    "INGEST_HEARTBEAT_TIMEOUT_S",
    "WEBHOOK_HINT_GRACE_S",
}


def rows() -> dict[str, list[str]]:
    """Return the rows of the tables by their first column without its marks: value, where, answer."""
    lines = (ROOT / "docs/limits.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| `")]
    found = {row[0].strip("`"): row[1:] for row in cells}
    assert len(found) == len(cells), "a limit stands in two rows"
    return found


def number(text: str) -> float:
    """Return a number written for people: `33,554,432`."""
    return float(text.replace(",", ""))


@pytest.mark.feature("48")
@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_that_limits_is_listed_with_its_default(service: str) -> None:
    """The number in the table is what holds when nobody sets anything."""
    listed = rows()
    wrong = {}
    for field in SETTINGS[service].model_fields.values():
        default = field.default
        if isinstance(default, bool) or not isinstance(default, int | float) or field.alias in NO_LIMITS:
            continue
        row = listed.get(str(field.alias))
        if row is None or number(row[0]) != default:
            wrong[str(field.alias)] = default

    assert wrong == {}


def test_every_fixed_limit_has_the_value_of_the_code() -> None:
    """`module.NAME` is a constant of that module; anything else in the first column is a setting."""
    aliases = {str(field.alias) for model in SETTINGS.values() for field in model.model_fields.values()}
    wrong = {}
    for name, row in rows().items():
        if name in aliases:
            continue
        module, _, constant = name.rpartition(".")
        value = getattr(importlib.import_module(module), constant, None) if module else None
        if value != number(row[0]):
            wrong[name] = value

    assert wrong == {}


def test_every_reason_in_the_table_is_documented_by_a_service() -> None:
    """What the caller sees is a reason or code that a README explains."""
    known = "".join((ROOT / f"services/{service}/README.md").read_text(encoding="utf-8") for service in SETTINGS)
    named = {code for row in rows().values() for code in re.findall(r"`([A-Z][A-Z_]{4,})`", row[-1])}

    assert sorted(code for code in named if f"`{code}`" not in known) == []
