"""Internal routes admit one account each; everybody else is refused before anything happens."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.ingest_service import Lab
from support.json_answers import json_of

EXPECTED = {
    "/process": "tasks",
    "/internal/imports": "workflow",
    "/internal/batches/<request_id>/start": "workflow",
    "/internal/batches/<request_id>/import": "workflow",
    "/internal/batches/<request_id>/claim": "workflow",
    "/internal/batches/<request_id>/finish": "workflow",
    "/internal/batches/<request_id>/fail": "workflow",
    "/internal/batches/<request_id>/give_back": "workflow",
    "/internal/batches/<request_id>/release": "workflow",
    "/internal/batches/<request_id>/export": "reporter",
    "/internal/images/<image_id>/outcome": "compressor",
    "/internal/outcomes": "compressor",
    "/internal/sweep": "scheduler",
}


def guarded(lab: Lab) -> dict[str, Any]:
    """Return the views that name their callers, by rule."""
    return {
        rule.rule: lab.app.view_functions[rule.endpoint]
        for rule in lab.app.url_map.iter_rules()
        if hasattr(lab.app.view_functions[rule.endpoint], "allowed_callers")
    }


def test_each_internal_route_names_its_one_caller(lab: Lab) -> None:
    """And no internal route is without guard."""
    found = {rule: next(iter(view.allowed_callers)).partition("@")[0] for rule, view in guarded(lab).items()}
    internal = {rule.rule for rule in lab.app.url_map.iter_rules() if rule.rule.startswith("/internal/")}
    assert found == EXPECTED
    assert internal <= set(found)


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_call_without_token_or_of_another_account_is_refused(lab: Lab, rule: str) -> None:
    """401 and 403, for every internal route."""
    found = next(found for found in lab.app.url_map.iter_rules() if found.rule == rule)
    method = next(iter((found.methods or set()) - {"HEAD", "OPTIONS"}))
    path = re.sub(r"<\w+>", "00000000-0000-4000-8000-000000000000", rule)
    stranger = "reporter" if EXPECTED[rule] != "reporter" else "compressor"

    bare = lab.client().open(path, method=method, json={})
    other = lab.client().open(path, method=method, json={}, headers={"Authorization": lab.token(stranger)})

    assert (bare.status_code, json_of(bare)["error"]["details"][0]["reason"]) == (401, "TOKEN_MISSING")
    assert (other.status_code, json_of(other)["error"]["details"][0]["reason"]) == (403, "CALLER_NOT_ALLOWED")


def test_a_token_for_another_audience_is_refused(lab: Lab) -> None:
    """A token for the compressor opens nothing here."""
    token = lab.issuer.mint_id_token("scheduler@demo.iam.gserviceaccount.com", "http://compressor.test")
    answer = lab.client().post("/internal/sweep", json={}, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
