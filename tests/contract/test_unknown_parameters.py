"""No route ignores a parameter: each reads its query string whole, or takes none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from docs.generate.settings import SETTINGS
from flask import Flask

from chassis.http.openapi import Operation
from contract.test_deployment import deployed_environment
from ingest.http.openapi import OPERATIONS as INGEST
from reporter.http.openapi import OPERATIONS as REPORTER
from support.service_apps import app_of, settings_from

PAGES = {"/", "/docs", "/health"}
"""They may be asked with anything: links to pages carry marks of where they were found."""


def app_as_deployed(service: str) -> Flask:
    """Return a service with the settings that the deployment gives it."""
    return app_of(settings_from(deployed_environment(service), service))


@pytest.mark.parametrize("service", SETTINGS)
def test_a_parameter_of_a_route_that_takes_none_is_refused(service: str) -> None:
    """Before anything else is looked at, the caller's identity included."""
    app = app_as_deployed(service)
    answers = {}
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        path = re.sub(r"<any\((\w+)[^>]+>", r"\1", rule.rule)
        path = re.sub(r"<[^>]+>", "6b1f2d3e-0000-4000-8000-000000000001", path)
        if getattr(view, "takes_query", False):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            response: Any = app.test_client().open(f"{path}?no_such_parameter=1", method=method)
            told = (
                response.text if rule.rule.startswith("/console/") else response.json["error"]["details"][0]["reason"]
            )
            answers[f"{method} {rule.rule}"] = (
                response.status_code,
                "FIELD_INVALID" if "FIELD_INVALID" in told else told,
            )

    assert {route: answer for route, answer in answers.items() if answer != (400, "FIELD_INVALID")} == {}


@pytest.mark.parametrize("operations", [INGEST, REPORTER], ids=["ingest", "reporter"])
def test_every_query_string_is_read_whole(operations: Sequence[Operation]) -> None:
    """Its model refuses what it does not know."""
    lenient = [o.path for o in operations if o.query is not None and o.query.model_config.get("extra") != "forbid"]

    assert lenient == []


@pytest.mark.parametrize(("service", "operations"), [("ingest", INGEST), ("reporter", REPORTER)])
def test_only_routes_with_a_model_and_pages_take_a_query_string(service: str, operations: Sequence[Operation]) -> None:
    """A route that is marked and reads nothing would ignore everything."""
    app = app_as_deployed(service)
    marked = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "takes_query", False)
    }
    documented = {operation.path for operation in operations if operation.query is not None}

    known = ("/internal/", "/console/")  # the pages of the console are no interface for programs
    assert {path for path in marked - documented - PAGES if not path.startswith(known)} == set()
    assert documented - marked == set()
