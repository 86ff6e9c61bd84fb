"""`make image-check`: builds the three images, looks into them, starts each and ends it as Cloud Run would.

It wants root and buildah, no Docker daemon. Where no registry can be reached, `--stand-in` replaces the base image by a
Debian bookworm that debootstrap makes: its Python is 3.11 too, so everything but the base is what will be deployed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.test_deployment import container_environment
from support import deployment_files as d

USER = 10001
STAND_IN = "localhost/pressroom-stand-in:bookworm"
TOOLS = ("gcc", "cc", "g++", "make", "ld", "pip", "pip3", "git", "curl", "wget")
"""Programs that build, install or download: none belongs into an image that runs."""

PACKAGES = ("pip", "setuptools", "wheel")
WITHIN_S = 10.0
"""Cloud Run kills ten seconds after SIGTERM."""


class ImageError(Exception):
    """Something about an image is not as it must be."""


@dataclass(frozen=True, slots=True)
class Buildah:
    """Buildah with a store of its own that is deleted afterwards; needs no daemon and no overlay file system."""

    folder: Path

    def __call__(self, *arguments: str, timeout: float = 600) -> str:
        """Return what a command prints.

        Raises:
            ImageError: it failed; with the end of what it said.
        """
        command = ["buildah", "--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"), *arguments]
        settings = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=timeout, env={**os.environ, **settings}
        )
        if done.returncode != 0:
            message = f"buildah {' '.join(arguments)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
            raise ImageError(message)
        return done.stdout.strip()

    def make_stand_in(self) -> None:
        """Make the base image that takes the pinned one's place."""
        root = self.folder / "root"
        bootstrap = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm"]
        subprocess.run([*bootstrap, str(root)], check=True, capture_output=True, timeout=600)
        (root / "usr/bin/python").symlink_to("python3")
        shutil.rmtree(root / "var/cache/apt")
        # Builds see PyPI as this machine does, through whatever proxy and authority it has.
        shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
        (root / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n", encoding="utf-8")
        container = self("from", "scratch")
        self("add", "--quiet", container, str(root), "/")
        self("config", "--env", "PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin", container)
        self("commit", "--quiet", "--rm", container, STAND_IN)
        shutil.rmtree(root)

    def build(self, service: str, *, stand_in: bool) -> str:
        """Build a service's image from its Dockerfile; return its name."""
        base = ("--pull-never", "--build-arg", f"PYTHON_IMAGE={STAND_IN}") if stand_in else ()
        context = d.ROOT / "services"
        name = f"localhost/pressroom-{service}"
        self("build", "--format=docker", *base, "-t", name, "-f", str(context / service / "Dockerfile"), str(context))
        return name

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Give the file system of a container of an image."""
        container = self("from", "--pull-never", image)
        try:
            yield Path(self("mount", container))
        finally:
            self("umount", container)
            self("rm", container)


def faults_inside(root: Path) -> list[str]:
    """Return what an image's file system has and must not have.

    The folders looked at are those of the image's PATH and of both Pythons, the base's and the environment's.
    """
    found = [
        f"/{folder}/{tool}"
        for folder in ("usr/local/bin", "usr/bin", "bin", "opt/venv/bin")
        for tool in TOOLS
        if (root / folder / tool).exists()
    ]
    for site in [*root.glob("opt/venv/lib/python3*/site-packages"), *root.glob("usr/local/lib/python3*/site-packages")]:
        found += [f"/{site.relative_to(root)}/{name}" for name in PACKAGES if (site / name).exists()]
    found += [
        f"/{path.relative_to(root)}" for path in (root / "build", root / "src", root / "root/.cache") if path.exists()
    ]
    for path in (root / "opt/venv").rglob("*"):
        status = path.lstat()
        if not path.is_symlink() and (status.st_uid == USER or status.st_mode & 0o002):
            found.append(f"/{path.relative_to(root)} can be changed by the service")
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _health(port: int) -> dict[str, Any] | None:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health")
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    except OSError:
        return None
    return answer


def start_and_end(service: str, root: Path, command: list[str], image_environment: list[str]) -> tuple[float, float]:
    """Run an image's command as its user inside its file system; return seconds to /health and from SIGTERM to the end.

    Raises:
        ImageError: no healthy answer in 60 s, or no clean end in `WITHIN_S`.
    """
    port = _free_port()

    def enter() -> None:
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    image = dict(entry.split("=", 1) for entry in image_environment)
    environment = image | container_environment(service, port) | {"HOME": "/"}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            executable=f"/opt/venv/bin/{command[0]}",
            env=environment,
            preexec_fn=enter,  # noqa: PLW1509 - there is one thread
            stdout=said,
            stderr=said,
        )
        try:
            began = time.monotonic()
            while (health := _health(port)) is None and process.poll() is None and time.monotonic() - began < 60:
                threading.Event().wait(0.1)
            healthy = time.monotonic()
            if health != {"status": "ok", "service": service}:
                said.seek(0)
                message = f"{service}: /health: {health}; {said.read()[-2000:].decode()}"
                raise ImageError(message)
            process.send_signal(signal.SIGTERM)
            code = process.wait(WITHIN_S)
            ended = time.monotonic()
        finally:
            process.kill()
    if code != 0:
        message = f"{service}: ended with {code}"
        raise ImageError(message)
    return healthy - began, ended - healthy


def check(buildah: Buildah, service: str, *, stand_in: bool) -> str:
    """Build, inspect and run one service; return a line for the reader.

    Raises:
        ImageError: what is wrong.
    """
    name = buildah.build(service, stand_in=stand_in)
    described = json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"]
    if described["User"] != str(USER):
        message = f"{service}: runs as {described['User']!r}"
        raise ImageError(message)
    with buildah.mounted(name) as root:
        if found := faults_inside(root):
            message = f"{service}: has {', '.join(found)}"
            raise ImageError(message)
        own_mb = sum(p.lstat().st_size for p in (root / "opt/venv").rglob("*") if p.is_file()) / 1e6
        start_s, end_s = start_and_end(service, root, described["Cmd"], described["Env"])
    return f"{service}: {own_mb:.0f} MB of our own, healthy after {start_s:.1f} s, ended {end_s:.1f} s after SIGTERM"


def main() -> int:
    """Check all three images; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stand-in", action="store_true", help="a Debian of debootstrap instead of the pinned base")
    given = parser.parse_args()
    missing = [tool for tool in ("buildah", *(["debootstrap"] if given.stand_in else [])) if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        sys.stderr.write(
            f"image-check wants root and {', '.join(missing) or 'no more'}: apt-get install buildah debootstrap\n"
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="pressroom-images-") as folder:
        buildah = Buildah(Path(folder))
        try:
            if given.stand_in:
                buildah.make_stand_in()
            for service in d.IMAGES:
                sys.stdout.write(check(buildah, service, stand_in=given.stand_in) + "\n")
        except (ImageError, subprocess.SubprocessError) as fault:
            sys.stderr.write(f"{fault}\n")
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
