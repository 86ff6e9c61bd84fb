"""The client of Cloud Storage, apart from the others: who needs no more of Google starts faster without them."""

from __future__ import annotations

from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
import requests
import urllib3
from google.api_core.retry import Retry
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage  # type: ignore[attr-defined]
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from chassis.google.credentials import ServiceCredentials
from chassis.google.silence import bound, is_silence
from chassis.settings import Settings

STORAGE_FAILURES = (
    google.api_core.exceptions.GoogleAPIError,
    google.auth.exceptions.GoogleAuthError,
    DataCorruption,
    requests.RequestException,
    # Of a body that is read without decoding, urllib3's own errors arrive as they are.
    urllib3.exceptions.HTTPError,
    OSError,
)
"""Whatever calls of storage raise when it is away, silent, broken or refuses us."""


def new_storage_client(settings: Settings) -> Any:
    """Return a Cloud Storage client."""
    address = settings.storage_emulator_host
    credentials = AnonymousCredentials() if address else ServiceCredentials()
    return storage.Client(
        project=settings.project,
        credentials=credentials,
        client_options={"api_endpoint": address} if address else None,
        _http=bound(AuthorizedSession(credentials)),
    )


def retried(for_s: float) -> Retry:
    """Return the retry policy for storage: failures that are told are tried again for so many seconds, silence never.

    Args:
        for_s: no try begins later than this after the first one.
    """
    return Retry(
        predicate=lambda error: bool(DEFAULT_RETRY._predicate(error)) and not is_silence(error),  # noqa: SLF001
        initial=0.2,
        maximum=5.0,
        timeout=for_s,
    )
