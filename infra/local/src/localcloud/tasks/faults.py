"""Faults a test can order: what a real queue does rarely, the emulator does on demand, and counts it.

`POST /_local/faults {"fault": "deliver-twice", "queue": "images", "count": 3}`, `GET /_local/faults`,
`DELETE /_local/faults`. A departure from production in name and path; nothing of it happens unasked.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from localcloud.google_errors import invalid_argument
from localcloud.tasks.json_values import integer_from_json, object_from_json, text_from_json


class Fault(enum.Enum):
    """What can go wrong; all of it is allowed by "at least once"."""

    REFUSE_CREATE = "refuse-create"
    """CreateTask answers 503 and does nothing."""
    LOSE_CREATE_ANSWER = "lose-create-answer"
    """CreateTask creates the task and answers 503."""
    DELIVER_TWICE = "deliver-twice"
    """A task the handler accepted is delivered again at once."""
    LOSE_RESPONSE = "lose-response"
    """The handler's answer does not arrive: the attempt fails and is retried."""


@dataclass(slots=True)
class _Order:
    fault: Fault
    queue_id: str
    left: int
    fired: int = 0


class FaultPlan:
    """The faults still to happen and those that have, in the order they were asked for."""

    def __init__(self) -> None:
        self._orders: list[_Order] = []

    def order(self, body: Any) -> None:
        """Take an order `{"fault": NAME, "queue": ID, "count": N}`; count defaults to 1.

        Raises:
            GoogleError: INVALID_ARGUMENT.
        """
        fields = object_from_json(body, place="fault", allowed=("fault", "queue", "count"))
        names = [fault.value for fault in Fault]
        name = text_from_json(fields.get("fault"), place="fault.fault")
        if name not in names:
            raise invalid_argument(f"fault.fault must be one of {', '.join(names)}, not {name!r}.")
        count = integer_from_json(fields.get("count", 1), place="fault.count")
        if count < 1:
            raise invalid_argument("fault.count must be at least 1.")
        self._orders.append(_Order(Fault(name), text_from_json(fields.get("queue"), place="fault.queue"), count))

    def fires(self, fault: Fault, queue_id: str) -> bool:
        """Tell whether `fault` happens now, and count it."""
        for order in self._orders:
            if order.left and order.fault is fault and order.queue_id == queue_id:
                order.left -= 1
                order.fired += 1
                return True
        return False

    def clear(self) -> None:
        """Forget all orders."""
        self._orders.clear()

    def to_json(self) -> dict[str, Any]:
        """Return `{"faults": [{"fault": ..., "queue": ..., "left": 2, "fired": 1}]}`."""
        return {
            "faults": [
                {"fault": order.fault.value, "queue": order.queue_id, "left": order.left, "fired": order.fired}
                for order in self._orders
            ]
        }
