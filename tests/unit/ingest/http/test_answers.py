"""What routes answer is what the documents say: `/openapi.json` in public, workflows/contracts among ourselves."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

import ingest.http
from ingest.http import internal_schemas
from ingest.http.openapi import OPERATIONS
from support.ingest_service import Answered, Lab, sheet_of

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"
CONTRACTS = Path(__file__).parents[4] / "workflows" / "contracts"
INTERNAL: dict[str, type[BaseModel]] = {
    "import": internal_schemas.ImportAnswer,
    "start": internal_schemas.StartAnswer,
    "claim": internal_schemas.ClaimAnswer,
    "give_back": internal_schemas.GiveBackAnswer,
    "finish": internal_schemas.FinishAnswer,
    "fail": internal_schemas.FailAnswer,
    "release": internal_schemas.ReleaseAnswer,
    "outcome": internal_schemas.OutcomeAnswer,
    "outcomes": internal_schemas.OutcomesAnswer,
    "sweep": internal_schemas.SweepAnswer,
}


def checked(lab: Lab, sheet: str) -> Answered:
    """Check a sheet without storing it."""
    return lab.upload(sheet, validate_only="true")


def half_failed(lab: Lab) -> str:
    """Return the id of a finished batch with a success, a failure, a duplicate and a row that was skipped."""
    sheet = sheet_of(f"{A}, {B}", A, "nonsense")
    request_id: str = lab.upload(sheet, on_invalid="skip").json["request_id"]
    execution = lab.start(request_id)
    first, second = lab.claim(request_id, execution)
    lab.report(first)
    lab.report(second, outcome="FAILED")
    lab.finish(request_id, execution)
    return request_id


def listed(lab: Lab, request_id: str) -> Answered:
    """List the batches with errors; `request_id` is one."""
    found = lab.get("/requests", status="COMPLETED_WITH_ERRORS")
    assert [batch["request_id"] for batch in found.json["requests"]] == [request_id]
    return found


CALLS: dict[tuple[str, str], list[Callable[[Lab], Answered]]] = {
    ("POST", "/upload"): [
        lambda lab: lab.upload(sheet_of(A, B)),
        lambda lab: lab.upload(sheet_of("nonsense"), on_invalid="skip"),
        lambda lab: checked(lab, sheet_of(f"{A}, {A}")),
        lambda lab: lab.post("/upload", {"items": [{"id": "1", "name": "Lamp", "urls": [A]}]}),
    ],
    ("GET", "/status"): [lambda lab: lab.get("/status", request_id=half_failed(lab))],
    ("GET", "/status/{request_id}"): [
        lambda lab: lab.get(f"/status/{half_failed(lab)}"),
        lambda lab: lab.get(f"/status/{lab.submit(A)}", page_size="1"),
        lambda lab: lab.get(f"/status/{half_failed(lab)}", view="summary"),
    ],
    ("GET", "/status/{request_id}/images"): [
        lambda lab: lab.get(f"/status/{half_failed(lab)}/images"),
        lambda lab: lab.get(f"/status/{half_failed(lab)}/images", status="FAILED"),
    ],
    ("GET", "/status/{request_id}/problems"): [lambda lab: lab.get(f"/status/{half_failed(lab)}/problems")],
    ("GET", "/status/{request_id}/hosts"): [lambda lab: lab.get(f"/status/{half_failed(lab)}/hosts")],
    ("GET", "/whoami"): [lambda lab: lab.get("/whoami")],
    ("GET", "/requests"): [
        lambda lab: lab.get("/requests"),
        lambda lab: listed(lab, half_failed(lab)),
    ],
    ("POST", "/cancel"): [lambda lab: lab.post("/cancel", {"request_id": lab.submit(A)})],
    ("POST", "/retry"): [lambda lab: lab.post("/retry", {"request_id": half_failed(lab)})],
    ("POST", "/process"): [lambda lab: lab.internal("tasks", "POST", "/process", {"request_id": lab.submit(A)})],
    ("GET", "/limits"): [lambda lab: lab.get("/limits")],
    ("POST", "/uploads"): [lambda lab: lab.post("/uploads", {"size_bytes": 50_000_000})],
}
OPERATION_OF = {(operation.method, operation.path): operation for operation in OPERATIONS}


def test_every_operation_that_answers_json_is_called() -> None:
    """A new one needs a call here."""
    modelled = {
        key
        for key, operation in OPERATION_OF.items()
        if any(not isinstance(answer, str) for answer in operation.responses.values())
    }
    assert modelled == set(CALLS)


@pytest.mark.feature("63")
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_public_answers_are_those_of_the_document(lab: Lab, method: str, path: str) -> None:
    """Every field is described, none is missing, and their types are those that are written."""
    document = lab.get("/openapi.json").json
    for call in CALLS[method, path]:
        answer = call(lab)
        described = document["paths"][path][method.lower()]["responses"][str(answer.code)]
        schema = described["content"]["application/json"]["schema"] | {"components": document["components"]}
        Draft202012Validator(schema).validate(answer.json)
        models = OPERATION_OF[method, path].responses[answer.code]
        assert not isinstance(models, str)
        alternatives = models if isinstance(models, tuple) else (models,)
        model = next(one for one in alternatives if not isinstance(one, str) and is_one(one, answer.json))
        assert not isinstance(model, str)
        assert model.model_validate(answer.json).model_dump(mode="json") == answer.json


def is_one(model: type[BaseModel], value: dict[str, Any]) -> bool:
    """Return whether a value is what a model says, no more and no less."""
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", INTERNAL)
def test_internal_answers_have_the_fields_of_their_contracts(name: str) -> None:
    """No more and no fewer."""
    contract: dict[str, Any] = json.loads((CONTRACTS / f"{name}_response.schema.json").read_text(encoding="utf-8"))
    model = INTERNAL[name]
    assert set(model.model_fields) == set(contract["properties"]) == set(contract["required"])


def test_routes_build_answers_from_models_only() -> None:
    """A dictionary that is written by hand in a route could differ from the document."""
    folder = Path(ingest.http.__file__).parent
    by_hand = [
        f"{path.name}:{node.lineno}"
        for path in (folder / "public_routes.py", folder / "internal_routes.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Return) and isinstance(node.value, ast.Dict) and not _is_helper(path, node))
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "jsonify")
    ]
    # What an upload answered is kept as it was, and repeated.
    assert len(by_hand) == 1
    assert by_hand[0].startswith("public_routes.py")


def _is_helper(path: Path, found: ast.Return) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    helpers = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("_")]
    return any(node.lineno <= found.lineno <= (node.end_lineno or 0) for node in helpers)


def test_a_repeat_is_answered_what_is_stored(lab: Lab) -> None:
    """Also when another release has stored it, whose answers had other fields."""
    headers = {"Idempotency-Key": "k"}
    first = lab.upload(sheet_of(A), headers=headers).json
    lab.change("UPDATE idempotency_keys SET response = response - 'warning_count' || '{\"older\": 1}'")
    data = {"file": (io.BytesIO(sheet_of(A).encode()), "products.csv")}
    again = Answered(lab.client().post("/upload", data=data, headers=headers))
    assert (again.code, again.json["older"], again.json["request_id"]) == (202, 1, first["request_id"])
