"""What every emulated server answers below `/_local/`: health, faults, routes, reset and time.

A departure from production in name and path. Does not know about: the server it belongs to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from localcloud.core.clock import Clock, ManualClock
from localcloud.core.faults import FaultPlan
from localcloud.core.google_errors import failed_precondition, invalid_argument, not_found

PREFIX = "/_local/"

MAX_ADVANCE_S = 366 * 86_400.0
"""Longest single step of the clock: a year, the longest an execution may last."""


class Control:
    """Answers the requests below `/_local/` of one server.

    Args:
        faults: the server's plan.
        clock: its clock; only a `ManualClock` (`localcloud serve --manual-clock`) can be advanced.
        reset: brings the server back to the state it started with; the plan is cleared besides.
    """

    def __init__(self, faults: FaultPlan, clock: Clock, reset: Callable[[], Awaitable[None]]) -> None:
        self.faults = faults
        self._clock = clock
        self._reset = reset

    async def answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """Answer a request to a path below `/_local/`.

        Raises:
            GoogleError: NOT_FOUND, INVALID_ARGUMENT, or FAILED_PRECONDITION for time that is the machine's.
        """
        match (method, path.removeprefix(PREFIX)):
            case ("GET", "health"):
                return {"status": "ok"}
            case ("GET", "routes"):
                return {"routes": list(self.faults.routes)}
            case ("GET", "faults"):
                return self.faults.to_json()
            case ("POST", "faults"):
                self.faults.order(body)
                return self.faults.to_json()
            case ("DELETE", "faults"):
                self.faults.clear()
                return self.faults.to_json()
            case ("POST", "reset"):
                self.faults.clear()
                await self._reset()
                return {}
            case ("GET", "time"):
                return self._time()
            case ("POST", "time"):
                await self._advance(body)
                return self._time()
        raise not_found(f"{method} {path} was not found on this server.")

    def _time(self) -> dict[str, Any]:
        return {"now_s": self._clock.now(), "is_manual": isinstance(self._clock, ManualClock)}

    async def _advance(self, body: Any) -> None:
        if not isinstance(self._clock, ManualClock):
            raise failed_precondition("Time is the machine's here; start localcloud with --manual-clock to set it.")
        match body:
            case {"advance_s": int() | float() as seconds, **others} if (
                not isinstance(seconds, bool) and not others and 0 <= seconds <= MAX_ADVANCE_S
            ):
                await self._clock.advance(seconds)
            case _:
                raise invalid_argument(f'Time is moved by {{"advance_s": SECONDS}}, from 0 to {MAX_ADVANCE_S:g}.')
