"""Runs executions: one asyncio task each, from ACTIVE (or QUEUED) to SUCCEEDED, FAILED or CANCELLED.

Does not know the APIs nor the language: it starts `run_to_json` with a `Host` and writes down how it ended.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import failed_precondition, resource_exhausted
from localcloud.workflows.engine.call_log import call_log
from localcloud.workflows.engine.callbacks import Callbacks
from localcloud.workflows.engine.execution_log import ExecutionLog
from localcloud.workflows.engine.system_log import log_end, log_start
from localcloud.workflows.enums import CallLogLevel, ExecutionState, HistoryLevel, StepState
from localcloud.workflows.jsontext import decode_json, encode_json_leniently
from localcloud.workflows.model import Execution, ExecutionFailure, Workflow
from localcloud.workflows.runtime.failure import ExecutionFailedError
from localcloud.workflows.runtime.host import ConnectorMethod, Host, HttpCaller, TokenSource
from localcloud.workflows.source.steps import Program
from localcloud.workflows.step_history import History
from localcloud.workflows.store import Store
from localcloud.workflows.values import Value

_LOG = logging.getLogger("localcloud.workflows")

MAX_CONCURRENT_EXECUTIONS = 10_000
"""Per region and project: https://cloud.google.com/workflows/quotas."""

MAX_BACKLOGGED_EXECUTIONS = 100_000

BUG_TAG = "LocalcloudBug"
"""Tag of the payload when the emulator itself broke: no workflow can raise or catch it."""

RunProgram = Callable[[Program, Value, Host], Awaitable[str]]
"""Runs a program with an argument and returns its result as JSON text; raises `ExecutionFailedError`."""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """What a create request asks for; `argument` is JSON text."""

    argument: str = "null"
    call_log_level: CallLogLevel = CallLogLevel.CALL_LOG_LEVEL_UNSPECIFIED
    history_level: HistoryLevel = HistoryLevel.EXECUTION_HISTORY_LEVEL_UNSPECIFIED
    labels: Mapping[str, str] | None = None
    refuses_backlog: bool = False


