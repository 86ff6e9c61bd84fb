"""The Dockerfiles, read: two stages, hashed requirements, a user without rights, a context that has what they copy."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePosixPath

import pytest

from contract.test_deployment import API_KEY, container_environment
from localcloud.stack.dockerfile import command_from_dockerfile
from support import deployment_files as d

CONTEXT = d.ROOT / "services"


def stages(service: str) -> list[list[str]]:
    """Return the instructions of each stage, continuation lines joined."""
    text = (CONTEXT / service / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line and not line.startswith("#")]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def ignored(path: PurePosixPath) -> bool:
    """Return whether .dockerignore keeps a path, or a folder above it, out of the context."""
    patterns = [
        line.removeprefix("**/")
        for line in (CONTEXT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return any(PurePosixPath(part).match(pattern) for part in path.parts for pattern in patterns)


@pytest.mark.threat("T15")
@pytest.mark.parametrize("service", d.IMAGES)
def test_requirements_are_hashed(service: str) -> None:
    """Whatever is downloaded is pinned to its hash, the tool that builds our packages too."""
    build, _ = stages(service)
    downloads = [line for line in build if "pip install" in line and "--no-deps --no-build-isolation ./" not in line]

    assert downloads == [
        "RUN pip install --require-hashes --only-binary :all: -r requirements.txt -r build-requirements.txt"
    ]
    for locked in (f"{service}/requirements.txt", "build-requirements.txt"):
        text = (CONTEXT / locked).read_text(encoding="utf-8")
        assert text.count("--hash=sha256:") >= text.count("==") > 0, locked


@pytest.mark.threat("T15")
@pytest.mark.parametrize("service", d.IMAGES)
def test_last_stage_has_no_build_tools(service: str) -> None:
    """It copies the finished environment and installs nothing; installers are removed, ours and the base's."""
    build, last = stages(service)
    runs = [line for line in last if line.startswith("RUN ")]

    assert [line for line in last if re.search(r"\b(pip3? install|apt-get|gcc|curl)\b", line)] == []
    assert [line for line in last if line.startswith("COPY ")] == ["COPY --from=build /opt/venv /opt/venv"]
    assert build[-1].endswith("pip check && pip uninstall --yes setuptools pip")
    assert [line.startswith("RUN rm -rf /usr/local/bin/pip* ") for line in runs] == [True]


@pytest.mark.parametrize("service", d.IMAGES)
def test_container_runs_as_a_user_without_rights(service: str) -> None:
    """A number, so that a platform can see without /etc/passwd that it is not root."""
    _, last = stages(service)

    assert [line for line in last if line.startswith("USER ")] == ["USER 10001"]


@pytest.mark.parametrize("service", d.IMAGES)
def test_command_gets_signals_itself(service: str) -> None:
    """Exec form, and gunicorn binds to $PORT by itself: nothing overrides that."""
    _, last = stages(service)
    (command,) = [line for line in last if line.startswith("CMD ")]

    assert command.startswith('CMD ["gunicorn", ')
    assert "--bind" not in command


@pytest.mark.parametrize("service", d.IMAGES)
def test_context_has_what_the_dockerfile_copies(service: str) -> None:
    """Nothing that is copied is missing or ignored; the packages keep their sources, migrations and pages."""
    build, _ = stages(service)
    sources = [line.split()[1] for line in build if line.startswith("COPY ")]
    files = [
        path.relative_to(CONTEXT)
        for source in sources
        for path in ([CONTEXT / source] if (CONTEXT / source).is_file() else (CONTEXT / source / "src").rglob("*"))
        if path.is_file() and not {"__pycache__"} & set(path.parts) and ".egg-info" not in str(path)
    ]

    assert sources
    assert files
    assert [str(file) for file in files if ignored(PurePosixPath(file))] == []


@pytest.mark.parametrize(
    "path", ["ingest/src/ingest/__pycache__/app.pyc", "ingest/build/lib/x.py", "chassis/src/chassis.egg-info/PKG-INFO"]
)
def test_leftovers_stay_out_of_the_context(path: str) -> None:
    """What tools leave behind is in no image."""
    assert ignored(PurePosixPath(path))


@pytest.mark.threat("T15")
@pytest.mark.parametrize("service", d.IMAGES)
def test_every_stage_starts_from_a_digest(service: str) -> None:
    """Tag for the reader, digest for the builder: the same Dockerfile builds from the same base for ever."""
    text = (CONTEXT / service / "Dockerfile").read_text(encoding="utf-8")
    (pinned,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", text, re.MULTILINE)

    assert re.fullmatch(r"python:3\.11-slim-\w+@sha256:[0-9a-f]{64}", pinned)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_dockerfiles_differ_in_their_service_only() -> None:
    """One recipe, written three times because Docker has no include: the same base, stages and user."""
    recipes = {
        (CONTEXT / service / "Dockerfile")
        .read_text(encoding="utf-8")
        .partition("# gunicorn binds")[0]
        .replace(service, "SERVICE")
        for service in d.IMAGES
    }

    assert len(recipes) == 1


@pytest.mark.threat("T15")
def test_nothing_replaces_the_pinned_base() -> None:
    """Neither Skaffold nor Cloud Build hands another base to the Dockerfiles."""
    files = ("skaffold.yaml", "cloudbuild.yaml")

    assert [name for name in files if "PYTHON_IMAGE" in (d.ROOT / name).read_text(encoding="utf-8")] == []


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def connect(port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    """Return a connection as soon as the service takes one."""
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=30)
        except OSError:
            threading.Event().wait(0.05)
    pytest.fail("the service does not listen on $PORT")


@pytest.mark.parametrize(
    ("service", "path", "answer"),
    [("ingest", "/upload", b"HTTP/1.1 400 "), ("reporter", "/webhooks", b"HTTP/1.1 400 ")],
)
def test_request_in_hand_is_finished_after_sigterm(service: str, path: str, answer: bytes) -> None:
    """The Dockerfile's very command in the manifest's environment: it takes $PORT, and SIGTERM comes mid-request.

    The compressor's is tests/unit/compressor/test_process.py, with an image in hand.
    """
    program, *arguments = command_from_dockerfile(CONTEXT / service / "Dockerfile")
    port = free_port()
    environment = container_environment(service, port) | {"PATH": os.environ["PATH"]}
    body = b'{"no": "sheet and no endpoint"}'
    # Gunicorn says 100 when a thread of a worker has the request.
    fields = ["Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue"]
    fields.append(f"Authorization: Bearer {API_KEY}")
    head = "\r\n".join((f"POST {path} HTTP/1.1", *fields, "", ""))
    with subprocess.Popen(
        [Path(sys.executable).with_name(program), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with connect(port, process) as request:
                request.sendall(head.encode())
                taken = request.recv(1024)
                request.sendall(body[:5])
                process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                request.sendall(body[5:])
                answered = request.makefile("rb").read()
            code = process.wait(20)
            took_s = time.monotonic() - began
        finally:
            process.kill()

    assert taken == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answered.startswith(answer)
    assert answered.rstrip().endswith(b"}")
    assert code == 0
    assert took_s < 10
