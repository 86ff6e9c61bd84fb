"""localcloud in the process of a test: workflows are deployed, run, mocked and watched without another process."""

from __future__ import annotations

from localcloud.testing.executions import RunningExecution, WorkflowFailedError
from localcloud.testing.harness import DeployError, LocalCloud
from localcloud.testing.options import LocalCloudOptions

__all__ = ["DeployError", "LocalCloud", "LocalCloudOptions", "RunningExecution", "WorkflowFailedError"]
