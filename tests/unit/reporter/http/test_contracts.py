"""What the reporter says and accepts obeys workflows/contracts, and nobody but the named accounts may say it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from jsonschema import Draft202012Validator

from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import TokenIssuer
from reporter.webhooks.events import EVENT_TYPES
from support.reporter_service import (
    INGEST,
    ISSUER,
    ROOT_URL,
    SCHEDULER,
    TASKS,
    WORKFLOW,
    Subscriber,
    World,
    export,
    failed_image,
    image,
    notification,
    row,
)
from support.webhook_subscriptions import subscribe

Check = Callable[[str, Any], None]

ALLOWED = {
    "/internal/reports": {WORKFLOW, INGEST},
    "/internal/notifications": {WORKFLOW, INGEST},
    "/internal/deliveries": {TASKS},
    "/internal/sweep": {SCHEDULER},
}
ACCOUNTS = [WORKFLOW, INGEST, TASKS, SCHEDULER, "compressor@demo.iam.gserviceaccount.com", "stranger@example.com"]


@pytest.fixture(name="check")
def _check(repository: Path) -> Check:
    def check(name: str, payload: Any) -> None:
        schema = json.loads((repository / f"workflows/contracts/{name}.schema.json").read_text())
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(payload)

    return check


def test_reports_obey_their_contract(world: World, check: Check) -> None:
    """Request, every line of the scripted export, and answer."""
    request_id = str(uuid4())
    lines = export(request_id, [row(2, [image(0), failed_image(1)]), row(3, [])])
    first, *rows, end = (json.loads(line) for line in lines.splitlines())
    check("report_request", {"request_id": request_id})
    check("export_batch", first)
    check("export_end", end)
    for record in rows:
        check("export_row", record)

    check("report_response", world.publish(lines, request_id=request_id))


def test_notifications_and_deliveries_obey_their_contracts(world: World, subscriber: Subscriber, check: Check) -> None:
    """Requests, answers and the event."""
    body = notification(webhook_url=subscriber.url)
    check("notification_request", body)
    check("notification_response", world.internal("/internal/notifications", body).get_json())
    hint = world.queue.hints[0]
    check("delivery_request", {"delivery_id": str(hint.delivery_id), "attempt": hint.attempt})
    check("delivery_response", world.deliver(hint))
    check("webhook_event", subscriber.events[0])
    check("sweep_response", world.internal("/internal/sweep", account=SCHEDULER).get_json())


@pytest.mark.parametrize("status", EVENT_TYPES)
def test_every_event_obeys_its_contract(world: World, subscriber: Subscriber, check: Check, status: str) -> None:
    """From the acceptance of a batch to its end, as an endpoint is told them."""
    subscribe(world, subscriber.url)
    body = notification(status=status, finished_at=None, download_url=None)
    check("notification_request", body)
    world.internal("/internal/notifications", body)
    world.deliver(world.queue.hints[0])

    check("webhook_event", subscriber.events[0])


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/x",
        "/webhooks?page_size=0",
        "/download_csv?request_id=x",
        "/nowhere",
        "/internal/sweep",
        "/deliveries?request_id=x",
    ],
)
def test_errors_obey_their_contract(world: World, check: Check, path: str) -> None:
    """AIP-193 everywhere."""
    answer = world.client.get(path)

    assert answer.status_code >= 400
    check("error", answer.get_json())


def test_every_internal_route_is_guarded(world: World) -> None:
    """No route below /internal is forgotten, and none answers without a token."""
    rules = [rule for rule in world.app.url_map.iter_rules() if rule.rule.startswith("/internal")]
    internal = {rule.rule for rule in rules if not rule.rule.startswith(FOR_OWNERS)}

    assert internal == set(ALLOWED)
    assert {world.client.post(path, json={}).status_code for path in internal} == {401}
    for rule in rules:
        path = re.sub(r"<[^>]+>", str(UUID(int=1)), rule.rule)
        for method in (rule.methods or set()) - {"HEAD"}:
            assert world.client.open(path, method=method, json={}).status_code == 401, rule


def test_the_routes_for_owners_are_for_ingest_only(world: World) -> None:
    """It alone signs owners in."""
    views = {
        rule.rule: vars(world.app.view_functions[rule.endpoint])["allowed_callers"]
        for rule in world.app.url_map.iter_rules()
        if rule.rule.startswith(FOR_OWNERS)
    }

    assert len(views) > 5
    assert set(views.values()) == {frozenset({INGEST})}


def test_an_owner_that_cannot_be_one_is_refused(world: World) -> None:
    """Whoever makes the header has made a mistake."""
    token = ISSUER.mint_id_token(INGEST, ROOT_URL)
    headers = {"Authorization": f"Bearer {token}", "X-Pressroom-Owner": "no owner\t"}

    assert world.client.get(f"{FOR_OWNERS}webhooks", headers=headers).status_code == 400


@pytest.mark.parametrize("path", ALLOWED)
def test_only_the_named_accounts_may_call(world: World, path: str) -> None:
    """A good token of any other account is a 403."""
    admitted = {account for account in ACCOUNTS if world.internal(path, {}, account=account).status_code != 403}

    assert admitted == ALLOWED[path]


FOR_OWNERS = "/internal/owner/"


def forged_tokens() -> dict[str, str]:
    stranger = TokenIssuer(SystemClock())
    good = ISSUER.mint_id_token(SCHEDULER, ROOT_URL)
    claims = jwt.decode(good, options={"verify_signature": False})
    return {
        "another audience": ISSUER.mint_id_token(SCHEDULER, "http://ingest.test"),
        "another key": stranger.mint_id_token(SCHEDULER, ROOT_URL),
        "cut": good[:-10],
        "no algorithm": jwt.encode(claims, "", algorithm="none"),
        "expired": jwt.encode(
            {**claims, "iat": claims["iat"] - 7200, "exp": claims["exp"] - 7200},
            ISSUER.key.private_key,
            algorithm="RS256",
            headers={"kid": ISSUER.key.key_id},
        ),
    }


@pytest.mark.parametrize("kind", forged_tokens())
def test_forged_tokens_are_refused(world: World, kind: str) -> None:
    """401 whatever is wrong with them."""
    answer = world.client.post("/internal/sweep", headers={"Authorization": f"Bearer {forged_tokens()[kind]}"})

    assert answer.status_code == 401
