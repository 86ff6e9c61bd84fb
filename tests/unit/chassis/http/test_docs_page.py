"""`/docs` comes from our own origin and lets nothing else in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chassis.http.docs_page import docs_routes


@pytest.fixture
def client() -> FlaskClient:
    app = Flask(__name__, root_path=str(Path(__file__).parent))
    app.register_blueprint(docs_routes("A <service>"))
    return app.test_client()


def test_every_file_of_the_page_is_served_from_here(client: FlaskClient) -> None:
    page = client.get("/docs").text

    urls = re.findall(r'(?:src|href)="([^"]+)"', page)
    files = [url for url in urls if url.startswith("/docs/")]

    assert "A &lt;service&gt;" in page
    assert len(files) == 3
    assert {client.get(url).status_code for url in files} == {200}
    assert set(urls) - set(files) == {"data:,", "/openapi.json"}


def test_the_policy_lets_no_script_of_others_and_none_within_the_page(client: FlaskClient) -> None:
    policy = client.get("/docs").headers["Content-Security-Policy"]

    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "connect-src 'self';" in policy
    assert "unsafe" not in policy


def test_there_is_no_other_file(client: FlaskClient) -> None:
    assert client.get("/docs/../start.js").status_code == 404
    assert client.get("/docs/secret.txt").status_code == 404
