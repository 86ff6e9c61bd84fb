"""Every internal route of every service refuses every caller but its own, whatever way a token can be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from docs.generate.settings import SETTINGS
from flask import Flask

from chassis.auth.api_keys import new_key
from chassis.settings import SettingsError
from contract.test_deployment import SECRET_VALUES
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.identity.engine.keys import generate_signing_key
from support import deployment_files as d
from support.scripted_origin import ScriptedOrigin, answer
from support.service_apps import app_of

ADMIN = new_key(owner="root", scopes=["admin"])
ANY_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Doors:
    """A service and its internal routes: `(method, path)` to the accounts that may call it."""

    app: Flask
    audience: str
    routes: dict[tuple[str, str], frozenset[str]]


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer(IssuerClock())


@pytest.fixture(scope="module")
def certs_url(issuer: TokenIssuer) -> Iterator[str]:
    with ScriptedOrigin() as server:
        body = json.dumps(issuer.certificates()).encode()
        server.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))
        yield server.url("/certs")


@pytest.fixture(scope="module")
def doors(certs_url: str) -> dict[str, Doors]:
    """Give the services as deployed, but for the issuer, and with API keys where there can be some."""
    found = {}
    for service in d.SERVICES:
        environment = {
            name: SECRET_VALUES[value.removeprefix("secret:").partition("/")[0]]
            if value.startswith("secret:")
            else value
            for name, value in d.environment(service).items()
        }
        environment |= {"AUTH_MODE": "verify", "AUTH_CERTS_URL": certs_url, "API_KEYS": ADMIN.line}
        app = app_of(SETTINGS[d.image_of(service)].from_environ(environment))
        app.testing = False
        routes = {
            (method, re.sub(r"<[^>]+>", ANY_ID, rule.rule)): callers
            for rule in app.url_map.iter_rules()
            if (callers := getattr(app.view_functions[rule.endpoint], "allowed_callers", None))
            for method in (rule.methods or set()) - {"HEAD"}
        }
        found[service] = Doors(app, d.url(service), routes)
    return found


def signed(issuer: TokenIssuer, account: str, audience: str, *, key: Any = None, kid: str = "", **claims: Any) -> str:
    """Return a token of the issuer, changed where asked."""
    right = jwt.decode(issuer.mint_id_token(account, audience), options={"verify_signature": False})
    private_key = issuer.key.private_key if key is None else key
    return jwt.encode(right | claims, private_key, algorithm="RS256", headers={"kid": kid or issuer.key.key_id})


def _part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unsigned(issuer: TokenIssuer, account: str, audience: str) -> str:
    """Return a token that says it needs no signature."""
    body = issuer.mint_id_token(account, audience).split(".")[1]
    return f"{_part({'alg': 'none', 'kid': issuer.key.key_id})}.{body}."


def signed_with_public_key(issuer: TokenIssuer, account: str, audience: str) -> str:
    """Return a token whose HMAC has the public key as its secret: what a verifier that obeys `alg` accepts."""
    body = issuer.mint_id_token(account, audience).split(".")[1]
    certificate = x509.load_pem_x509_certificate(issuer.certificates()[issuer.key.key_id].encode())
    secret = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.key.key_id})}.{body}"
    return f"{text}.{_part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def signed_with_certificate(issuer: TokenIssuer, account: str, audience: str) -> str:
    """Return a token whose HMAC has the certificate as its secret, which is what a verifier of ours holds."""
    body = issuer.mint_id_token(account, audience).split(".")[1]
    text = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': issuer.key.key_id})}.{body}"
    secret = issuer.certificates()[issuer.key.key_id].encode()
    return f"{text}.{_part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def truncated(issuer: TokenIssuer, account: str, audience: str) -> str:
    """Return a token that lost its end."""
    return issuer.mint_id_token(account, audience)[:-20]


STRANGER = generate_signing_key(1_700_000_000).private_key
Forge = Callable[[TokenIssuer, str, str], str | None]
WRONG: dict[str, tuple[Forge, int]] = {
    "no token": (lambda _i, _a, _u: None, 401),
    "alg none": (unsigned, 401),
    "HS256 with the public key": (signed_with_public_key, 401),
    "HS256 with the certificate": (signed_with_certificate, 401),
    "wrong key": (lambda i, a, u: signed(i, a, u, key=STRANGER), 401),
    "unknown kid": (lambda i, a, u: signed(i, a, u, kid="unknown"), 401),
    "truncated": (truncated, 401),
    "expired": (lambda i, a, u: signed(i, a, u, iat=1_599_996_400, exp=1_600_000_000), 401),
    "not yet valid": (lambda i, a, u: signed(i, a, u, iat=4_000_000_000, exp=4_000_003_600), 401),
    "wrong audience": (lambda i, a, _u: signed(i, a, "https://other.example"), 401),
    "no audience": (lambda i, a, u: signed(i, a, u, aud=""), 401),
    "foreign issuer": (lambda i, a, u: signed(i, a, u, iss="https://evil.example"), 401),
    "email unverified": (lambda i, a, u: signed(i, a, u, email_verified=False), 401),
    "wrong account": (lambda i, _a, u: signed(i, "stranger@pressroom.iam.gserviceaccount.com", u), 403),
    "an API key": (lambda _i, _a, _u: ADMIN.key, 401),
}


@pytest.mark.feature("46")
@pytest.mark.fault("I1", "I2", "I3", "I4")
@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.GUARDED)
@pytest.mark.parametrize("wrong", WRONG)
def test_every_internal_route_refuses(doors: dict[str, Doors], issuer: TokenIssuer, service: str, wrong: str) -> None:
    """401, or 403 when Google knows the caller and the route does not; nothing behind the guard is reached."""
    door, (forge, code) = doors[service], WRONG[wrong]
    answers = {}
    for (method, path), callers in door.routes.items():
        token = forge(issuer, min(callers), door.audience)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answers[method, path] = door.app.test_client().open(path, method=method, headers=headers, json={}).status_code

    assert set(answers.values()) == {code}, answers


@pytest.mark.parametrize("service", d.GUARDED)
def test_every_internal_route_admits_its_callers(doors: dict[str, Doors], issuer: TokenIssuer, service: str) -> None:
    """With the right token the guard is passed; what follows fails for want of a body or a database."""
    door = doors[service]
    refused = []
    for (method, path), callers in door.routes.items():
        for account in callers:
            headers = {"Authorization": f"Bearer {issuer.mint_id_token(account, door.audience)}"}
            code = door.app.test_client().open(path, method=method, headers=headers, json={}).status_code
            refused += [(method, path, account, code)] if code in {401, 403, 404, 405} else []

    assert door.routes
    assert refused == []


@pytest.mark.fault("I1", "I7")
@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.GUARDED)
@pytest.mark.parametrize(
    ("method", "change", "headers"),
    [
        ("HEAD", "{}", {}),
        ("OPTIONS", "{}", {}),
        ("", "{}/", {}),
        ("", "/{}", {}),
        ("", "{}//", {}),
        ("", "/.{}", {}),
        ("", "{}%2f", {}),
        ("POST", "{}", {"X-HTTP-Method-Override": "PUT"}),
        ("GET", "{}", {"X-HTTP-Method-Override": "POST"}),
        ("", "{}", {"X-CloudTasks-TaskName": "x", "X-CloudTasks-QueueName": "images"}),
        ("", "{}", {"X-Forwarded-For": "127.0.0.1", "X-Appengine-Cron": "true"}),
        ("", "{}", {"X-API-Key": ADMIN.key}),
    ],
    ids=lambda value: str(next(iter(value), "")) if isinstance(value, dict) else value or "own",
)
def test_no_internal_route_has_a_side_door(
    doors: dict[str, Doors], service: str, method: str, change: str, headers: dict[str, str]
) -> None:
    """Another method, spelling or header never leads past the guard; a redirect only leads to it."""
    door = doors[service]
    entered = []
    for own_method, path in door.routes:
        client = door.app.test_client()
        spelled = client.open(
            change.format(path), method=method or own_method, headers=headers, json={}, follow_redirects=True
        )
        entered += [(own_method, path, spelled.status_code)] if spelled.status_code not in {401, 404, 405} else []

    assert entered == []


@pytest.mark.fault("I7")
@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.GUARDED)
def test_serverless_authorization_is_no_identity(doors: dict[str, Doors], issuer: TokenIssuer, service: str) -> None:
    """Only `Authorization` is looked at: the other header is for the platform's own check."""
    door = doors[service]
    for (method, path), callers in door.routes.items():
        headers = {"X-Serverless-Authorization": f"Bearer {issuer.mint_id_token(min(callers), door.audience)}"}
        assert door.app.test_client().open(path, method=method, headers=headers, json={}).status_code == 401


