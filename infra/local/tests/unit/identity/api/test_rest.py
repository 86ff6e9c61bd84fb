"""The metadata look-alike: its own answers, and unchanged google-auth against it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.identity.server import IdentityServer, start_identity_server

INGEST = "ingest@demo.iam.gserviceaccount.com"
REPORTER = "reporter@demo.iam.gserviceaccount.com"
FLAVOR = {"Metadata-Flavor": "Google"}

ISSUER = TokenIssuer(SystemClock())

GOOGLE_AUTH = """
import json, google.auth, google.auth.transport.requests, requests
from google.oauth2 import id_token
session = requests.Session(); session.trust_env = False
request = google.auth.transport.requests.Request(session)
credentials, project = google.auth.default(request=request)
credentials.refresh(request)
token = id_token.fetch_id_token(request, "http://127.0.0.1:8080")
claims = id_token.verify_token(token, request, audience="http://127.0.0.1:8080", certs_url="CERTS_URL")
by_key_set = id_token.verify_token(token, request, audience="http://127.0.0.1:8080", certs_url="JWKS_URL")
print(json.dumps({"project": project, "email": credentials.service_account_email, "access": credentials.token[:5],
                  "claims_email": claims["email"], "iss": claims["iss"], "same": claims == by_key_set}))
session.close()
"""


@asynccontextmanager
async def identity() -> AsyncIterator[IdentityServer]:
    server = await start_identity_server(
        accounts={INGEST: 0, REPORTER: 0},
        issuer=ISSUER,
        project="demo",
        project_number="123456789012",
        location="us-central1",
    )
    try:
        yield server
    finally:
        await server.stop()


async def fetch(url: str, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text(), answer.headers.get("Metadata-Flavor", "")


async def google_auth_report(server: IdentityServer, email: str) -> dict[str, object]:
    """What unchanged google-auth finds in a fresh process (it reads the environment when it is imported)."""
    host = server.metadata_host(email)
    script = GOOGLE_AUTH.replace("CERTS_URL", server.certs_url).replace("JWKS_URL", server.jwks_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        env={"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": "/nonexistent"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))


async def test_google_auth_finds_each_services_own_identity() -> None:
    """google.auth.default, refresh, fetch_id_token and verify_token all work, as the account of the port."""
    async with identity() as server:
        report = await google_auth_report(server, REPORTER)

    assert report == {
        "project": "demo",
        "email": REPORTER,
        "access": "ya29.",
        "claims_email": REPORTER,
        "iss": "https://accounts.google.com",
        "same": True,
    }


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("project/project-id", "demo"),
        ("project/numeric-project-id", "123456789012"),
        ("instance/region", "projects/123456789012/regions/us-central1"),
        ("instance/service-accounts/default/email", INGEST),
        (f"instance/service-accounts/{INGEST}/email", INGEST),
        ("universe/universe-domain", "googleapis.com"),
    ],
)
async def test_metadata_path_answers(path: str, expected: str) -> None:
    """Each documented path gives its plain text, flavored as Google's."""
    async with identity() as server:
        answer = await fetch(f"http://{server.metadata_host(INGEST)}/computeMetadata/v1/{path}", FLAVOR)

    assert answer == (200, expected, "Google")


async def test_metadata_without_the_flavor_header_is_refused() -> None:
    """A request that a browser could be tricked into gets 403."""
    async with identity() as server:
        status, _, _ = await fetch(f"http://{server.metadata_host(INGEST)}/computeMetadata/v1/project/project-id")

    assert status == 403


async def test_identity_without_an_audience_is_refused() -> None:
    """No audience, no token."""
    async with identity() as server:
        url = f"http://{server.metadata_host(INGEST)}/computeMetadata/v1/instance/service-accounts/default/identity"
        status, _, _ = await fetch(url, FLAVOR)

    assert status == 400


@pytest.mark.parametrize("path", ["instance/attributes/", "instance/service-accounts/other@x.y/token"])
async def test_unknown_metadata_is_not_found(path: str) -> None:
    """What is not there is 404, another account's token included."""
    async with identity() as server:
        status, _, _ = await fetch(f"http://{server.metadata_host(INGEST)}/computeMetadata/v1/{path}", FLAVOR)

    assert status == 404


async def test_certificates_may_be_cached_by_verifiers() -> None:
    """The certificates carry a lifetime, as Google's do."""
    async with identity() as server, aiohttp.ClientSession() as session, session.get(server.certs_url) as answer:
        body = await answer.json()

    assert body == ISSUER.certificates()
    assert "max-age=3600" in answer.headers["Cache-Control"]


async def test_taken_port_closes_the_ports_opened_before() -> None:
    """A start that fails half way leaves nothing listening."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first_port = probe.getsockname()[1]

        with pytest.raises(OSError, match="address already in use"):
            await start_identity_server(
                accounts={INGEST: first_port, REPORTER: taken.getsockname()[1]},
                issuer=ISSUER,
                project="demo",
                project_number="1",
                location="us-central1",
            )

    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", first_port)) != 0


async def test_identity_server_without_accounts_is_refused() -> None:
    """A server that speaks for nobody is a mistake in the configuration."""
    with pytest.raises(ValueError, match="at least one service account"):
        await start_identity_server(accounts={}, issuer=ISSUER, project="p", project_number="1", location="l")
