"""Writes the routes of a service with who may call them, from the application itself."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from docs.generate.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
_QUEUE = "projects/demo/locations/us-central1/queues"
_ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT": "demo",
    "GOOGLE_CLOUD_LOCATION": "us-central1",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1/nothing",
    "INGEST_URL": "http://ingest.test",
    "INGEST_INTERNAL_URL": "http://ingest-internal.test",
    "COMPRESSOR_URL": "http://compressor.test",
    "REPORTER_URL": "http://reporter.test",
    "REPORTER_INTERNAL_URL": "http://reporter-internal.test",
    "COMPRESSOR_TASKS_SERVICE_ACCOUNT": "Cloud Tasks",
    "WORKFLOW_ID": "batch",
    "BATCHES_QUEUE": f"{_QUEUE}/batches",
    "IMAGES_QUEUE": f"{_QUEUE}/images",
    "WEBHOOKS_QUEUE": f"{_QUEUE}/webhooks",
    "IMAGES_BUCKET": "images",
    "REPORTS_BUCKET": "reports",
    "DOWNLOAD_SIGNING_SECRET": "x" * 32,
    "WEBHOOK_SIGNING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "WEBHOOK_ENDPOINT_KEYS": "x" * 32,
    # Named as readers know them.
    "WORKFLOW_SERVICE_ACCOUNT": "workflow",
    "TASKS_SERVICE_ACCOUNT": "Cloud Tasks",
    "SCHEDULER_SERVICE_ACCOUNT": "Cloud Scheduler",
    "INGEST_SERVICE_ACCOUNT": "ingest",
    "COMPRESSOR_SERVICE_ACCOUNT": "compressor",
    "REPORTER_SERVICE_ACCOUNT": "reporter",
}


def table(service: str) -> str:
    """Return every route with its caller and the first words of its view: public ones first, in the order of the code.

    Raises:
        LookupError: a view says nothing of itself.
    """
    lines = ["| route | caller | what it does |", "| --- | --- | --- |"]
    return "\n".join(
        lines + [f"| `{route}` | {who} | {what} |" for route, who, what in sorted(_routes(service), key=_order)]
    )


def _routes(service: str) -> list[tuple[str, str, str]]:
    found = []
    app = _app(service)
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            route = f"{method} {path}"
            if not view.__doc__:
                message = f"{service}: the view of {route} has no docstring"
                raise LookupError(message)
            words = " ".join(view.__doc__.split()).removesuffix(".")
            found.append((route, _caller(vars(view)), words))
    return found


def _caller(marks: dict[str, Any]) -> str:
    if callers := marks.get("allowed_callers"):
        return ", ".join(sorted(callers))
    scope = marks.get("needed_scope")
    return f"{scope.value} key" if scope else "anybody"


def _order(row: tuple[str, str, str]) -> bool:
    return not row[1].endswith("key") and row[1] != "anybody"


@cache
def _app(service: str) -> Any:
    # The tests build the three applications without anything that they would call.
    sys.path.append(str(ROOT / "tests"))
    applications = importlib.import_module("support.service_apps")
    return applications.app_of(SETTINGS[service].from_environ(_ENVIRONMENT))
