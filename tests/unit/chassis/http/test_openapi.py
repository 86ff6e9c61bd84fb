"""The OpenAPI document made of a table of operations."""

from __future__ import annotations

from pydantic import BaseModel, Field

from chassis.http.openapi import Operation, openapi_document


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
            Operation("GET", "/things/{id}", "Read", {200: Answer}, query=Page, errors=[404]),
            Operation("POST", "/things", "Make", {202: "text/csv"}, body=Answer),
        ],
    )

    read = document["paths"]["/things/{id}"]["get"]
    assert [(p["in"], p["name"], p["required"]) for p in read["parameters"]] == [
        ("path", "id", True),
        ("query", "size", False),
        ("query", "after", True),
    ]
    reference = {"$ref": "#/components/schemas/Answer"}
    assert read["responses"]["200"]["content"]["application/json"]["schema"] == reference
    assert read["responses"]["404"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")
    make = document["paths"]["/things"]["post"]
    assert make["requestBody"]["content"]["application/json"]["schema"] == reference
    assert list(make["responses"]["202"]["content"]) == ["text/csv"]
    assert {"Error", "Answer", "Inner"} <= set(document["components"]["schemas"])
