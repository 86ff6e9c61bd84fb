"""What tasks and queues both say about a request: its headers and the token it carries."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from localcloud.core.google_errors import invalid_argument
from localcloud.core.google_hosts import is_loopback
from localcloud.core.json_values import object_from_json, text_from_json
from localcloud.tasks.model import MAX_HEADERS_BYTES, HttpTarget, OAuthToken, OidcToken

_DEFAULT_OAUTH_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def check_headers(headers: dict[str, str], field: str) -> dict[str, str]:
    """Return headers that HTTP can carry and that are smaller than 80 KB together.

    Raises:
        GoogleError: INVALID_ARGUMENT, naming `field`.
    """
    for name, text in headers.items():
        if not name or any(mark in name + text for mark in "\r\n\0") or not name.isascii() or " " in name:
            raise invalid_argument(f"{field} holds an invalid header: {name!r}")
    if sum(len(name) + len(text.encode()) for name, text in headers.items()) >= MAX_HEADERS_BYTES:
        raise invalid_argument(f"{field} must be smaller than 80KB.")
    return headers


def token_from_json(body: dict[str, Any], at: str) -> OidcToken | OAuthToken | None:
    """Return the token that a request asks for, None without one.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    if "oidcToken" in body and "oauthToken" in body:
        raise invalid_argument("HttpRequest.authorization_header is a oneof: set oidc_token or oauth_token.")
    if "oidcToken" in body:
        token = object_from_json(body["oidcToken"], at=f"{at}.oidc_token", allowed=("serviceAccountEmail", "audience"))
        return OidcToken(_email_from_json(token), text_from_json(token.get("audience", ""), at=f"{at}.audience"))
    if "oauthToken" in body:
        token = object_from_json(body["oauthToken"], at=f"{at}.oauth_token", allowed=("serviceAccountEmail", "scope"))
        scope = text_from_json(token.get("scope", ""), at=f"{at}.scope")
        return OAuthToken(_email_from_json(token), scope or _DEFAULT_OAUTH_SCOPE)
    return None


def token_to_json(token: OidcToken | OAuthToken | None) -> dict[str, Any]:
    """Return the field of the token as the API shows it."""
    match token:
        case OidcToken(email, audience):
            return {"oidcToken": {"serviceAccountEmail": email} | ({"audience": audience} if audience else {})}
        case OAuthToken(email, scope):
            return {"oauthToken": {"serviceAccountEmail": email, "scope": scope}}
        case None:
            return {}


def check_token_url(target: HttpTarget) -> None:
    """Accept a token for an address over https, or on this machine (a departure).

    Raises:
        GoogleError: INVALID_ARGUMENT, with the recorded text.
    """
    parts = urlsplit(target.url)
    if target.token is not None and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise invalid_argument(
            "HttpRequest.url must start with 'https://' for request with HttpRequest.authorization_header"
        )


def _email_from_json(token: dict[str, Any]) -> str:
    email = text_from_json(token.get("serviceAccountEmail", ""), at="service_account_email")
    if "@" not in email:
        raise invalid_argument(f"The service account email of the token is not valid: {email!r}")
    return email
