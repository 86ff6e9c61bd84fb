"""Secret Manager v1: reading secrets. Source: https://cloud.google.com/workflows/docs/reference/googleapis/secretmanager."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from localcloud.workflows.connectors.calls import ApiCall, connector_params
from localcloud.workflows.connectors.methods import CONNECTOR_PARAMS, ApiMethod
from localcloud.workflows.connectors.waiting import connector, perform
from localcloud.workflows.errors import response_type_error, type_error, value_error
from localcloud.workflows.runtime.host import ConnectorMethod, Host
from localcloud.workflows.values import Value

_VERSIONS = "googleapis.secretmanager.v1.projects.secrets.versions"

_ACCESS = ApiMethod(f"{_VERSIONS}.access", "GET", "https://secretmanager.googleapis.com/v1/{+name}:access")


def secretmanager_methods() -> dict[str, ConnectorMethod]:
    """Return the connectors of this module by full name."""
    return {_ACCESS.name: connector(_ACCESS), f"{_VERSIONS}.accessString": _access_string}


async def _access_string(host: Host, arguments: Mapping[str, Value]) -> Value:
    """Return the text of a secret: `secret_id`, `version` (default latest), `project_id` (default the caller's)."""
    if unknown := sorted(set(arguments) - {"secret_id", "version", "project_id", CONNECTOR_PARAMS}):
        raise type_error(f"{_VERSIONS}.accessString: unknown argument {unknown[0]!r}")
    secret_id = arguments.get("secret_id")
    if not isinstance(secret_id, str):
        raise type_error(f"{_VERSIONS}.accessString: missing argument 'secret_id'")
    project_id = arguments.get("project_id") or host.env["GOOGLE_CLOUD_PROJECT_ID"]
    version = arguments.get("version") or "latest"
    call = ApiCall(host, connector_params(arguments.get(CONNECTOR_PARAMS)))
    name = f"projects/{project_id}/secrets/{secret_id}/versions/{version}"
    answer = await perform(call, _ACCESS, {"name": name})
    match answer:
        case {"payload": {"data": str() as data}}:
            pass
        case _:
            raise response_type_error(f"the answer has no payload of {name}")
    try:
        return base64.b64decode(data).decode("utf-8")
    except ValueError:
        raise value_error(f"the payload of {name} is not UTF-8 text") from None
