"""The service as its Dockerfile starts it: gunicorn, real environment, SIGTERM with a request in hand."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

import images
from compressor_rig import AUDIENCE, COMPRESSOR_ACCOUNT, TASKS_ACCOUNT, RecordingIngest, task
from localcloud.identity.issuer import TokenIssuer
from localcloud.stack.storage import Storage
from scripted_origin import Exchange, ScriptedOrigin, answer

DOCKERFILE = Path(__file__).parents[3] / "services" / "compressor" / "Dockerfile"
FLAVOR = [("Metadata-Flavor", "Google"), ("Content-Type", "text/plain")]


def docker_command() -> list[str]:
    """Return the CMD, which is JSON."""
    match = re.search(r"^CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    assert match
    command: list[str] = json.loads(match.group(1))
    return command


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
        "INGEST_URL": ingest.server.url("").rstrip("/"),
        "COMPRESSOR_URL": AUDIENCE,
        "TASKS_SERVICE_ACCOUNT": TASKS_ACCOUNT,
        "IMAGES_BUCKET": bucket.name,
        "EGRESS_ALLOWED_NETWORKS": "127.0.0.0/8",
        "AUTH_CERTS_URL": certs_url,
        "STORAGE_EMULATOR_HOST": storage_emulator.base_url,
        "GCE_METADATA_HOST": f"127.0.0.1:{metadata.port}",
        "GCE_METADATA_IP": f"127.0.0.1:{metadata.port}",
    }


def wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=10).status_code == 200:
                return
        except requests.RequestException:
            threading.Event().wait(0.05)
    pytest.fail("the service did not start")


def wait_for_family(pid: int, count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        family = psutil.Process(pid).children(recursive=True)
        if len(family) == count:
            return family
        threading.Event().wait(0.05)
    pytest.fail(f"not {count} processes")


def test_a_terminated_service_finishes_the_image_in_hand(
    environment: dict[str, str], origin: ScriptedOrigin, ingest: RecordingIngest, issuer: TokenIssuer, bucket: Any
) -> None:
    """SIGTERM while the origin still sends: the image is stored and reported, the answer is 200, the exit clean."""
    arrived, release = threading.Event(), threading.Event()

    def held(exchange: Exchange) -> None:
        arrived.set()
        release.wait(10)
        answer(images.photo_jpeg(64, 48))(exchange)

    body = task(origin.on("/a.jpg", held))
    url = f"http://127.0.0.1:{environment['PORT']}"
    *start, app = docker_command()
    command = [*start, "--bind", f"127.0.0.1:{environment['PORT']}", app]
    codes: list[int] = []

    def send() -> None:
        token = issuer.mint_id_token(TASKS_ACCOUNT, AUDIENCE)
        headers = {"Authorization": f"Bearer {token}"}
        codes.append(requests.post(f"{url}/compress", json=body, headers=headers, timeout=20).status_code)

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            wait_until_healthy(url, process)
            sender = threading.Thread(target=send)
            sender.start()
            assert arrived.wait(10)
            family = wait_for_family(process.pid, 4)  # two workers, and a codec's process each
            process.send_signal(signal.SIGTERM)
            release.set()
            sender.join(15)
            output, errors = process.communicate(timeout=15)
        finally:
            process.kill()

    assert codes == [200], output.decode() + errors.decode()
    assert process.returncode == 0
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert [outcome["code"] for outcome in ingest.outcomes] == ["OK"]
    assert len(list(bucket.list_blobs())) == 1
    lines = [json.loads(line) for line in output.decode().splitlines()]
    assert "image.compressed" in [line["message"] for line in lines]
    assert "/a.jpg" not in output.decode()


def test_a_service_with_bad_settings_says_all_that_is_missing(environment: dict[str, str]) -> None:
    """Every missing variable by name on stderr, before any traffic."""
    del environment["INGEST_URL"], environment["IMAGES_BUCKET"]
    ended = subprocess.run(
        [sys.executable, "-c", "from compressor.wsgi import build; build()"],
        env=environment,
        capture_output=True,
        timeout=20,
        check=False,
    )

    assert ended.returncode == 2
    assert b"INGEST_URL" in ended.stderr
    assert b"IMAGES_BUCKET" in ended.stderr
