"""A codec's process that some pictures are poison to: `python poisoned_codec.py SOCKET_FD MEMORY_BYTES CPU_S`.

The poison is in what comes behind a JPEG's end; all other pictures are compressed as usual. Tests put it in the place
of `compressor.sandbox.child`, at the border between the two processes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

from compressor.images.codec import compress
from compressor.images.model import Options, Rendition
from compressor.sandbox import child as codec_child

_pictures = 0


def work(source: bytes, options: Options) -> Rendition:
    """Do what the poison says, else compress."""
    global _pictures  # noqa: PLW0603 - it counts what this process did
    _pictures += 1
    match source.rpartition(b"\xff\xd9")[2].split(b" "):
        case [b"SEGFAULT"]:
            ctypes.string_at(0)
        case [b"SEGFAULT-UNLESS-FIRST"] if _pictures > 1:
            ctypes.string_at(0)
        case [b"SIGNAL", number]:
            signal.raise_signal(signal.Signals(int(number)))
        case [b"EXIT"]:
            os._exit(0)
        case [b"SPIN"]:
            while True:
                pass
        case [b"HANG"]:
            threading.Event().wait()
        case [b"EAT"]:
            eaten = []
            while True:
                eaten.append(bytearray(1 << 24))
        case [b"LIE", answer]:
            os.write(int(sys.argv[1]), answer)
            threading.Event().wait()
        case [b"ENVIRONMENT"]:
            raise RuntimeError(os.environ)
    return compress(source, options)


if __name__ == "__main__":
    codec_child.main(sys.argv[1:], work)
