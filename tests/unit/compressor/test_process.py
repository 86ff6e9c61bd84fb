"""The service as its Dockerfile starts it: gunicorn, real environment, SIGTERM with a request in hand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import Any

import psutil
import pytest
import requests

from localcloud.identity.engine.issuer import TokenIssuer
from support import pictures
from support.compressor_process import docker_command, wait_for_family, wait_until_healthy
from support.compressor_service import AUDIENCE, TASKS_ACCOUNT, RecordingIngest, task
from support.scripted_origin import Exchange, ScriptedOrigin, answer


@pytest.mark.fault("A2")
def test_a_terminated_service_finishes_the_image_in_hand(
    environment: dict[str, str], origin: ScriptedOrigin, ingest: RecordingIngest, issuer: TokenIssuer, bucket: Any
) -> None:
    """SIGTERM while the origin still sends: the image is stored and reported, the answer is 200, the exit clean."""
    arrived, release = threading.Event(), threading.Event()

    def held(exchange: Exchange) -> None:
        arrived.set()
        release.wait(10)
        answer(pictures.photo_jpeg(64, 48))(exchange)

    body = task(origin.on("/a.jpg", held))
    url = f"http://127.0.0.1:{environment['PORT']}"
    command = docker_command(environment["PORT"])
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


@pytest.mark.fault("J4")
def test_a_service_with_bad_settings_says_all_that_is_missing(environment: dict[str, str]) -> None:
    """Every missing variable by name on stderr, before any traffic."""
    del environment["INGEST_INTERNAL_URL"], environment["IMAGES_BUCKET"]
    ended = subprocess.run(
        [sys.executable, "-c", "from compressor.wsgi import build; build()"],
        env=environment,
        capture_output=True,
        timeout=20,
        check=False,
    )

    assert ended.returncode == 2
    assert b"INGEST_INTERNAL_URL" in ended.stderr
    assert b"IMAGES_BUCKET" in ended.stderr


def test_a_service_loads_no_client_that_it_does_not_use() -> None:
    """The clients of Tasks and Workflows take a fifth of the time of a cold start."""
    program = "import sys, compressor.wsgi; print(*[n for n in sys.modules if n.startswith('google.cloud.')])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)

    loaded = {name.split(".")[2] for name in ended.stdout.decode().split()}
    assert "storage" in loaded
    assert not loaded & {"tasks_v2", "tasks", "workflows"}
