"""Pictures of a batch, and the page that compares one with its source.

The visitor's browser talks to this service only: the compressor draws every picture, whatever it comes from.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from chassis.auth.api_keys import Scope
from chassis.http.requests import takes_query
from ingest.batches.previews import allow_sources, allow_stored, find_image, host_is_busy
from ingest.clients.previews import Preview
from ingest.console.answers import page
from ingest.console.batch_view import BatchView
from ingest.console.visitors import VisitorGuard, current_visitor
from ingest.dependencies import Dependencies
from ingest.errors import Reason, not_found

_THUMB_PX = 88
_LARGE_PX = 1600
_STORED_AGE_S = 86_400
_SOURCE_AGE_S = 60


def image_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the routes to the console."""
    engine, settings, previews = dependencies.engine, dependencies.settings, dependencies.previews
    reads = guard.needs(Scope.READ)

    @bp.get("/images/<uuid:image_id>")
    @reads
    def compare(image_id: UUID) -> Response:
        """Compare an image with its source."""
        found = find_image(engine, image_id, caller=current_visitor().caller)
        view = BatchView(found.batch, dependencies.clock.now())
        image = found.image | {"output_url": dependencies.image_links.shown(found.image["output_url"])}
        return page("compare.html", here="batches", view=view, found=found, image=image)

    @bp.get("/images/<uuid:image_id>/<any(thumb, after):kind>")
    @reads
    @takes_query  # the URL of a thumb changes with its output
    def stored(image_id: UUID, kind: str) -> Response:
        """Show the output of an image."""
        output_url = _image(image_id)["output_url"]
        if output_url is None:
            raise not_found(Reason.IMAGE_NOT_FOUND, "This image has no output to show.", image_id=str(image_id))
        allow_stored(engine, settings, caller=current_visitor().caller)
        return _picture(previews.stored(output_url, _THUMB_PX if kind == "thumb" else _LARGE_PX), _STORED_AGE_S)

    @bp.get("/images/<uuid:image_id>/before")
    @reads
    def before(image_id: UUID) -> Response:
        """Show what the origin has now; a header tells if it is not what was compressed."""
        image = _image(image_id)
        (allowed,) = allow_sources(engine, settings, [image["input_url"]], caller=current_visitor().caller)
        if not allowed:
            raise host_is_busy(image["input_url"])
        preview = previews.source(image["input_url"], _LARGE_PX, image["output_url"])
        response = _picture(preview, _SOURCE_AGE_S)
        response.headers["X-Source-Changed"] = {True: "yes", False: "no", None: "unknown"}[preview.source_changed]
        return response

    def _image(image_id: UUID) -> dict[str, Any]:
        return find_image(engine, image_id, caller=current_visitor().caller).image


def _picture(preview: Preview, age_s: int) -> Response:
    response = Response(preview.webp, mimetype="image/webp")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = f"private, max-age={age_s}"
    return response
