"""`sys`: environment, log, clock.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/sys
"""

from __future__ import annotations

from localcloud.workflows.errors import type_error, value_error
from localcloud.workflows.functions.arguments import map_of, number_of, text_of, wrong_type
from localcloud.workflows.functions.signatures import BlockingFunction, Function, HostFunction, parameters
from localcloud.workflows.jsontext import encode_json_leniently
from localcloud.workflows.limits import MAX_SLEEP_S
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.stdlib.time import seconds_of_rfc3339
from localcloud.workflows.values import Value

_SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
_LOGGABLE = (int, float, bool, str, list, dict)


def _get_env(host: Host, name: Value, default: Value) -> Value:
    variable = text_of("name", name)
    if default is not None and type(default) is not str:
        raise wrong_type("default", default, "a string")
    return host.env.get(variable, default)


async def _log(host: Host, data: Value, severity: Value, text: Value, json: Value, limit: Value) -> Value:
    level = text_of("severity", severity)
    if level not in _SEVERITIES:
        raise value_error(f"unsupported severity '{level}' (expecting one of {', '.join(_SEVERITIES)})")
    if limit is not None:
        # Writing to the host's log never waits, so the timeout cannot pass.
        number_of("timeout", limit)
    given = [(name, value) for name, value in (("data", data), ("text", text), ("json", json)) if value is not None]
    if len(given) != 1:
        raise type_error("sys.log expects exactly one of 'data', 'text' and 'json'")
    name, payload = given[0]
    if name == "text":
        payload = _text_to_log(payload)
    elif name == "json":
        map_of("json", payload)
    else:
        _check_loggable("data", payload)
    host.log.write(level, payload)


def _text_to_log(value: Value) -> str:
    """Return what `text` logs: a string as it is, any other value as JSON (the page says only that it is a text)."""
    _check_loggable("text", value)
    return value if isinstance(value, str) else encode_json_leniently(value)


def _check_loggable(name: str, value: Value) -> None:
    if type(value) not in _LOGGABLE:
        raise wrong_type(name, value, "a number, boolean, string, list or map")


def _now(host: Host) -> float:
    return host.clock.now()


async def _sleep(host: Host, seconds: Value) -> Value:
    await _wait(host, float(number_of("seconds", seconds)))


async def _sleep_until(host: Host, time: Value) -> Value:
    await _wait(host, max(0.0, seconds_of_rfc3339(text_of("time", time)) - host.clock.now()))


async def _wait(host: Host, seconds: float) -> None:
    if not 0 <= seconds <= MAX_SLEEP_S:
        raise value_error(f"a sleep lasts 0 to {MAX_SLEEP_S:.0f} seconds")
    await host.clock.sleep(seconds)


FUNCTIONS: tuple[Function, ...] = (
    HostFunction("sys.get_env", parameters("name", default=None), _get_env),
    HostFunction("sys.now", (), _now),
    BlockingFunction("sys.log", parameters(data=None, severity="DEFAULT", text=None, json=None, timeout=None), _log),
    BlockingFunction("sys.sleep", parameters("seconds"), _sleep),
    BlockingFunction("sys.sleep_until", parameters("time"), _sleep_until),
)
