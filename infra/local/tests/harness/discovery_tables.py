"""Writes the tables of connectors from Google's discovery documents.

    pip download --no-deps google-api-python-client
    unzip google_api_python_client-*.whl 'googleapiclient/discovery_cache/documents/*'
    python tests/harness/discovery_tables.py googleapiclient/discovery_cache/documents

Only facts are taken over: names, verbs, paths, parameters and whether an answer is an operation. The form of a table is
told by the module that reads it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TABLES = Path(__file__).parents[2] / "src/localcloud/workflows/connectors/discovery"

LISTED = [
    "aiplatform.v1",
    "batch.v1",
    "bigquery.v2",
    "bigquerydatatransfer.v1",
    "cloudbuild.v1",
    "cloudfunctions.v1",
    "cloudfunctions.v2",
    "cloudresourcemanager.v1",
    "cloudresourcemanager.v3",
    "cloudscheduler.v1",
    "cloudtasks.v2",
    "cloudtasks.v2beta3",
    "compute.v1",
    "container.v1",
    "dataflow.v1b3",
    "documentai.v1",
    "firestore.v1",
    "forms.v1",
    "integrations.v1",
    "language.v1",
    "ml.v1",
    "pubsub.v1",
    "run.v1",
    "run.v2",
    "secretmanager.v1",
    "sheets.v4",
    "spanner.v1",
    "sqladmin.v1",
    "sqladmin.v1beta4",
    "storage.v1",
    "storagetransfer.v1",
    "transcoder.v1",
    "translate.v2",
    "translate.v3",
    "workflowexecutions.v1",
    "workflowexecutions.v1beta",
    "workflows.v1",
    "workflows.v1beta",
]
"""Services of https://cloud.google.com/workflows/docs/reference/googleapis."""

UNLISTED = [
    "artifactregistry.v1",
    "bigqueryreservation.v1",
    "chat.v1",
    "cloudkms.v1",
    "composer.v1",
    "dataform.v1",
    "dataform.v1beta1",
    "dataproc.v1",
    "docs.v1",
    "drive.v3",
    "eventarc.v1",
    "gmail.v1",
    "iam.v1",
    "logging.v2",
    "monitoring.v3",
    "speech.v1",
    "vision.v1",
]
"""Services that published programs call as connectors although that page does not have them."""

_MIN_USES = 3


def main(documents: Path) -> None:
    """Write the table of every service there is a document of."""
    TABLES.mkdir(exist_ok=True)
    for old in TABLES.glob("*.txt"):
        old.unlink()
    for service in LISTED + UNLISTED:
        document = json.loads((documents / f"{service}.json").read_text(encoding="utf-8"))
        (TABLES / f"{service}.txt").write_text(table(document, is_listed=service in LISTED), encoding="utf-8")


def table(document: dict[str, Any], *, is_listed: bool) -> str:
    """Return the text of a service's table."""
    methods = sorted(_methods(document, ""))
    queries = [query for _, method in methods if len(query := _query(method)) > 1]
    often = [query for query, uses in Counter(queries).most_common() if uses >= _MIN_USES]
    aliases = {query: f"${number}" for number, query in enumerate(often)}
    root = document["rootUrl"] + document["servicePath"]
    lines = [f"{document['name']} {document['version']} {root} {'listed' if is_listed else 'unlisted'}"]
    lines += [f"{alias} {' '.join(query)}" for query, alias in aliases.items()]
    for name, method in methods:
        kinds = ("body" if "request" in method else "-", _waiting(document, name, method))
        query = _query(method)
        shown = [aliases[query]] if query in aliases else list(query)
        lines.append(" ".join([name, method["httpMethod"], method["path"] or "-", *kinds, *shown]))
    return "\n".join(lines) + "\n"


def _methods(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, method in node.get("methods", {}).items():
        yield f"{prefix}{name}", method
    for name, resource in node.get("resources", {}).items():
        yield from _methods(resource, f"{prefix}{name}.")


def _query(method: dict[str, Any]) -> tuple[str, ...]:
    names = {name for name, parameter in method.get("parameters", {}).items() if parameter["location"] == "query"}
    return tuple(sorted(names | ({"alt"} if method.get("supportsMediaDownload") else set())))


def _waiting(document: dict[str, Any], name: str, method: dict[str, Any]) -> str:
    """Return whether the answer is a long-running operation: `operation`, `status` as Compute Engine has them, or -."""
    response = method.get("response", {}).get("$ref", "")
    if method["httpMethod"] == "GET" or "perations." in f".{name}" or not response.endswith("Operation"):
        return "-"
    properties = document["schemas"][response].get("properties", {})
    if "done" in properties:
        return "operation"
    return "status" if {"status", "selfLink"} <= properties.keys() else "-"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
