"""The compressor with real neighbours: a storage emulator, an identity issuer and a recording ingest."""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]
from jsonschema import Draft202012Validator

from compressor.settings import CompressorSettings
from localcloud.identity.engine.issuer import TokenIssuer
from support.scripted_origin import Exchange, Received, ScriptedOrigin, answer

CONTRACTS = Path(__file__).parents[2] / "workflows" / "contracts"
TASKS_ACCOUNT = "tasks@pressroom.iam.gserviceaccount.com"
INGEST_ACCOUNT = "ingest@pressroom.iam.gserviceaccount.com"
COMPRESSOR_ACCOUNT = "compressor@pressroom.iam.gserviceaccount.com"
AUDIENCE = "https://compressor.example"


def contract(name: str) -> Draft202012Validator:
    """Return the validator of one payload."""
    schema = json.loads((CONTRACTS / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@dataclass(slots=True)
class RecordingIngest:
    """Ingest's outcome routes: remembers outcomes and callers, and answers as told.

    Outcomes that are told together are in `outcomes` as if told alone, and as they came in `together`.
    """

    server: ScriptedOrigin
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    together: list[list[dict[str, Any]]] = field(default_factory=list)
    callers: list[Received] = field(default_factory=list)
    status: int = 200
    reply: dict[str, Any] = field(
        default_factory=lambda: {"applied": True, "image_status": "SUCCEEDED", "batch_status": "PROCESSING"}
    )
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Register the routes."""
        self.server.on("/internal/images/", self.take)
        self.server.on("/internal/outcomes", self.take_together)

    def take(self, exchange: Exchange) -> None:
        """Take one outcome."""
        outcome = json.loads(exchange.request.body)
        with self.lock:
            self.outcomes.append(outcome)
        self._answer(exchange, self.reply)

    def take_together(self, exchange: Exchange) -> None:
        """Take the outcomes of one task."""
        body = json.loads(exchange.request.body)
        contract("outcomes_request").validate(body)
        with self.lock:
            self.outcomes += [
                {"request_id": body["request_id"]} | {name: each[name] for name in each if name != "image_id"}
                for each in body["outcomes"]
            ]
            self.together.append(body["outcomes"])
        applied = [each["image_id"] for each in body["outcomes"]]
        self._answer(
            exchange, self.reply if self.status != HTTPStatus.OK else {"applied": applied, "host_closed_s": 0.0}
        )

    def _answer(self, exchange: Exchange, reply: dict[str, Any]) -> None:
        with self.lock:
            self.callers.append(exchange.request)
        headers = [("Content-Type", "application/json")]
        answer(json.dumps(reply).encode(), status=self.status, headers=headers)(exchange)

    def refuse(self, status: int, canonical: str, reason: str) -> None:
        """Answer an AIP-193 error from now on."""
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "ingest"}
        self.status = status
        self.reply = {"error": {"code": status, "status": canonical, "message": "Refused.", "details": [info]}}


def storage_client(api_endpoint: str) -> Any:
    """Return Google's client, anonymous, for an endpoint on loopback."""
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")  # as wsgi.py does
    return storage.Client(
        project="pressroom", credentials=AnonymousCredentials(), client_options={"api_endpoint": api_endpoint}
    )


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """Tokens of the compressor's own account."""

    issuer: TokenIssuer

    def token(self, audience: str) -> str:
        """Return a token."""
        return self.issuer.mint_id_token(COMPRESSOR_ACCOUNT, audience)


def make_settings(**overrides: str) -> CompressorSettings:
    """Return settings as from an environment; loopback may be fetched from."""
    environ = {
        "GOOGLE_CLOUD_PROJECT": "pressroom",
        "GOOGLE_CLOUD_LOCATION": "europe-west1",
        "INGEST_INTERNAL_URL": "http://127.0.0.1:1",
        "COMPRESSOR_URL": AUDIENCE,
        "TASKS_SERVICE_ACCOUNT": TASKS_ACCOUNT,
        "INGEST_SERVICE_ACCOUNT": INGEST_ACCOUNT,
        "IMAGES_BUCKET": "images",
        "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    return CompressorSettings.from_environ(environ | overrides)


@dataclass(slots=True)
class Service:
    """The running application and what a test asks of it."""

    app: Flask
    issuer: TokenIssuer
    ingest: RecordingIngest
    bucket: Any

    def post(self, body: Any, **headers: str) -> Any:
        """Send a body as Cloud Tasks would."""
        client: FlaskClient = self.app.test_client()
        token = self.issuer.mint_id_token(TASKS_ACCOUNT, AUDIENCE)
        return client.post("/compress", json=body, headers={"Authorization": f"Bearer {token}", **headers})

    def preview(self, **body: Any) -> Any:
        """Ask for a preview as ingest would."""
        token = self.issuer.mint_id_token(INGEST_ACCOUNT, AUDIENCE)
        headers = {"Authorization": f"Bearer {token}"}
        return self.app.test_client().post("/internal/previews", json=body, headers=headers)

    def objects(self) -> list[Any]:
        """Return the stored objects."""
        return list(self.bucket.list_blobs())


def task(url: str, **overrides: Any) -> dict[str, Any]:
    """Return a compress request that its contract accepts."""
    body = {
        "request_id": str(uuid.uuid4()),
        "image_id": str(uuid.uuid4()),
        "attempt": 1,
        "url": url,
        "options": {"quality": 50, "format": "jpeg"},
    } | overrides
    contract("compress_request").validate(body)
    return body
