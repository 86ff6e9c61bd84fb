"""Records a delivery of an event for everybody who wants it, and asks Cloud Tasks for the first attempts.

The rows are the truth; a task is a hint to attempt one of them, which may be lost, late or doubled.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from sqlalchemy import Connection

from chassis.db.engine import transact
from chassis.failpoints import reach
from chassis.logs import get_logger
from reporter.clients.task_queue import give_hints
from reporter.dependencies import Dependencies
from reporter.errors import status_is_no_event
from reporter.failpoints import Failpoint
from reporter.state.deliveries import Event, Hint, Target, add_deliveries
from reporter.state.endpoints import Endpoint, subscribed_endpoints
from reporter.state.reports import find_report
from reporter.webhooks.events import (
    EVENT_TYPES,
    FINAL_EVENT_TYPES,
    TEST_EVENT_TYPE,
    Notice,
    event_body,
    event_type,
    sample_event_body,
)

log = get_logger(__name__)


def notify_subscribers(dependencies: Dependencies, notice: Notice) -> int:
    """Record a delivery for each subscriber, once; return how many will be told.

    Endings go to the batch's URL and the deployment's too, every event to the endpoints that want it. A disabled
    endpoint is not told, but its delivery is recorded, to be redelivered when it is enabled again.

    Raises:
        ApiError: 400 STATUS_IS_NO_EVENT.
    """
    if notice.status not in EVENT_TYPES:
        raise status_is_no_event(notice.status)
    settings = dependencies.settings
    request_id, body = UUID(notice.request_id), event_body(notice, now=dependencies.clock.now())
    urls = (notice.webhook_url, settings.webhook_url) if notice.status in FINAL_EVENT_TYPES else ()
    own = [Target(url) for url in dict.fromkeys(url for url in urls if url)]

    def work(connection: Connection) -> tuple[int, list[Hint]]:
        report = find_report(connection, request_id)
        owner = notice.owner if notice.owner is not None or report is None else report.owner
        event = Event(request_id, notice.generation, event_type(notice), body, owner)
        subscribed = subscribed_endpoints(connection, owner=owner, event_type=event.type)
        targets = own + [Target(e.url, e.id, disabled=e.disabled_reason is not None) for e in subscribed]
        hints = add_deliveries(connection, event, targets, hint_grace_s=settings.webhook_hint_grace_s)
        reach(Failpoint.DELIVERIES_WRITTEN)
        return sum(not target.disabled for target in targets), hints

    count, hints = transact(dependencies.engine, work)
    reach(Failpoint.DELIVERIES_COMMITTED)
    give_hints(dependencies.tasks, hints)
    reach(Failpoint.DELIVERIES_HINTED)
    log.info("subscribers.noted", request_id=notice.request_id, event_type=event_type(notice), deliveries=count)
    return count


def send_sample(dependencies: Dependencies, endpoint: Endpoint) -> UUID:
    """Record a delivery of a test event to an endpoint and ask for its first attempt; return the delivery's id."""
    request_id = uuid4()
    body = sample_event_body(str(request_id), now=dependencies.clock.now())
    event = Event(request_id, 1, TEST_EVENT_TYPE, body, endpoint.owner)
    targets = [Target(endpoint.url, endpoint.id)]
    grace_s = dependencies.settings.webhook_hint_grace_s
    hints = transact(dependencies.engine, lambda c: add_deliveries(c, event, targets, hint_grace_s=grace_s))
    give_hints(dependencies.tasks, hints)
    return hints[0].delivery_id
