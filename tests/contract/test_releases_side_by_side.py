"""Two releases work side by side for a while: the payloads of this one fit the last one's readers, and the other way.

`tests/data/last_release` holds the last release's contracts (docs/deploy.md, "What a release may change"). Both sides
may be the old one: services take traffic before the workflow, executions go on as they began, a rollback leaves the
workflow. So whatever one side must have, both must send; and nothing may have another type or fewer values than before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.http.fields import PeerRequest
from compressor.http import routes as compressor_routes
from contract.test_batch_yaml_constructs import maps
from ingest.http import internal_schemas as ingest_schemas
from reporter.http import internal_schemas as reporter_schemas
from support import last_release
from support.deployment_files import workflow_text
from support.payload_schemas import CONTRACTS

LAST = last_release.CONTRACTS
NAMES = sorted(path.name for path in LAST.glob("*.json"))


def breaks(old: Any, new: Any, where: str = "$") -> Iterator[str]:
    """Yield what readers of one release could not read of the other, place by place.

    A field more is none of it: what our services send each other is read by `PeerRequest`, which passes over it.
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
    for name in before.keys() & after.keys():
        yield from breaks(before[name], after[name], f"{where}.{name}")
    if not set(values) <= {str(value) for value in new.get("enum") or values}:
        yield f"{where}: values are gone"
    yield from breaks(old.get("items"), new.get("items"), f"{where}[]")
    for kind in ("anyOf", "oneOf"):
        for number, (one, other) in enumerate(zip(old.get(kind, ()), new.get(kind, ()), strict=False)):
            yield from breaks(one, other, f"{where}|{number}")


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
    found = list(breaks(schema(LAST / name), schema(CONTRACTS / name)))
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
    """A field that may be absent and another value break nobody."""
    more = {**OLD["properties"], "c": {"type": "null"}, "a": {"type": "string", "enum": ["x", "y", "z"]}}

    assert list(breaks(OLD, OLD | {"properties": more})) == []


READERS = [each for module in (compressor_routes, ingest_schemas, reporter_schemas) for each in vars(module).values()]


def test_our_services_pass_over_fields_of_another_release() -> None:
    """Whatever a route reads that only our own parts call."""
    readers = [each for each in READERS if isinstance(each, type) and issubclass(each, PeerRequest)]

    assert len(readers) > len(list(LAST.glob("*_request.schema.json")))
    assert {each.model_config.get("extra") for each in readers} == {"ignore"}


PATH = re.compile(r'\$\{\w+_url \+ "(/internal/[\w/]+?)/?"(?: \+ request_id \+ "(/\w+)")?\}')
"""The address of a call in batch.yaml: what is before the id of a batch, and behind it."""


def answers_of(source: str) -> dict[str, set[str]]:
    """Return the contracts that each variable of a workflow may hold, by the routes that it is the answer of."""
    held: dict[str, set[str]] = {}
    for _, node in maps(yaml.safe_load(source)):
        if node.get("call") == "call_service" and "result" in node:
            found = PATH.fullmatch(node["args"]["url"])
            assert found, node["args"]["url"]
            route = f"POST {found[1]}" + (f"/{{id}}{found[2]}" if found[2] else "")
            held.setdefault(node["result"], set()).add(last_release.PAYLOADS[route][1])
    held["ending"] = held["finished"] | held["failure"]  # as notify_subscribers calls them
    return held


def reads_of(source: str) -> set[tuple[str, str]]:
    """Return the fields that a workflow reads of its answers so that a missing one is a KeyError."""
    names = "|".join(answers_of(source))
    text = re.sub(r"(?m)^\s*#.*$", "", source)
    return set(re.findall(rf"\b({names})\.(\w+)", text))


def never_promised(source: str) -> list[str]:
    """Return the reads of a workflow that the last release's services need not answer."""
    held = answers_of(source)
    return [
        f"{variable}.{name}: {contract}"
        for variable, name in sorted(reads_of(source))
        for contract in sorted(held[variable])
        if name not in schema(LAST / f"{contract}.schema.json").get("required", ())
    ]


@pytest.mark.fault("J5")
def test_workflow_reads_nothing_that_the_last_releases_services_need_not_answer() -> None:
    """On every path, failures and handing over too; what may be absent is read by `map.get`."""
    source = workflow_text()

    assert len(answers_of(source)) > 8
    assert ("claimed", "groups") in reads_of(source)
    assert never_promised(source) == []


def test_workflow_that_relies_on_a_new_answer_is_refused() -> None:
    """The check itself, on today's workflow with one more read."""
    source = workflow_text().replace("status: ${released.status}", "status: ${released.successor_name}", 1)

    assert source != workflow_text()
    assert never_promised(source) == ["released.successor_name: release_response"]


def test_last_release_is_a_version_that_the_changelog_has() -> None:
    """And its workflow, its contracts and its answers are there together."""
    kept = last_release.document()
    changelog = (LAST.parents[3] / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"## [{kept['after_version']}]" in changelog
    assert re.fullmatch(r"[0-9a-f]{40}", kept["commit"])
    assert yaml.safe_load(last_release.WORKFLOW.read_text(encoding="utf-8"))["main"]
    answered = {answer["route"] for answer in kept["answers"]}
    assert answered <= set(last_release.PAYLOADS)
    assert {route.rpartition("/")[2] for route in answered} == {"start", "claim", "finish", "reports", "notifications"}
