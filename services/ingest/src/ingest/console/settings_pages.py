"""The page of settings: who is signed in, what the limits are and how much is used, whether all parts answer."""

from __future__ import annotations

from flask import Blueprint, Response

from chassis.auth.api_keys import Scope
from chassis.db.engine import transact
from ingest.batches.quotas import read_use
from ingest.console.answers import page
from ingest.console.visitors import VisitorGuard, current_visitor
from ingest.dependencies import Dependencies
from ingest.http.limits import limits_of
from ingest.http.openapi import VERSION


def settings_pages(bp: Blueprint, dependencies: Dependencies, guard: VisitorGuard) -> None:
    """Add the route to the console."""
    settings = dependencies.settings

    @bp.get("/settings")
    @guard.needs(Scope.READ)
    def show_settings() -> Response:
        """Show them."""
        owner, key = current_visitor().caller.owner, current_visitor().key
        limits = limits_of(settings, transact(dependencies.engine, lambda connection: read_use(connection, owner)))
        keys = [] if key is None else [entry for entry in settings.keys_of_callers if entry.owner == owner]
        return page(
            "settings.html",
            here="settings",
            key=key,
            keys=sorted(keys, key=lambda entry: entry.name),
            quotas=[limit for limit in limits if limit.use is not None],
            limits=[limit for limit in limits if limit.use is None],
            # The page would not be here without the first two.
            health={"ingest": "", "database": "", **dependencies.peers.health()},
            version=VERSION,
            retention_days=settings.retention_days,
        )
