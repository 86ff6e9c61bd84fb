"""The codec in processes of its own: a decoder that crashes, never ends or takes too much memory harms nothing else.

One long-lived child for each picture that may be decoded at once (`codec_child`). It is replaced after a crash, after a
thousand pictures, or when it has grown. What a child says is checked: it may have been taken over by a picture.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from queue import Empty, LifoQueue
from typing import Any

from chassis.clock import Clock
from chassis.logs import get_logger
from chassis.tracing import span
from compressor.errors import codec_busy, codec_stalled, codec_unavailable, out_of_memory
from compressor.images.model import CodecError, Note, Options, OutcomeCode, OutputFormat, Rendition
from compressor.sandbox.child import LENGTHS, send_frame
from compressor.sandbox.fences import Fence, hide_memory

log = get_logger(__name__)

CHILD_COMMAND = (sys.executable, "-I", "-B", "-m", "compressor.sandbox.child")
"""Isolated: neither the environment nor the working directory decides what is imported."""

# Memory that is given back is asked for again by the next picture, and 2,300 pages mapped anew took a tenth of the
# processor time of a photo of 3 MP. So the child keeps up to 64 MiB, in large pages where the kernel has them; what one
# of the larger pictures takes in pieces above 32 MiB is given back at once.
# One arena: each further one reserves 64 MiB of the address space that is limited, for threads that allocate little.
_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Blocks of 16 MB.
    "PILLOW_BLOCKS_MAX": "2",
}
_MAX_HEADER_BYTES = 64 * 1024
_MAX_BODY_BYTES = 256 * 1024 * 1024
_RECEIVE_BYTES = 1 << 18
_MAX_PICTURES = 1000
_MAX_RSS_BYTES = 256 * 1024 * 1024
_START_TIMEOUT_S = 15.0
_END_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one picture may take.

    Args:
        memory_bytes: address space above the idle child's; more is DECODE_OUT_OF_MEMORY.
        cpu_s: whole seconds of processor time; more is DECODE_TIMEOUT.
        timeout_s: seconds by the clock; more is our own trouble (503), as the child did not get its processor time.
    """

    memory_bytes: int
    cpu_s: int
    timeout_s: float


class _ChildDiedError(Exception):
    """The child ended on its own, by this signal (0: it exited)."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class _ShortOfMemoryError(Exception):
    """The picture met the child's limit of memory."""


