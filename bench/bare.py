"""What nobody can beat by much: open and save at quality 50, from memory; and the seed's way with HTTP around it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context

import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]
from PIL import Image

from bench.pictures import photos

_MEMORY_KEPT = {
    "PILLOW_BLOCKS_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def compress_bare(source: bytes, *, measured_tables: bool = False) -> bytes:
    """Return the picture as a JPEG of quality 50, the shortest way Pillow has.

    Args:
        source: a picture.
        measured_tables: make the file's tables to measure, as ours have them: some 5 % fewer bytes.
    """
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(source)) as picture:
        # `convert` copies what is RGB already.
        rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
        rgb.save(buffer, "JPEG", quality=50, optimize=measured_tables)
    return buffer.getvalue()


_SHARE: list[bytes] = []


def _take(sources: list[bytes]) -> None:
    _SHARE[:] = sources
    compress_bare(sources[0])  # to get warm


def _compress_share() -> None:
    for source in _SHARE:
        compress_bare(source)


def bare_rate(sources: list[bytes], *, processes: int) -> float:
    """Return images a second of the bare loop, spread over processes that have their sources already.

    They keep their memory from one photo to the next, as the codec does: without that they do 0.6 of it.
    """
    shares = [sources[start::processes] for start in range(processes)]
    with ExitStack() as running:
        running.enter_context(_memory_kept())
        pools = [
            running.enter_context(
                ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_take, initargs=(share,))
            )
            for share in shares
        ]
        for pool in pools:
            pool.submit(os.getpid).result()
        began = time.perf_counter()
        for done in [pool.submit(_compress_share) for pool in pools]:
            done.result()
        return len(sources) / (time.perf_counter() - began)


@contextmanager
def _memory_kept() -> Iterator[None]:
    """Let processes that are started now keep their memory."""
    before = {name: os.environ.get(name) for name in _MEMORY_KEPT}
    os.environ.update(_MEMORY_KEPT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def bare_ms(photo_count: int) -> tuple[float, float]:
    """Return milliseconds of processor a photo of the bare loop: without tables made to measure, and with them.

    In a process that keeps its memory from one photo to the next, as the codec's does. By default some 4,000 pages are
    mapped anew for each or none, as the allocator happens to be, and that costs a third more.
    """
    command = [sys.executable, "-m", "bench.bare", str(photo_count)]
    told = subprocess.run(command, env=os.environ | _MEMORY_KEPT, check=True, capture_output=True, text=True).stdout
    plain_ms, measured_ms = json.loads(told)
    return plain_ms, measured_ms


def _spent_ms(sources: list[bytes]) -> tuple[float, float]:
    spent = [0.0, 0.0]
    for turn, source in enumerate((sources[0], *sources)):
        for measured in (False, True) if turn % 2 else (True, False):
            began = time.thread_time()
            compress_bare(source, measured_tables=measured)
            spent[measured] += (time.thread_time() - began) if turn else 0.0  # the first one is to get warm
    return 1000 * spent[False] / len(sources), 1000 * spent[True] / len(sources)


def seed_rate(urls: list[str], *, storage_url: str, bucket: str, prefix: str) -> float:
    """Return images a second of the first release's way: one process downloads, compresses and uploads one by one."""
    client = storage.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage_url}
    )
    target = client.bucket(bucket)
    began = time.perf_counter()
    for number, url in enumerate(urls):
        answer = requests.get(url, timeout=30)
        answer.raise_for_status()
        blob = target.blob(f"{prefix}/{number}.jpg")
        blob.upload_from_string(compress_bare(answer.content), content_type="image/jpeg")
    return len(urls) / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(_spent_ms(photos(int(sys.argv[1])))))
