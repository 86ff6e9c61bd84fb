"""Tokens of our own: one question to the metadata server, bounded, and kept while they are fresh."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import google.auth.compute_engine._metadata as metadata
import jwt
import pytest

from chassis.auth import oidc
from chassis.auth.oidc import MetadataTokens, SingleTry
from chassis.errors import ApiError
from localcloud.identity.engine.issuer import TokenIssuer
from support.scripted_origin import ScriptedOrigin, answer, silent

IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"
FLAVOR = [("Metadata-Flavor", "Google"), ("Content-Type", "text/plain")]
AUDIENCE = "https://reporter.example"
ACCOUNT = "ingest@demo.iam.gserviceaccount.com"


def refused(transport: SingleTry, url: str) -> ApiError:
    """Return the error with which a question ends."""
    with pytest.raises(ApiError) as caught:
        transport(url)
    assert (caught.value.http_code, caught.value.reason) == (503, "IDENTITY_UNAVAILABLE")
    return caught.value


@pytest.mark.parametrize("status", [200, 204, 400, 404, 428, 430, 499])
def test_an_answer_is_given_back(origin: ScriptedOrigin, status: int) -> None:
    """The library knows what it means."""
    origin.on("/x", answer(b"" if status == 204 else b"body", status=status))

    answered = SingleTry(5)(origin.url("/x"), method="OPTIONS", headers={"Metadata-Flavor": "Google"})

    assert answered.status == status
    assert (origin.received[0].method, origin.received[0].headers["metadata-flavor"]) == ("OPTIONS", "Google")


@pytest.mark.parametrize("status", [429, 500, 503, 599])
def test_trouble_is_not_tried_again(origin: ScriptedOrigin, status: int) -> None:
    """The library would, five times with growing waits."""
    origin.on("/x", answer(b"", status=status))

    assert str(status) in refused(SingleTry(5), origin.url("/x")).message
    assert len(origin.received) == 1


def test_silence_and_absence_are_bounded(origin: ScriptedOrigin) -> None:
    """In the time that it was given."""
    origin.on("/x", silent())
    begun = time.monotonic()

    refused(SingleTry(0.3), origin.url("/x"))
    refused(SingleTry(0.3), "http://127.0.0.1:9/x")

    assert time.monotonic() - begun < 10


@pytest.fixture
def server(origin: ScriptedOrigin, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch) -> ScriptedOrigin:
    """Give a metadata server; the library reads where it is when it is imported."""
    address = origin.url("").removeprefix("http://").rstrip("/")
    monkeypatch.setattr(metadata, "_GCE_METADATA_HOST", address)
    monkeypatch.setenv("GCE_METADATA_IP", address)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    origin.on("/", answer(b"", headers=FLAVOR))
    account = json.dumps({"email": ACCOUNT, "scopes": [], "aliases": ["default"]}).encode()
    json_flavor = [("Metadata-Flavor", "Google"), ("Content-Type", "application/json")]
    origin.on(IDENTITY.removesuffix("identity"), answer(account, headers=json_flavor))
    origin.on(IDENTITY, answer(issuer.mint_id_token(ACCOUNT, AUDIENCE).encode(), headers=FLAVOR))
    return origin


def asked(server: ScriptedOrigin) -> list[Any]:
    """Return the questions for a token."""
    return [received for received in server.received if IDENTITY in received.target]


def test_a_token_is_for_its_audience_and_kept_for_fifty_minutes(server: ScriptedOrigin, clock: Any) -> None:
    """It lives for an hour."""
    tokens = MetadataTokens(clock)

    first = [tokens.token(AUDIENCE) for _ in range(3)]
    clock.sleep(2999)
    first.append(tokens.token(AUDIENCE))
    assert len(asked(server)) == 1
    clock.sleep(1)
    tokens.token(AUDIENCE)

    claims = jwt.decode(first[0], options={"verify_signature": False})
    assert (claims["aud"], claims["email"], len(set(first))) == (AUDIENCE, ACCOUNT, 1)
    assert parse_qs(urlsplit(asked(server)[0].target).query)["audience"] == [AUDIENCE]
    assert len(asked(server)) == 2


def test_each_audience_has_a_token_of_its_own(server: ScriptedOrigin, clock: Any) -> None:
    """A token of one service is no good at another."""
    tokens = MetadataTokens(clock)
    tokens.token(AUDIENCE)
    tokens.token("https://other.example")

    assert len(asked(server)) == 2


def test_a_metadata_server_that_says_nothing_is_503(
    server: ScriptedOrigin, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time that whoever calls us can wait."""
    monkeypatch.setattr(oidc, "_METADATA_TIMEOUT_S", 0.1)
    server.on(IDENTITY, silent())
    begun = time.monotonic()
    with pytest.raises(ApiError) as caught:
        MetadataTokens(clock).token(AUDIENCE)

    assert caught.value.reason == "IDENTITY_UNAVAILABLE"
    assert time.monotonic() - begun < 10


def test_no_metadata_server_is_503(server: ScriptedOrigin, clock: Any) -> None:
    """Nothing is kept of it, so the next call may succeed."""
    server.on(IDENTITY, answer(b"", status=404, headers=FLAVOR))
    tokens = MetadataTokens(clock)
    with pytest.raises(ApiError) as caught:
        tokens.token(AUDIENCE)

    assert (caught.value.http_code, caught.value.reason) == (503, "IDENTITY_UNAVAILABLE")
