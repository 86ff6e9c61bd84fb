"""The console's webhooks against the reporter itself: ingest asks for an owner, and nobody else can."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from chassis.auth.callers import Caller
from chassis.clock import SystemClock
from chassis.errors import ApiError
from chassis.peer_service import InternalService
from contract.test_owners import HOOK, reporter_settings
from ingest.clients.webhooks import ReporterWebhooks
from ingest.console.webhook_pages import EVENTS
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres
from reporter.app import create_app
from reporter.http.webhook_schemas import EventType
from reporter.migrate import upgrade
from reporter.wsgi import assemble
from support.console_site import served
from support.reporter_service import INGEST, ROOT_URL, WORKFLOW, MemoryQueue, NamedTokens
from support.scripted_origin import ScriptedOrigin, answer

ALICE, BOB, NOBODY, ADMIN = Caller("alice"), Caller("bob"), Caller(None), Caller("root", sees_all=True)


@dataclass(frozen=True, slots=True)
class Account:
    """Tokens of a service account for the reporter."""

    issuer: TokenIssuer
    email: str

    def token(self, _audience: str) -> str:
        """Return a token for the audience that the reporter expects, wherever it is served here."""
        return self.issuer.mint_id_token(self.email, ROOT_URL)


@dataclass(frozen=True, slots=True)
class Reporter:
    """The reporter on a port, as different accounts reach it."""

    url: str
    issuer: TokenIssuer

    def webhooks(self, account: str = INGEST) -> ReporterWebhooks:
        """Return ingest's client with the tokens of an account."""
        return ReporterWebhooks(InternalService("reporter", self.url, Account(self.issuer, account)))


@pytest.fixture(scope="module")
def reporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reporter]:
    issuer = TokenIssuer(IssuerClock())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    postgres = Postgres(tmp_path_factory.mktemp("console") / "data", port, fsync=False)
    postgres.start()
    try:
        with ScriptedOrigin() as origin:
            body = json.dumps(issuer.certificates()).encode()
            origin.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))
            postgres.create_database("reporter")
            upgrade(postgres.url("reporter"))
            dependencies = assemble(
                reporter_settings(postgres.url("reporter"), origin.url("/certs")),
                clock=SystemClock(),
                queue=MemoryQueue(),
                storage_client=gcs.Client(project="nobody", credentials=AnonymousCredentials()),
                tokens=NamedTokens(),
                jitter=lambda: 0.5,
            )
            with served(create_app(dependencies)) as url:
                yield Reporter(url, issuer)
            dependencies.engine.dispose()
    finally:
        postgres.remove()


def added(reporter: Reporter, caller: Caller) -> dict[str, Any]:
    """Return a new endpoint of an owner."""
    return reporter.webhooks().ask(caller, "POST", "/webhooks", {"url": HOOK, "description": "", "event_types": None})


@pytest.mark.threat("T10")
def test_an_owner_has_its_own_endpoints_and_no_others(reporter: Reporter) -> None:
    webhooks = reporter.webhooks()
    hers = added(reporter, ALICE)["id"]

    shown = {
        str(caller.owner): hers in [found["id"] for found in webhooks.ask(caller, "GET", "/webhooks")["endpoints"]]
        for caller in (ALICE, BOB, NOBODY, ADMIN)
    }

    assert shown == {"alice": True, "bob": False, "None": False, "root": True}
    with pytest.raises(ApiError) as refused:
        webhooks.ask(BOB, "GET", f"/webhooks/{hers}")
    assert refused.value.http_code == 404


@pytest.mark.threat("T11")
def test_only_ingest_may_ask_for_an_owner(reporter: Reporter) -> None:
    with pytest.raises(ApiError) as refused:
        reporter.webhooks(WORKFLOW).ask(ALICE, "GET", "/webhooks")

    assert (refused.value.http_code, refused.value.reason) == (403, "CALLER_NOT_ALLOWED")


def test_every_call_of_the_console_is_one_that_the_reporter_takes(reporter: Reporter) -> None:
    webhooks = reporter.webhooks()
    path = f"/webhooks/{added(reporter, ALICE)['id']}"

    tested = webhooks.ask(ALICE, "POST", f"{path}/test")
    rotated = webhooks.ask(ALICE, "POST", f"{path}/rotate_secret", {})
    paused = webhooks.ask(ALICE, "PATCH", path, {"enabled": False})
    webhooks.ask(ALICE, "PATCH", path, {"enabled": True})
    again = webhooks.ask(
        ALICE, "POST", f"{path}/redeliver", {"since": "2026-01-01T00:00:00.000000Z", "only_failed": True}
    )
    log = webhooks.ask(ALICE, "GET", f"{path}/deliveries?page_size=25")["deliveries"]
    everything = webhooks.ask(ALICE, "GET", "/deliveries?page_size=25")["deliveries"]
    webhooks.ask(ALICE, "DELETE", path)

    assert tested["type"] == "batch.test"
    assert rotated["secret"].startswith("whsec_")
    assert paused["disabled_reason"] == "PAUSED"
    assert again["redelivered"] == 1  # the test, which the pause had ended
    assert [entry["id"] for entry in log] == [tested["id"]]
    assert tested["id"] in [entry["id"] for entry in everything]


def test_the_events_that_can_be_chosen_are_those_there_are() -> None:
    assert set(EVENTS) == set(get_args(EventType))
