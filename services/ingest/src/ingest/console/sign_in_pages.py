"""The page that asks for an API key, and the way out."""

from __future__ import annotations

from flask import Blueprint, Response, request

from chassis.auth.api_keys import MAX_KEY_CHARS, find_key
from chassis.http.key_guard import open_to_all
from chassis.http.requests import takes_query
from ingest.console import rendering
from ingest.console.answers import seen
from ingest.console.visitors import VisitorGuard, refuse_other_origins
from ingest.dependencies import Dependencies

_HOME = "/console/"


def sign_in_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the routes to the console."""
    keys, clock = dependencies.settings.keys_of_callers, dependencies.clock

    @bp.get("/login")
    @open_to_all
    @takes_query
    def login() -> Response:
        """Ask for a key."""
        if guard.visitor() is not None:
            return seen(_HOME)
        return rendering.page("login.html", problem="", next=_own_path(request.args.get("next", "")))

    @bp.post("/login")
    @open_to_all
    def check_key() -> Response:
        """Sign in with a key."""
        refuse_other_origins()
        given, wanted = request.form.get("key", "").strip(), _own_path(request.form.get("next", ""))
        key = find_key(keys, given) if len(given) <= MAX_KEY_CHARS else None
        if key is None or key.has_expired(clock.now()):
            problem = "This key is unknown or was revoked." if key is None else "This key has expired."
            return rendering.page("login.html", code=401, problem=problem, next=wanted)
        response = seen(wanted or _HOME)
        guard.start_session(response, key)
        return response

    @bp.post("/logout")
    @open_to_all
    def logout() -> Response:
        """Sign out."""
        refuse_other_origins()
        response = seen("/console/login")
        guard.end_session(response)
        return response


def _own_path(wanted: str) -> str:
    """Return the path of the console that a visitor asked for, or nothing: no link may lead elsewhere by way of us."""
    return wanted if wanted.startswith("/console/") and "\\" not in wanted and wanted.isprintable() else ""
