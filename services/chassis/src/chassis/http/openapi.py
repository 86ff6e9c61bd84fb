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
    "examples": [
        {
            "error": {
                "code": 404,
                "status": "NOT_FOUND",
                "message": "There is no batch 6b1f2d3e-0000-4000-8000-000000000001.",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "BATCH_NOT_FOUND",
                        "domain": "ingest",
                        "metadata": {"request_id": "6b1f2d3e-0000-4000-8000-000000000001"},
                    },
                    {"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "0f3c9a"},
                ],
            }
        }
    ],
}

_IDEMPOTENCY_KEY: dict[str, Any] = {
    "in": "header",
    "name": "Idempotency-Key",
    "required": False,
    "description": "Makes a repeat harmless: the same key with the same content gets the first answer again for a day,"
    " with Idempotent-Replayed: true; with other content 422.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
}
_IF_NONE_MATCH: dict[str, Any] = {
    "in": "header",
    "name": "If-None-Match",
    "required": False,
    "description": "ETag of the answer before; 304 when nothing has changed since.",
    "schema": {"type": "string"},
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
    `other_bodies` are further models by media type. `responses` maps an HTTP code to a model, or to a media type, or to
    several of which it is one; "" is an answer without a body. `scope` is what an API key needs for it; "" is open to
    all, "internal" wants the token of a service account. `id` is what generated clients call it, `tag` its group.
    `path_values` are the values that a part of the path may have, where they are few. `takes_key` says that it takes an
    Idempotency-Key. `example` is a body, `answer_example` what the first of the responses may be.
    """

    method: str
    path: str
    summary: str
    responses: Mapping[int, type[BaseModel] | tuple[type[BaseModel] | str, ...] | str]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_media_type: str = "application/json"
    other_bodies: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    errors: Sequence[int] = ()
    scope: Literal["read", "write", "internal", ""] = ""
    id: str = field(kw_only=True)
    tag: str = field(kw_only=True)
    path_values: Mapping[str, Sequence[str]] = field(default_factory=dict, kw_only=True)
    takes_key: bool = field(default=False, kw_only=True)
    example: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    answer_example: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True, slots=True)
class Hook:
    """A request that the service makes to its subscribers: the name of the event, when it is sent, and its body."""

    name: str
    summary: str
    body: type[BaseModel]
    example: Mapping[str, Any]


def openapi_document(
    *,
    title: str,
    version: str,
    description: str,
    operations: Sequence[Operation],
    server_url: str,
    tags: Mapping[str, str],
    hooks: Sequence[Hook] = (),
) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service.

    Args:
        title: of the service.
        version: of the service.
        description: what it is for.
        operations: the public routes.
        server_url: where the service is.
        tags: the groups of operations with what each is for.
        hooks: what subscribers are sent.
    """
    spec = APISpec(title=title, version=version, openapi_version="3.1.0", info={"description": description})
    spec.components.schema("Error", _ERROR_SCHEMA)
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, scheme)
    for name, told in tags.items():
        spec.tag({"name": name, "description": told})
    known: set[str] = set()
    for operation in operations:
        spec.path(path=operation.path, operations={operation.method.lower(): _operation(spec, operation, known)})
    webhooks = {hook.name: {"post": _hook(spec, hook, known)} for hook in hooks}
    document: dict[str, Any] = spec.to_dict()
    document["servers"] = [{"url": server_url}]
    if webhooks:
        document["webhooks"] = webhooks
    return document


def _operation(spec: APISpec, operation: Operation, known: set[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": _SECURITY[operation.scope],
        "parameters": _parameters(operation),
        "responses": {},
    }
    if operation.scope in {"read", "write"}:
        result["x-scope"] = operation.scope
    if operation.body is not None:
        result["requestBody"] = {
            "required": True,
            "content": {
                media_type: _body(spec, media_type, body, operation.example, known)
                for media_type, body in {operation.body_media_type: operation.body, **operation.other_bodies}.items()
            },
        }
    example = operation.answer_example
    for code, answer in operation.responses.items():
        result["responses"][str(code)] = _success(spec, answer, example, known)
        example = {}
    refusals = () if not operation.scope else (401, 403, 429)
    for code in sorted({*operation.errors, *refusals}):
        result["responses"][str(code)] = {
            "description": "Error (AIP-193)",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return result


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for part in operation.path.split("/"):
        if part.startswith("{"):
            name = part[1:-1]
            values = operation.path_values.get(name)
            schema: dict[str, Any] = {"type": "string"}
            schema |= {"format": "uuid"} if values is None else {"enum": list(values)}
            parameters.append({"in": "path", "name": name, "required": True, "schema": schema})
    if operation.query is not None:
        model = operation.query.model_json_schema(by_alias=True)
        required = set(model.get("required", ()))
        parameters += [
            {
                "in": "query",
                "name": name,
                "required": name in required,
                "description": described.get("description", ""),
                "schema": described,
            }
            for name, described in model["properties"].items()
        ]
    if operation.takes_key:
        parameters.append(_IDEMPOTENCY_KEY)
    if 304 in operation.responses:
        parameters.append(_IF_NONE_MATCH)
    return parameters


def _body(
    spec: APISpec, media_type: str, model: type[BaseModel], example: Mapping[str, Any], known: set[str]
) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": _component(spec, model, known, is_form=media_type.startswith("multipart/"))}
    if media_type == "application/json" and example:
        content["example"] = dict(example)
    return content


def _hook(spec: APISpec, hook: Hook, known: set[str]) -> dict[str, Any]:
    schema = _component(spec, hook.body, known)
    return {
        "operationId": "on_" + hook.name.replace(".", "_"),
        "tags": ["webhooks"],
        "summary": hook.summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": dict(hook.example)}},
        },
        "responses": {"2XX": {"description": "Taken; any other answer is tried again later"}},
    }


def _success(
    spec: APISpec,
    answer: type[BaseModel] | tuple[type[BaseModel] | str, ...] | str,
    example: Mapping[str, Any],
    known: set[str],
) -> dict[str, Any]:
    if answer == "":
        return {"description": "Not changed since the answer whose ETag was sent in If-None-Match"}
    answers = answer if isinstance(answer, tuple) else (answer,)
    content: dict[str, Any] = {}
    for media_type in answers:
        if isinstance(media_type, str):
            is_json = media_type == "application/json"
            content[media_type] = {"schema": {"type": "object"} if is_json else {"type": "string"}}
    references = [_component(spec, model, known) for model in answers if not isinstance(model, str)]
    if references:
        content["application/json"] = {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
        if example:
            content["application/json"]["example"] = dict(example)
    return {"description": "Success", "content": content}


def _component(spec: APISpec, model: type[BaseModel], known: set[str], *, is_form: bool = False) -> dict[str, str]:
    """Register a model and those it refers to; return the reference."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    if is_form:
        # A form has no null: a field that is not meant is not sent.
        schema["properties"] = {name: _without_null(described) for name, described in schema["properties"].items()}
    for name, definition in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        if name not in known:
            known.add(name)
            spec.components.schema(name, definition)
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in described.items() if name != "anyOf" and (name, value) != ("default", None)}
    alternatives = [each for each in described.get("anyOf", ()) if each.get("type") != "null"]
    if len(alternatives) == 1:
        return {**kept, **alternatives[0]}
    return {**kept, "anyOf": alternatives} if alternatives else kept
