"""The payload contracts are valid JSON Schemas, and every one of them is used by a test or a service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from support.payload_schemas import CONTRACTS

SCHEMAS = sorted(CONTRACTS.glob("*.schema.json"))


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schema_is_valid(path: Path) -> None:
    """A contract is a valid draft 2020-12 schema whose title is its file name."""
    schema = json.loads(path.read_text(encoding="utf-8"))

    Draft202012Validator.check_schema(schema)

    assert schema["title"] == path.name.removesuffix(".schema.json")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_schema_is_checked_against_real_payloads(path: Path) -> None:
    """Some test names the contract, so that it cannot rot unread."""
    name = path.name.removesuffix(".schema.json")
    tests = Path(__file__).resolve().parents[1]

    users = [test for test in tests.rglob("*.py") if f'"{name}"' in test.read_text(encoding="utf-8")]

    assert users, f"no test checks {name}"
