"""The process that decodes: `python -m compressor.sandbox.child SOCKET_FD MEMORY_BYTES CPU_S`, started by `sandbox`.

It answers one frame to each frame until its parent closes the socket. A frame is two lengths (4 and 8 bytes,
big-endian), a JSON object and a body; the first frame it sends is empty and says that it is ready. It has no
environment, may write no file, and is ended by the kernel when a picture takes more processor time than it may. Knows
no network and no settings.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from compressor.images.codec import compress
from compressor.images.model import Animated, CodecError, Metadata, Options, OutputFormat, Rendition

LENGTHS = struct.Struct(">IQ")
_MAX_FILES = 64


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


def serve(sock: socket.socket, cpu_s: int, work: Callable[[bytes, Options], Rendition] = compress) -> None:
    """Answer frames until the other side closes.

    Args:
        sock: connected to the parent.
        cpu_s: seconds of processor time for one picture; the kernel's limit has whole seconds.
        work: what to do with a picture.
    """
    send_frame(sock, {})
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


def _memory_pages() -> tuple[int, int]:
    size, resident, *_ = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(size), int(resident)


def _resident_bytes() -> int:
    return _memory_pages()[1] * os.sysconf("SC_PAGE_SIZE")


def confine(memory_bytes: int) -> None:
    """Give up what decoding does not need; `memory_bytes` is address space on top of what this process has now."""
    # Ctrl-C and SIGTERM are the parent's to handle: its pictures in hand are to be finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Image.preinit()  # later imports would need more files
    Image.init()
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_FILES),
        (resource.RLIMIT_AS, _memory_pages()[0] * os.sysconf("SC_PAGE_SIZE") + memory_bytes),
    ):
        resource.setrlimit(limit, (value, value))


def main(arguments: list[str], work: Callable[[bytes, Options], Rendition] = compress) -> None:
    """Run with the command line's three numbers."""
    file_number, memory_bytes, cpu_s = map(int, arguments)
    confine(memory_bytes)
    with socket.socket(fileno=file_number) as sock:
        serve(sock, cpu_s, work)


if __name__ == "__main__":
    main(sys.argv[1:])
