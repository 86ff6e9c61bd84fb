"""The root, and the interface as a document and as a page. Pages for people are in the console."""

from __future__ import annotations

from html import escape
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request

from chassis.http.key_guard import open_to_all
from chassis.http.requests import takes_query
from ingest.http.openapi import DESCRIPTION, OPERATIONS, document

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


def page_routes(ingest_url: str) -> Blueprint:
    """Return the blueprint of the root and the interface."""
    bp = Blueprint("pages", __name__)
    operations = _operations_page()

    @bp.get("/")
    @open_to_all
    @takes_query  # links to a page carry marks of where they were found
    def home() -> Any:
        """Lead browsers to the console, and tell programs where things are."""
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
            return redirect("/console/", code=303)
        return {"service": "ingest", "console": "/console/", "docs": "/docs", "openapi": "/openapi.json"}

    @bp.get("/docs")
    @open_to_all
    @takes_query
    def docs() -> Response:
        """Show the interface as a page."""
        return _page(operations)

    @bp.get("/openapi.json")
    @open_to_all
    def openapi() -> Response:
        """Answer the interface as OpenAPI 3.1."""
        return jsonify(document(ingest_url))

    return bp


def _page(html: str) -> Response:
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _operations_page() -> str:
    rows = "\n".join(
        f"<tr><td><code>{escape(operation.method)} {escape(operation.path)}</code></td>"
        f"<td>{escape(operation.summary)}</td>"
        f"<td>{', '.join(str(code) for code in (*operation.responses, *operation.errors))}</td></tr>"
        for operation in OPERATIONS
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Pressroom: interface</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem; }}
  table {{ border-collapse: collapse; }} td, th {{ border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; }}
</style></head>
<body>
<h1>Pressroom: interface</h1>
<p>{escape(DESCRIPTION)} The whole description is in <a href="openapi.json">openapi.json</a>.
Errors are <a href="https://google.aip.dev/193">AIP-193</a> objects; programs switch on <code>reason</code>.</p>
<table><tr><th>Operation</th><th>What it does</th><th>Answers</th></tr>
{rows}
</table>
</body></html>
"""
