"""Both OpenAPI documents are such that good clients can be made of them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator

from ingest.http.openapi import document as ingest_document
from reporter.http.openapi import document as reporter_document
from reporter.webhooks.events import EVENT_TYPES, TEST_EVENT_TYPE

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "ingest": ingest_document("https://ingest.test/"),
    "reporter": reporter_document("https://reporter.test"),
}
OPERATIONS = [
    pytest.param(service, operation, id=operation["operationId"])
    for service, document in DOCUMENTS.items()
    for methods in document["paths"].values()
    for operation in methods.values()
]


def valid(service: str, schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value is what a schema of the document says."""
    whole = schema | {"components": DOCUMENTS[service]["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


@pytest.mark.parametrize("service", DOCUMENTS)
def test_a_document_is_valid_and_says_where_its_service_is(service: str) -> None:
    """OpenAPI 3.1 by schemathesis' copy of its schema; the address of the deployment, without a slash at the end."""
    document = DOCUMENTS[service]

    schemathesis.openapi.from_dict(document).validate()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": f"https://{service}.test"}]


@pytest.mark.feature("63")
@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_an_operation_has_a_name_and_a_group(service: str, operation: dict[str, Any]) -> None:
    """The name is a function's; the group is described."""
    groups = {tag["name"] for tag in DOCUMENTS[service]["tags"]}

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
    assert set(operation["tags"]) <= groups
    assert len(operation["tags"]) == 1
    assert operation["summary"]


def test_no_two_operations_of_a_service_have_one_name() -> None:
    """Generated clients would lose one of them."""
    for document in DOCUMENTS.values():
        names = Counter(one["operationId"] for methods in document["paths"].values() for one in methods.values())
        assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_every_example_is_what_its_schema_says(service: str, operation: dict[str, Any]) -> None:
    """Of bodies and of answers."""
    contents = [operation.get("requestBody", {}).get("content", {})]
    contents += [response.get("content", {}) for response in operation["responses"].values()]
    wrong = [
        content["example"]
        for by_type in contents
        for content in by_type.values()
        if "example" in content and not valid(service, content["schema"], content["example"])
    ]

    assert wrong == []


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
def test_every_json_body_that_needs_something_has_an_example(service: str, operation: dict[str, Any]) -> None:
    """Viewers fill the form with it."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")

    assert content is None or "example" in content


def test_a_sheet_is_a_file_and_takes_a_key_against_repeats() -> None:
    """Viewers show a file picker; clients know the header."""
    document = DOCUMENTS["ingest"]
    upload = document["paths"]["/upload"]["post"]
    form = document["components"]["schemas"]["UploadDocument"]["properties"]

    assert (form["file"]["type"], form["file"]["format"]) == ("string", "binary")
    assert form["file"]["contentMediaType"] == "application/octet-stream"
    assert [name for name, field in form.items() if '"null"' in json.dumps(field)] == []
    assert "Idempotency-Key" in [parameter["name"] for parameter in upload["parameters"]]


def test_the_document_has_every_event_with_the_body_of_its_contract() -> None:
    """Schema and examples of `webhooks` are those of webhook_event."""
    document = DOCUMENTS["reporter"]
    contract = json.loads((ROOT / "workflows/contracts/webhook_event.schema.json").read_text(encoding="utf-8"))
    told = {
        name: hook["post"]["requestBody"]["content"]["application/json"] for name, hook in document["webhooks"].items()
    }
    schemas = document["components"]["schemas"]

    assert set(told) == {*EVENT_TYPES.values(), TEST_EVENT_TYPE}
    for content in told.values():
        Draft202012Validator(contract).validate(content["example"])
        assert valid("reporter", content["schema"], content["example"])
    for model, described in (
        ("EventBody", contract),
        ("EventData", contract["properties"]["data"]),
        ("EventCounts", contract["properties"]["data"]["properties"]["counts"]),
    ):
        assert schemas[model]["properties"].keys() == described["properties"].keys()
        assert set(schemas[model]["required"]) == set(described["required"])
