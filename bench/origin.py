"""The photos' server, in a process of its own so that its processor time is not counted as ours.

`python -m bench.origin COUNT DELAY_S` prints `{"fast": URL, "slow": URL, "tiny": URL}` and then, for each line on its
standard input, how much it has sent. The slow one waits before each answer and has the same photos with other bytes, so
that nothing is found stored; the third has tiny pictures. Picture n is at `/n.jpg`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from samples.catalogue import SampleFile
from samples.demo import ROOT
from samples.origin import Origin

from bench.pictures import TINY_PX, photos


class OriginProcess:
    """A running server of photos.

    Args:
        process: what `python -m bench.origin` is.
        count: how many photos it has.
    """

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self._process = process
        self._urls = self._said()
        self._count = count

    def urls(self, kind: str = "fast") -> list[str]:
        """Return the links of all pictures at one of the three servers."""
        return [f"{self._urls[kind]}/{number}.jpg" for number in range(self._count)]

    def picture_bytes(self) -> int:
        """Return the bytes of pictures sent so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._said()["picture_bytes"])

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said


@contextmanager
def photo_origin(count: int, *, delay_s: float) -> Iterator[OriginProcess]:
    """Run a server of `count` photos; its slow part waits `delay_s` seconds."""
    command = [sys.executable, "-m", "bench.origin", str(count), str(delay_s)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield OriginProcess(process, count)
        finally:
            process.terminate()


def _marked(jpeg: bytes) -> bytes:
    """Return the same picture with other bytes."""
    return jpeg[:2] + b"\xff\xfe\x00\x06slow" + jpeg[2:]


def main() -> None:
    """Serve until the standard input ends."""
    count, delay_s = int(sys.argv[1]), float(sys.argv[2])
    sources = photos(count)
    fast = {f"/{number}.jpg": SampleFile("image/jpeg", source) for number, source in enumerate(sources)}
    slow = {path: SampleFile("image/jpeg", _marked(file.body)) for path, file in fast.items()}
    tiny = {f"/{n}.jpg": SampleFile("image/jpeg", source) for n, source in enumerate(photos(count, TINY_PX))}
    with Origin(fast) as near, Origin(slow, delay_s=delay_s) as far, Origin(tiny) as small:
        print(json.dumps({"fast": near.base_url, "slow": far.base_url, "tiny": small.base_url}), flush=True)
        for _ in sys.stdin:
            sent = sum(server.picture_bytes for server in (near, far, small))
            print(json.dumps({"picture_bytes": sent}), flush=True)


if __name__ == "__main__":
    main()
