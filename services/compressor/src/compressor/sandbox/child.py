"""The process that decodes: `python -m compressor.sandbox.child SOCKET_FD MEMORY_BYTES CPU_S`, started by the pool.

It answers one frame to each frame until its parent closes the socket. A frame is two lengths (4 and 8 bytes,
big-endian), a JSON object and a body; the first frame it sends says that it is ready, and which fences are missing.
It has no environment, can open nothing, and is ended by the kernel when a picture takes more processor time than it
may. Knows no network and no settings.
"""

from __future__ import annotations

import io
import json
import math
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from compressor.images.codec import compress
from compressor.images.model import Animated, CodecError, Metadata, Options, OutputFormat, Rendition
from compressor.sandbox.fences import Fence, confine_process

LENGTHS = struct.Struct(">IQ")
_MAX_FILES = 64
_ENCODED = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF")


def send_frame(sock: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Send a frame.

    Raises:
        OSError: the other side is gone, or the socket's timeout passed.
    """
    text = json.dumps(header).encode()
    sock.sendall(LENGTHS.pack(len(text), len(body)) + text)
    sock.sendall(body)


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    data = sock.recv(count, socket.MSG_WAITALL) if count else b""
    if len(data) < count:
        raise EOFError
    return data


def serve(
    sock: socket.socket,
    cpu_s: int,
    work: Callable[[bytes, Options], Rendition] = compress,
    *,
    missing: Sequence[Fence] = (),
) -> None:
    """Answer frames until the other side closes.

    Args:
        sock: connected to the parent.
        cpu_s: seconds of processor time for one picture; the kernel's limit has whole seconds.
        work: what to do with a picture.
        missing: the fences that the container does not allow.
    """
    send_frame(sock, {"missing_fences": list(missing)})
    while True:
        try:
            header_bytes, body_bytes = LENGTHS.unpack(_read_exactly(sock, LENGTHS.size))
            header = json.loads(_read_exactly(sock, header_bytes))
            source = _read_exactly(sock, body_bytes)
        except (EOFError, ConnectionError):
            return
        _allow_cpu(cpu_s)
        answer, data = _answered(work, source, _options(header))
        answer["rss_bytes"] = _resident_bytes()
        try:
            send_frame(sock, answer, data)
        except ConnectionError:
            return


def _options(header: dict[str, Any]) -> Options:
    enums = {
        "output": OutputFormat(header["output"]),
        "metadata": Metadata(header["metadata"]),
        "animated": Animated(header["animated"]),
    }
    return Options(**(header | enums))


def _answered(
    work: Callable[[bytes, Options], Rendition], source: bytes, options: Options
) -> tuple[dict[str, Any], bytes]:
    try:
        rendition = work(source, options)
    except CodecError as error:
        return {"code": error.code, "detail": error.detail}, b""
    except MemoryError:
        return {"short_of_memory": True}, b""
    answer = {
        "format": rendition.format,
        "width": rendition.width,
        "height": rendition.height,
        "notes": rendition.notes,
        "quality": rendition.quality,
    }
    return answer, rendition.data


def _allow_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


# Opened before anything is given up: afterwards no file can be.
_statm = os.open("/proc/self/statm", os.O_RDONLY)


def _memory_pages() -> tuple[int, int]:
    size, resident, *_ = os.pread(_statm, 200, 0).split()
    return int(size), int(resident)


def _resident_bytes() -> int:
    return _memory_pages()[1] * os.sysconf("SC_PAGE_SIZE")


def confine(memory_bytes: int) -> list[Fence]:
    """Give up what decoding does not need, and return the fences that are missing.

    `memory_bytes` is address space on top of what this process has now.
    """
    # Ctrl-C and SIGTERM are the parent's to handle: its pictures in hand are to be finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Image.preinit()  # later imports would need files
    Image.init()
    _warm_up()
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_AS, _memory_pages()[0] * os.sysconf("SC_PAGE_SIZE") + memory_bytes),
    ):
        resource.setrlimit(limit, (value, value))
    return confine_process()


def _warm_up() -> None:
    """Write and read a dot in every format: what libraries load when they are first used must be loaded by then."""
    for output in _ENCODED:
        dot = Image.new("RGB", (16, 16), "red")
        buffer = io.BytesIO()
        dot.save(buffer, output, **({"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"} if output != "GIF" else {}))
        for options in (Options(), Options(output=OutputFormat.AUTO, animated=Animated.KEEP)):
            compress(buffer.getvalue(), options)


def main(arguments: list[str], work: Callable[[bytes, Options], Rendition] = compress) -> None:
    """Run with the command line's three numbers."""
    file_number, memory_bytes, cpu_s = map(int, arguments)
    with socket.socket(fileno=file_number) as sock:
        missing = confine(memory_bytes)
        serve(sock, cpu_s, work, missing=missing)


if __name__ == "__main__":
    main(sys.argv[1:])
