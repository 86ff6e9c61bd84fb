"""An instance at full concurrency with the worst that is accepted, against the memory it is deployed with."""

from __future__ import annotations

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
import yaml

from compressor.images.picture import MAX_PIXELS
from compressor.settings import CompressorSettings
from localcloud.identity.engine.issuer import TokenIssuer
from support import pictures
from support.compressor_process import docker_command, wait_for_family, wait_until_healthy
from support.compressor_service import AUDIENCE, TASKS_ACCOUNT, RecordingIngest, make_settings, task
from support.scripted_origin import ScriptedOrigin, answer

MANIFEST = Path(__file__).parents[4] / "infra" / "cloudrun" / "compressor.yaml"
SIDES = (8000, 6250)
BODY_BYTES = CompressorSettings.model_fields["fetch_max_bytes"].default
MIB = 1024 * 1024


def deployed() -> tuple[int, int]:
    """Return bytes of memory and requests at once of an instance."""
    text = MANIFEST.read_text().replace("${", "{")
    spec = yaml.safe_load(text)["spec"]["template"]["spec"]
    memory = spec["containers"][0]["resources"]["limits"]["memory"]
    assert memory.endswith("Gi")
    return int(memory.removesuffix("Gi")) * 1024 * MIB, spec["containerConcurrency"]


def transparent_png() -> bytes:
    """Return a PNG of 50 MP whose pixels and alpha differ from one to the next, in few bytes."""
    width, height = SIDES
    pattern = bytes((x * 7 + channel * 50) % 256 for x in range(width + 64) for channel in range(4))
    return pictures.png(width, height, colour_type=6, rows=[pattern[y % 64 * 4 :][: width * 4] for y in range(height)])


class Watch:
    """Samples the memory of a process and all below it."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.peak_bytes = 0

    def __enter__(self) -> Watch:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            total = 0
            for process in [self._process, *self._process.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


@pytest.mark.feature("42")
@pytest.mark.fault("E18")
@pytest.mark.threat("T3", "T4")
@pytest.mark.timeout(240)
def test_the_costliest_pictures_at_once_stay_below_80_percent_of_an_instance(
    environment: dict[str, str], origin: ScriptedOrigin, ingest: RecordingIngest, issuer: TokenIssuer
) -> None:
    """WebP of 50 MP with alpha, one a processor, measured; and a body of 25 MiB for every other place, counted."""
    memory_bytes, concurrency = deployed()
    assert SIDES[0] * SIDES[1] == MAX_PIXELS
    source = transparent_png()
    worst = source + bytes(BODY_BYTES - len(source))  # what follows a picture's end is fetched and ignored
    url = f"http://127.0.0.1:{environment['PORT']}"
    token = issuer.mint_id_token(TASKS_ACCOUNT, AUDIENCE)

    def send(number: int) -> str:
        body = task(origin.on(f"/{number}", answer(worst)), options={"quality": 50, "format": "webp"})
        headers = {"Authorization": f"Bearer {token}"}
        answered = requests.post(f"{url}/compress", json=body, headers=headers, timeout=120).json()
        return str(answered["code"] if "code" in answered else answered["error"]["details"][0]["reason"])

    # Other tests may run beside this one, and processor time grows on a busy machine too.
    environment |= {"CODEC_WAIT_S": "30", "CODEC_TIMEOUT_S": "60", "CODEC_CPU_S": "60"}
    with subprocess.Popen(docker_command(environment["PORT"]), env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until_healthy(url, process)
            wait_for_family(process.pid, 4)
            with Watch(process.pid) as watch, ThreadPoolExecutor(2) as pool:
                codes = list(pool.map(send, range(2)))
        finally:
            process.terminate()

    assert codes[0] == "OK" or codes[1] == "OK"
    assert set(codes) <= {"OK", "CODEC_BUSY"}  # both in one process: the second may wait too long
    assert watch.peak_bytes > 1024 * MIB  # else it watched nothing
    assert watch.peak_bytes + (concurrency - 2) * BODY_BYTES < 0.8 * memory_bytes


def test_what_the_limits_allow_fits_an_instance() -> None:
    """Both codecs at their limit, which no accepted picture reaches, and a body for every request."""
    memory_bytes, concurrency = deployed()
    settings = make_settings()
    command = docker_command("0")
    processes = int(command[command.index("--workers") + 1])
    fixed = 60 * MIB + processes * (90 + 45) * MIB  # gunicorn's master, workers and idle children, as measured
    codec = processes * settings.codec_concurrency * settings.codec_memory_bytes

    assert fixed + codec + concurrency * settings.fetch_max_bytes < memory_bytes
