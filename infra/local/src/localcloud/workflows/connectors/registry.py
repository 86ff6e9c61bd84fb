"""All connector methods there are; a workflow that calls any other one is refused when it is deployed."""

from __future__ import annotations

from localcloud.workflows.connectors import cloudtasks
from localcloud.workflows.connectors.calls import connector
from localcloud.workflows.connectors.executions import executions_methods
from localcloud.workflows.connectors.secretmanager import secretmanager_methods
from localcloud.workflows.connectors.storage import storage_methods
from localcloud.workflows.runtime.host import ConnectorMethod


def connector_methods() -> dict[str, ConnectorMethod]:
    """Return every connector by its full name, `googleapis.SERVICE.VERSION.RESOURCE.METHOD`."""
    return {
        **{method.name: connector(method) for method in cloudtasks.METHODS},
        **executions_methods(),
        **secretmanager_methods(),
        **storage_methods(),
    }
