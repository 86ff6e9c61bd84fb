"""Builds the Dockerfile and runs the image with whichever of docker, buildah and podman works on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from localcloud_process import PORT_FLAGS, free_ports

_BUILD_WITHIN_S = 900
_PULL_WITHIN_S = 300


class Docker:
    """docker, or podman, which takes the same arguments."""

    def __init__(self, command: str) -> None:
        self.command = command
        self._container = ""

    def works(self) -> bool:
        """Tell whether it is installed and its daemon, if it has one, answers."""
        return _succeeds([self.command, "info"])

    def can_pull(self, image: str) -> bool:
        """Tell whether an image is here or can be fetched."""
        return _succeeds([self.command, "image", "inspect", image]) or _succeeds([self.command, "pull", image])

    def build(self, folder: Path, tag: str, base: str) -> None:
        """Build the Dockerfile of a folder on a base."""
        # Docker's own form of image is the one that has a health check.
        form = ["--format", "docker"] if self.command == "podman" else []
        _run([self.command, "build", "--quiet", *form, "--build-arg", f"PYTHON_IMAGE={base}", "--tag", tag, folder])

    def start(self, tag: str, workflows: Path, command: Sequence[str]) -> int:  # noqa: ARG002 - the image has it
        """Run an image with a folder of workflows as its README says, and return its REST port."""
        [port] = free_ports(1)
        published = ["-p", f"127.0.0.1:{port}:8787", "-v", f"{workflows}:/workflows:ro"]
        self._container = _run([self.command, "run", "--rm", "--detach", *published, tag])
        return port

    def is_healthy(self, check: Sequence[str]) -> bool:
        """Tell whether the command of the health check passes in the container."""
        return _succeeds([self.command, "exec", self._container, *check])

    def stop(self) -> None:
        """End the container."""
        if self._container:
            _run([self.command, "rm", "--force", self._container])


class Buildah:
    """buildah without a daemon, namespaces or an overlay: it works where containers cannot be started, as root."""

    _BUILDAH = ("buildah", "--storage-driver", "vfs")

    def __init__(self) -> None:
        self._container = ""
        self._ports: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None

    def works(self) -> bool:
        """Tell whether it is installed and may be used."""
        return _succeeds([*self._BUILDAH, "info"])

    def can_pull(self, image: str) -> bool:
        """Tell whether an image is here or can be fetched."""
        return _succeeds([*self._BUILDAH, "pull", "--quiet", "--policy", "missing", image])

    def build(self, folder: Path, tag: str, base: str) -> None:
        """Build the Dockerfile of a folder on a base."""
        arguments = ["--isolation", "chroot", "--format", "docker", "--build-arg", f"PYTHON_IMAGE={base}"]
        _run([*self._BUILDAH, "bud", "--quiet", *arguments, "--tag", tag, folder])

    def start(self, tag: str, workflows: Path, command: Sequence[str]) -> int:
        """Run the command of an image in it, on free ports: it shares the network of this machine."""
        self._container = _run([*self._BUILDAH, "from", tag])
        self._ports = free_ports(len(PORT_FLAGS))
        flags = [
            text for name, port in zip(PORT_FLAGS, self._ports, strict=True) for text in (f"--{name}-port", str(port))
        ]
        self._process = subprocess.Popen([*self._in_container(workflows), *command, *flags])
        return self._ports[0]

    def is_healthy(self, check: Sequence[str]) -> bool:
        """Tell whether the command of the health check passes in the container, on the port that it really has."""
        return _succeeds([*self._in_container(), *(text.replace("8787", str(self._ports[0])) for text in check)])

    def stop(self) -> None:
        """End the container."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=60)
        if self._container:
            _run([*self._BUILDAH, "rm", self._container])

    def _in_container(self, workflows: Path | None = None) -> list[str]:
        mounts = [] if workflows is None else ["-v", f"{workflows}:/workflows:ro"]
        return [*self._BUILDAH, "run", "--isolation", "chroot", *mounts, self._container, "--"]


def builders() -> Iterable[Docker | Buildah]:
    """Return what images are built with on this machine; buildah first of the two that need no daemon."""
    return [each for each in (Docker("docker"), Buildah(), Docker("podman")) if each.works()]


def default_base(dockerfile: str) -> str:
    """Return the base that a Dockerfile names."""
    [base] = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", dockerfile, re.MULTILINE)
    return str(base)


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_BUILD_WITHIN_S
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-4000:]}"
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def _succeeds(command: Sequence[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=_PULL_WITHIN_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False
