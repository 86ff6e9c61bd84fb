"""`events`: callback endpoints and waiting for them.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/events
"""

from __future__ import annotations

from localcloud.workflows.errors import timeout_error, value_error
from localcloud.workflows.functions.arguments import map_of, number_of, text_of
from localcloud.workflows.functions.signatures import BlockingFunction, Function, HostFunction, parameters
from localcloud.workflows.limits import DEFAULT_CALLBACK_TIMEOUT_S
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.values import Value

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


def _create_callback_endpoint(host: Host, http_callback_method: Value) -> Value:
    method = text_of("http_callback_method", http_callback_method)
    if method not in _METHODS:
        raise value_error(f"unsupported http_callback_method '{method}' (expecting one of {', '.join(_METHODS)})")
    return {"url": host.callbacks.create(method)}


async def _await_callback(host: Host, callback: Value, timeout: Value) -> Value:  # noqa: ASYNC109 - Google's name
    endpoint = map_of("callback", callback)
    if "url" not in endpoint:
        raise value_error("argument 'callback' is not the result of events.create_callback_endpoint")
    url = text_of("url", endpoint["url"])
    seconds = float(number_of("timeout", timeout))
    if not 0 <= seconds < float("inf"):
        raise value_error("argument 'timeout' must be zero or more seconds")
    try:
        return await host.callbacks.wait(url, seconds)
    except TimeoutError:
        raise timeout_error(f"timed out after {seconds:g} seconds waiting for a callback") from None
    except KeyError:
        raise value_error("argument 'callback' is not an endpoint of this execution") from None


FUNCTIONS: tuple[Function, ...] = (
    HostFunction("events.create_callback_endpoint", parameters(http_callback_method="POST"), _create_callback_endpoint),
    BlockingFunction(
        "events.await_callback", parameters("callback", timeout=DEFAULT_CALLBACK_TIMEOUT_S), _await_callback
    ),
)
