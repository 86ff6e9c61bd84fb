"""The JSON Schemas of `workflows/contracts`, as assertions."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

CONTRACTS = Path(__file__).resolve().parents[2] / "workflows/contracts"


@cache
def schema_of(name: str) -> dict[str, Any]:
    """Return the schema of one payload."""
    return dict(json.loads((CONTRACTS / f"{name}.schema.json").read_text(encoding="utf-8")))


@cache
def validator(name: str) -> Draft202012Validator:
    """Return the validator of one payload."""
    return Draft202012Validator(schema_of(name), format_checker=FormatChecker())


def assert_matches(name: str, payload: Any) -> None:
    """Fail unless `payload` has the form of the contract `name`."""
    faults = [f"{fault.json_path}: {fault.message}" for fault in validator(name).iter_errors(payload)]
    assert not faults, f"{name}: {faults}"