class _Child:
    """A codec process and the socket to it; used by one thread at a time."""

    def __init__(self, command: Sequence[str], limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._deadline = 0.0
        self._is_started = False
        self._is_busy = False
        self.pictures = 0
        self.rss_bytes = 0
        self.missing_fences: tuple[Fence, ...] = ()
        self._socket, theirs = socket.socketpair()
        with theirs:
            numbers = (theirs.fileno(), limits.memory_bytes, limits.cpu_s)
            try:
                self._process = subprocess.Popen(
                    [*command, *map(str, numbers)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    cwd="/",
                    env=_ENVIRONMENT,
                    pass_fds=(theirs.fileno(),),
                )
            except BaseException:
                self._socket.close()
                raise

    @property
    def is_worn(self) -> bool:
        """Whether it should be replaced before it gets another picture."""
        return self._is_busy or self.pictures >= _MAX_PICTURES or self.rss_bytes > _MAX_RSS_BYTES

    def wait_until_ready(self) -> None:
        """Wait for the end of its imports.

        Raises:
            ApiError: 503, it does not start.
        """
        if self._is_started:
            return
        self._deadline = self._clock.monotonic() + _START_TIMEOUT_S
        try:
            self._is_started = self._is_busy = True
            header, _ = self._receive()
            self.missing_fences = tuple(Fence(name) for name in header.get("missing_fences", ()))
        except (EOFError, OSError, TypeError, ValueError) as error:
            raise codec_unavailable() from error
        self._is_busy = False

    def compress(self, source: bytes, options: Options, deadline: float) -> Rendition:
        """Have a picture compressed.

        Raises:
            CodecError: the picture cannot be compressed.
            TimeoutError: the deadline passed.
            _ChildDiedError: it died.
            _ShortOfMemoryError: it may not have that much memory.
        """
        self.pictures += 1
        self._is_busy = True  # and stays so when this ends by an exception: what it says next is for nobody
        self._deadline = deadline
        try:
            self._set_timeout()
            send_frame(self._socket, asdict(options), source)
            header, data = self._receive()
        except TimeoutError:
            raise
        except (EOFError, OSError) as error:
            raise _ChildDiedError(self._signal_number()) from error
        except ValueError as error:
            raise _ChildDiedError(0) from error
        self._is_busy = False
        try:
            return self._result(header, data)
        except (KeyError, TypeError, ValueError) as error:
            raise _ChildDiedError(0) from error

    def _result(self, header: dict[str, Any], data: bytearray) -> Rendition:
        self.rss_bytes = int(header["rss_bytes"])
        if "short_of_memory" in header:
            raise _ShortOfMemoryError
        if "code" in header:
            raise CodecError(OutcomeCode(header["code"]), str(header["detail"])[:500])
        quality = header["quality"]
        return Rendition(
            bytes(data),
            OutputFormat(header["format"]),
            int(header["width"]),
            int(header["height"]),
            tuple(Note(note) for note in header["notes"]),
            None if quality is None else int(quality),
        )

    def _receive(self) -> tuple[dict[str, Any], bytearray]:
        header_bytes, body_bytes = LENGTHS.unpack(self._read_exactly(LENGTHS.size))
        if header_bytes > _MAX_HEADER_BYTES or body_bytes > _MAX_BODY_BYTES:
            raise ValueError("a frame of the codec's process is too long")
        header = json.loads(self._read_exactly(header_bytes))
        if not isinstance(header, dict):
            raise ValueError("a frame of the codec's process holds no object")
        return header, self._read_exactly(body_bytes)

    def _read_exactly(self, count: int) -> bytearray:
        buffer = bytearray()
        while len(buffer) < count:
            self._set_timeout()
            data = self._socket.recv(min(count - len(buffer), _RECEIVE_BYTES))
            if not data:
                raise EOFError
            buffer += data
        return buffer

    def _set_timeout(self) -> None:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)

    def _signal_number(self) -> int:
        try:
            return max(0, -self._process.wait(_END_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            return 0

    def end(self) -> None:
        """Kill it and wait for its end."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


@dataclass(slots=True)
class _Place:
    """Room for one child; None before it is first needed, and after one could not be started."""

    child: _Child | None = None


class CodecPool:
    """Children for so many pictures at once, started when they are first needed or by `start`.

    Args:
        concurrency: pictures decoded at once; threads beyond that wait.
        wait_s: seconds to wait for a child.
        limits: of one picture.
        clock: reads the time.
        command: starts a child; three numbers are appended. Tests put a poisoned codec here.
    """

    def __init__(
        self, *, concurrency: int, wait_s: float, limits: Limits, clock: Clock, command: Sequence[str] = CHILD_COMMAND
    ) -> None:
        self._wait_s = wait_s
        self._limits = limits
        self._clock = clock
        self._command = command
        self._has_said = False
        self._own_missing = hide_memory()
        self._places = tuple(_Place() for _ in range(concurrency))
        # The last used goes first: few pictures keep few children warm.
        self._idle: LifoQueue[_Place] = LifoQueue()
        for place in self._places:
            self._idle.put(place)

    def start(self) -> None:
        """Start all children without waiting for them; to be called before the first picture."""
        for place in self._places:
            self._replace(place)

    def close(self) -> None:
        """End all children; pictures in hand are waited for."""
        for _ in self._places:
            place = self._idle.get()
            if place.child is not None:
                place.child.end()
                place.child = None

    def compress(self, source: bytes, options: Options) -> Rendition:
        """Return the rendition; it or the error says for how long the picture was in a child.

        Raises:
            CodecError: the picture cannot be compressed, or no child survives it.
            ApiError: 503, the codec stayed busy, got no processor time, does not start, or memory ran out.
        """
        try:
            place = self._idle.get(timeout=self._wait_s)
        except Empty:
            raise codec_busy() from None
        begun = self._clock.monotonic()
        try:
            with span("codec", bytes_in=len(source)) as coding:
                rendition = self._compress(place, source, options)
                coding.set(bytes_out=len(rendition.data), format=rendition.format.value)
            return replace(rendition, codec_s=self._clock.monotonic() - begun)
        except CodecError as error:
            error.codec_s = self._clock.monotonic() - begun
            raise
        finally:
            if place.child is None or place.child.is_worn:
                self._replace(place)
            self._idle.put(place)

    def _compress(self, place: _Place, source: bytes, options: Options) -> Rendition:
        deadline = self._clock.monotonic() + self._limits.timeout_s
        while True:
            child = self._ready_child(place)
            is_first = child.pictures == 0
            try:
                return child.compress(source, options, deadline)
            except TimeoutError as error:
                log.warning("codec.stalled", pictures=child.pictures)
                raise codec_stalled() from error
            except _ShortOfMemoryError as error:
                if is_first:
                    raise CodecError(
                        OutcomeCode.DECODE_OUT_OF_MEMORY,
                        f"it takes more than {self._limits.memory_bytes >> 20} MiB of memory",
                    ) from error
            except _ChildDiedError as error:
                log.warning("codec.died", signal=error.signal_number, pictures=child.pictures)
                if error.signal_number == signal.SIGXCPU:
                    raise CodecError(
                        OutcomeCode.DECODE_TIMEOUT, f"it takes more than {self._limits.cpu_s} s of processor time"
                    ) from error
                if error.signal_number == signal.SIGKILL:  # by the kernel, for want of memory
                    raise out_of_memory() from error
                if is_first:
                    raise CodecError(OutcomeCode.DECODE_CRASHED, "the decoder crashed") from error
            # An earlier picture may have damaged the child: only what a new one meets is this picture's doing.
            self._replace(place)

    def _ready_child(self, place: _Place) -> _Child:
        if place.child is None:
            self._replace(place)
        if place.child is None:
            raise codec_unavailable()
        place.child.wait_until_ready()
        self._say_once(place.child.missing_fences)
        return place.child

    def _say_once(self, missing: tuple[Fence, ...]) -> None:
        """Log what the container does not allow; a parent that is not root can give its child no other user."""
        if self._has_said:
            return
        self._has_said = True
        say = log.info if set(missing) <= {Fence.OWN_USER} else log.warning
        say("codec.fences", missing=[*self._own_missing, *missing])

    def _replace(self, place: _Place) -> None:
        if place.child is not None:
            place.child.end()
            place.child = None
        try:
            place.child = _Child(self._command, self._limits, self._clock)
        except OSError as error:
            log.error("codec.not_started", error=type(error).__name__)
