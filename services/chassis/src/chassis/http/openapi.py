"""`/openapi.json` from a table of operations and the pydantic models that the routes really use.

apispec keeps the document; this module turns a table row into an operation. The table is checked against the
application's URL map by a test, so a route cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from apispec import APISpec
from pydantic import BaseModel

_ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "details"],
            "properties": {
                "code": {"type": "integer"},
                "status": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}


_SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "ApiKeyBearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, prk_...; needed where the deployment has API keys.",
    },
    "ApiKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, by itself."},
    "ServiceAccount": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A Google-signed OIDC token of one of our service accounts.",
    },
}
_KEY_NEEDED: list[dict[str, list[str]]] = [{"ApiKeyBearer": []}, {"ApiKeyHeader": []}, {}]
_SECURITY = {"read": _KEY_NEEDED, "write": _KEY_NEEDED, "internal": [{"ServiceAccount": []}], "": []}


@dataclass(frozen=True, slots=True)
class Operation:
    """One public route.

    `path` is in OpenAPI form (`/status/{request_id}`); `query` and `body` are the models that parse the request,
    `other_bodies` are further models by media type. `responses` maps an HTTP code to a model (or to those of which it
    is one) or, for other media types, to the media type's name; "" is an answer without a body. `scope` is what an API
    key needs for it; "" is open to all, "internal" wants the token of a service account.
    """

    method: str
    path: str
    summary: str
    responses: Mapping[int, type[BaseModel] | tuple[type[BaseModel], ...] | str]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_media_type: str = "application/json"
    other_bodies: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    errors: Sequence[int] = ()
    scope: Literal["read", "write", "internal", ""] = ""


def openapi_document(*, title: str, version: str, description: str, operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service."""
    spec = APISpec(title=title, version=version, openapi_version="3.1.0", info={"description": description})
    spec.components.schema("Error", _ERROR_SCHEMA)
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    known: set[str] = set()
    for operation in operations:
        spec.path(path=operation.path, operations={operation.method.lower(): _operation(spec, operation, known)})
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(spec: APISpec, operation: Operation, known: set[str]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"in": "path", "name": part[1:-1], "required": True, "schema": {"type": "string"}}
        for part in operation.path.split("/")
        if part.startswith("{")
    ]
    if operation.query is not None:
        schema = operation.query.model_json_schema(by_alias=True)
        required = set(schema.get("required", ()))
        parameters += [
            {
                "in": "query",
                "name": name,
                "required": name in required,
                "description": field.get("description", ""),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    result: dict[str, Any] = {
        "summary": operation.summary,
        "security": _SECURITY[operation.scope],
        "parameters": parameters,
        "responses": {},
    }
    if operation.scope in {"read", "write"}:
        result["x-scope"] = operation.scope
    if operation.body is not None:
        result["requestBody"] = {
            "required": True,
            "content": {
                media_type: {"schema": _component(spec, body, known)}
                for media_type, body in {operation.body_media_type: operation.body, **operation.other_bodies}.items()
            },
        }
    for code, answer in operation.responses.items():
        result["responses"][str(code)] = _success(spec, answer, known)
    refusals = () if not operation.scope else (401, 403)
    for code in sorted({*operation.errors, *refusals}):
        result["responses"][str(code)] = {
            "description": "Error (AIP-193)",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return result


def _success(
    spec: APISpec, answer: type[BaseModel] | tuple[type[BaseModel], ...] | str, known: set[str]
) -> dict[str, Any]:
    if answer == "":
        return {"description": "Not changed since the answer whose ETag was sent in If-None-Match"}
    if isinstance(answer, str):
        schema: dict[str, Any] = {"type": "object" if answer == "application/json" else "string"}
        return {"description": "Success", "content": {answer: {"schema": schema}}}
    models = answer if isinstance(answer, tuple) else (answer,)
    references = [_component(spec, model, known) for model in models]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"description": "Success", "content": {"application/json": {"schema": schema}}}


def _component(spec: APISpec, model: type[BaseModel], known: set[str]) -> dict[str, str]:
    """Register a model and those it refers to; return the reference."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, definition in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        if name not in known:
            known.add(name)
            spec.components.schema(name, definition)
    return {"$ref": f"#/components/schemas/{model.__name__}"}
