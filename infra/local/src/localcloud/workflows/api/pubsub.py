"""The body of `triggerPubsubExecution`: a Pub/Sub push notification, and the argument that an execution gets from it.

Source: https://cloud.google.com/workflows/docs/reference/executions/rest/v1/projects.locations.workflows/triggerPubsubExecution
and https://cloud.google.com/workflows/docs/trigger-workflow-eventarc. With the mode that Eventarc sets, the argument is
the CloudEvent around the notification; without one, as when Pub/Sub pushes by itself, the notification (assumed).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.google_errors import invalid_argument, unimplemented
from localcloud.core.json_values import Json
from localcloud.workflows.api import request_fields
from localcloud.workflows.jsontext import encode_json

_EVENTARC_MODE = "CUSTOM_PUBSUB_"
"""What Eventarc's modes begin with; the topic's name follows."""

_EVENT_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"

DEDUPLICATION_S = 24 * 3600.0
"""How long a message is remembered: https://cloud.google.com/workflows/docs/trigger-workflow-eventarc."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What a push asks for: the fields of the Execution, and the delivery it belongs to, if the message has an id."""

    execution: Json
    delivery: tuple[str, str] | None


class DeliveredMessages:
    """Which message started which execution, for 24 hours; a message that comes again starts no second one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started: dict[tuple[str, str, str], tuple[float, str]] = {}
        """Workflow, subscription and message id to when and which execution, oldest first."""

    def execution_of(self, workflow_name: str, delivery: tuple[str, str]) -> str | None:
        """Return the name of the execution that the message has started, or None."""
        self._forget_old()
        started = self._started.get((workflow_name, *delivery))
        return started[1] if started is not None else None

    def remember(self, workflow_name: str, delivery: tuple[str, str], execution_name: str) -> None:
        """Note that the message has started an execution now."""
        key = (workflow_name, *delivery)
        self._started.pop(key, None)
        self._started[key] = (self._clock.now(), execution_name)

    def _forget_old(self) -> None:
        oldest_s = self._clock.now() - DEDUPLICATION_S
        for key, (started_s, _) in list(self._started.items()):
            if started_s > oldest_s:
                break
            del self._started[key]


def read_notification(body: Any, mode: str) -> Notification:
    """Return the execution that a push asks for; it never waits in the backlog.

    Args:
        body: the request's body.
        mode: the query parameter `__GCP_CloudEventsMode`, which the body may give as `GCPCloudEventsMode`, or ``.

    Raises:
        GoogleError: INVALID_ARGUMENT, naming the field; UNIMPLEMENTED for a mode that is not Eventarc's.
    """
    fields = request_fields.read_body(body, _REQUEST, frozenset(), "TriggerPubsubExecutionRequest")
    for name in ("subscription", "message"):
        if not fields.get(name):
            raise invalid_argument(f"Required field '{name}' is missing")
    notification = {"message": fields["message"], "subscription": fields["subscription"]}
    argument = _argument(notification, mode or fields.get("GCPCloudEventsMode", ""))
    message_id = fields["message"].get("messageId")
    return Notification(
        {"argument": encode_json(argument), "disableConcurrencyQuotaOverflowBuffering": True},
        (fields["subscription"], message_id) if message_id else None,
    )


def _argument(notification: Json, mode: str) -> Json:
    if not mode:
        return notification
    if not mode.startswith(_EVENTARC_MODE):
        raise unimplemented(f"localcloud knows the event mode {_EVENTARC_MODE}TOPIC only, not {mode!r}")
    message = notification["message"]
    event = {
        "specversion": "1.0",
        "type": _EVENT_TYPE,
        "source": f"//pubsub.googleapis.com/{mode.removeprefix(_EVENTARC_MODE)}",
        "datacontenttype": "application/json",
        "data": notification,
        "id": message.get("messageId"),
        "time": message.get("publishTime"),
    }
    return {name: value for name, value in event.items() if value is not None}


def _message(value: Any, field: str) -> Json:
    message = request_fields.read_body(value, _MESSAGE, frozenset(), field)
    if not message.get("data") and not message.get("attributes"):
        raise invalid_argument(f"{field} needs a non-empty data field or at least one attribute")
    return message


def _base64_text(value: Any, field: str) -> str:
    try:
        base64.b64decode(request_fields.text(value, field), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument(f"Invalid value at '{field}' (TYPE_BYTES), {json.dumps(value)}") from None
    return str(value)


def _attempt(value: Any, field: str) -> None:
    """Accept the number of the delivery, which Workflows ignores by its documentation."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_argument(f"Invalid value at '{field}' (TYPE_INT32), {json.dumps(value)}")


_MESSAGE: Mapping[str, request_fields.Reader] = {
    "data": _base64_text,
    "attributes": request_fields.string_map,
    "messageId": request_fields.text,
    "publishTime": request_fields.text,
    "orderingKey": request_fields.text,
}
_REQUEST: Mapping[str, request_fields.Reader] = {
    "subscription": request_fields.text,
    "message": _message,
    "GCPCloudEventsMode": request_fields.text,
    "deliveryAttempt": _attempt,
}
