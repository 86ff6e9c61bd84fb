"""The client of Cloud Storage. Apart from the others, because who needs no more of Google starts faster without them.

`STORAGE_EMULATOR_HOST` and `GCE_METADATA_HOST` are read by Google's libraries themselves.
"""

from __future__ import annotations

from typing import Any

from google.cloud import storage  # type: ignore[attr-defined]

from chassis.settings import Settings


def new_storage_client(settings: Settings) -> Any:
    """Return a Cloud Storage client; anonymous by itself when STORAGE_EMULATOR_HOST is set."""
    client = storage.Client(project=settings.project)
    # Proxies and .netrc of the environment must not see the token; looking for them takes 0.15 ms of each call.
    client._http.trust_env = False  # noqa: SLF001 - the client gives its session away only so
    return client
