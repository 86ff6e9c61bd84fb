"""The sheet that the console offers to try: the operator names it, as `make up` names its generated catalogue."""

from __future__ import annotations

import requests

from chassis.errors import SharedReason, unavailable

_TIMEOUT_S = (3.0, 5.0)
_MAX_BYTES = 1_000_000


class SampleSheet:
    """A sheet behind a URL of the operator; an empty URL means that there is none."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __bool__(self) -> bool:
        """Return whether there is one."""
        return bool(self._url)

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            ApiError: 503 PEER_UNAVAILABLE.
        """
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(self._url, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise _away() from error
        if answer.status_code != 200 or len(answer.content) > _MAX_BYTES:
            raise _away()
        return answer.content


def _away() -> Exception:
    return unavailable(SharedReason.PEER_UNAVAILABLE, "The sample sheet is not there yet; try again in some seconds.")