@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.SERVICES)
def test_every_route_has_a_guard_or_says_that_it_is_open(doors: dict[str, Doors], service: str) -> None:
    """A route that is added without a decision fails here; each has made exactly one."""
    views = doors[service].app.view_functions
    decided = {
        name: [hasattr(view, "allowed_callers"), hasattr(view, "needed_scope")].count(True)
        for name, view in views.items()
    }

    assert {name for name, decisions in decided.items() if decisions != 1} == set()


def test_what_is_open_to_all_is_known() -> None:
    """Of all services: what tells nothing of anybody's, and downloads, whose links carry their own right."""
    apps = {service: app_of(SETTINGS[d.image_of(service)].from_environ(_plain(service))) for service in d.SERVICES}
    open_routes = {
        f"{service} {rule.rule}"
        for service, app in apps.items()
        for rule in app.url_map.iter_rules()
        if getattr(app.view_functions[rule.endpoint], "needed_scope", "guarded") is None
    }

    assert open_routes == {
        "ingest /health",
        "ingest /openapi.json",
        "ingest /docs",
        "ingest /docs/<name>",
        "reporter /docs",
        "reporter /docs/<name>",
        "ingest /",
        # The console's ways in, what its pages are made of, and its page for what is not there.
        "ingest /console/",
        "ingest /console/<path:_rest>",
        "ingest /console/login",
        "ingest /console/logout",
        "ingest /console/static/<name>",
        "ingest-internal /health",
        "compressor /health",
        "reporter /health",
        "reporter /openapi.json",
        "reporter-internal /health",
        "reporter /reports/<uuid:request_id>/<file_name>",
        "reporter /images/<path:name>",
    }


def _plain(service: str) -> dict[str, str]:
    values = {
        name: SECRET_VALUES[value.removeprefix("secret:").partition("/")[0]] if value.startswith("secret:") else value
        for name, value in d.environment(service).items()
    }
    return values | {"AUTH_MODE": "verify"}


@pytest.mark.fault("I3")
@pytest.mark.threat("T11")
@pytest.mark.parametrize("service", d.GUARDED)
def test_no_service_starts_without_an_audience(service: str) -> None:
    """An empty URL of its own would switch the audience check off."""
    environment = _plain(service)
    own = f"{service.upper().replace('-', '_')}_URL"
    environment[own] = ""
    with pytest.raises(SettingsError, match=f"{own}: Field required"):
        app_of(SETTINGS[d.image_of(service)].from_environ(environment))
