"""Measures, in rounds that take turns, how many photos a second each peer fetches, compresses and writes.

Each peer gets the same links of one origin on loopback and writes files; ours has the whole stack: database, queue,
workflow and storage, and host limits lifted as in `stack.yaml`. A peer that is not installed is left out, by name.
`--only sharp` measures ours beside one of them; it may be given several times.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
import requests

from bench.bare import bare_ms, bare_rate
from bench.origin import photo_origin
from bench.pictures import photos
from bench.processor_time import AIMS, multiples, processor_times, spent_per_image
from bench.stack import BenchError, fresh_stack, stack_rate

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "peers.json"
IMAGES = int(os.environ.get("PEERS_IMAGES", "200"))
ROUNDS = int(os.environ.get("PEERS_ROUNDS", "3"))

_BARE_PHOTOS = 40

_UNREAPED_S: list[float] = []
"""Processor time of processes that were not our children."""

Peer = Callable[[list[str], Path], None]
"""Compresses links into a folder."""


def _run(command: list[str], links: list[str]) -> None:
    subprocess.run(
        command, input="\n".join(links), text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _vips(python: str) -> Peer:
    def work(links: list[str], folder: Path) -> None:
        def half(number: int) -> None:
            own = folder / str(number)
            own.mkdir()
            _run([python, str(HERE / "vips_fetch.py"), str(own)], links[number::2])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(half, range(2)))

    return work


def _sharp(home: str, *, optimise: bool) -> Peer:
    script = str(HERE / "sharp_fetch.mjs")

    def work(links: list[str], folder: Path) -> None:
        _run(["node", script, str(folder), home, "yes" if optimise else "no"], links)

    return work


def _img2dataset(python: str) -> Peer:
    return lambda links, folder: _run([python, str(HERE / "img2dataset_run.py"), str(folder)], links)


@contextmanager
def _thumbor_server(python: str) -> Iterator[str]:
    """Run thumbor with two processes and without storage; yield its root URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "thumbor.conf"
        config.write_text(
            "ALLOW_UNSAFE_URL = True\nQUALITY = 50\nSTORAGE = 'thumbor.storages.no_storage'\nALLOWED_SOURCES = ['.*']\n"
        )
        command = [
            str(Path(python).parent / "thumbor"),
            "--ip",
            "127.0.0.1",
            "--port",
            str(port),
            "--conf",
            str(config),
            "--processes",
            "2",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _until_answered(f"http://127.0.0.1:{port}/healthcheck")
                yield f"http://127.0.0.1:{port}"
            finally:
                # Its workers would outlive it, and nobody would count what they have used.
                workers = psutil.Process(process.pid).children(recursive=True)
                _UNREAPED_S.extend(sum(worker.cpu_times()[:2]) for worker in workers)
                for each in (*workers, process):
                    each.terminate()


def _until_answered(url: str) -> None:
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at:
        try:
            requests.get(url, timeout=1)
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    message = f"{url} does not answer"
    raise BenchError(message)


def _thumbor(python: str) -> Peer:
    def work(links: list[str], folder: Path) -> None:
        with _thumbor_server(python) as root, ThreadPoolExecutor(8) as pool:

            def one(numbered: tuple[int, str]) -> None:
                number, link = numbered
                answer = requests.get(f"{root}/unsafe/{link.removeprefix('http://')}", timeout=60)
                answer.raise_for_status()
                (folder / f"{number}.jpg").write_bytes(answer.content)

            list(pool.map(one, enumerate(links)))

    return work


def _peers() -> dict[str, Peer]:
    """Return those that are installed: `.venv-peers` and `.local/peers/node_modules`, which the Makefile makes."""
    python = os.environ.get("PEERS_PYTHON", ".venv-peers/bin/python")
    home = os.environ.get("PEERS_NODE", ".local/peers")
    peers: dict[str, Peer] = {}
    if Path(python).exists():
        python = str(Path(python).absolute())
        peers |= {"pyvips": _vips(python), "img2dataset": _img2dataset(python), "thumbor": _thumbor(python)}
    if (Path(home) / "node_modules" / "sharp").exists() and shutil.which("node"):
        home = str(Path(home).absolute())
        peers |= {"sharp": _sharp(home, optimise=True), "sharp, optimiseCoding off": _sharp(home, optimise=False)}
    for name in {"pyvips", "img2dataset", "thumbor", "sharp"} - peers.keys():
        print(f"{name} is not installed and left out", file=sys.stderr)
    return peers


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + sum(_UNREAPED_S)


def _measured(peer: Peer, links: list[str], folder: Path) -> tuple[float, float]:
    """Return photos a second and milliseconds of processor a photo, which are written to a new folder.

    Raises:
        BenchError: it did not write a file for each.
    """
    folder.mkdir()
    used, began = _children_s(), time.perf_counter()
    peer(links, folder)
    elapsed = time.perf_counter() - began
    written = sum(1 for _ in folder.rglob("*.jpg"))
    if written != len(links):
        message = f"{written} of {len(links)} files were written"
        raise BenchError(message)
    return len(links) / elapsed, 1000 * (_children_s() - used) / len(links)


def main() -> None:
    """Measure, print and write everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", metavar="PEER", help="leave out the peers that are not named")
    only = parser.parse_args().only
    peers = {name: peer for name, peer in _peers().items() if only is None or name in only}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *peers)}
    # Ours would find in the second round what it stored in the first: each round has photos of its own.
    with (
        photo_origin(IMAGES * (ROUNDS + 1), delay_s=0) as origin,
        fresh_stack() as stack,
        # All are removed at the end: where files have just been removed, ext4 takes longer to create others.
        tempfile.TemporaryDirectory() as written,
    ):
        links = origin.urls()
        stack_rate(stack, links[:40])
        for number in range(1, ROUNDS + 1):
            own = links[number * IMAGES : (number + 1) * IMAGES]
            before = processor_times()
            rate = stack_rate(stack, own)
            figures["ours"].append((rate, spent_per_image(before, processor_times(), IMAGES)["all"]))
            for name, peer in peers.items():
                figures[name].append(_measured(peer, own, Path(written) / f"{name} {number}"))
        bare = median(bare_rate(photos(IMAGES), processes=os.cpu_count() or 1) for _ in range(ROUNDS))
        plain_ms, measured_ms = bare_ms(_BARE_PHOTOS)
    results = {
        name: {"images_per_s": median(rate for rate, _ in found), "processor_ms": median(ms for _, ms in found)}
        for name, found in figures.items()
    }
    ours = results["ours"]["images_per_s"]
    alone = f"{plain_ms:5.1f} ms of processor an image, {measured_ms:.1f} with tables made to measure"
    print(f"{'bare Pillow from memory':28} {bare:6.1f}/s, {alone}, ours is {ours / bare:.2f} of it")
    for name, found in results.items():
        rate, ms = found["images_per_s"], found["processor_ms"]
        print(f"{name:28} {rate:6.1f}/s, {ms:5.1f} ms of processor an image, ours is {ours / rate:.2f} of it")
    times = multiples(results["ours"]["processor_ms"], (plain_ms, measured_ms))
    print(f"ours, processor time: {times}; the aim is {AIMS['photo']} times bare Pillow")
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"images": IMAGES, "rounds": ROUNDS, "bare_per_s": bare, "bare_ms": [plain_ms, measured_ms]}
    RESULTS.write_text(json.dumps(told | {"results": results}, indent=2) + "\n")
    print(f"written to {os.path.relpath(RESULTS)}")


if __name__ == "__main__":
    main()
