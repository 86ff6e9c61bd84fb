"""What a browser does with the console, without a browser: a cookie, the headers of its own pages, forms."""

from __future__ import annotations

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from support.ingest_service import Lab

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
"""What browsers send with a form of a page of this origin."""


class Browser:
    """One browser; it keeps its cookies."""

    def __init__(self, lab: Lab) -> None:
        self._client: FlaskClient = lab.client()

    def get(self, path: str, **headers: str) -> TestResponse:
        """Open a page."""
        return self._client.get(path, headers=headers)

    def post(self, path: str, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
        """Send a form of an own page, unless `headers` say else."""
        return self._client.post(path, data=form, headers=OWN_PAGE if headers is None else headers)

    def sign_in(self, key: str) -> TestResponse:
        """Sign in with an API key."""
        return self.post("/console/login", key=key)

    def cookie(self, name: str) -> Any:
        """Return a cookie that the browser keeps, or None."""
        return self._client.get_cookie(name)

    def keep(self, name: str, value: str) -> None:
        """Let the browser keep a cookie."""
        self._client.set_cookie(name, value)
