"""One execution as a test sees it: its state, its steps, its result or its error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from localcloud.testing.loop_thread import LoopThread
from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.model import Execution


class WorkflowFailedError(AssertionError):
    """An execution failed.

    Attributes:
        error: what the workflow raised: a map such as `{"code": 404, "message": ..., "tags": [...]}`, or a text.
        context: where, as the API tells it: `... in step "a", routine "main", line: 3`.
    """

    def __init__(self, name: str, error: Any, context: str) -> None:
        super().__init__(f"{name}: {context}\n{json.dumps(error, default=str)}")
        self.error = error
        self.context = context


class RunningExecution:
    """An execution that was started.

    Args:
        name: full resource name.
        loop: where the emulators run.
        read: gives the execution, on the loop.
        finish: waits for its end on the loop, moving time.
        callbacks: gives the URLs of its open callbacks, on the loop.
        cancel: cancels it, on the loop.
    """

    def __init__(
        self,
        name: str,
        loop: LoopThread,
        *,
        read: Callable[[str], Execution],
        finish: Callable[[str], Any],
        callbacks: Callable[[str], list[str]],
        cancel: Callable[[str], Any],
    ) -> None:
        self.name = name
        self._loop = loop
        self._read = read
        self._finish = finish
        self._callbacks = callbacks
        self._cancel = cancel

    @property
    def state(self) -> str:
        """`ACTIVE`, `SUCCEEDED`, `FAILED`, `CANCELLED`, `QUEUED`."""
        return self._now().state.name

    @property
    def steps(self) -> list[str]:
        """`routine.step` of every step that was begun, in order."""
        return self._loop.call(
            lambda: [f"{entry.routine}.{entry.step}" for entry in self._read(self.name).history.entries if entry.step]
        )

    @property
    def current_steps(self) -> list[str]:
        """`routine.step` of the steps it is in."""
        return self._loop.call(
            lambda: [f"{routine}.{step}" for routine, step in self._read(self.name).history.current_steps()]
        )

    @property
    def callbacks(self) -> list[str]:
        """URLs of its open callbacks, which a test may call."""
        return self._loop.call(lambda: self._callbacks(self.name))

    def result(self) -> Any:
        """Wait for the end, moving time while nothing else goes on, and return the result.

        Raises:
            WorkflowFailedError: it failed or was cancelled.
            TimeoutError: it does not end.
        """
        self._loop.run(self._finish(self.name))
        execution = self._now()
        if execution.state is ExecutionState.SUCCEEDED:
            return json.loads(execution.result or "null")
        if execution.error is None:
            raise WorkflowFailedError(self.name, execution.state.name, "it was cancelled")
        raise WorkflowFailedError(self.name, _decoded(execution.error.payload), execution.error.context)

    def cancel(self) -> None:
        """Cancel it."""
        self._loop.call(lambda: self._cancel(self.name))

    def _now(self) -> Execution:
        return self._loop.call(lambda: self._read(self.name))


def _decoded(payload: str) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload
