"""Whether gRPC can be served: Google's client libraries, which bring its messages, are an extra of the installation.

They are as large as everything else together, and REST needs none of them.
"""

from __future__ import annotations

from importlib.util import find_spec

INSTALLS_GRPC = "pip install 'gcp-localcloud[grpc]'"
_NEEDED = ("grpc", "google.cloud.tasks_v2", "google.cloud.workflows_v1")


def is_grpc_installed() -> bool:
    """Tell whether gRPC and the messages of every service are there; nothing of them is loaded."""
    try:
        return all(find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:
        # A package above the name is missing.
        return False
