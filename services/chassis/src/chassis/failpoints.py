"""Failpoints: named points between two effects where a test makes a service die, to prove that nothing is lost by it.

Each service declares its points in a table of its own, `failpoints.py`, and marks each with `reach(Failpoint.NAME)`.
Unarmed, that is one comparison. Armed by `FAILPOINTS=name:action,...`, a point acts when it can take the last ticket
that lies for it in `FAILPOINTS_DIR`: the files `NAME.1`, `NAME.2`, ... Every time the point is reached the ticket with
the highest number is removed, and whoever removes number 1 acts. So it acts once, at the n-th time, whichever of the
service's processes gets there, and not again after the restart.

The idea is that of FreeBSD's fail(9) and of TiKV's fail-rs: https://man.freebsd.org/cgi/man.cgi?query=fail
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from chassis.limited import Limited
from chassis.logs import get_logger
from chassis.settings import Settings, SettingsError, exit_with_faults

log = get_logger(__name__)

MAX_TICKETS: Annotated[
    int,
    Limited("arrivals", "the start is refused", "Latest arrival at which a failpoint of the tests acts", internal=True),
] = 9
"""The latest time at which a point can act."""


class Action(StrEnum):
    """What happens at a point: the process gets SIGKILL, or an exception is raised."""

    KILL = "kill"
    RAISE = "raise"


class FailpointError(Exception):
    """What `raise` raises; no service catches it by name."""


@dataclass(frozen=True, slots=True)
class _Plan:
    actions: Mapping[str, Action]
    folder: Path


_plan: _Plan | None = None


def arm(orders: Sequence[str], folder: str, *, known: Iterable[str]) -> None:
    """Arm this process's failpoints; no orders disarm all of them.

    Args:
        orders: `name:action` each.
        folder: where the tickets lie.
        known: the names that the service has declared.

    Raises:
        SettingsError: an order names an unknown point or action, or there is no such folder.
    """
    global _plan  # noqa: PLW0603 - points are reached from everywhere; a process has one plan, made at its start
    if not orders:
        _plan = None
        return
    names = frozenset(known)
    faults = []
    actions = {}
    for order in orders:
        name, _, action = order.partition(":")
        if name not in names:
            faults.append(f"FAILPOINTS: there is no failpoint {name!r}; there are {', '.join(sorted(names))}")
        elif action not in list(Action):
            faults.append(f"FAILPOINTS: {name}: the action must be one of {', '.join(Action)}, not {action!r}")
        else:
            actions[name] = Action(action)
    if not folder or not Path(folder).is_dir():
        faults.append("FAILPOINTS_DIR: must be the folder of the tickets when FAILPOINTS is set")
    if faults:
        raise SettingsError(faults)
    _plan = _Plan(actions, Path(folder))
    log.critical("failpoints.armed", failpoints=sorted(actions), folder=folder)


def arm_failpoints(service: str, settings: Settings, known: Iterable[str]) -> None:
    """Arm what the settings name; end the process with status 2 when they name what does not exist."""
    try:
        arm(settings.failpoints, settings.failpoints_dir, known=known)
    except SettingsError as error:
        exit_with_faults(service, error)


def reach(name: str) -> None:
    """Act if this point is armed and its last ticket lies there; otherwise do nothing.

    Raises:
        FailpointError: the order says `raise`.
    """
    if _plan is None or name not in _plan.actions or not _takes_last_ticket(_plan.folder, name):
        return
    action = _plan.actions[name]
    log.critical("failpoint.reached", failpoint=str(name), action=action.value)
    if action is Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailpointError(name)


def _takes_last_ticket(folder: Path, name: str) -> bool:
    for number in range(MAX_TICKETS, 0, -1):
        try:
            # Removing is atomic: of two processes that want one ticket, one gets the next.
            (folder / f"{name}.{number}").unlink()
        except FileNotFoundError:
            continue
        return number == 1
    return False
