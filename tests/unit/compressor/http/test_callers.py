"""Who may have an image compressed: nobody but the queue."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from support.compressor_service import (
    AUDIENCE,
    COMPRESSOR_ACCOUNT,
    INGEST_ACCOUNT,
    TASKS_ACCOUNT,
    Service,
    contract,
    task,
)
from support.scripted_origin import ScriptedOrigin


def post(service: Service, origin: ScriptedOrigin, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return service.app.test_client().post("/compress", json=task(origin.url("/a.jpg")), headers=headers)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("none", 401), ("forged", 401), ("wrong audience", 401), ("wrong account", 403), ("right", 200)],
)
def test_only_the_queues_account_with_a_token_for_us_gets_in(
    service: Service, issuer: TokenIssuer, origin: ScriptedOrigin, kind: str, code: int
) -> None:
    """Anybody else is refused before anything is fetched."""
    tokens = {
        "none": None,
        "forged": TokenIssuer(IssuerClock()).mint_id_token(TASKS_ACCOUNT, AUDIENCE),
        "wrong audience": issuer.mint_id_token(TASKS_ACCOUNT, "https://ingest.example"),
        "wrong account": issuer.mint_id_token(COMPRESSOR_ACCOUNT, AUDIENCE),
        "right": issuer.mint_id_token(TASKS_ACCOUNT, AUDIENCE),
    }
    response = post(service, origin, tokens[kind])

    assert response.status_code == code
    assert origin.connections == (1 if code == 200 else 0)
    contract("error" if code != 200 else "compress_response").validate(response.json)


def test_every_route_but_health_is_guarded(service: Service) -> None:
    """A route that is added without a guard fails here."""
    views = {
        rule.rule: getattr(service.app.view_functions[rule.endpoint], "allowed_callers", None)
        for rule in service.app.url_map.iter_rules()
    }

    assert views == {"/health": None, "/compress": {TASKS_ACCOUNT}, "/internal/previews": {INGEST_ACCOUNT}}
