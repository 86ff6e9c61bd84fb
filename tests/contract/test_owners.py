"""What one owner has does not exist for another: every public route of every service, walked with two owners' keys."""

from __future__ import annotations

import io
import json
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from chassis.auth.api_keys import Scope, new_key
from chassis.clock import SystemClock
from chassis.db.engine import new_engine, transact
from ingest.http.openapi import OPERATIONS as INGEST_OPERATIONS
from ingest.migrate import upgrade
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres
from reporter.app import create_app
from reporter.http.openapi import OPERATIONS as REPORTER_OPERATIONS
from reporter.migrate import upgrade as upgrade_reporter
from reporter.settings import ReporterSettings
from reporter.state.reports import Report, record_report
from reporter.wsgi import assemble
from support.ingest_service import Lab, sheet_of
from support.json_answers import json_of
from support.reporter_service import (
    INGEST,
    ROOT_URL,
    SCHEDULER,
    SECRET,
    TASKS,
    WORKFLOW,
    MemoryQueue,
    NamedTokens,
    notification,
)
from support.scripted_origin import ScriptedOrigin, answer

ALICE, BOB, ROOT = (
    new_key(owner="alice", scopes=["read", "write"]),
    new_key(owner="bob", scopes=["read", "write"]),
    new_key(owner="root", scopes=["admin"]),
)
READER, WRITER = new_key(owner="alice", scopes=["read"]), new_key(owner="alice", scopes=["write"])
KEYS = "\n".join(key.line for key in (ALICE, BOB, ROOT, READER, WRITER))
HOOK = "http://127.0.0.1:8080/hooks"


