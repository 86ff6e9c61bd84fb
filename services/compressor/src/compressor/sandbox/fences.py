"""What the codec's process gives up for good before it sees a picture: one that takes it over then gets nothing.

From then on it may compute, ask for memory, and read from and write to what is open: no system call opens a file or a
connection, starts a process or thread, or touches another process. Where a container does not allow one of the fences
the others still stand, and the name of the missing one is returned.

Filters are written here and not by libseccomp: its Python package needs the C library on the machine, and the filter
is a list of numbers. Sources: seccomp(2), prctl(2), linux/filter.h, and the tables of system calls in linux/arch.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
from collections.abc import Callable
from enum import StrEnum

NOBODY = 65534
"""User and group of the process where its parent is root."""

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 4, 38, 22, 2
_LIBC = ctypes.CDLL(None, use_errno=True)


class Fence(StrEnum):
    """The fences by the names under which a missing one is logged."""

    HIDDEN_MEMORY = "hidden_memory"
    """The parent's memory and environment are closed to other processes of the same user."""
    OWN_USER = "own_user"
    """The process is another user than its parent; needs a parent that is root."""
    NO_NEW_PRIVILEGES = "no_new_privileges"
    NO_PROCESSES = "no_processes"
    SYSTEM_CALLS = "system_calls"
    """Only the calls named here are made."""


# Each architecture's mark and its numbers: computing, memory, what is open, time, signals of its own, and the end.
_ARCHITECTURES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "read": 0,
            "write": 1,
            "close": 3,
            "fstat": 5,
            "poll": 7,
            "lseek": 8,
            "mmap": 9,
            "mprotect": 10,
            "munmap": 11,
            "brk": 12,
            "rt_sigaction": 13,
            "rt_sigprocmask": 14,
            "rt_sigreturn": 15,
            "pread64": 17,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "getpid": 39,
            "getcwd": 79,
            "sendto": 44,
            "recvfrom": 45,
            "exit": 60,
            "getrusage": 98,
            "sigaltstack": 131,
            "gettid": 186,
            "futex": 202,
            "sched_getaffinity": 204,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "exit_group": 231,
            "tgkill": 234,
            "prlimit64": 302,
            "getrandom": 318,
            "rseq": 334,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "getcwd": 17,
            "close": 57,
            "lseek": 62,
            "read": 63,
            "write": 64,
            "pread64": 67,
            "ppoll": 73,
            "fstat": 80,
            "exit": 93,
            "exit_group": 94,
            "futex": 98,
            "clock_gettime": 113,
            "sched_getaffinity": 123,
            "sched_yield": 124,
            "restart_syscall": 128,
            "tgkill": 131,
            "sigaltstack": 132,
            "rt_sigaction": 134,
            "rt_sigprocmask": 135,
            "rt_sigreturn": 139,
            "getrusage": 165,
            "getpid": 172,
            "gettid": 178,
            "sendto": 206,
            "recvfrom": 207,
            "brk": 214,
            "munmap": 215,
            "mremap": 216,
            "mmap": 222,
            "mprotect": 226,
            "madvise": 233,
            "prlimit64": 261,
            "getrandom": 278,
            "rseq": 293,
        },
    ),
}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # of a 32-bit word; jump if equal
_CALL_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data; both are little-endian
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # refused with EPERM


def hide_memory() -> list[Fence]:
    """Close this process's memory and environment to other processes of its user; return the fence if it is missing."""
    return _missing(Fence.HIDDEN_MEMORY, lambda: _prctl(_PR_SET_DUMPABLE, 0))


def confine_process() -> list[Fence]:
    """Put up all fences around this process; return those that the container does not allow."""
    return [
        *_missing(Fence.OWN_USER, _become_nobody),
        *_missing(Fence.NO_PROCESSES, lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))),
        *_missing(Fence.NO_NEW_PRIVILEGES, lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        *_missing(Fence.SYSTEM_CALLS, _filter_system_calls),
    ]


def _missing(fence: Fence, put_up: Callable[[], None]) -> list[Fence]:
    try:
        put_up()
    except OSError:
        return [fence]
    return []


def _prctl(option: int, value: int, pointer: object = None) -> None:
    if _LIBC.prctl(option, value, pointer, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _filter_system_calls() -> None:
    if platform.machine() not in _ARCHITECTURES:
        raise OSError("no list of system calls for this architecture")
    program = _program(*_ARCHITECTURES[platform.machine()], own_pid=os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def _program(architecture: int, calls: dict[str, int], *, own_pid: int) -> bytes:
    """Return the filter: each call that is allowed by its number, two of them only when they are about this process."""
    own = {"tgkill": own_pid, "prlimit64": 0}
    plain = [number for name, number in calls.items() if name not in own]
    lines: list[tuple[int, int, int, int]] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _CALL_AT),
    ]
    for name, value in own.items():
        lines += [
            (_EQUAL, 0, 4, calls[name]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_EQUAL, 0, 1, value),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ]
    for number in plain:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
