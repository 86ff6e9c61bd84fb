"""The connectors of every service that the tables beside this module know, read when they are first asked for.

A table has one line for the service, `NAME VERSION ADDRESS listed|unlisted`, lines `$0 NAME ...` that shorten lists of
query parameters, and one line a method: `NAME VERB PATH body|- operation|status|- QUERY ...`.

Source: Google's discovery documents, by `tests/harness/discovery_tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import urlsplit

from localcloud.workflows.connectors.methods import ApiMethod, BodyKind, Waiting
from localcloud.workflows.connectors.waiting import JOBS

_FOLDER = resources.files("localcloud.workflows.connectors") / "discovery"
_PREFIX = "googleapis."
_WAITING = {"operation": Waiting.OPERATION, "status": Waiting.STATUS, "-": Waiting.NOT}
_PLACE_ARGUMENTS = ("location", "region")
"""Arguments that choose a regional address; one local server stands for all of them."""

_BEYOND_DISCOVERY: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "googleapis.sqladmin.v1beta4.instances.insert": ((), ("instance",)),
    "googleapis.translate.v2.translations.translate": (("format", "model", "q", "source", "target"), ()),
}
"""Arguments that samples of Google's give and the documents do not have: sent in the query, or taken and not sent."""


@dataclass(frozen=True, slots=True)
class Table:
    """The methods of one version of a service, by full name.

    `is_listed` tells whether Google's list of connectors has the service.
    """

    methods: Mapping[str, ApiMethod]
    is_listed: bool


def discovered_method(name: str) -> ApiMethod | None:
    """Return the method `googleapis.SERVICE.VERSION.METHOD`, or None when there is none."""
    table = table_of(name)
    return None if table is None else table.methods.get(name)


def table_of(name: str) -> Table | None:
    """Return the table of the service and version that a connector's name begins with, or None."""
    parts = name.split(".")
    if not name.startswith(_PREFIX) or len(parts) < 4:
        return None
    return _table(f"{parts[1]}.{parts[2]}")


def service_of(name: str) -> str:
    """Return `bigquery` for `googleapis.bigquery.v2.jobs.query`."""
    return name.removeprefix(_PREFIX).partition(".")[0]


def known_services() -> list[str]:
    """Return `SERVICE.VERSION` of every table."""
    return sorted(path.name.removesuffix(".txt") for path in _FOLDER.iterdir() if path.name.endswith(".txt"))


@cache
def _table(service: str) -> Table | None:
    path = _FOLDER / f"{service}.txt"
    if not service.replace(".", "").isalnum() or not path.is_file():
        return None
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    name, version, address, listing = head.split()
    # The host of some services is not their name, such as www.googleapis.com: the name is what people know.
    root = f"https://{name}.googleapis.com{urlsplit(address).path}"
    aliases: dict[str, list[str]] = {}
    methods: dict[str, ApiMethod] = {}
    for line in lines:
        first, *rest = line.split(" ")
        if first.startswith("$"):
            aliases[first] = rest
            continue
        verb, way, body, waiting, *query = rest
        full = f"{_PREFIX}{name}.{version}.{first}"
        sent, ignored = _BEYOND_DISCOVERY.get(full, ((), ()))
        parameters = tuple(parameter for item in query for parameter in aliases.get(item, [item]))
        method = ApiMethod(
            full,
            verb,
            root.rstrip("/") if way == "-" else root + way,
            query=parameters + sent,
            body=BodyKind.JSON if body == "body" else BodyKind.NONE,
            waiting=Waiting.JOB if full in JOBS else _WAITING[waiting],
            ignored=_PLACE_ARGUMENTS + ignored,
        )
        methods[full] = method
    return Table(methods, listing == "listed")
