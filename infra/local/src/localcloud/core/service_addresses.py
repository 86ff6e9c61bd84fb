"""Where Google's services live on this machine: from options `SERVICE=URL` and the variables of Google's emulators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from localcloud.core.config_fields import ConfigError

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "BIGQUERY_EMULATOR_HOST": ("bigquery",),
    "FIRESTORE_EMULATOR_HOST": ("firestore",),
    "PUBSUB_EMULATOR_HOST": ("pubsub",),
    "STORAGE_EMULATOR_HOST": ("storage",),
}
"""Environment variable to the services that it names the local server of."""

OWN_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "CLOUD_TASKS_EMULATOR_HOST": ("cloudtasks",),
    "WORKFLOWS_EMULATOR_HOST": ("workflows", "workflowexecutions", "secretmanager"),
}
"""The same for the servers of localcloud itself, for programs beside it."""

_SERVICE = re.compile(r"[a-z][a-z0-9]*")


def service_addresses(
    options: Sequence[str], environment: Mapping[str, str], variables: Mapping[str, tuple[str, ...]] = VARIABLES
) -> dict[str, str]:
    """Return the base URL of every service that has one, without a slash at the end; options go before variables.

    Args:
        options: `SERVICE=URL` each; the service is the connector's, as in `googleapis.SERVICE.`.
        environment: environment variables, `HOST:PORT` or a URL.
        variables: which of them count.

    Raises:
        ConfigError: an option or address has another form.
    """
    found = {}
    for variable, services in variables.items():
        if address := environment.get(variable):
            url = address if "://" in address else f"http://{address}"
            found.update(dict.fromkeys(services, _checked(url, variable)))
    for option in options:
        service, separator, url = option.partition("=")
        if not separator or _SERVICE.fullmatch(service) is None:
            raise ConfigError(f"--service wants SERVICE=URL, such as pubsub=http://127.0.0.1:8085, not {option!r}")
        found[service] = _checked(url, "--service")
    return found


def _checked(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or True)
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError(f"{where}: {url!r} is not the URL of a server")
    return url.rstrip("/")