class Executor:
    """Runs executions, and keeps those that wait in a backlog."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        callbacks: Callbacks,
        http: HttpCaller,
        token_source: Callable[[str], TokenSource],
        connectors: Mapping[str, ConnectorMethod],
        project_number: str,
        run: RunProgram,
        max_concurrent: int = MAX_CONCURRENT_EXECUTIONS,
        max_backlog: int = MAX_BACKLOGGED_EXECUTIONS,
    ) -> None:
        self._store = store
        self._clock = clock
        self._callbacks = callbacks
        self._http = http
        self._token_source = token_source
        self._connectors = connectors
        self._project_number = project_number
        self._run = run
        self._max_concurrent = max_concurrent
        self._max_backlog = max_backlog
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._backlog: deque[str] = deque()

    def start(self, workflow: Workflow, wanted: NewExecution) -> Execution:
        """Create an execution of the workflow's current revision and start it, or queue it when too many run.

        Raises:
            GoogleError: RESOURCE_EXHAUSTED, the concurrency is used up and the request or the backlog allows no more.
        """
        is_full = len(self._tasks) >= self._max_concurrent
        if is_full and (wanted.refuses_backlog or len(self._backlog) >= self._max_backlog):
            raise resource_exhausted("Quota exceeded: too many concurrent executions")
        now_s = self._clock.now()
        execution = Execution(
            name=f"{workflow.name}/executions/{uuid.uuid4()}",
            revision=workflow.current,
            argument=wanted.argument,
            state=ExecutionState.QUEUED if is_full else ExecutionState.ACTIVE,
            create_time=now_s,
            start_time=None if is_full else now_s,
            call_log_level=wanted.call_log_level,
            history_level=wanted.history_level,
            labels={**workflow.labels, **(wanted.labels or {})},
            refuses_backlog=wanted.refuses_backlog,
            history=History(
                self._clock.now,
                records_variables=wanted.history_level == HistoryLevel.EXECUTION_HISTORY_DETAILED,
            ),
        )
        self._store.put_execution(execution)
        if is_full:
            self._backlog.append(execution.name)
        else:
            self._launch(execution)
        return execution

    def cancel(self, name: str) -> Execution:
        """End a live execution as CANCELLED; its task stops at its next wait.

        Raises:
            GoogleError: NOT_FOUND; FAILED_PRECONDITION when it has ended.
        """
        execution = self._store.execution(name)
        if not execution.is_live:
            raise failed_precondition(f"Execution '{name}' is not active: it is {execution.state.name}")
        execution.history.finish(StepState.STATE_CANCELLED)
        self._finish(name, state=ExecutionState.CANCELLED)
        if (task := self._tasks.get(name)) is not None:
            task.cancel()
        return self._store.execution(name)

    def cancel_all(self, workflow_name: str) -> None:
        """Cancel the live executions of a workflow."""
        for execution in self._store.executions(workflow_name):
            if execution.is_live:
                self.cancel(execution.name)

    @property
    def running_count(self) -> int:
        """Return how many executions run; queued ones do not."""
        return len(self._tasks)

    async def stop(self) -> None:
        """Cancel every task and wait for them to end."""
        self._backlog.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, execution: Execution) -> None:
        task = asyncio.get_running_loop().create_task(self._execute(execution), name=execution.name)
        self._tasks[execution.name] = task
        task.add_done_callback(lambda _: self._after(execution.name))

    def _after(self, name: str) -> None:
        """Forget an ended execution and start queued ones while fewer than the limit run."""
        self._tasks.pop(name, None)
        while self._backlog and len(self._tasks) < self._max_concurrent:
            queued = self._store.change_execution(
                self._backlog.popleft(), state=ExecutionState.ACTIVE, start_time=self._clock.now()
            )
            if queued is not None:
                self._launch(queued)

    async def _execute(self, execution: Execution) -> None:
        log_start(self._log_of(execution), execution)
        try:
            result = await self._run(execution.revision.program, decode_json(execution.argument), self._host(execution))
        except asyncio.CancelledError:
            execution.history.finish(StepState.STATE_CANCELLED)
            self._finish(execution.name, state=ExecutionState.CANCELLED)
            raise
        except ExecutionFailedError as failure:
            execution.history.finish(StepState.STATE_FAILED)
            error = ExecutionFailure(failure.payload, failure.context, tuple(failure.stack_trace))
            self._finish(execution.name, state=ExecutionState.FAILED, error=error)
        except Exception as bug:  # noqa: BLE001 - a bug of localcloud fails the execution and is logged
            _LOG.exception("execution.broke %s: a bug in localcloud, not in the workflow", execution.name)
            execution.history.finish(StepState.STATE_FAILED)
            message = f"{BUG_TAG}: {type(bug).__name__}: {bug}"
            error = ExecutionFailure(encode_json_leniently({"message": message, "tags": [BUG_TAG]}), message)
            self._finish(execution.name, state=ExecutionState.FAILED, error=error)
        else:
            execution.history.finish(StepState.STATE_SUCCEEDED)
            self._finish(execution.name, state=ExecutionState.SUCCEEDED, result=result)

    def _finish(self, name: str, *, state: ExecutionState, **outcome: Any) -> None:
        """Write down the end, once: a cancelled execution stays cancelled whatever its task still does."""
        changed = self._store.change_execution(name, state=state, end_time=self._clock.now(), **outcome)
        if changed is not None:
            self._callbacks.close(name)
            log_end(self._log_of(changed), changed)

    def _host(self, execution: Execution) -> Host:
        log = self._log_of(execution)
        return Host(
            clock=self._clock,
            http=self._http,
            tokens=self._token_source(execution.revision.service_account),
            callbacks=self._callbacks.broker(execution.name),
            log=log,
            observer=execution.history,
            env=self._environment(execution),
            connectors=self._connectors,
            calls=call_log(log, self._clock, execution.call_log_level),
        )

    def _log_of(self, execution: Execution) -> ExecutionLog:
        return ExecutionLog(execution.name, execution.revision.revision_id, self._clock, execution.history.logged)

    def _environment(self, execution: Execution) -> dict[str, str]:
        _, project, _, location, _, workflow_id, _, execution_id = execution.name.split("/")
        return {
            **execution.revision.user_env,
            "GOOGLE_CLOUD_LOCATION": location,
            "GOOGLE_CLOUD_PROJECT_ID": project,
            "GOOGLE_CLOUD_PROJECT_NUMBER": self._project_number,
            "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": execution.revision.service_account,
            "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": execution_id,
            "GOOGLE_CLOUD_WORKFLOW_ID": workflow_id,
            "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": execution.revision.revision_id,
        }
