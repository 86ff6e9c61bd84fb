"""The root, and the interface as a document. Pages for people are in the console."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request

from chassis.http.key_guard import open_to_all
from chassis.http.requests import takes_query
from ingest.http.openapi import document


def page_routes(ingest_url: str) -> Blueprint:
    """Return the blueprint of the root and the document."""
    bp = Blueprint("pages", __name__)

    @bp.get("/")
    @open_to_all
    @takes_query  # links to a page carry marks of where they were found
    def home() -> Any:
        """Lead browsers to the console, and tell programs where things are."""
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html":
            return redirect("/console/", code=303)
        return {"service": "ingest", "console": "/console/", "docs": "/docs", "openapi": "/openapi.json"}

    @bp.get("/openapi.json")
    @open_to_all
    def openapi() -> Response:
        """Answer the interface as OpenAPI 3.1."""
        return jsonify(document(ingest_url))

    return bp
