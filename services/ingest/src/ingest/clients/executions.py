"""Executions of the workflow `batch`: created by us, asked whether they still live."""

from __future__ import annotations

import json
from typing import Any, Protocol
from uuid import UUID

import google.api_core.exceptions
from google.cloud.workflows import executions_v1

from chassis.google.silence import CALL_S
from chassis.logs import get_logger
from ingest.errors import Reason, unavailable

log = get_logger(__name__)


class Executions(Protocol):
    """What ingest needs of the Executions API."""

    def create(self, request_id: UUID) -> str:
        """Start an execution for a batch and return its full name.

        Raises:
            ApiError: 503 EXECUTIONS_UNAVAILABLE.
        """
        ...

    def is_live(self, execution: str) -> bool:
        """Return whether the execution runs or waits to run; one that is unknown does not.

        Raises:
            ApiError: 503 EXECUTIONS_UNAVAILABLE.
        """
        ...


class WorkflowExecutions:
    """Google's Executions API, or an emulator of it.

    Args:
        client: `google.cloud.workflows.executions_v1.ExecutionsClient`.
        workflow: full name of the workflow.
    """

    def __init__(self, client: Any, workflow: str) -> None:
        self._client = client
        self._workflow = workflow

    def create(self, request_id: UUID) -> str:
        """Start an execution for a batch and return its full name.

        The API has no key against repeats: a second execution finds in its first step that the batch has an owner.

        Raises:
            ApiError: 503 EXECUTIONS_UNAVAILABLE.
        """
        execution = executions_v1.Execution(argument=json.dumps({"request_id": str(request_id)}))
        try:
            created = self._client.create_execution(
                parent=self._workflow, execution=execution, timeout=CALL_S, retry=None
            )
        except google.api_core.exceptions.GoogleAPIError as error:
            log.warning("execution.refused", request_id=str(request_id), error=type(error).__name__)
            raise unavailable(Reason.EXECUTIONS_UNAVAILABLE, "No workflow execution could be created.") from error
        name = str(created.name)
        log.info("execution.created", request_id=str(request_id), execution=name)
        return name

    def is_live(self, execution: str) -> bool:
        """Return whether the execution runs or waits to run; one that is unknown does not.

        Raises:
            ApiError: 503 EXECUTIONS_UNAVAILABLE.
        """
        try:
            found = self._client.get_execution(name=execution, timeout=CALL_S, retry=None)
        except google.api_core.exceptions.NotFound:
            return False
        except google.api_core.exceptions.GoogleAPIError as error:
            raise unavailable(Reason.EXECUTIONS_UNAVAILABLE, "The Executions API cannot be reached.") from error
        state = executions_v1.Execution.State
        return found.state in {state.ACTIVE, state.QUEUED}
