"""The store: all workflows, executions and operations of one server.

It has one owner, the server's event loop, and needs no lock.
Does not know JSON, HTTP or how an execution runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from localcloud.core.google_errors import not_found
from localcloud.workflows.model import Execution, Operation, Workflow

MAX_FINISHED_EXECUTIONS = 5_000
"""Finished executions kept; the oldest goes first. Google keeps them 90 days, a laptop's memory is shorter."""

MAX_FINISHED_STEP_ENTRIES = 200_000
"""Step entries kept over all finished executions, about 50 MB; the oldest execution goes first.

Recorded variables count as entries, by `History.weight`.
"""


class Store:
    """All workflows, executions and operations of one server."""

    def __init__(
        self,
        *,
        max_finished_executions: int = MAX_FINISHED_EXECUTIONS,
        max_finished_step_entries: int = MAX_FINISHED_STEP_ENTRIES,
    ) -> None:
        self._max_finished = max_finished_executions
        self._max_finished_entries = max_finished_step_entries
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.workflows: dict[str, Workflow] = {}
        self.operations: dict[str, Operation] = {}
        self._executions: dict[str, dict[str, Execution]] = {}
        self._finished: dict[str, int] = {}
        self._finished_entries = 0

    def workflow(self, name: str) -> Workflow:
        """Return a workflow.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self.workflows[name]
        except KeyError:
            raise not_found(f"Resource '{name}' was not found") from None

    def remove_workflow(self, name: str) -> None:
        """Forget a workflow and its executions."""
        del self.workflows[name]
        for execution in self._executions.pop(name, {}).values():
            self._finished_entries -= self._finished.pop(execution.name, 0)

    def operation(self, name: str) -> Operation:
        """Return an operation.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self.operations[name]
        except KeyError:
            raise not_found(f"Operation '{name}' was not found") from None

    def has_execution(self, name: str) -> bool:
        """Return whether an execution is remembered."""
        return name in self._executions.get(name.rsplit("/", 2)[0], {})

    def execution(self, name: str) -> Execution:
        """Return an execution.

        Raises:
            GoogleError: NOT_FOUND.
        """
        try:
            return self._executions[name.rsplit("/", 2)[0]][name]
        except KeyError:
            raise not_found(f"Resource '{name}' was not found") from None

    def executions(self, workflow_name: str) -> list[Execution]:
        """Return the executions of a workflow, newest first."""
        return list(reversed(self._executions.get(workflow_name, {}).values()))

    def all_executions(self) -> list[Execution]:
        """Return every execution."""
        return [execution for of_one in self._executions.values() for execution in of_one.values()]

    def put_execution(self, execution: Execution) -> None:
        """Add or replace an execution; one that has just finished may push out the oldest finished ones."""
        self._executions.setdefault(execution.workflow_name, {})[execution.name] = execution
        if execution.is_live or execution.name in self._finished:
            return
        self._finished[execution.name] = execution.history.weight
        self._finished_entries += execution.history.weight
        while len(self._finished) > self._max_finished or (
            self._finished_entries > self._max_finished_entries and len(self._finished) > 1
        ):
            oldest = next(iter(self._finished))
            self._finished_entries -= self._finished.pop(oldest)
            del self._executions[oldest.rsplit("/", 2)[0]][oldest]

    def change_execution(self, name: str, **changes: Any) -> Execution | None:
        """Replace fields of a live execution and return it; None when it has ended or is gone, and nothing changes."""
        execution = self._executions.get(name.rsplit("/", 2)[0], {}).get(name)
        if execution is None or not execution.is_live:
            return None
        changed = replace(execution, **changes)
        self.put_execution(changed)
        return changed
