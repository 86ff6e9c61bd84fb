"""A service that we trust says for whom it asks; nobody else is heard."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from chassis.auth.api_keys import Scope
from chassis.clock import SystemClock
from chassis.http.app import new_app
from chassis.http.caller_guard import CallerGuard
from chassis.http.key_guard import caller
from chassis.http.owner_guard import OwnerGuard
from localcloud.identity.engine.issuer import TokenIssuer
from support.scripted_origin import ScriptedOrigin

AUDIENCE = "https://service.example"
CONSOLE = "console@demo.iam.gserviceaccount.com"


@pytest.fixture
def app(certificates: ScriptedOrigin) -> Flask:
    clock = SystemClock()
    app = new_app("service", clock, max_body_bytes=1000)
    guard = CallerGuard(audience=AUDIENCE, certs_url=certificates.url("/certs"), mode="verify", clock=clock)

    @app.get("/things/<name>")
    @OwnerGuard(guard, CONSOLE).needs(Scope.READ)
    def things(name: str) -> dict[str, Any]:
        return {"name": name, "owner": caller().owner, "sees_all": caller().sees_all}

    return app


def asked(app: Flask, issuer: TokenIssuer, *, account: str = CONSOLE, **headers: str) -> tuple[int, Any]:
    """Return code and JSON of an answer to an account with these headers."""
    token = issuer.mint_id_token(account, AUDIENCE)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = app.test_client().get("/things/x", headers={"Authorization": f"Bearer {token}", **named})
    return answer.status_code, answer.get_json()


@pytest.mark.parametrize(
    ("headers", "owner", "sees_all"),
    [
        ({}, None, False),
        ({"X_Pressroom_Owner": "shop"}, "shop", False),
        ({"X_Pressroom_Owner": "root", "X_Pressroom_Sees_All": "1"}, "root", True),
        ({"X_Pressroom_Owner": "shop", "X_Pressroom_Sees_All": "true"}, "shop", False),
    ],
)
def test_the_service_asks_for_the_owner_of_its_headers(
    app: Flask, issuer: TokenIssuer, headers: dict[str, str], owner: str | None, sees_all: bool
) -> None:
    """Without one, for what belongs to nobody."""
    assert asked(app, issuer, **headers) == (200, {"name": "x", "owner": owner, "sees_all": sees_all})


@pytest.mark.parametrize("owner", ["", "two words", "-x", "x" * 65, "gr\u00fcn"])
def test_an_owner_that_cannot_be_one_is_refused(app: Flask, issuer: TokenIssuer, owner: str) -> None:
    """And named by its header."""
    code, body = asked(app, issuer, X_Pressroom_Owner=owner)

    assert (code, body["error"]["details"][0]["reason"]) == (400, "FIELD_INVALID")
    assert "X-Pressroom-Owner" in str(body)


def test_whoever_else_asks_is_refused_whatever_owner_is_named(app: Flask, issuer: TokenIssuer) -> None:
    """An account of ours that is not that service, and nobody at all."""
    code, body = asked(app, issuer, account="tasks@demo.iam.gserviceaccount.com", X_Pressroom_Owner="shop")

    assert (code, body["error"]["details"][0]["reason"]) == (403, "CALLER_NOT_ALLOWED")
    assert app.test_client().get("/things/x", headers={"X-Pressroom-Owner": "shop"}).status_code == 401
