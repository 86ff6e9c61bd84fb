"""The real things that the routes work with; built once in `wsgi.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import BoundedSemaphore

from sqlalchemy import Engine

from chassis.auth.image_links import ImageLinks
from chassis.clock import Clock
from chassis.egress.client import Egress
from chassis.http.caller_guard import CallerGuard
from chassis.http.key_guard import KeyGuard
from chassis.peer_service import InternalService
from reporter.clients.bucket import ReportObjects
from reporter.clients.task_queue import DeliveryQueue
from reporter.settings import ReporterSettings


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything outside of the process, and what limits its use.

    `deliveries` and `registrations` both call receivers, each with name lookups of its own, so that slow names of one
    do not stop the other. `slots` are the deliveries that may be under way at once; `jitter` gives numbers from 0 to 1.
    """

    settings: ReporterSettings
    engine: Engine
    clock: Clock
    guard: CallerGuard
    tasks: DeliveryQueue
    objects: ReportObjects
    images: ReportObjects
    ingest: InternalService
    deliveries: Egress
    registrations: Egress
    slots: BoundedSemaphore
    jitter: Callable[[], float]

    @property
    def image_links(self) -> ImageLinks:
        """Return what checks the links of private images."""
        secret = self.settings.image_link_secret.get_secret_value() if self.settings.images_bucket else ""
        return ImageLinks(base=f"{self.settings.reporter_url}/images/", secret=secret, days=0, clock=self.clock)

    @property
    def keys(self) -> KeyGuard:
        """Return the guard of the public routes."""
        return KeyGuard(self.settings.keys_of_callers, self.clock)
