"""Builds the request of an `http.*` call: URL, headers, body, timeout and credentials.

Does not know about: sending it and the answer (`http`), and where Google's hosts are locally (the host's caller).

Source: https://cloud.google.com/workflows/docs/reference/stdlib/http/request and
https://cloud.google.com/workflows/docs/authenticate-from-workflow
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import SplitResult, quote, urlencode, urlsplit, urlunsplit

from localcloud.core.google_hosts import is_loopback
from localcloud.workflows.errors import auth_error, value_error
from localcloud.workflows.functions.arguments import map_of, number_of, text_of, wrong_type
from localcloud.workflows.jsontext import JsonEncodeError, encode_json
from localcloud.workflows.limits import DEFAULT_HTTP_TIMEOUT_S, MAX_HTTP_TIMEOUT_S
from localcloud.workflows.runtime.host import Host, HttpRequest
from localcloud.workflows.values import Value, to_text

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
USER_AGENT = "GoogleCloudWorkflows; (+https://cloud.google.com/workflows/docs)"
CLOUD_PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_Wanted = TypeVar("_Wanted", str, list[str])

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"

_QUERY_SCALARS = (str, int, float, bool)
_GOOGLE_DOMAINS = ("googleapis.com", "google.com", "run.app", "cloudfunctions.net")


@dataclass(frozen=True, slots=True)
class HttpArguments:
    """The arguments of an `http.*` call, not yet checked; None where the workflow gave none."""

    method: Value
    url: Value
    timeout: Value = None
    body: Value = None
    headers: Value = None
    query: Value = None
    auth: Value = None


def build_request(host: Host, arguments: HttpArguments) -> HttpRequest:
    """Return the request that the arguments describe.

    Raises:
        WorkflowError: TypeError or ValueError for arguments that production refuses.
    """
    method = text_of("method", arguments.method)
    if method not in METHODS:
        raise value_error(f"unsupported HTTP method '{method}' (expecting one of {', '.join(METHODS)})")
    url = _url(arguments.url)
    headers = _headers(arguments.headers)
    body = _body(arguments.body, headers)
    if arguments.auth is not None:
        headers["Authorization"] = f"Bearer {_token(host, map_of('auth', arguments.auth), url)}"
    return HttpRequest(
        method=method,
        url=urlunsplit(_with_query(url, arguments.query)),
        headers=headers,
        body=body,
        timeout_s=_timeout_s(arguments.timeout),
    )


def _url(value: Value) -> SplitResult:
    text = text_of("url", value)
    try:
        # Spaces and letters outside ASCII are escaped on the way out, as Go's client does; escapes stay.
        url = urlsplit(quote(text, safe=_URL_SAFE))
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        is_usable = is_usable and not _CONTROL.search(text)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise value_error(f"invalid URL '{text}': an http or https URL is needed")
    return url


def _with_query(url: SplitResult, query: Value) -> SplitResult:
    """Return the URL with the query map appended to its own query; lists repeat their key."""
    if query is None:
        return url
    pairs: list[tuple[str, str]] = []
    for key, value in map_of("query", query).items():
        for item in value if type(value) is list else [value]:
            if type(item) not in _QUERY_SCALARS:
                raise wrong_type(f"query.{key}", item, "a string, number, boolean or a list of those")
            pairs.append((key, to_text(item)))
    return url._replace(query="&".join(part for part in (url.query, urlencode(pairs)) if part))


def _headers(value: Value) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, content in map_of("headers", {} if value is None else value).items():
        if type(content) is not str:
            raise wrong_type(f"headers.{name}", content, "a string")
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(content):
            raise value_error(f"invalid HTTP header '{name}'")
        headers[name] = content
    agent_name = _find_header(headers, "user-agent")
    if agent_name is None:
        headers["User-Agent"] = USER_AGENT
    else:
        headers[agent_name] = f"{headers[agent_name]} {USER_AGENT}"
    return headers


def _find_header(headers: dict[str, str], lower_name: str) -> str | None:
    return next((name for name in headers if name.lower() == lower_name), None)


def _body(body: Value, headers: dict[str, str]) -> bytes | None:
    """Return the encoded body, adding the Content-Type to `headers` when the workflow gave none."""
    if body is None:
        return None
    name = _find_header(headers, "content-type")
    if name is not None:
        return _typed_body(body, headers[name])
    if type(body) is bytes:
        headers["Content-Type"] = "application/octet-stream"
        return bytes(body)
    headers["Content-Type"] = "application/json; charset=utf-8"
    return _json(body)


def _typed_body(body: Value, content_type: str) -> bytes:
    media_type = content_type.partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    match body:
        case bytes():
            return body
        case str() if kind == "text" or media_type == "application/x-www-form-urlencoded":
            return body.encode()
        case str() if _is_json(kind, subtype):
            # Taken for JSON text that the workflow encoded itself (assumed).
            return body.encode()
        case dict() if _is_json(kind, subtype):
            return _json(body)
        case dict() if media_type == "application/x-www-form-urlencoded":
            return _with_query(urlsplit(""), body).query.encode()
    if _is_json(kind, subtype):
        raise wrong_type("body", body, f"a map for Content-Type {media_type}")
    is_text = kind == "text" or media_type == "application/x-www-form-urlencoded"
    raise wrong_type("body", body, f"{'a string or bytes' if is_text else 'bytes'} for Content-Type {media_type}")


def _is_json(kind: str, subtype: str) -> bool:
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _json(body: Value) -> bytes:
    try:
        return encode_json(body).encode()
    except JsonEncodeError as error:
        raise value_error(f"the body cannot be encoded as JSON: {error}") from None


def _timeout_s(timeout: Value) -> float:
    if timeout is None:
        return DEFAULT_HTTP_TIMEOUT_S
    seconds = float(number_of("timeout", timeout))
    if not 0 < seconds <= MAX_HTTP_TIMEOUT_S:
        raise value_error(f"argument 'timeout' must be more than 0 and at most {MAX_HTTP_TIMEOUT_S:.0f} seconds")
    return seconds


def _token(host: Host, auth: dict[str, Value], url: SplitResult) -> str:
    match auth.get("type"):
        case "OIDC":
            audience = auth.get("audience")
            plain_url = urlunsplit(url._replace(query="", fragment=""))
            return _minted(
                host.tokens.oidc_token, plain_url if audience is None else text_of("auth.audience", audience)
            )
        case "OAuth2":
            _check_google_host(url)
            return _minted(host.tokens.access_token, _scopes(auth))
        case str() as kind:
            raise value_error(f"unsupported auth type '{kind}' (expecting OIDC or OAuth2)")
        case kind:
            raise wrong_type("auth.type", kind, "a string")


def _minted(mint: Callable[[_Wanted], str], wanted: _Wanted) -> str:
    try:
        return mint(wanted)
    except ValueError as error:
        raise auth_error(str(error)) from None


def _scopes(auth: dict[str, Value]) -> list[str]:
    given = auth.get("scopes", auth.get("scope"))
    match given:
        case None:
            return [CLOUD_PLATFORM_SCOPE]
        case str():
            return given.replace(",", " ").split()
        case list():
            return [text_of("auth.scopes", scope) for scope in given]
        case _:
            raise wrong_type("auth.scopes", given, "a string or a list of strings")


def _check_google_host(url: SplitResult) -> None:
    """Refuse an access token for a host that is not Google's; a loopback address stands for one locally."""
    name = (url.hostname or "").lower()
    is_google = any(name == domain or name.endswith(f".{domain}") for domain in _GOOGLE_DOMAINS)
    if not (is_google or is_loopback(name)):
        raise value_error(f"auth type OAuth2 is only for Google APIs; the URL's host is '{name}'")
