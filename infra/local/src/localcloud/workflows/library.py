"""The whole standard library, put together from its modules."""

from __future__ import annotations

from functools import cache

from localcloud.workflows.connectors import experimental
from localcloud.workflows.functions.signatures import Library, by_name
from localcloud.workflows.stdlib import (
    base64,
    builtins,
    events,
    http,
    json,
    math,
    retry,
    sys,
    text,
    time,
    uuid,
)
from localcloud.workflows.stdlib import hash as hash_module
from localcloud.workflows.stdlib import list as list_module
from localcloud.workflows.stdlib import map as map_module

_MODULES = (
    base64,
    builtins,
    events,
    experimental,
    hash_module,
    http,
    json,
    list_module,
    map_module,
    math,
    retry,
    sys,
    text,
    time,
    uuid,
)


@cache
def standard_library() -> Library:
    """Return every function, retry policy and backoff that a workflow can name."""
    functions = by_name(function for module in _MODULES for function in module.FUNCTIONS)
    return Library(functions, retry.POLICIES, retry.BACKOFFS)
