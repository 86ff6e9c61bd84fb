"""Faults a test can order on any route of any emulated server: what production does rarely, on demand and counted.

An order is JSON: `{"route": "executions.create", "fault": "fail", "code": 503, "count": 2}`. It may be narrowed to one
`queue`, `workflow` or `job`, and to one `transport`. `GET /_local/faults` tells how often each order fired. A departure
from production in name and path; nothing of it happens unasked. Does not know about: HTTP and gRPC, which get a
`FaultError` or `ConnectionLostError` to answer.
"""

from __future__ import annotations

import contextlib
import enum
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from localcloud.core.clock import Clock
from localcloud.core.google_errors import GoogleError, invalid_argument, status_of_http_code

T = TypeVar("T")

MAX_COUNT = 1_000_000
MAX_DELAY_S = 3600.0
DEFAULT_CODE = 503


class Fault(enum.Enum):
    """What can go wrong between two programs."""

    DELAY = "delay"
    """The request is held for `delay_s` before it is looked at."""
    FAIL = "fail"
    """The request is answered with the HTTP code `code` (gRPC: the status of that code) and has no effect."""
    LOSE = "lose"
    """The request has no effect and no answer: the connection closes."""
    DELIVER_TWICE = "deliver-twice"
    """The request takes effect twice, as if a proxy had repeated it; the sender sees the first answer."""
    DROP_RESPONSE = "drop-response"
    """The request takes effect and the connection closes without an answer."""


_SELECTORS: Mapping[str, str] = {"queue": "queues", "workflow": "workflows", "job": "jobs"}
"""Field of an order to the collection whose id it names."""

_TRANSPORTS = ("rest", "grpc")


class OrderedFaultError(GoogleError):
    """An ordered `fail`: answered with its code."""


class ConnectionLostError(Exception):
    """An ordered `lose` or `drop-response`: the connection closes without an answer."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that happens to one request now; `code` belongs to `fail`, `delay_s` to `delay`."""

    code: int
    delay_s: float


