"""All connector methods there are."""

from __future__ import annotations

from localcloud.workflows.runtime.host import ConnectorMethod


def connector_methods() -> dict[str, ConnectorMethod]:
    """Return every connector by its full name."""
    return {}
