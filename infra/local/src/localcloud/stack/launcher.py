"""Becomes a program: as the user, and with the end, that it is to have. Run as a script, in the program's own process.

`subprocess` could do this between fork and exec (`user=`, `preexec_fn=`). Then it forks for real, and the handlers of
everything that heard of forks run beside threads that do not stop for it: gRPC's abort the process now and then. A
child that only executes this file is made without such a fork.

Arguments: process id of the parent, number of the stop signal, `UID:GID` or `-`, then the program's own.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_CANNOT_EXECUTE = 126


def main() -> None:
    """Take the user's identity, ask the kernel for the stop signal at the parent's end, and become the program."""
    parent, stop_signal, user, *argv = sys.argv[1:]
    if user != "-":
        uid, gid = map(int, user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which would take it back.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
    # The parent may have died before the call above: then no signal will come.
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - this is what the file is for
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_EXECUTE)


if __name__ == "__main__":
    main()