@dataclass(slots=True)
class Shops:
    """Both public services with two owners' keys, and the ids of what Alice has."""

    apps: dict[str, Flask]
    lab: Lab
    ids: dict[str, str] = field(default_factory=dict)

    def call(self, route: str, case: Case, ids: dict[str, str], key: str | None) -> Any:
        """Make the call of a route."""
        service, method, _ = route.split(" ")
        headers = {"X-Request-Id": "walk"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
        arguments = case.arguments(ids)
        return (
            self.apps[service].test_client().open(case.path.format(**ids), method=method, headers=headers, **arguments)
        )


@dataclass(frozen=True, slots=True)
class Case:
    """How a route is called, and what it makes of somebody else's id.

    `kind` is `id` (it names a thing: 404 unless `unknown` says else), `list` (it shows things), `own` (it shows or
    makes what is the caller's alone), `open` (it needs no key).
    """

    kind: str
    path: str
    arguments: Callable[[dict[str, str]], dict[str, Any]] = lambda _ids: {}
    unknown: int = 404


def _json(**body: Any) -> Callable[[dict[str, str]], dict[str, Any]]:
    return lambda ids: {"json": {name: value.format(**ids) for name, value in body.items()}}


def _sheet(_ids: dict[str, str]) -> dict[str, Any]:
    return {"data": {"file": (io.BytesIO(sheet_of("https://a.test/1.jpg").encode()), "sheet.csv")}}


CASES = {
    "ingest POST /upload": Case("own", "/upload", _sheet),
    "ingest POST /corrected_sheet": Case("own", "/corrected_sheet", _sheet),
    "ingest POST /uploads": Case("own", "/uploads", lambda _ids: {"json": {}}),
    "ingest GET /status": Case("id", "/status?request_id={running}"),
    "ingest GET /status/<request_id>": Case("id", "/status/{running}"),
    "ingest GET /status/<request_id>/images": Case("id", "/status/{running}/images"),
    "ingest GET /status/<request_id>/problems": Case("id", "/status/{failed}/problems"),
    "ingest GET /status/<request_id>/hosts": Case("id", "/status/{running}/hosts"),
    "ingest GET /whoami": Case("own", "/whoami"),
    "ingest GET /requests": Case("list", "/requests"),
    "ingest POST /cancel": Case("id", "/cancel", _json(request_id="{running}")),
    "ingest POST /retry": Case("id", "/retry", _json(request_id="{failed}")),
    "ingest GET /limits": Case("own", "/limits"),
    "ingest GET /": Case("open", "/"),
    "ingest GET /docs": Case("open", "/docs"),
    "ingest GET /docs/<name>": Case("open", "/docs/start.js"),
    "reporter GET /docs": Case("open", "/docs"),
    "reporter GET /docs/<name>": Case("open", "/docs/start.js"),
    "ingest GET /openapi.json": Case("open", "/openapi.json"),
    "ingest GET /health": Case("open", "/health"),
    "reporter GET /download_csv": Case("id", "/download_csv?request_id={failed}"),
    "reporter GET /reports/<uuid:request_id>/<file_name>": Case("open", "/reports/{failed}/output.csv"),
    "reporter GET /images/<path:name>": Case("open", "/images/pictures/images/a.jpg"),
    "reporter GET /deliveries": Case("id", "/deliveries?request_id={failed}", unknown=200),
    "reporter POST /deliveries/<uuid:delivery_id>/redeliver": Case("id", "/deliveries/{delivery}/redeliver"),
    "reporter POST /webhooks": Case("own", "/webhooks", _json(url=HOOK)),
    # The oldest come first, and each test of this module adds one.
    "reporter GET /webhooks": Case("list", "/webhooks?page_size=100"),
    "reporter GET /webhooks/<uuid:endpoint_id>": Case("id", "/webhooks/{endpoint}"),
    "reporter PATCH /webhooks/<uuid:endpoint_id>": Case("id", "/webhooks/{endpoint}", _json(description="mine")),
    "reporter DELETE /webhooks/<uuid:endpoint_id>": Case("id", "/webhooks/{endpoint}"),
    "reporter POST /webhooks/<uuid:endpoint_id>/rotate_secret": Case("id", "/webhooks/{endpoint}/rotate_secret"),
    "reporter POST /webhooks/<uuid:endpoint_id>/test": Case("id", "/webhooks/{endpoint}/test"),
    "reporter GET /webhooks/<uuid:endpoint_id>/deliveries": Case("id", "/webhooks/{endpoint}/deliveries"),
    "reporter POST /webhooks/<uuid:endpoint_id>/redeliver": Case(
        "id", "/webhooks/{endpoint}/redeliver", _json(since="2026-01-01T00:00:00Z")
    ),
    "reporter GET /limits": Case("own", "/limits"),
    "reporter GET /openapi.json": Case("open", "/openapi.json"),
    "reporter GET /health": Case("open", "/health"),
}
"""The decision about every public route; a route without one fails `test_every_public_route_is_walked`."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Flask, Any]]:
    """Give ingest's laboratory, the reporter, and the reporter's database."""
    issuer = TokenIssuer(IssuerClock())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    postgres = Postgres(tmp_path_factory.mktemp("owners") / "data", port, fsync=False)
    postgres.start()
    engines = []
    try:
        with ScriptedOrigin() as origin:
            body = json.dumps(issuer.certificates()).encode()
            origin.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))
            for name, make_tables in (("ingest", upgrade), ("reporter", upgrade_reporter)):
                postgres.create_database(name)
                make_tables(postgres.url(name))
                engines.append(new_engine(postgres.url(name), pool_size=8))
            lab = Lab(engines[0], origin.url("/certs"), issuer, {"API_KEYS": KEYS})
            dependencies = assemble(
                reporter_settings(postgres.url("reporter"), origin.url("/certs")),
                clock=SystemClock(),
                queue=MemoryQueue(),
                storage_client=gcs.Client(project="nobody", credentials=AnonymousCredentials()),
                tokens=NamedTokens(),
                jitter=lambda: 0.5,
            )
            yield lab, create_app(dependencies), (engines[1], issuer)
            dependencies.engine.dispose()
    finally:
        for engine in engines:
            engine.dispose()
        postgres.remove()


def reporter_settings(database_url: str, certs_url: str) -> ReporterSettings:
    """Return the reporter's settings, with API keys."""
    return ReporterSettings.from_environ(
        {
            "GOOGLE_CLOUD_PROJECT": "demo",
            "GOOGLE_CLOUD_LOCATION": "us-central1",
            "AUTH_CERTS_URL": certs_url,
            "DATABASE_URL": database_url,
            "REPORTER_URL": ROOT_URL,
            "REPORTER_INTERNAL_URL": ROOT_URL,
            "INGEST_INTERNAL_URL": "http://ingest.test",
            "REPORTS_BUCKET": "reports",
            "WEBHOOKS_QUEUE": "projects/demo/locations/us-central1/queues/webhooks",
            "WORKFLOW_SERVICE_ACCOUNT": WORKFLOW,
            "INGEST_SERVICE_ACCOUNT": INGEST,
            "TASKS_SERVICE_ACCOUNT": TASKS,
            "SCHEDULER_SERVICE_ACCOUNT": SCHEDULER,
            "DOWNLOAD_SIGNING_SECRET": "not-a-secret-just-32-characters!",
            "WEBHOOK_SIGNING_SECRET": SECRET,
            "WEBHOOK_ENDPOINT_KEYS": "not-a-key-but-32-characters-long",
            "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
            "API_KEYS": KEYS,
            # Each test gives Alice one more.
            "WEBHOOK_MAX_ENDPOINTS": "1000",
        }
    )


@pytest.fixture
def shops(services: tuple[Lab, Flask, Any]) -> Shops:
    """Give Alice a running batch, a failed one with a report, an endpoint, and a delivery."""
    lab, reporter, (reporter_engine, issuer) = services
    shops = Shops({"ingest": lab.app, "reporter": reporter}, lab)
    alice = {"Authorization": f"Bearer {ALICE.key}"}
    for name in ("running", "failed"):
        uploaded = lab.client().post("/upload", headers=alice, **_sheet({}))
        assert uploaded.status_code == 202, uploaded.text
        shops.ids[name] = json_of(uploaded)["request_id"]
    execution = lab.start(shops.ids["failed"])
    for payload in lab.claim(shops.ids["failed"], execution):
        assert lab.report(payload, outcome="FAILED").code == 200
    ending = lab.finish(shops.ids["failed"], execution)
    assert ending.json["owner"] == "alice"
    created = reporter.test_client().post("/webhooks", json={"url": HOOK}, headers=alice)
    assert created.status_code == 201, created.text
    shops.ids["endpoint"] = json_of(created)["id"]
    report = Report(uuid.UUID(shops.ids["failed"]), 1, "alice", "sheet.csv", "o", "f", "r", 1, 1)
    transact(reporter_engine, lambda connection: record_report(connection, report))
    body = notification(request_id=shops.ids["failed"], status="FAILED", owner=ending.json["owner"])
    token = issuer.mint_id_token(WORKFLOW, ROOT_URL)
    told = reporter.test_client().post(
        "/internal/notifications", json=body, headers={"Authorization": f"Bearer {token}"}
    )
    assert json_of(told)["deliveries"] >= 1, told.text
    log = reporter.test_client().get(f"/deliveries?request_id={shops.ids['failed']}", headers=alice)
    shops.ids["delivery"] = json_of(log)["deliveries"][-1]["id"]
    return shops


def public_routes(service: str, app: Flask) -> dict[str, Scope | None]:
    """Return `SERVICE METHOD /rule` to the scope of every route that is not internal.

    Pages of the console have sessions instead of keys in headers; their own test walks them.
    """
    return {
        f"{service} {method} {rule.rule}": vars(view)["needed_scope"]
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if not hasattr(view := app.view_functions[rule.endpoint], "allowed_callers")
        and not rule.rule.startswith("/console/")
    }


def without_ids(text: str, ids: dict[str, str]) -> str:
    """Return an answer with its ids replaced by their names."""
    for name, value in ids.items():
        text = text.replace(value, f"<{name}>")
    return text


@pytest.mark.feature("47")
@pytest.mark.threat("T10")
def test_every_public_route_is_walked(shops: Shops) -> None:
    """A route that is added needs a case above; without one nobody has thought about its owners."""
    routes = {route for service, app in shops.apps.items() for route in public_routes(service, app)}

    assert set(CASES) == routes


@pytest.mark.feature("47")
@pytest.mark.fault("F21")
@pytest.mark.threat("T10")
@pytest.mark.parametrize("route", [route for route, case in CASES.items() if case.kind == "id"])
def test_another_owners_id_is_an_unknown_id(shops: Shops, route: str) -> None:
    """The same code, body and headers, and nothing was done; its owner and an admin are served."""
    case = CASES[route]
    unknown = {name: str(uuid.uuid4()) for name in shops.ids}

    theirs, nobodys = shops.call(route, case, shops.ids, BOB.key), shops.call(route, case, unknown, BOB.key)

    assert theirs.status_code == nobodys.status_code == case.unknown
    assert without_ids(theirs.text, shops.ids) == without_ids(nobodys.text, unknown)
    assert {name for name, _ in theirs.headers} == {name for name, _ in nobodys.headers}
    own = shops.call(route, case, shops.ids, ALICE.key)
    assert own.status_code in {200, 202}, own.text
    assert without_ids(own.text, shops.ids) != without_ids(nobodys.text, unknown)
    if "DELETE" not in route and "/cancel" not in route and "/retry" not in route:
        assert shops.call(route, case, shops.ids, ROOT.key).status_code == own.status_code


@pytest.mark.feature("47")
@pytest.mark.threat("T10")
@pytest.mark.parametrize("route", [route for route, case in CASES.items() if case.kind == "list"])
def test_a_list_shows_only_what_the_caller_may_see(shops: Shops, route: str) -> None:
    """None of Alice's ids for Bob; hers for her and for an admin."""
    shown = {
        name: {own for own in shops.ids.values() if own in shops.call(route, CASES[route], shops.ids, key.key).text}
        for name, key in (("alice", ALICE), ("bob", BOB), ("root", ROOT))
    }

    assert shown["bob"] == set()
    assert shown["alice"] == shown["root"] != set()


@pytest.mark.feature("47")
@pytest.mark.threat("T10")
def test_the_list_of_all_deliveries_shows_only_what_the_caller_may_see(shops: Shops) -> None:
    """The route has two forms; the one by batch is walked above."""
    shown = {}
    for name, key in (("alice", ALICE), ("bob", BOB), ("root", ROOT)):
        answer = shops.apps["reporter"].test_client().get("/deliveries", headers={"X-API-Key": key.key})
        shown[name] = shops.ids["delivery"] in answer.text

    assert shown == {"alice": True, "bob": False, "root": True}


@pytest.mark.feature("46")
@pytest.mark.fault("I9")
@pytest.mark.parametrize("route", [route for route, case in CASES.items() if case.kind != "open"])
def test_a_route_needs_a_key_of_its_scope(shops: Shops, route: str) -> None:
    """No key is 401 on every route; GET wants `read`, the others `write`, and one does not stand for the other."""
    case, reads = CASES[route], " GET " in route

    assert shops.call(route, case, shops.ids, None).status_code == 401
    assert shops.call(route, case, shops.ids, "prk_wrong").status_code == 401
    wrong = shops.call(route, case, shops.ids, (WRITER if reads else READER).key)
    assert (wrong.status_code, wrong.json["error"]["details"][0]["reason"]) == (403, "SCOPE_MISSING")
    assert shops.call(route, case, shops.ids, (READER if reads else WRITER).key).status_code in {200, 201, 202}


@pytest.mark.parametrize("route", [route for route, case in CASES.items() if case.kind == "open"])
def test_an_open_route_needs_no_key(shops: Shops, route: str) -> None:
    """Of a download the link's token is asked, which is missing here: 403, not 401."""
    code = shops.call(route, CASES[route], shops.ids, None).status_code

    assert code == (403 if "/reports/" in route or "/images/" in route else 200)


@pytest.mark.parametrize(("service", "operations"), [("ingest", INGEST_OPERATIONS), ("reporter", REPORTER_OPERATIONS)])
def test_the_openapi_document_names_the_scope_of_every_route(shops: Shops, service: str, operations: Any) -> None:
    """The table's scope is the view's, and the document says how a key is sent."""
    served = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route).partition(" ")[2]: "" if scope is None else scope.value
        for route, scope in public_routes(service, shops.apps[service]).items()
    }
    told = {f"{operation.method} {operation.path}": operation.scope for operation in operations}
    document = json_of(shops.apps[service].test_client().get("/openapi.json"))

    assert {route: scope for route, scope in told.items() if scope != "internal"} == {
        route: scope for route, scope in served.items() if route in told
    }
    assert document["components"]["securitySchemes"]["ApiKeyHeader"]["name"] == "X-API-Key"
    for operation in operations:
        shown = document["paths"][operation.path][operation.method.lower()]
        assert ({"ApiKeyBearer": []} in shown["security"]) == (operation.scope in {"read", "write"})
