"""The Python client asks what the OpenAPI documents offer, and reads what they promise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

import httpx2
import pytest
from jsonschema import Draft202012Validator

from ingest.http.openapi import document as ingest_document
from pressroom import Pressroom, answers
from reporter.http.openapi import document as reporter_document
from support.fake_pressroom import ID, INGEST, REPORTER

DOCUMENTS = {"ingest.test": ingest_document(INGEST), "reporter.test": reporter_document(REPORTER)}
SHEET = b"Product Name,Input Image Urls\nLamp,https://a.example/1.jpg\n"

CALLS: dict[str, Callable[[Pressroom], Any]] = {
    "upload_sheet": lambda c: c.compress(SHEET, quality=50, format="webp", on_invalid="skip", columns="{}"),
    "check": lambda c: c.check(SHEET, encoding="utf-8"),
    "correct_sheet": lambda c: c.corrected(SHEET),
    "list_batches": lambda c: list(c.batches(status="COMPLETED")),
    "get_status": lambda c: c.summary(ID, etag="x"),
    "list_images": lambda c: list(c.images(ID, status="FAILED", code="TIMEOUT", host="a.example", q="x")),
    "list_problems": lambda c: c.problems(ID),
    "list_hosts": lambda c: c.hosts(ID),
    "cancel_batch": lambda c: c.cancel(ID),
    "retry_batch": lambda c: c.retry(ID, codes=["TIMEOUT"], hosts=["a.example"], image_ids=[ID]),
    "who_am_i": lambda c: c.whoami(),
    "list_limits": lambda c: c.limits(),
    "get_report_links": lambda c: c.links(ID),
    "list_webhooks": lambda c: list(c.endpoints()),
    "create_webhook": lambda c: c.add_endpoint("https://shop.example/", event_types=["batch.failed"]),
    "delete_webhook": lambda c: c.delete_endpoint(ID),
    "test_webhook": lambda c: c.test_endpoint(ID),
    "rotate_webhook_secret": lambda c: c.rotate_secret(ID),
    "redeliver_webhook": lambda c: c.redeliver(ID, since="2026-11-29T00:00:00Z"),
}
READS = {
    answers.Summary: ("ingest.test", "SummaryAnswer"),
    answers.Counts: ("ingest.test", "Counts"),
    answers.Savings: ("ingest.test", "Savings"),
    answers.Image: ("ingest.test", "ListedImage"),
    answers.ProblemCount: ("ingest.test", "ProblemCount"),
    answers.Host: ("ingest.test", "HostProgress"),
    answers.Check: ("ingest.test", "ValidationAnswer"),
    answers.Estimate: ("ingest.test", "EstimateAnswer"),
    answers.Problem: ("ingest.test", "SheetWarning"),
    answers.WhoAmI: ("ingest.test", "WhoAmIAnswer"),
    answers.Limit: ("ingest.test", "LimitAnswer"),
    answers.Links: ("reporter.test", "DownloadAnswer"),
    answers.Endpoint: ("reporter.test", "EndpointBody"),
    answers.EndpointWithSecret: ("reporter.test", "EndpointWithSecret"),
    answers.Delivery: ("reporter.test", "DeliveryBody"),
}
JSON_TYPES = {
    str: {"string"},
    int: {"integer"},
    float: {"number"},
    bool: {"boolean"},
    list: {"array"},
    dict: {"object"},
}


def example_of(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """Return a value that a schema allows: every field, lists with one entry, the first of alternatives."""
    if "$ref" in schema:
        return example_of(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        # A summary is the last of the answers of a status.
        alternatives = schema["anyOf"]
        return example_of(document, alternatives[-1 if all("$ref" in one for one in alternatives) else 0])
    if "enum" in schema or "const" in schema:
        return schema.get("const", next(iter(schema.get("enum", ()))) if "enum" in schema else None)
    match schema.get("type"):
        case "object":
            return {name: example_of(document, found) for name, found in schema.get("properties", {}).items()}
        case "array":
            return [example_of(document, schema["items"])]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case _:
            return "x"


class Documented:
    """Answers as the documents say, and holds each request against them."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """Find the operation, check what is asked, and answer an example of its first success."""
        document = DOCUMENTS[request.url.host]
        operation = self._operation(document, request)
        self.called.append(operation["operationId"])
        parameters = {(one["in"], one["name"]): one["schema"] for one in operation["parameters"]}
        for name, value in parse_qsl(request.url.query.decode()):
            schema = parameters["query", name]
            alternatives = schema.get("anyOf", [schema])
            wanted = int(value) if any(one.get("type") == "integer" for one in alternatives) else value
            assert Draft202012Validator(schema).is_valid(wanted), (name, value)
        for name in ("Idempotency-Key", "If-None-Match"):
            assert name not in request.headers or ("header", name) in parameters
        self._check_body(document, operation, request)
        code, described = next(iter(operation["responses"].items()))
        if request.content and b"validate_only" in request.content:
            code, described = "200", operation["responses"]["200"]
        content = described["content"].get("application/json")
        if content is None:
            return httpx2.Response(int(code), content=b"bytes")
        body = example_of(document, content["schema"])
        if isinstance(body, dict) and "next_page_token" in body:
            body["next_page_token"] = ""
        if isinstance(body, dict) and "reporter_url" in body:
            body["reporter_url"] = REPORTER
        return httpx2.Response(int(code), json=body)

    def _operation(self, document: dict[str, Any], request: httpx2.Request) -> dict[str, Any]:
        for path, methods in document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path) and request.method.lower() in methods:
                found: dict[str, Any] = methods[request.method.lower()]
                return found
        raise AssertionError(f"no document has {request.method} {request.url.path}")

    def _check_body(self, document: dict[str, Any], operation: dict[str, Any], request: httpx2.Request) -> None:
        if not request.content:
            # An operation with a body may take none.
            return
        kind = request.headers["Content-Type"].partition(";")[0]
        schema = operation["requestBody"]["content"][kind]["schema"]
        if kind == "application/json":
            whole = schema | {"components": document["components"]}
            Draft202012Validator(whole).validate(json.loads(request.content))
            return
        known = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        assert set(re.findall(rb'form-data; name="(\w+)"', request.content)) <= {name.encode() for name in known}


@pytest.mark.feature("64")
@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_an_operation_and_its_answer_is_read(name: str) -> None:
    """Path, parameters, body and headers are documented; an answer with every documented field is understood."""
    service = Documented()
    client = Pressroom(INGEST, reporter_url=REPORTER, transport=httpx2.MockTransport(service.answer))

    CALLS[name](client)

    assert service.called == [name if name != "check" else "upload_sheet"]


@pytest.mark.parametrize("model", READS, ids=lambda model: model.__name__)
def test_every_field_that_is_read_is_documented(model: type[Any]) -> None:
    """With its type, and null only where the client says None."""
    host, name = READS[model]
    schemas = DOCUMENTS[host]["components"]["schemas"]
    properties, hints = schemas[name]["properties"], get_type_hints(model)
    for field in fields(model):
        schema = properties[field.name]
        kinds = {kind for one in schema.get("anyOf", [schema]) for kind in kinds_of(schemas, one)}
        hint = str(hints[field.name])
        assert ("null" not in kinds) or "None" in hint, field.name
        expected = {kind for type_, found in JSON_TYPES.items() for kind in found if type_.__name__ in hint} or {
            "object"
        }
        assert kinds - {"null"} <= expected | ({"object", "array"} if "answers" in hint else set()), (field.name, kinds)


def kinds_of(schemas: dict[str, Any], schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a schema allows."""
    if "$ref" in schema:
        return kinds_of(schemas, schemas[schema["$ref"].rpartition("/")[2]])
    if "enum" in schema or "const" in schema:
        return {"string"}
    found = schema.get("type", "object")
    return set(found) if isinstance(found, list) else {found}


def test_every_answer_of_the_client_is_held_against_a_document() -> None:
    """A new one needs a row above, and a new call too."""
    models = {
        found for found in vars(answers).values() if isinstance(found, type) and hasattr(found, "__dataclass_fields__")
    }
    calls = {name for name in vars(Pressroom) if not name.startswith("_")} - {"close", "reporter", "batch", "file"}

    assert models == set(READS)
    assert len(calls) == len(CALLS)


def test_the_package_is_typed_and_names_its_version_once_more_nowhere() -> None:
    """py.typed is part of it; the version of the project is that of the services."""
    folder = Path(answers.__file__).parent
    project = (folder.parents[1] / "pyproject.toml").read_text(encoding="utf-8")

    assert (folder / "py.typed").exists()
    assert f'version = "{DOCUMENTS["ingest.test"]["info"]["version"]}"' in project
