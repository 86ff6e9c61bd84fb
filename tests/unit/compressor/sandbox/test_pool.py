"""The codec's processes: whatever a picture does to one, the next is compressed, and the outcome says what it was.

The poison is plugged in at the border of the two processes (`support.poisoned_codec`); the bombs are real pictures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from chassis.clock import SystemClock
from chassis.errors import ApiError
from compressor.images.codec import compress
from compressor.images.model import CodecError, Options, OutputFormat
from compressor.sandbox.child import LENGTHS
from compressor.sandbox.pool import CHILD_COMMAND, CodecPool, Limits
from support import pictures, poisoned_codec
from support.compressor_service import RecordingIngest, contract, task
from support.scripted_origin import ScriptedOrigin, answer

POISONED = (sys.executable, "-I", "-B", poisoned_codec.__file__)
PHOTO = pictures.photo_jpeg(64, 48)
MIB = 1024 * 1024

MakePool = Callable[..., CodecPool]


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    pools: list[CodecPool] = []

    def make(
        command: tuple[str, ...] = POISONED,
        *,
        concurrency: int = 1,
        wait_s: float = 10,
        memory_bytes: int = 1024 * MIB,
        cpu_s: int = 20,
        timeout_s: float = 60,
    ) -> CodecPool:
        limits = Limits(memory_bytes, cpu_s, timeout_s)
        pools.append(
            CodecPool(concurrency=concurrency, wait_s=wait_s, limits=limits, clock=SystemClock(), command=command)
        )
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def children(pool: CodecPool) -> list[psutil.Process]:
    return [psutil.Process(place.child._process.pid) for place in pool._places if place.child is not None]


def code_of(pool: CodecPool, source: bytes, options: Options | None = None) -> str:
    with pytest.raises(CodecError) as caught:
        pool.compress(source, options or Options())
    assert not caught.value.transient
    return str(caught.value.code)


def reason_of(pool: CodecPool, source: bytes) -> str:
    with pytest.raises(ApiError) as caught:
        pool.compress(source, Options())
    assert caught.value.http_code == 503
    return str(caught.value.reason)


def test_a_child_gives_what_the_codec_gives(make_pool: MakePool) -> None:
    """Bytes, size, format and notes pass the border; so do refusals."""
    pool = make_pool(CHILD_COMMAND)
    options = Options(quality=90, output=OutputFormat.WEBP, max_width=40)
    animation = pictures.animation("GIF")

    assert pool.compress(animation, options) == compress(animation, options)
    assert code_of(pool, pictures.HTML_PAGE) == "NOT_AN_IMAGE"


def test_pictures_share_a_child(make_pool: MakePool) -> None:
    """A process a picture would cost more than the picture."""
    pool = make_pool(CHILD_COMMAND)
    pool.compress(PHOTO, Options())
    [first] = children(pool)
    pool.compress(PHOTO, Options())

    assert children(pool) == [first]


def test_pictures_after_the_first_take_no_memory_anew(make_pool: MakePool) -> None:
    """A page that the kernel must map and clear costs more than what is done with it."""
    pool = make_pool(CHILD_COMMAND)
    source = pictures.photo_jpeg(2048, 1536)
    for _ in range(2):
        pool.compress(source, Options())
    (child,) = children(pool)

    def mapped_pages() -> int:
        return int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[7])

    before = mapped_pages()
    pool.compress(source, Options())

    assert mapped_pages() - before < 200  # of 9 MB alone for the coefficients that tables are measured by


@pytest.mark.fault("A19")
@pytest.mark.threat("T3")
@pytest.mark.parametrize(
    ("poison", "code"),
    [
        (b"SEGFAULT", "DECODE_CRASHED"),
        (b"SIGNAL %d" % signal.SIGABRT, "DECODE_CRASHED"),
        (b"EXIT", "DECODE_CRASHED"),
        (b"SPIN", "DECODE_TIMEOUT"),
        (b"EAT", "DECODE_OUT_OF_MEMORY"),
    ],
    ids=str,
)
def test_poison_ends_its_own_picture_and_no_other(make_pool: MakePool, poison: bytes, code: str) -> None:
    """For good; pictures before, beside and after it are compressed, and its own process is gone."""
    # Little memory, so that eating it does not take the second of processor time that spinning is given.
    pool = make_pool(cpu_s=1 if poison == b"SPIN" else 20, memory_bytes=256 * MIB, concurrency=2)
    pool.compress(PHOTO, Options())
    beside = threading.Thread(target=lambda: [pool.compress(PHOTO, Options()) for _ in range(20)])
    beside.start()

    assert code_of(pool, PHOTO + poison) == code
    beside.join(30)
    assert not beside.is_alive()
    assert pool.compress(PHOTO, Options()).width == 64
    assert len([child for child in psutil.Process().children() if POISONED[-1] in child.cmdline()]) == 2


def test_a_picture_is_not_blamed_for_what_an_earlier_one_did(make_pool: MakePool) -> None:
    """A crash of a used child is tried once more in a new one."""
    pool = make_pool()
    pool.compress(PHOTO, Options())

    assert pool.compress(PHOTO + b"SEGFAULT-UNLESS-FIRST", Options()).width == 64


def test_a_child_killed_from_outside_blames_no_picture(make_pool: MakePool) -> None:
    """The kernel kills for want of memory: 503, the task comes again."""
    assert reason_of(make_pool(), PHOTO + b"SIGNAL 9") == "OUT_OF_MEMORY"


def test_a_child_that_gets_no_processor_time_blames_no_picture(make_pool: MakePool) -> None:
    """Stuck by the clock although its processor time is not used up: 503, and the next picture finds a new child."""
    pool = make_pool(timeout_s=0.5)
    assert reason_of(pool, PHOTO + b"HANG") == "CODEC_STALLED"
    pool = make_pool()
    assert pool.compress(PHOTO, Options()).width == 64


@pytest.mark.threat("T3")
@pytest.mark.parametrize(
    "answer",
    [
        LENGTHS.pack(2, 1 << 40) + b"{}",
        LENGTHS.pack(1 << 30, 0),
        LENGTHS.pack(2, 0) + b"[]",
        LENGTHS.pack(2, 0) + b"{}",
        LENGTHS.pack(3, 0) + b"\xff\xfe\xfd",
        LENGTHS.pack(44, 0) + b'{"rss_bytes":1,"code":"OKAY","detail":"fine"}'[:44],
    ],
    ids=["endless body", "endless header", "no object", "nothing in it", "no JSON", "unknown code"],
)
def test_a_child_that_was_taken_over_is_not_believed(make_pool: MakePool, answer: bytes) -> None:
    """An answer that no honest child gives is a crash; nothing of it is used, and no memory is set aside for it."""
    assert code_of(make_pool(), PHOTO + b"LIE " + answer) == "DECODE_CRASHED"


def test_a_child_that_does_not_start_is_our_own_trouble(make_pool: MakePool) -> None:
    """503, whether it ends at once or cannot be started at all."""
    assert reason_of(make_pool(("/bin/false",)), PHOTO) == "CODEC_UNAVAILABLE"
    assert reason_of(make_pool(("/no/such/program",)), PHOTO) == "CODEC_UNAVAILABLE"


def test_a_codec_that_stays_busy_is_503(make_pool: MakePool) -> None:
    """The second picture gives up while the first is still in the codec; afterwards the codec works again."""
    pool = make_pool(wait_s=0.05, timeout_s=300)
    pool.compress(PHOTO, Options())
    [busy] = children(pool)
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(reason_of, pool, PHOTO + b"HANG")
        try:
            deadline = time.monotonic() + 30
            while pool._idle.qsize() and time.monotonic() < deadline:
                threading.Event().wait(0.01)

            assert reason_of(pool, PHOTO) == "CODEC_BUSY"
            assert not first.done()
        finally:
            busy.kill()  # it would hang until its time limit
        assert first.result(30) == "OUT_OF_MEMORY"
    assert pool.compress(PHOTO, Options()).width == 64


@pytest.mark.threat("T3")
def test_a_child_has_no_secrets_and_may_write_no_file(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the service's environment, no standard input, no file larger than nothing, few files, no core dump."""
    monkeypatch.setenv("WEBHOOK_SIGNING_SECRET", "whsec_secret")
    pool = make_pool(CHILD_COMMAND)
    pool.compress(PHOTO, Options())
    [child] = children(pool)

    memory = {"MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}
    assert set(child.environ()) <= memory | {"PILLOW_BLOCKS_MAX", "LC_CTYPE"}
    assert child.cwd() == "/"
    lines = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max open files"] == ["64", "64"]
    assert limits["Max processes"] == ["0", "0"]
    assert child.num_fds() <= 5  # standard streams, the socket, and its own memory's figures


def test_children_end_with_their_parent() -> None:
    """Even a parent that is killed leaves none behind: the end of its socket ends them."""
    code = (
        "import sys; from compressor.sandbox.pool import *; from chassis.clock import SystemClock\n"
        "pool = CodecPool(concurrency=2, wait_s=1, limits=Limits(1 << 30, 5, 9), clock=SystemClock()); pool.start()\n"
        "print('started', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        started = psutil.Process(parent.pid).children()
        parent.kill()
    gone, alive = psutil.wait_procs(started, timeout=10)

    assert (len(gone), alive) == (2, [])


def test_a_terminal_does_not_interrupt_a_child(make_pool: MakePool) -> None:
    """Ctrl-C reaches the whole process group; pictures in hand are finished all the same."""
    pool = make_pool(CHILD_COMMAND)
    pool.compress(PHOTO, Options())
    [child] = children(pool)
    os.kill(child.pid, signal.SIGINT)
    os.kill(child.pid, signal.SIGTERM)

    assert pool.compress(PHOTO, Options()).width == 64
    assert children(pool) == [child]


def test_a_worn_child_is_replaced(make_pool: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many pictures; nobody waits for the new one."""
    monkeypatch.setattr("compressor.sandbox.pool._MAX_PICTURES", 2)
    pool = make_pool(CHILD_COMMAND)
    pool.compress(PHOTO, Options())
    [first] = children(pool)
    pool.compress(PHOTO, Options())
    [second] = children(pool)

    assert first != second
    assert pool.compress(PHOTO, Options()).width == 64


# --- real bombs


@pytest.mark.fault("E17")
@pytest.mark.threat("T4")
def test_a_picture_of_many_scans_is_cut_off_by_its_processor_time(make_pool: MakePool) -> None:
    """A progressive JPEG of noise whose last scan is repeated as often as is let through: some seconds, not one."""
    source = pictures.encoded(Image.effect_noise((2000, 1500), 90), "JPEG", progressive=True, quality=95)
    start = source.rindex(b"\xff\xda")
    bomb = source[:-2] + source[start:-2] * 250 + b"\xff\xd9"

    assert code_of(make_pool(CHILD_COMMAND, cpu_s=1), bomb, Options(quality=95)) == "DECODE_TIMEOUT"


@pytest.mark.fault("E18")
@pytest.mark.threat("T4")
def test_a_picture_that_takes_too_much_memory_is_refused_for_good(make_pool: MakePool) -> None:
    """20 MP of transparent pixels in 80 kB of PNG, with 64 MiB to decode them in; then a photo."""
    pool = make_pool(CHILD_COMMAND, memory_bytes=64 * MIB)

    assert code_of(pool, pictures.png(5000, 4000, colour_type=6)) == "DECODE_OUT_OF_MEMORY"
    assert pool.compress(PHOTO, Options()).width == 64


@pytest.mark.fault("E1")
def test_bombs_cost_a_child_nothing(make_pool: MakePool) -> None:
    """Pixels are refused and texts passed over before their memory is taken: 64 MiB are enough, the child lives on."""
    pool = make_pool(CHILD_COMMAND, memory_bytes=64 * MIB)
    pool.compress(PHOTO, Options())
    [child] = children(pool)

    assert code_of(pool, pictures.bomb_png()) == "TOO_MANY_PIXELS"
    assert pool.compress(pictures.text_bomb_png(), Options()).width == 8
    assert children(pool) == [child]


# --- behind the route


@pytest.mark.fault("A19")
@pytest.mark.parametrize(
    ("poison", "code"), [(b"SEGFAULT", "DECODE_CRASHED"), (b"SPIN", "DECODE_TIMEOUT"), (b"EAT", "DECODE_OUT_OF_MEMORY")]
)
def test_a_poisoned_image_is_an_outcome(
    make_service: Any, make_pool: MakePool, origin: ScriptedOrigin, ingest: RecordingIngest, poison: bytes, code: str
) -> None:
    """Answered 200 and told to ingest as permanent, so that nobody tries it again."""
    # Only what spins meets the limit of processor time: filling the memory may take a busy machine seconds of it.
    service = make_service(codec=make_pool(cpu_s=1 if poison == b"SPIN" else 20))
    response = service.post(task(origin.on("/a.jpg", answer(PHOTO + poison))))

    assert (response.status_code, response.json["code"]) == (200, code)
    [outcome] = ingest.outcomes
    assert (outcome["code"], outcome["transient"]) == (code, False)


def test_short_memory_brings_the_task_again_and_blames_no_image(
    make_service: Any, make_pool: MakePool, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The kernel's kill is 503 with Retry-After; ingest hears nothing."""
    service = make_service(codec=make_pool())
    response = service.post(task(origin.on("/a.jpg", answer(PHOTO + b"SIGNAL 9"))))

    assert response.status_code == 503
    contract("error").validate(response.json)
    assert response.json["error"]["details"][0]["reason"] == "OUT_OF_MEMORY"
    assert ingest.outcomes == []
