"""Reads the JSON of an answer of Flask's test client, which says that there may be none."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse


def json_of(response: TestResponse) -> Any:
    """Return the body; an answer without JSON fails the test."""
    assert response.json is not None, response.text
    return response.json
