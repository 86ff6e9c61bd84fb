"""Public routes that look into a batch, each by the page or bounded, and who the caller is."""

from __future__ import annotations

from flask import Blueprint, Response

from chassis.auth.api_keys import ApiKey, Scope
from chassis.http.key_guard import caller, used_key
from chassis.http.requests import parse_id, parse_query, takes_query
from chassis.times import rfc3339
from ingest.batches.hosts import read_hosts
from ingest.batches.images import ImageFilter, list_images
from ingest.batches.problems import list_problems
from ingest.dependencies import Dependencies
from ingest.http.answers import send
from ingest.http.batch_schemas import (
    HostsAnswer,
    HostsQuery,
    ImagesAnswer,
    ImagesQuery,
    KeyAnswer,
    ProblemsAnswer,
    WhoAmIAnswer,
)
from ingest.http.openapi import VERSION


def batch_routes(dependencies: Dependencies) -> Blueprint:
    """Return the blueprint of these routes."""
    bp = Blueprint("batch", __name__)
    settings, engine, keys = dependencies.settings, dependencies.engine, dependencies.keys
    reads = keys.needs(Scope.READ)

    @bp.get("/status/<request_id>/images")
    @reads
    @takes_query
    def images(request_id: str) -> Response:
        """List images in the order of the sheet; `status`, `code`, `host`, `q`, `page_size`, `page_token`."""
        query = parse_query(ImagesQuery)
        page = list_images(
            engine,
            parse_id(request_id),
            ImageFilter(query.status, query.code, query.host, query.q),
            caller=caller(),
            page_size=query.page_size,
            token=query.page_token,
            links=dependencies.image_links,
        )
        return send(ImagesAnswer(images=list(page.images), next_page_token=page.next_page_token))

    @bp.get("/status/<request_id>/problems")
    @reads
    def problems(request_id: str) -> Response:
        """Count the images without an output by code and host."""
        batch = parse_id(request_id)
        return send(ProblemsAnswer(request_id=str(batch), **list_problems(engine, batch, caller=caller())))

    @bp.get("/status/<request_id>/hosts")
    @reads
    @takes_query
    def hosts(request_id: str) -> Response:
        """List the hosts of a batch with their state and savings, those in trouble first."""
        batch, limit = parse_id(request_id), parse_query(HostsQuery).page_size
        found = read_hosts(engine, settings, batch, caller=caller(), limit=limit)
        return send(HostsAnswer(request_id=str(batch), **found))

    @bp.get("/whoami")
    @reads
    def whoami() -> Response:
        """Say whose key this is, what it may do, and the names of this owner's keys."""
        by, used = caller(), used_key()
        scopes = [Scope.READ, Scope.WRITE] if used is None else used.scopes
        own = [] if used is None else keys.keys_of(by.owner)
        return send(
            WhoAmIAnswer(
                owner=by.owner,
                sees_all=by.sees_all,
                scopes=sorted(scope.value for scope in scopes),
                keys_required=used is not None,
                keys=[_key_answer(key, current=key is used) for key in own],
                reporter_url=settings.reporter_url.rstrip("/"),
                version=VERSION,
            )
        )

    return bp


def _key_answer(key: ApiKey, *, current: bool) -> KeyAnswer:
    return KeyAnswer(
        name=key.name,
        scopes=sorted(scope.value for scope in key.scopes),
        expires_at=rfc3339(key.expires_at),
        current=current,
    )
