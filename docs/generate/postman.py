"""A Postman collection of both OpenAPI documents: `make postman` writes it, newman runs its journey.

The folder "Journey" goes a sheet's way in order: upload, status until the end, download, webhook. The other folders
have every operation, by service and group.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ingest.http.openapi import document as ingest_document
from reporter.http.openapi import document as reporter_document

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
DEFAULTS = {
    "ingest_url": "http://127.0.0.1:8080",
    "reporter_url": "http://127.0.0.1:8082",
    "api_key": "",
    "sheet": "catalogue.csv",
    "webhook_url": "http://127.0.0.1:9/",
    "request_id": "",
    "endpoint_id": "",
    "delivery_id": "",
    "file_name": "output.csv",
    "name": "swagger-ui.css",
    "download_url": "",
}
"""The variables of the collection: where the services of `make up` are, and what the journey learns."""

Item = dict[str, Any]


def collection() -> Item:
    """Return the collection, in the form 2.1 of Postman."""
    services = {
        "ingest": ingest_document("{{ingest_url}}"),
        "reporter": reporter_document("{{reporter_url}}"),
    }
    return {
        "info": {
            "name": "Pressroom",
            "schema": SCHEMA,
            "version": services["ingest"]["info"]["version"],
            "description": "Run the folder Journey against a stack of `make up`; `sheet` is the path of a sheet.",
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{api_key}}", "type": "string"}]},
        "variable": [{"key": name, "value": value} for name, value in DEFAULTS.items()],
        "item": [
            {"name": "Journey", "item": _journey(services["ingest"], services["reporter"])},
            *({"name": name, "item": _groups(document)} for name, document in services.items()),
        ],
    }


def _groups(document: Item) -> list[Item]:
    groups: dict[str, list[Item]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]].append(_item(document, path, method, operation))
    told = {tag["name"]: tag["description"] for tag in document["tags"]}
    return [{"name": name, "description": told[name], "item": items} for name, items in groups.items() if items]


def _item(document: Item, path: str, method: str, operation: Item) -> Item:
    query = [one for one in operation["parameters"] if one["in"] == "query"]
    headers = [one for one in operation["parameters"] if one["in"] == "header"]
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    base = document["servers"][0]["url"]
    request: Item = {
        "method": method.upper(),
        "description": operation["summary"],
        "header": [
            # A new key each time: the same one would answer what it answered before.
            {"key": one["name"], "value": "{{$guid}}", "disabled": one["name"] != "Idempotency-Key"}
            for one in headers
        ],
        "url": {
            "raw": base + path.replace("{", ":").replace("}", ""),
            "host": [base],
            "path": [part.replace("{", ":").replace("}", "") for part in path.strip("/").split("/")],
            "query": [
                {"key": one["name"], "value": "", "description": one["description"], "disabled": not one["required"]}
                for one in query
            ],
            "variable": [{"key": name, "value": f"{{{{{name}}}}}"} for name in names],
        },
    }
    body = _body(document, operation)
    if body is not None:
        request["body"] = body
        if body["mode"] == "raw":
            request["header"].append({"key": "Content-Type", "value": "application/json"})
    if operation["security"] == []:
        request["auth"] = {"type": "noauth"}
    return {"name": operation["operationId"], "request": request}


def _body(document: Item, operation: Item) -> Item | None:
    content = operation.get("requestBody", {}).get("content", {})
    form = content.get("multipart/form-data")
    if form is not None:
        name = form["schema"]["$ref"].rpartition("/")[2]
        fields = document["components"]["schemas"][name]["properties"]
        return {"mode": "formdata", "formdata": [_field(key, schema) for key, schema in fields.items()]}
    if "application/json" in content:
        example = content["application/json"].get("example", {})
        return {"mode": "raw", "raw": json.dumps(example, indent=2), "options": {"raw": {"language": "json"}}}
    return None


def _field(name: str, schema: Item) -> Item:
    told = {"key": name, "description": schema.get("description", "")}
    if schema.get("format") == "binary":
        return told | {"type": "file", "src": "{{sheet}}"}
    return told | {"type": "text", "value": "", "disabled": True}


def _journey(ingest: Item, reporter: Item) -> list[Item]:
    def step(number: int, document: Item, operation_id: str, script: Iterable[str], **query: str) -> Item:
        [(path, method, operation)] = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if operation["operationId"] == operation_id
        ]
        item = _item(document, path, method, operation)
        item["name"] = f"{number} {operation_id}"
        for one in item["request"]["url"]["query"]:
            if one["key"] in query:
                one.update(value=query[one["key"]], disabled=False)
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": list(script)}}]
        return item

    def answers(code: int) -> str:
        return f"pm.test('answers {code}', () => pm.response.to.have.status({code}));"

    download: Item = {
        "name": "4 download",
        "request": {"method": "GET", "url": "{{download_url}}", "auth": {"type": "noauth"}},
        "event": [
            {
                "listen": "test",
                "script": {
                    "type": "text/javascript",
                    "exec": [
                        answers(200),
                        "const links = 'Output Image Urls';",
                        "pm.test('has links', () => pm.expect(pm.response.text()).to.include(links));",
                    ],
                },
            }
        ],
    }
    create = step(
        5,
        reporter,
        "create_webhook",
        [answers(201), "pm.collectionVariables.set('endpoint_id', pm.response.json().id);"],
    )
    create["request"]["body"]["raw"] = json.dumps({"url": "{{webhook_url}}"})
    return [
        step(
            1,
            ingest,
            "upload_sheet",
            [answers(202), "pm.collectionVariables.set('request_id', pm.response.json().request_id);"],
        ),
        step(
            2,
            ingest,
            "get_status",
            [
                answers(200),
                "const found = pm.response.json();",
                "if (!found.finished_at) {",
                # Newman waits as long as --delay-request says.
                "  pm.execution.setNextRequest('2 get_status');",
                "} else {",
                "  pm.test('every image has ended', () => pm.expect(found.counts.pending).to.equal(0));",
                "}",
            ],
            view="summary",
        ),
        step(
            3,
            reporter,
            "get_report_links",
            [answers(200), "pm.collectionVariables.set('download_url', pm.response.json().download_url);"],
            request_id="{{request_id}}",
        ),
        download,
        create,
        step(6, reporter, "test_webhook", [answers(202)]),
        step(
            7,
            reporter,
            "list_webhook_deliveries",
            [
                answers(200),
                "const newest = pm.response.json().deliveries[0];",
                "pm.test('has the test', () => pm.expect(newest.type).to.equal('batch.test'));",
            ],
        ),
        step(8, reporter, "delete_webhook", [answers(200)]),
    ]


def main() -> None:
    """Write the collection to the file that is named."""
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(collection(), indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
