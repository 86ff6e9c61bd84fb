"""The compressor's neighbours, started once or per test."""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import Clock, SystemClock
from compressor.sandbox.pool import CodecPool
from compressor.wsgi import assemble, new_codec
from localcloud.core.clock import SystemClock as IssuerClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.storage import Storage
from support.compressor_service import (
    AUDIENCE,
    COMPRESSOR_ACCOUNT,
    INGEST_ACCOUNT,
    TASKS_ACCOUNT,
    IssuedTokens,
    RecordingIngest,
    Service,
    contract,
    make_settings,
    storage_client,
)
from support.scripted_origin import ScriptedOrigin, answer

FLAVOR = [("Metadata-Flavor", "Google"), ("Content-Type", "text/plain")]


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with ScriptedOrigin() as server:
        yield server


@pytest.fixture(scope="session")
def issuer() -> TokenIssuer:
    return TokenIssuer(IssuerClock())


@pytest.fixture(scope="session")
def certs_url(issuer: TokenIssuer) -> Iterator[str]:
    with ScriptedOrigin() as server:
        body = json.dumps(issuer.certificates()).encode()
        yield server.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))


@pytest.fixture
def ingest() -> Iterator[RecordingIngest]:
    with ScriptedOrigin() as server:
        recording = RecordingIngest(server)
        yield recording
        for outcome in recording.outcomes:
            contract("outcome_request").validate(outcome)


@pytest.fixture(scope="session")
def storage_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    emulator = Storage(tmp_path_factory.mktemp("storage"), port)
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def bucket(storage_emulator: Storage) -> Iterator[Any]:
    client = storage_client(storage_emulator.base_url)
    yield client.create_bucket(f"images-{uuid.uuid4().hex}")
    client.close()


@pytest.fixture(scope="session")
def codec() -> Iterator[CodecPool]:
    """Be the codec with its processes; starting them for each test would take most of its time."""
    pool = new_codec(make_settings(CODEC_TIMEOUT_S="60"), SystemClock())
    yield pool
    pool.close()


@pytest.fixture
def make_service(issuer: TokenIssuer, certs_url: str, ingest: RecordingIngest, bucket: Any, codec: CodecPool) -> Any:
    def make(
        *, api_endpoint: str | None = None, codec: CodecPool = codec, clock: Clock | None = None, **overrides: str
    ) -> Service:
        settings = make_settings(
            **{
                "INGEST_INTERNAL_URL": ingest.server.url("").rstrip("/"),
                "IMAGES_BUCKET": bucket.name,
                "AUTH_CERTS_URL": certs_url,
                **overrides,
            }
        )
        client = storage_client(api_endpoint) if api_endpoint else bucket.client
        clock = clock or SystemClock()
        app = assemble(settings, clock=clock, storage_client=client, tokens=IssuedTokens(issuer), codec=codec)
        return Service(app, issuer, ingest, bucket)

    return make


@pytest.fixture
def service(make_service: Any) -> Service:
    made: Service = make_service()
    return made


@pytest.fixture
def metadata(issuer: TokenIssuer, ingest: RecordingIngest) -> Iterator[ScriptedOrigin]:
    """Be the metadata server: the compressor's identity token for ingest."""
    with ScriptedOrigin() as server:
        token = issuer.mint_id_token(COMPRESSOR_ACCOUNT, ingest.server.url("").rstrip("/"))
        server.on("/", answer(b"computeMetadata/\n", headers=FLAVOR))
        account = "/computeMetadata/v1/instance/service-accounts/default"
        server.on(
            account, answer(b'{"email": "x", "scopes": []}', headers=[FLAVOR[0], ("Content-Type", "application/json")])
        )
        server.on(f"{account}/identity", answer(token.encode(), headers=FLAVOR))
        yield server


@pytest.fixture
def environment(
    certs_url: str, ingest: RecordingIngest, bucket: Any, metadata: ScriptedOrigin, storage_emulator: Storage
) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "PORT": str(port),
        "GOOGLE_CLOUD_PROJECT": "pressroom",
        "GOOGLE_CLOUD_LOCATION": "europe-west1",
        "INGEST_INTERNAL_URL": ingest.server.url("").rstrip("/"),
        "COMPRESSOR_URL": AUDIENCE,
        "TASKS_SERVICE_ACCOUNT": TASKS_ACCOUNT,
        "INGEST_SERVICE_ACCOUNT": INGEST_ACCOUNT,
        "IMAGES_BUCKET": bucket.name,
        "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "AUTH_CERTS_URL": certs_url,
        "STORAGE_EMULATOR_HOST": storage_emulator.base_url,
        "GCE_METADATA_HOST": f"127.0.0.1:{metadata.port}",
        "GCE_METADATA_IP": f"127.0.0.1:{metadata.port}",
    }
