"""Starts the Cloud Scheduler emulator: its jobs, and the port that shows and runs them."""

from __future__ import annotations

import logging
from collections.abc import Collection

from localcloud.core.callers import Callers
from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import FaultPlan
from localcloud.core.rest import RestServer
from localcloud.scheduler.api.rest import SchedulerRest
from localcloud.scheduler.engine.jobs import Scheduler

log = logging.getLogger("localcloud.scheduler")


class SchedulerServer:
    """The port of a scheduler, which it starts and stops with itself."""

    def __init__(
        self,
        scheduler: Scheduler,
        faults: FaultPlan,
        clock: Clock,
        *,
        host: str,
        host_names: Collection[str] = (),
    ) -> None:
        self.scheduler = scheduler
        self._host = host
        control = Control(faults, clock, scheduler.reset)
        self._rest = RestServer(SchedulerRest(scheduler, faults).answer, control, log, Callers(host_names))

    @property
    def base_url(self) -> str:
        """The REST base URL without a trailing slash."""
        return self._rest.base_url

    async def start(self, port: int) -> None:
        """Open the port (0 picks a free one) and begin to wait for due times.

        Raises:
            OSError: the port is taken.
        """
        await self._rest.start(self._host, port)
        await self.scheduler.start()

    async def stop(self) -> None:
        """Close the port and cancel calls on their way."""
        await self._rest.stop()
        await self.scheduler.stop()
