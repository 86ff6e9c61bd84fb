"""The OpenAPI document made of a table of operations."""

from __future__ import annotations

from pydantic import BaseModel, Field

from chassis.http.openapi import Hook, Operation, openapi_document


class Page(BaseModel):
    """A query."""

    size: int = Field(20, ge=1, description="Rows a page")
    after: str


class Inner(BaseModel):
    """A part."""

    name: str


class Answer(BaseModel):
    """An answer with a part."""

    inner: Inner


def test_an_operation_becomes_parameters_body_answers_and_errors() -> None:
    """Paths, queries, bodies, media types, components and the error form, all by reference where shared."""
    document = openapi_document(
        title="t",
        version="1",
        description="d",
        operations=[
            Operation(
                "GET", "/things/{id}", "Read", {200: Answer, 304: ""}, query=Page, errors=[404], id="read", tag="things"
            ),
            Operation(
                "POST", "/things", "Make", {202: "text/csv"}, body=Answer, id="make", tag="things", takes_key=True
            ),
        ],
        server_url="https://things.test",
        tags={"things": "All"},
        hooks=[Hook("thing.made", "A thing was made", Answer, {"inner": {"name": "x"}})],
    )

    read = document["paths"]["/things/{id}"]["get"]
    assert [(p["in"], p["name"], p["required"]) for p in read["parameters"]] == [
        ("path", "id", True),
        ("query", "size", False),
        ("query", "after", True),
        ("header", "If-None-Match", False),
    ]
    reference = {"$ref": "#/components/schemas/Answer"}
    assert read["responses"]["200"]["content"]["application/json"]["schema"] == reference
    assert read["responses"]["404"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    make = document["paths"]["/things"]["post"]
    assert make["requestBody"]["content"]["application/json"]["schema"] == reference
    assert list(make["responses"]["202"]["content"]) == ["text/csv"]
    assert {"Error", "Answer", "Inner"} <= set(document["components"]["schemas"])
    assert [(p["in"], p["name"]) for p in make["parameters"]] == [("header", "Idempotency-Key")]
    assert (read["operationId"], make["tags"], document["servers"]) == (
        "read",
        ["things"],
        [{"url": "https://things.test"}],
    )
    sent = document["webhooks"]["thing.made"]["post"]["requestBody"]["content"]["application/json"]
    assert sent == {"schema": reference, "example": {"inner": {"name": "x"}}}


class Form(BaseModel):
    """A form."""

    size: int | None = Field(None, ge=1)


def test_a_form_has_no_null() -> None:
    """A field that is not meant is not sent: clients that are made of the document must not send the word null."""
    document = openapi_document(
        title="t",
        version="1",
        description="d",
        operations=[
            Operation(
                "POST", "/", "Send", {200: Answer}, body=Form, body_media_type="multipart/form-data", id="s", tag="t"
            )
        ],
        server_url="https://things.test",
        tags={},
    )

    size = document["components"]["schemas"]["Form"]["properties"]["size"]
    assert (size["type"], size["minimum"], "anyOf" in size, "default" in size) == ("integer", 1, False, False)
