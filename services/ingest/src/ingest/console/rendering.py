"""Templates to pages: one strict environment, one set of headers."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from flask import Response, request
from jinja2 import Environment, PackageLoader, StrictUndefined

from ingest.console.formats import FILTERS

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing inline; a sheet's text could not run even if a template forgot to escape it."""

STATIC_FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "sample.csv": "text/csv",
}


@cache
def static_file(name: str) -> bytes:
    """Return a file of the folder `static`."""
    return files("ingest.console").joinpath("static", name).read_bytes()


@cache
def _version(name: str) -> str:
    return hashlib.sha256(static_file(name)).hexdigest()[:12]


def static_url(name: str) -> str:
    """Return the URL of a static file; it changes with the file, so that it may be cached for ever."""
    return f"/console/static/{name}?v={_version(name)}"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ingest.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals["static_url"] = static_url
    return made


def page(template: str, *, code: int = 200, **values: Any) -> Response:
    """Return a page as an answer."""
    response = Response(_environment().get_template(template).render(**values), status=code, mimetype="text/html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "private, no-store"
    return response


def fragment(template: str, **values: Any) -> Response:
    """Return a piece of a page with an ETag; 304 when the reader has it already."""
    response = page(template, **values)
    # Kept by the script only, which asks with If-None-Match; a browser's cache must not answer for it.
    response.add_etag()
    response.make_conditional(request)
    return response
