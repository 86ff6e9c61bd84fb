"""Cloud Tasks and Workflows for tests of the adapters: the emulators, in a thread."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.tasks.model import Queue, RateLimits, RetryConfig
from localcloud.tasks.server import TasksServer, start_tasks_server
from localcloud.workflows.server import WorkflowsServer, start_workflows_server

QUEUE = "projects/demo/locations/us-central1/queues/images"
ACCOUNT = "workflow@demo.iam.gserviceaccount.com"
WORKFLOW = """
main:
  params: [args]
  steps:
    - wait_or_end:
        switch:
          - condition: ${args.request_id == "00000000-0000-4000-8000-000000000000"}
            return: done
    - wait:
        call: sys.sleep
        args: {seconds: 600}
"""


class Platform:
    """A Cloud Tasks and a Workflows emulator in a thread with an event loop of its own."""

    def __init__(self, folder: Path, issuer: TokenIssuer) -> None:
        self.folder = folder
        self.issuer = issuer
        self.tasks: TasksServer
        self.workflows: WorkflowsServer
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        """Start both emulators."""
        (self.folder / "batch.yaml").write_text(WORKFLOW)
        self._thread.start()
        self._run(self._start())

    async def _start(self) -> None:
        clock = SystemClock()
        self.tasks = await start_tasks_server(
            port=0,
            grpc_port=0,
            clock=clock,
            location="us-central1",
            # One dispatch in a thousand seconds: tasks stay where they can be looked at.
            queues=[Queue(QUEUE, RateLimits(0.001, 1, 1), RetryConfig())],
            mint_id_token=self.issuer.mint_id_token,
            mint_access_token=self.issuer.mint_access_token,
        )
        self.workflows = await start_workflows_server(
            port=0,
            grpc_port=0,
            clock=clock,
            project="demo",
            project_number="123456789012",
            location="us-central1",
            service_account=ACCOUNT,
            token_source=lambda email: AccountTokens(self.issuer, email),
            endpoints={},
            workflows_dir=self.folder,
        )

    def stop(self) -> None:
        """Stop both and the thread."""

        async def stop() -> None:
            await self.workflows.stop()
            await self.tasks.stop()

        self._run(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
