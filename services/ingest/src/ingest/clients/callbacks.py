"""Wakes a workflow execution that waits for its batch: best effort, because the execution also polls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import google.auth.exceptions
import requests

from chassis.errors import ApiError
from chassis.logs import get_logger
from ingest.state.batch import Batch

log = get_logger(__name__)

_TIMEOUT_S = 3.0


class Callbacks(Protocol):
    """Tells the owner of a batch that nothing is open any more."""

    def batch_sealed(self, batch: Batch) -> None:
        """Send the hint; never raises for a hint that was lost."""
        ...


class WorkflowCallbacks:
    """Posts to the callback URL that the execution recorded, with this service's access token.

    Args:
        new_session: makes the authorized session, on first use: credentials need the metadata server.

    Source: https://cloud.google.com/workflows/docs/creating-callback-endpoints
    """

    def __init__(self, new_session: Callable[[], requests.Session]) -> None:
        self._new_session = new_session
        self._session: requests.Session | None = None
        self._lock = threading.Lock()

    def batch_sealed(self, batch: Batch) -> None:
        """Send the hint.

        An answer of 404 (the execution is gone) or 429 (its callback slot is full) is as good as any.
        """
        if not batch.callback_url:
            return
        try:
            with self._lock:
                self._session = self._session or self._new_session()
            answer = self._session.post(
                batch.callback_url, json={"request_id": str(batch.request_id)}, timeout=_TIMEOUT_S
            )
            log.info("callback.sent", request_id=str(batch.request_id), code=answer.status_code)
        except (requests.RequestException, google.auth.exceptions.GoogleAuthError, ApiError) as error:
            log.warning("callback.lost", request_id=str(batch.request_id), error=type(error).__name__)
