"""The service's own credentials, as Google's client libraries use them."""

from __future__ import annotations

import threading
from typing import Any

import google.auth
from google.auth.credentials import Credentials

from chassis.auth.oidc import SingleTry

_METADATA_TIMEOUT_S = 2.0


class ServiceCredentials(Credentials):  # type: ignore[misc]
    """The service's own access tokens, asked for once and for a bounded time, whoever asks.

    Google's clients bring a transport of their own for that, which waits two minutes, five times. These credentials
    also leave out the question where the account may be used, which google-auth asks iamcredentials.googleapis.com in
    a thread and with retries: it is for regional endpoints, and one more thing that can hang.
    """

    def __init__(self) -> None:
        super().__init__()
        self.token: str | None = None
        self._own, _ = google.auth.default(
            scopes=["https://www.googleapis.com/auth/cloud-platform"], request=SingleTry(_METADATA_TIMEOUT_S)
        )
        self._lock = threading.Lock()

    def refresh(self, _request: Any) -> None:
        """Get a new token, unless another thread has just done so.

        Raises:
            ApiError: 503 IDENTITY_UNAVAILABLE.
        """
        former = self.token
        with self._lock:
            if self.token == former:
                self._own.refresh(SingleTry(_METADATA_TIMEOUT_S))
                self.expiry = self._own.expiry
                self.token = self._own.token

    def apply(self, headers: Any, token: Any = None) -> None:
        """Put the token into the headers of a request."""
        self._own.apply(headers, token)
