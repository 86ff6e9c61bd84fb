"""A codec that a picture has taken over gets nothing: each way out is tried from inside, as root and as the service.

The parent runs in a process of its own (`support.captured_parent`), with a secret in its environment and its memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from compressor.images.codec import compress
from compressor.images.model import Animated, Options, OutputFormat
from compressor.sandbox.fences import _ARCHITECTURES, Fence, _program
from compressor.sandbox.pool import CodecPool, Limits
from support import captured_parent, odd_pictures, pictures
from support.captured_codec import attempts

SERVICE_UID = 10001  # of the Dockerfile
OF_THE_PARENT = {
    name for name in attempts({"parent": 1, "grandparent": 1, "port": 1, "address": 1}) if "parent" in name
}


def tried(uid: int, without: str = "") -> dict[str, Any]:
    """Return what a captured codec got whose parent is that user; `without` names fences to leave out."""
    tests = str(Path(captured_parent.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, captured_parent.__file__, str(uid), *([without] if without else [])],
        env={"PYTHONPATH": tests, "SECRET": "in the environment", "PATH": os.defpath},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.mark.threat("T3")
@pytest.mark.parametrize("uid", [0, SERVICE_UID], ids=["root", "service"])
def test_a_captured_codec_gets_nothing(uid: int) -> None:
    """No environment or memory of its parent, no connection, no process, no file: with all fences up."""
    assert os.getuid() == 0, "run as root, which both users can be reached from"

    assert tried(uid) == {"got": [], "missing": [] if uid == 0 else [Fence.OWN_USER]}


@pytest.mark.threat("T3")
@pytest.mark.parametrize("uid", [0, SERVICE_UID], ids=["root", "service"])
def test_without_a_filter_the_parent_stays_closed(uid: int) -> None:
    """In a container that allows no filter: what is missing is said, and the parent's secrets are still closed.

    Signals, and what its parent's own parent leaves open, are not: that is what the filter is for.
    """
    found = tried(uid, "system_calls")

    assert Fence.SYSTEM_CALLS in found["missing"]
    secrets = {name for name in OF_THE_PARENT if "parent's" in name and "parent's parent" not in name}
    assert len(secrets) == 5
    assert set(found["got"]) & (secrets | {"trace the parent"}) == set()
    assert set(found["got"]) & {"fork", "start a program", "start a thread", "write a file", "become root"} == set()


def test_a_parent_that_does_not_hide_is_read() -> None:
    """The counter-proof: without that fence, a process of the same user reads its environment and memory."""
    got = set(tried(SERVICE_UID, "system_calls,hidden_memory")["got"])

    assert {"read the parent's environment", "read the parent's memory", "copy the parent's memory"} <= got


def test_the_attempts_succeed_where_nothing_hinders_them() -> None:
    """Else they would prove nothing: this process may do what the captured codec tries on its own account."""
    own = attempts({"parent": os.getpid(), "grandparent": os.getppid(), "port": 0, "address": 0})
    harmless = {"read the parent's environment", "list the parent's files", "open a socket", "open a local socket"} | {
        *(
            "read a file",
            "write a file",
            "list a folder",
            "fork",
            "start a program",
            "start a thread",
            "load a library",
        ),
        *("resolve a name", "read the parent's memory map"),
    }

    for name in sorted(harmless):
        own[name]()


def test_what_is_missing_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for the pool, not one for a child."""
    pool = CodecPool(concurrency=2, wait_s=5, limits=Limits(1 << 30, 20, 60), clock=SystemClock())
    pool.start()
    for _ in range(3):
        pool.compress(pictures.photo_jpeg(16, 16), Options())
        pool._replace(pool._places[0])
    pool.close()

    assert capsys.readouterr().out.count("codec.fences") == 1


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_a_filter_is_a_whole_program(architecture: str) -> None:
    """Eight bytes a line, jumps that stay inside of it, and a refusal at the end."""
    mark, calls = _ARCHITECTURES[architecture]
    program = _program(mark, calls, own_pid=77)
    lines = [program[at : at + 8] for at in range(0, len(program), 8)]

    assert len(lines[-1]) == 8
    assert all(at + 1 + max(line[2], line[3]) < len(lines) for at, line in enumerate(lines) if line[0] == 0x15)
    assert lines[-1][:2] == b"\x06\0"
    assert len({*calls.values()}) == len(calls)


PICTURES = {
    "JPEG": pictures.photo_jpeg(640, 480),
    "progressive": pictures.photo_jpeg(320, 240, progressive=True),
    "without end": pictures.photo_jpeg(320, 240, progressive=True)[:-2],
    "CMYK": pictures.cmyk_jpeg((10, 200, 30, 40)),
    "P3": pictures.encoded(pictures.quadrants(), "JPEG", icc_profile=pictures.display_p3_profile()),
    "located": pictures.located_jpeg(),
    "PNG": pictures.encoded(pictures.photo(320, 240), "PNG"),
    "16 bits": pictures.sixteen_bit_png(),
    "GIF": pictures.animation("GIF"),
    "GIF without its last code": odd_pictures.gif(40, 30, [(0, 0, 40, 30, 0)], last_code=False),
    "WebP": pictures.animation("WEBP"),
    "AVIF": pictures.encoded(pictures.photo(320, 240), "AVIF"),
    "TIFF": pictures.encoded(pictures.photo(320, 240), "TIFF", compression="tiff_lzw"),
    "TIFF of JPEG": pictures.encoded(pictures.photo(320, 240), "TIFF", compression="jpeg"),
    "planes": odd_pictures.planar_tiff(2, (60000, 20000, 9000), (9000, 20000, 60000)),
    "ICO": odd_pictures.icon(16, 48),
    "BMP": pictures.encoded(pictures.quadrants(), "BMP"),
    "PSD": odd_pictures.psd(odd_pictures.halves()),
    "Lab": pictures.encoded(pictures.quadrants().convert("LAB"), "TIFF"),
}
OPTIONS = [
    Options(),
    Options(output=OutputFormat.AUTO, animated=Animated.KEEP),
    Options(output=OutputFormat.AVIF, max_width=100),
    Options(quality=95, output=OutputFormat.KEEP, target_bytes=3000),
]


def test_the_fences_cost_no_picture() -> None:
    """Every format and way through the codec gives the same behind them as in front of them."""
    pool = CodecPool(concurrency=1, wait_s=5, limits=Limits(1 << 30, 20, 60), clock=SystemClock())
    try:
        for name, source in PICTURES.items():
            for options in OPTIONS:
                assert (name, pool.compress(source, options)) == (name, compress(source, options))
    finally:
        pool.close()
