"""The target of a queue (`httpTarget`) from and to the JSON of the Cloud Tasks API.

Source: https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#HttpTarget
"""

from __future__ import annotations

import enum
import re
from typing import Any

from localcloud.core.google_errors import invalid_argument
from localcloud.core.json_values import enum_from_json, integer_from_json, object_from_json, text_from_json
from localcloud.tasks.api.http_fields import check_headers, token_from_json, token_to_json
from localcloud.tasks.model import HttpMethod, OAuthToken, OidcToken, QueueTarget, UriOverride

_FIELDS = ("uriOverride", "httpMethod", "headerOverrides", "oidcToken", "oauthToken")
_URI_FIELDS = ("scheme", "host", "port", "pathOverride", "queryOverride", "uriOverrideEnforceMode")
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:]+\]?")
_MAX_PORT = 65535


class _Scheme(enum.IntEnum):
    HTTP = 1
    HTTPS = 2


class _Mode(enum.IntEnum):
    IF_NOT_EXISTS = 1
    ALWAYS = 2


def queue_target_from_json(value: Any) -> QueueTarget | None:
    """Return the target that a queue's `httpTarget` describes; an empty one is none.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    at = "queue.http_target"
    body = object_from_json(value, at=at, allowed=_FIELDS)
    target = QueueTarget(
        uri=_uri_from_json(body["uriOverride"], f"{at}.uri_override") if "uriOverride" in body else None,
        method=enum_from_json(body.get("httpMethod", 0), HttpMethod, at=f"{at}.http_method"),
        headers=_headers_from_json(body.get("headerOverrides", []), f"{at}.header_overrides"),
        token=token_from_json(body, at),
    )
    match target.token:
        case OidcToken(_, ""):
            raise invalid_argument(f"{at}.oidc_token.audience must be set at the level of a queue.")
        case OAuthToken() if not body["oauthToken"].get("scope"):
            raise invalid_argument(f"{at}.oauth_token.scope must be set at the level of a queue.")
    return None if target == QueueTarget() else target


def queue_target_to_json(target: QueueTarget) -> dict[str, Any]:
    """Return the target as the API shows it."""
    answer: dict[str, Any] = {}
    if target.uri is not None:
        answer["uriOverride"] = _uri_to_json(target.uri)
    if target.method is not None:
        answer["httpMethod"] = target.method.name
    if target.headers:
        answer["headerOverrides"] = [{"header": {"key": key, "value": text}} for key, text in target.headers.items()]
    return answer | token_to_json(target.token)


def _uri_from_json(value: Any, at: str) -> UriOverride:
    body = object_from_json(value, at=at, allowed=_URI_FIELDS)
    host = text_from_json(body["host"], at=f"{at}.host") if "host" in body else None
    if host is not None and _HOST.fullmatch(host) is None:
        raise invalid_argument(f"{at}.host must be the name of a host, not {host[:100]!r}.")
    port = integer_from_json(body["port"], at=f"{at}.port") if "port" in body else None
    if port is not None and not 0 <= port <= _MAX_PORT:
        raise invalid_argument(f"{at}.port must be between 0 and {_MAX_PORT}.")
    scheme = enum_from_json(body.get("scheme", 0), _Scheme, at=f"{at}.scheme")
    mode = enum_from_json(body.get("uriOverrideEnforceMode", 0), _Mode, at=f"{at}.uri_override_enforce_mode")
    return UriOverride(
        scheme=None if scheme is None else scheme.name.lower(),
        host=None if host is None else host.strip("[]"),
        port=port,
        path=_part(body, "pathOverride", "path", at),
        query=_part(body, "queryOverride", "queryParams", at),
        only_absent=mode is _Mode.IF_NOT_EXISTS,
    )


def _part(body: dict[str, Any], field: str, inner: str, at: str) -> str | None:
    if field not in body:
        return None
    given = object_from_json(body[field], at=f"{at}.{field}", allowed=(inner,))
    text = text_from_json(given.get(inner, ""), at=f"{at}.{field}.{inner}")
    if any(character.isspace() for character in text) or "#" in text:
        raise invalid_argument(f"{at}.{field}.{inner} must be a part of a URL, not {text[:100]!r}.")
    return text


def _uri_to_json(uri: UriOverride) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if uri.scheme is not None:
        answer["scheme"] = uri.scheme.upper()
    if uri.host is not None:
        answer["host"] = uri.host
    if uri.port is not None:
        answer["port"] = str(uri.port)
    if uri.path is not None:
        answer["pathOverride"] = {"path": uri.path} if uri.path else {}
    if uri.query is not None:
        answer["queryOverride"] = {"queryParams": uri.query} if uri.query else {}
    if uri.only_absent:
        answer["uriOverrideEnforceMode"] = "IF_NOT_EXISTS"
    return answer


def _headers_from_json(value: Any, at: str) -> dict[str, str]:
    if not isinstance(value, list):
        raise invalid_argument(f"Invalid value at '{at}': expected a list.")
    headers = {}
    for item in value:
        wrapped = object_from_json(item, at=at, allowed=("header",))
        header = object_from_json(wrapped.get("header", {}), at=f"{at}.header", allowed=("key", "value"))
        name = text_from_json(header.get("key", ""), at=f"{at}.header.key")
        headers[name] = text_from_json(header.get("value", ""), at=f"{at}.header.value")
    return check_headers(headers, "HttpTarget.header_overrides")
