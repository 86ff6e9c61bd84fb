"""The Dockerfile: read everywhere, built and run where docker, buildah or podman is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from image_builders import Buildah, Docker, builders, default_base
from localcloud.__main__ import _parser
from localcloud_process import eventually

FOLDER = Path(__file__).parents[2]
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
IMAGE = "localhost/localcloud-test"


def command_of(instruction: str) -> list[str]:
    """Return the last command of an instruction in its JSON form."""
    return [str(each) for each in json.loads(re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])]


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
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Docker | Buildah, int]]:
    """A container with one workflow in its folder, and its REST port.

    LOCALCLOUD_TEST_BASE_IMAGE names another base than the Dockerfile does, for machines without a registry.
    """
    builder = next(iter(builders()), None)
    if builder is None:
        pytest.skip("the image was NOT built and run: neither docker with a daemon nor buildah nor podman is here")
    base = os.environ.get("LOCALCLOUD_TEST_BASE_IMAGE", default_base(DOCKERFILE))
    if not builder.can_pull(base):
        pytest.skip(f"the image was NOT built and run: its base {base} cannot be fetched here")
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "greeting.yaml").write_text("- greet: {return: Hello}\n")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    builder.build(FOLDER, IMAGE, base)
    try:
        yield builder, builder.start(IMAGE, folder, [*command_of("ENTRYPOINT"), *command_of("CMD")])
    finally:
        builder.stop()


@pytest.mark.timeout(1200)
def test_container_runs_the_workflows_of_its_folder(container: tuple[Docker | Buildah, int]) -> None:
    """As a user of the image starts it; its health check passes, and a workflow that is pushed runs, too."""
    builder, port = container
    workflows = f"http://127.0.0.1:{port}/v1/projects/demo/locations/us-central1/workflows"

    def is_up() -> bool:
        try:
            return requests.get(f"{workflows}/greeting", timeout=2).ok
        except requests.ConnectionError:
            return False

    def result_of(name: str) -> str:
        started = requests.post(f"{workflows}/{name}/executions", json={}, timeout=5).json()["name"]
        address = f"http://127.0.0.1:{port}/v1/{started}"
        return str(eventually(lambda: requests.get(address, timeout=5).json().get("result"), bool))

    assert eventually(is_up, bool, within_s=60)
    assert builder.is_healthy(command_of(r"HEALTHCHECK .*\n    CMD"))
    pushed = {"sourceContents": "- answer: {return: '${40 + 2}'}"}
    assert requests.post(f"{workflows}?workflowId=pushed", json=pushed, timeout=5).ok
    assert (result_of("greeting"), result_of("pushed")) == ('"Hello"', "42")
