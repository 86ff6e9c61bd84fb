"""Two releases work side by side for a while: the payloads of this one fit the last one's readers, and the other way.

`tests/data/contracts` holds the contracts of the last release (docs/deploy.md, "What a release may change"). Both sides
may be the old one: services take traffic before the workflow, executions go on as they began, a rollback leaves the
workflow. So whatever one side must have, both must send; and nothing may have another type or fewer values than before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.payload_schemas import CONTRACTS

LAST = Path(__file__).resolve().parents[1] / "data/contracts"
NAMES = sorted(path.name for path in LAST.glob("*.json"))


def breaks(old: Any, new: Any, where: str = "$", *, strict: bool = True) -> Iterator[str]:
    """Yield what readers of one release could not read of the other, place by place.

    `strict`: the readers refuse fields that they do not know, as our routes do with requests.
    """
    if not isinstance(old, dict) or not isinstance(new, dict):
        return
    values = [str(value) for value in old.get("enum") or ()]
    if old.get("type") != new.get("type"):
        yield f"{where}: {old.get('type')} has become {new.get('type')}"
    for name in sorted(set(old.get("required", ())) ^ set(new.get("required", ()))):
        yield f"{where}.{name}: required on one side only"
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in sorted(before.keys() - after.keys()):
        yield f"{where}.{name}: gone"
    if strict and old.get("additionalProperties") is False:
        for name in sorted(after.keys() - before.keys()):
            yield f"{where}.{name}: the last release refuses fields that it does not know"
    for name in before.keys() & after.keys():
        yield from breaks(before[name], after[name], f"{where}.{name}", strict=strict)
    if not set(values) <= {str(value) for value in new.get("enum") or values}:
        yield f"{where}: values are gone"
    yield from breaks(old.get("items"), new.get("items"), f"{where}[]", strict=strict)
    for kind in ("anyOf", "oneOf"):
        for number, (one, other) in enumerate(zip(old.get(kind, ()), new.get(kind, ()), strict=False)):
            yield from breaks(one, other, f"{where}|{number}", strict=strict)


def schema(path: Path) -> Any:
    """Return a schema, its references within the file in their places."""
    document = json.loads(path.read_text(encoding="utf-8"))

    def unfolded(node: Any) -> Any:
        if isinstance(node, list):
            return [unfolded(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref", "")
        if isinstance(reference, str) and reference.startswith("#/"):
            found: Any = document
            for part in reference.removeprefix("#/").split("/"):
                found = found[part]
            return unfolded(found)
        return {key: unfolded(value) for key, value in node.items()}

    return unfolded(document)


@pytest.mark.fault("J5")
@pytest.mark.parametrize("name", NAMES)
def test_payload_fits_the_readers_of_the_last_release(name: str) -> None:
    """And those of the last release fit today's readers."""
    assert (CONTRACTS / name).is_file(), f"{name} is gone: the last release still sends or reads it"
    strict = name.endswith("_request.schema.json")
    found = list(breaks(schema(LAST / name), schema(CONTRACTS / name), strict=strict))
    assert found == [], 'docs/deploy.md, "What a release may change"'


OLD: dict[str, Any] = {
    "type": "object",
    "required": ["a"],
    "properties": {"a": {"type": "string", "enum": ["x", "y"]}, "b": {"type": "array", "items": {"type": "integer"}}},
}


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["a", "b"]},
        {"required": []},
        {"properties": {"a": OLD["properties"]["a"]}},
        {"properties": {**OLD["properties"], "a": {"type": "string", "enum": ["x"]}}},
        {"properties": {**OLD["properties"], "b": {"type": "array", "items": {"type": "string"}}}},
        {"type": "array"},
    ],
    ids=["needs more", "promises less", "a field is gone", "a value is gone", "another type within", "another type"],
)
def test_what_one_of_two_releases_cannot_read_is_found(change: dict[str, Any]) -> None:
    """The check itself."""
    assert list(breaks(OLD, OLD | change))


def test_more_may_be_said_where_more_may_be_read() -> None:
    """A field that may be absent and another value break nobody; where unknown fields are refused, a new one does."""
    more = {**OLD["properties"], "c": {"type": "null"}, "a": {"type": "string", "enum": ["x", "y", "z"]}}

    assert list(breaks(OLD, OLD | {"properties": more})) == []
    closed = OLD | {"additionalProperties": False}
    assert list(breaks(closed, OLD | {"properties": more})) != []
    assert list(breaks(closed, OLD | {"properties": more}, strict=False)) == []
