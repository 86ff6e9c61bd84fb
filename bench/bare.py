"""What nobody can beat by much: open and save at quality 50, from memory; and the seed's way with HTTP around it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
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


def _compress_all(sources: list[bytes]) -> int:
    return sum(len(compress_bare(source)) for source in sources)


def bare_rate(sources: list[bytes], *, processes: int) -> float:
    """Return images a second of the bare loop, spread over processes that are already running."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_compress_all, [sources[:1]] * processes))
        shares = [sources[start::processes] for start in range(processes)]
        began = time.perf_counter()
        list(pool.map(_compress_all, shares))
        return len(sources) / (time.perf_counter() - began)


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
