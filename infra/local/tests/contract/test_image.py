"""The Dockerfile: read everywhere, built and run where Docker is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from localcloud.__main__ import _parser
from localcloud_process import eventually, free_ports

FOLDER = Path(__file__).parents[2]
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
IMAGE = "localcloud-test"


def command_of(instruction: str) -> list[str]:
    """Return the last command of an instruction in its JSON form."""
    return [str(each) for each in json.loads(re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])]


def has_docker() -> bool:
    """Tell whether there is a Docker with a daemon."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], check=False, capture_output=True).returncode == 0


def test_command_of_the_image_is_one_that_localcloud_has() -> None:
    """It listens for others, on the ports that the image exposes."""
    options = _parser().parse_args(command_of("CMD"))
    ports = {
        options.workflows_port,
        options.workflows_grpc_port,
        options.tasks_port,
        options.tasks_grpc_port,
        options.metadata_port,
    }
    [exposed] = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)

    assert (command_of("ENTRYPOINT"), options.command, options.host) == (["localcloud"], "serve", "0.0.0.0")
    assert {int(port) for port in exposed.split()} == ports


def test_image_is_the_same_on_every_processor() -> None:
    """The base is named by the digest of its index, and nothing is compiled."""
    assert re.search(r"^ARG PYTHON_IMAGE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert "--platform" not in re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE)
    assert "--only-binary :all:" in DOCKERFILE


def test_context_holds_what_is_copied() -> None:
    """And nothing else, so that no file of a working copy ends in the image."""
    allowed = {line[1:] for line in (FOLDER / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        path for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for path in line.split()
    }

    assert copied == allowed
    assert all((FOLDER / path).exists() for path in copied)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The REST port of a container with one workflow in its folder."""
    if not has_docker():
        pytest.skip("the image was NOT built and run: there is no Docker with a daemon here")
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "greeting.yaml").write_text("- greet: {return: Hello}\n")
    folder.chmod(0o755)
    subprocess.run(["docker", "build", "--quiet", "--tag", IMAGE, str(FOLDER)], check=True, timeout=900)
    [port] = free_ports(1)
    name = subprocess.run(
        ["docker", "run", "--rm", "--detach", "-p", f"127.0.0.1:{port}:8787", "-v", f"{folder}:/workflows:ro", IMAGE],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    yield port
    subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def test_container_runs_the_workflows_of_its_folder(container: int) -> None:
    """As a user of the image starts it."""
    workflow = f"http://127.0.0.1:{container}/v1/projects/demo/locations/us-central1/workflows/greeting"

    def is_up() -> bool:
        try:
            return requests.get(workflow, timeout=2).ok
        except requests.ConnectionError:
            return False

    assert eventually(is_up, bool, within_s=30)
    started = requests.post(f"{workflow}/executions", json={}, timeout=5).json()["name"]
    address = f"http://127.0.0.1:{container}/v1/{started}"
    assert eventually(lambda: requests.get(address, timeout=5).json().get("result"), bool) == '"Hello"'
