"""A parent of a captured codec: `python captured_parent.py UID [FENCE,...]` prints what the child got, as JSON.

It has a secret in its environment and a listener on loopback, and runs as that user, as the service does.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys

from chassis.clock import SystemClock
from compressor.images.model import CodecError, Options
from compressor.sandbox.fences import hide_memory
from compressor.sandbox.pool import CodecPool, Limits
from support import captured_codec, pictures

_PR_SET_DUMPABLE = 4


def main(uid: int, without: str) -> None:
    """Start the codec, become the user, and print what the codec got and what it said is missing."""
    secret = ctypes.create_string_buffer(b"secret in memory")
    command = (sys.executable, "-I", "-B", captured_codec.__file__, f"uid={uid}", f"without={without}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limits = Limits(1 << 30, 20, 60)
        pool = CodecPool(concurrency=1, wait_s=5, limits=limits, clock=SystemClock(), command=command)
        pool.start()
        if uid != os.getuid():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        # Becoming another user has hidden the memory; only what the service does shall count.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        if "hidden_memory" not in without:
            hide_memory()
        given = {
            "parent": os.getpid(),
            "grandparent": os.getppid(),
            "address": ctypes.addressof(secret),
            "port": listener.getsockname()[1],
        }
        try:
            pool.compress(pictures.photo_jpeg(16, 16) + json.dumps(given).encode(), Options())
        except CodecError as error:
            if not error.detail.startswith("["):
                raise
            got = json.loads(error.detail)
        child = pool._places[0].child
        assert child is not None
        sys.stdout.write(json.dumps({"got": got, "missing": child.missing_fences}) + "\n")
        # Another user's process cannot be ended by us; its socket's end ends it.
        child._socket.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
