"""A codec's process that a picture has taken over: it tries what such code would, and reports what it got.

`python captured_codec.py [uid=UID] [without=FENCE,...] SOCKET_FD MEMORY_BYTES CPU_S`, in the place of
`compressor.sandbox.child`. What stands behind a JPEG's end is JSON: the ids of its parent and of that one's parent, an
address in the parent's memory, and a port that listens.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compressor.images.model import CodecError, Options, OutcomeCode, Rendition
from compressor.sandbox import child as codec_child
from compressor.sandbox import fences

_LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PTRACE_DETACH, _WAIT_FOR_ALL = 16, 17, 0x40000000
"x".encode("idna")  # what name lookups load, so that it is not missing for want of files
_SYSCALLS = {"x86_64": (310, 101, 56), "aarch64": (270, 117, 220)}[os.uname().machine]
"""The numbers of process_vm_readv, ptrace and clone."""


class _Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def _peek(pid: int, address: int) -> None:
    buffer = ctypes.create_string_buffer(16)
    here = _Piece(ctypes.addressof(buffer), 16)
    there = _Piece(address, 16)
    _checked(_LIBC.syscall(_SYSCALLS[0], pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))


def _traced(pid: int) -> None:
    _checked(_LIBC.ptrace(_PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, _WAIT_FOR_ALL)
    _LIBC.ptrace(_PTRACE_DETACH, pid, None, None)  # else it would stand still for ever


def _connected(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def _local_socket() -> None:
    for end in socket.socketpair():
        end.close()


def _write_file() -> None:
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/"):
        path = Path(folder) / f"captured-{os.getpid()}"
        try:
            path.write_text("x")
        except OSError:
            continue
        path.unlink()
        return
    raise PermissionError


def _forked() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _thread_started() -> None:
    thread = threading.Thread(target=lambda: None)
    try:
        thread.start()
    except RuntimeError as error:
        raise PermissionError from error
    thread.join()


def attempts(given: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return what is tried, by name; each raises OSError when it is refused."""
    parent, port = given["parent"], given["port"]
    proc = Path(f"/proc/{parent}")
    return {
        "read the parent's environment": lambda: (proc / "environ").read_bytes()[0],
        "read the parent's memory": lambda: os.open(proc / "mem", os.O_RDONLY),
        "read the parent's memory map": lambda: (proc / "maps").read_text()[0],
        "list the parent's files": lambda: [*(proc / "fd").iterdir()],
        "copy the parent's memory": lambda: _peek(parent, given["address"]),
        "trace the parent": lambda: _traced(parent),
        "read the environment of the parent's parent": lambda: Path(
            f"/proc/{given['grandparent']}/environ"
        ).read_bytes()[0],
        "end the parent": lambda: os.kill(parent, signal.SIGCONT),
        "reach the limits of the parent": lambda: _checked(
            _LIBC.prlimit(parent, 7, None, ctypes.create_string_buffer(16))
        ),
        "open a connection": lambda: _connected(port),
        "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "open a local socket": _local_socket,
        "resolve a name": lambda: socket.getaddrinfo("localhost", 80)[0],
        "fork": _forked,
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "become a program": lambda: os.execv("/bin/nothing-of-this-name-would-be-ENOENT", ["x"]),
        "start a thread": _thread_started,
        "read a file": lambda: Path("/etc/passwd").read_text()[0],
        "write a file": _write_file,
        "list a folder": lambda: [*Path("/").iterdir()],
        "become root": lambda: os.setuid(0),
        "make a namespace": lambda: _checked(_LIBC.unshare(0x10000000)),
        "load a library": lambda: ctypes.CDLL("libBrokenLocale.so.1"),
    }


def work(source: bytes, options: Options) -> Rendition:
    """Try everything, and report it as the detail of a refusal: the names of what succeeded."""
    given = json.loads(source.rpartition(b"\xff\xd9")[2])
    got = []
    for name, attempt in attempts(given).items():
        try:
            attempt()
        except FileNotFoundError:
            pass  # it looked, and was not refused
        except Exception:  # noqa: BLE001 - refused, or a module that cannot be loaded
            continue
        got.append(name)
    raise CodecError(OutcomeCode.DECODE_ERROR, json.dumps(got)[:500])


def _left_out(names: list[str]) -> None:
    """Have these fences fail, as in a container that does not allow them."""

    def refuse() -> None:
        raise PermissionError

    for name in names:
        if name == "system_calls":
            fences._filter_system_calls = refuse


def main(arguments: list[str]) -> None:
    """Become the user, leave fences out, and be a codec."""
    own = [argument for argument in arguments if "=" not in argument]
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if (uid := int(given.get("uid", os.getuid()))) != os.getuid():
        # Only here, as the interpreter may lie where no other user can start it.
        codec_child._warm_up()
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _left_out([name for name in given.get("without", "").split(",") if name])
    codec_child.main(own, work)


if __name__ == "__main__":
    main(sys.argv[1:])
