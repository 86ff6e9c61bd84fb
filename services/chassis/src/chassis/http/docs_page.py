"""`/docs`: the interface of a service in Swagger UI, whose files come from an installed package and our own origin.

The package is not imported: only its files are wanted, and they are Swagger UI as its authors built it (Apache-2.0).
"""

from __future__ import annotations

import importlib.util
from functools import cache
from html import escape
from pathlib import Path

from flask import Blueprint, Response, abort

from chassis.http.key_guard import open_to_all
from chassis.http.requests import takes_query

_PACKAGE = "flask_openapi_swagger"
_FILES = {
    "swagger-ui.css": ("templates/swagger/css/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("templates/swagger/js/swagger-ui-bundle.js", "text/javascript"),
}
# Swagger UI draws its icons from `data:` URLs; everything else, calls included, stays on this origin.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_START = """"use strict";
window.ui = SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true });
"""


def docs_routes(title: str) -> Blueprint:
    """Return the blueprint of a service's `/docs`; the service itself answers `/openapi.json`."""
    bp = Blueprint("docs", __name__)
    page = _PAGE.format(title=escape(title))

    @bp.get("/docs")
    @open_to_all
    @takes_query  # links to a page carry marks of where they were found
    def docs() -> Response:
        """Show the interface as a page to read and to try."""
        response = Response(page, mimetype="text/html")
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    @bp.get("/docs/<name>")
    @open_to_all
    def docs_file(name: str) -> Response:
        """Give a file of that page."""
        if name == "start.js":
            return Response(_START, mimetype="text/javascript")
        if name not in _FILES:
            abort(404)
        path, media_type = _FILES[name]
        response = Response(_file(path), mimetype=media_type)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return bp


@cache
def _file(path: str) -> bytes:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        message = f"the package {_PACKAGE} is not installed"
        raise FileNotFoundError(message)
    return (Path(found.submodule_search_locations[0]) / path).read_bytes()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script src="/docs/start.js" defer></script>
</head>
<body>
<main id="swagger-ui">
<p>This page needs JavaScript; the same as a document is <a href="/openapi.json">openapi.json</a>.</p>
</main>
</body>
</html>
"""
