"""What goes wrong during a soak: each a named act on the running stack that ends by itself."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import requests

from localcloud.stack.blocking import Stack

Act = Callable[[Stack], None]

_DATABASE_DOWN_S = 5.0
_BACK_WITHIN_S = 90.0


def _killed(name: str) -> Act:
    def act(stack: Stack) -> None:
        stack.kill(name)
        stack.wait_healthy(name, _BACK_WITHIN_S)

    return act


def _database_down(stack: Stack) -> None:
    stack.stop_one("postgres")
    time.sleep(_DATABASE_DOWN_S)
    stack.start_one("postgres")


def _ordered(port: str, **fault: object) -> Act:
    def act(stack: Stack) -> None:
        answer = requests.post(f"{stack.url(port)}/_local/faults", json=fault, timeout=10)
        answer.raise_for_status()

    return act


DISTURBANCES: dict[str, Act] = {
    "kill compressor": _killed("compressor"),
    "kill ingest": _killed("ingest"),
    "kill ingest's internal door": _killed("ingest-internal"),
    "kill reporter": _killed("reporter"),
    "kill reporter's internal door": _killed("reporter-internal"),
    "kill localcloud: queue and executions forgotten": _killed("localcloud"),
    "kill storage": _killed("storage"),
    "database stopped for 5 s": _database_down,
    "30 tasks delivered twice": _ordered("tasks", route="tasks.dispatch", fault="deliver-twice", count=30),
    "10 tasks lost": _ordered("tasks", route="tasks.dispatch", fault="lose", count=10),
    "20 dispatches without their answer": _ordered("tasks", route="tasks.dispatch", fault="drop-response", count=20),
    "10 tasks created, answer lost": _ordered("tasks", route="tasks.create", fault="drop-response", count=10),
    "10 creations of tasks refused": _ordered("tasks", route="tasks.create", fault="fail", code=503, count=10),
    "3 creations of executions refused": _ordered(
        "workflows", route="executions.create", fault="fail", code=503, count=3
    ),
    "3 executions created, answer lost": _ordered(
        "workflows", route="executions.create", fault="drop-response", count=3
    ),
}


class Disturber:
    """Does one act after the other, in a random order, at random moments.

    Args:
        stack: the victim.
        every_s: mean time between the end of one act and the next.
        dice: chooses moments and order.
        told: is given each act's name when it begins.
    """

    def __init__(self, stack: Stack, *, every_s: float, dice: random.Random, told: Callable[[str], None]) -> None:
        self.done: list[str] = []
        self.error: BaseException | None = None
        self._stack = stack
        self._every_s = every_s
        self._dice = dice
        self._told = told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the act in hand; raises what an act raised."""
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        names: list[str] = []
        try:
            while not self._stop.wait(self._every_s * self._dice.uniform(0.5, 1.5)):
                if not names:
                    names = list(DISTURBANCES)
                    self._dice.shuffle(names)
                name = names.pop()
                self._told(name)
                DISTURBANCES[name](self._stack)
                self.done.append(name)
        except BaseException as error:  # noqa: BLE001 - told by stop(), in the thread that asked
            self.error = error
