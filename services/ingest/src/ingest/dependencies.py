"""The real things that the routes and the sweeper work with; built once in `wsgi.py`."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from chassis.auth.image_links import ImageLinks
from chassis.clock import Clock
from chassis.google.tasks import TaskQueue
from chassis.http.caller_guard import CallerGuard
from chassis.http.key_guard import KeyGuard
from ingest.clients.callbacks import Callbacks
from ingest.clients.executions import Executions
from ingest.clients.peers import Peers
from ingest.clients.previews import Previews
from ingest.clients.reporter import Reporter
from ingest.clients.sheet_storage import SheetStorage
from ingest.clients.webhook_targets import WebhookTargets
from ingest.clients.webhooks import Webhooks
from ingest.settings import IngestSettings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything outside of the process, behind the narrowest interface that ingest needs."""

    settings: IngestSettings
    engine: Engine
    clock: Clock
    guard: CallerGuard
    executions: Executions
    tasks: TaskQueue
    callbacks: Callbacks
    storage: SheetStorage
    reporter: Reporter
    webhook_targets: WebhookTargets
    previews: Previews
    webhooks: Webhooks
    peers: Peers

    @property
    def image_links(self) -> ImageLinks:
        """Return what makes links of private images' addresses."""
        return ImageLinks(
            base=f"{self.settings.reporter_url.rstrip('/')}/images/",
            secret=self.settings.image_link_secret.get_secret_value(),
            days=self.settings.image_link_days,
            clock=self.clock,
        )

    @property
    def keys(self) -> KeyGuard:
        """Return the guard of the public routes."""
        return KeyGuard(self.settings.keys_of_callers, self.clock)