@dataclass(slots=True)
class _Order:
    route: str
    fault: Fault
    selection: Mapping[str, str]
    transport: str
    code: int
    delay_s: float
    left: int
    fired: int = 0

    def is_about(self, route: str, name: str, transport: str) -> bool:
        """Tell whether the order is for a request to `route` about the resource `name`."""
        if not self.left or not fnmatch.fnmatchcase(route, self.route):
            return False
        if self.transport and transport and self.transport != transport:
            return False
        return all(
            re.search(rf"(?:^|/){_SELECTORS[field]}/{re.escape(wanted)}(?:[/:]|$)", name)
            for field, wanted in self.selection.items()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the order and its account."""
        shown: dict[str, Any] = {"route": self.route, "fault": self.fault.value, **self.selection}
        if self.transport:
            shown["transport"] = self.transport
        if self.fault is Fault.FAIL:
            shown["code"] = self.code
        if self.fault is Fault.DELAY:
            shown["delay_s"] = self.delay_s
        return shown | {"left": self.left, "fired": self.fired}


class FaultPlan:
    """The faults of one server: still to happen and happened, in the order they were asked for.

    Args:
        clock: waits for `delay`.
        routes: ids of all routes of the server; an order for any other is refused, so that a typing error cannot look
            like a fault that never fires.
        route_of: route that an order means which has only the given field, e.g. `{"queue": "tasks.dispatch"}`.
    """

    def __init__(self, clock: Clock, routes: Iterable[str], *, route_of: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._route_of = route_of or {}
        self.routes = tuple(sorted(set(routes)))
        """Ids of all routes, sorted."""
        self._orders: list[_Order] = []

    async def run(self, route: str, name: str, transport: str, act: Callable[[], T]) -> T:
        """Do `act` as the request's effect, with whatever was ordered for it.

        Args:
            route: id of the route.
            name: resource name or path the request is about, for orders narrowed to a queue or workflow.
            transport: `rest` or `grpc`.
            act: the effect; called twice when ordered, its second answer or GoogleError is dropped.

        Raises:
            OrderedFaultError: an ordered `fail`.
            ConnectionLostError: the request or its answer is lost.
        """
        if not self._orders:
            return act()
        await self.before(route, name, transport)
        try:
            answer = act()
        except GoogleError:
            self.after(route, name, transport)
            raise
        if self.fires(Fault.DELIVER_TWICE, route, name, transport):
            # Refused the second time, as a duplicate may be: the sender has the first answer.
            with contextlib.suppress(GoogleError):
                act()
        self.after(route, name, transport)
        return answer

    def fires(self, fault: Fault, route: str, name: str, transport: str = "") -> Strike | None:
        """Return what happens if `fault` happens to this request now, and count it."""
        for order in self._orders:
            if order.fault is fault and order.is_about(route, name, transport):
                order.left -= 1
                order.fired += 1
                return Strike(order.code, order.delay_s)
        return None

    async def before(self, route: str, name: str, transport: str = "") -> None:
        """Apply the faults that come before the effect.

        Raises:
            OrderedFaultError: `fail`.
            ConnectionLostError: `lose`.
        """
        if (held := self.fires(Fault.DELAY, route, name, transport)) is not None:
            await self._clock.sleep(held.delay_s)
        if (failed := self.fires(Fault.FAIL, route, name, transport)) is not None:
            status = status_of_http_code(failed.code)
            raise OrderedFaultError(status, "Ordered fault: fail", http_code=failed.code)
        if self.fires(Fault.LOSE, route, name, transport) is not None:
            raise ConnectionLostError("Ordered fault: lose")

    def after(self, route: str, name: str, transport: str = "") -> None:
        """Apply the faults that come after the effect.

        Raises:
            ConnectionLostError: `drop-response`.
        """
        if self.fires(Fault.DROP_RESPONSE, route, name, transport) is not None:
            raise ConnectionLostError("Ordered fault: drop-response")

    def order(self, body: Any) -> None:
        """Take an order; `count` defaults to 1, `code` to 503, `route` may hold `*`.

        Raises:
            GoogleError: INVALID_ARGUMENT, it cannot be understood or can never fire.
        """
        fields = _checked(body)
        fault = _fault(fields.get("fault"))
        selection = {field: _text(fields, field) for field in _SELECTORS if field in fields}
        route = _text(fields, "route") if "route" in fields else self._default_route(selection)
        if not any(fnmatch.fnmatchcase(known, route) for known in self.routes):
            raise invalid_argument(f"fault.route {route!r} matches none of {', '.join(self.routes)}.")
        transport = _text(fields, "transport") if "transport" in fields else ""
        if transport and transport not in _TRANSPORTS:
            raise invalid_argument(f"fault.transport must be rest or grpc, not {transport!r}.")
        if "code" in fields and fault is not Fault.FAIL:
            raise invalid_argument("fault.code belongs to the fault 'fail'.")
        if ("delay_s" in fields) != (fault is Fault.DELAY):
            raise invalid_argument("fault.delay_s belongs to the fault 'delay', which needs it.")
        self._orders.append(
            _Order(
                route=route,
                fault=fault,
                selection=selection,
                transport=transport,
                code=_integer(fields, "code", DEFAULT_CODE, least=400, most=599),
                delay_s=_seconds(fields.get("delay_s", 0)),
                left=_integer(fields, "count", 1, least=1, most=MAX_COUNT),
            )
        )

    def clear(self) -> None:
        """Forget all orders."""
        self._orders.clear()

    def to_json(self) -> dict[str, Any]:
        """Return `{"faults": [{"route": ..., "fault": ..., "left": 2, "fired": 1}]}`."""
        return {"faults": [order.to_json() for order in self._orders]}

    def _default_route(self, selection: Collection[str]) -> str:
        for field in selection:
            if field in self._route_of:
                return self._route_of[field]
        raise invalid_argument(f"fault.route is missing; the routes are {', '.join(self.routes)}.")


_FIELDS = ("route", "fault", "transport", "code", "delay_s", "count", *_SELECTORS)


def _checked(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise invalid_argument("A fault is ordered by a JSON object.")
    if unknown := sorted(body.keys() - set(_FIELDS)):
        raise invalid_argument(f"fault.{unknown[0]} is unknown; the fields are {', '.join(_FIELDS)}.")
    return body


def _fault(name: Any) -> Fault:
    names = [fault.value for fault in Fault]
    if name not in names:
        raise invalid_argument(f"fault.fault must be one of {', '.join(names)}, not {name!r}.")
    return Fault(name)


def _text(fields: Mapping[str, Any], field: str) -> str:
    value = fields[field]
    if not isinstance(value, str) or not value:
        raise invalid_argument(f"fault.{field} must be a text, not {value!r}.")
    return value


def _integer(fields: Mapping[str, Any], field: str, default: int, *, least: int, most: int) -> int:
    value = fields.get(field, default)
    if type(value) is not int or not least <= value <= most:
        raise invalid_argument(f"fault.{field} must be an integer from {least} to {most}, not {value!r}.")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= MAX_DELAY_S:
        raise invalid_argument(f"fault.delay_s must be seconds from 0 to {MAX_DELAY_S:g}, not {value!r}.")
    return float(value)
