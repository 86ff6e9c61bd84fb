"""The metadata server of Compute Engine: what google-auth asks for, for one service account per port.

Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys. Also serves the issuer's certificates,
so that any of its ports can be a verifier's certificate URL.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from localcloud.core.faults import Fault, FaultPlan, OrderedFaultError
from localcloud.identity.engine.issuer import DEFAULT_SCOPES, TOKEN_LIFETIME_S, TokenIssuer

_FLAVOR = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"}
_ROOT = "/computeMetadata/v1"

ROUTES = frozenset(
    {
        "metadata.ping",
        "metadata.certificates",
        "metadata.project",
        "metadata.instance",
        "metadata.universe",
        "metadata.account",
        "metadata.token",
        "metadata.identity",
    }
)
"""Ids of all routes of a port: what faults are ordered for."""


@dataclass(frozen=True, slots=True)
class MetadataProject:
    """The project and the region that the metadata server tells of."""

    project: str
    project_number: str
    location: str


class MetadataRest:
    """Answers the requests of one port, whose `default` service account is `email`."""

    def __init__(self, issuer: TokenIssuer, project: MetadataProject, email: str, faults: FaultPlan) -> None:
        self._faults = faults
        self._issuer = issuer
        self._account = _Account(issuer, project, email)

    async def answer(self, request: web.BaseRequest, _body: bytes) -> web.Response:
        """Answer one request with what was ordered for its route; a repeated one only mints another token."""
        route = route_of_path(request.path)
        try:
            await self._faults.before(route, request.path)
            response = self._answer(request)
            if self._faults.fires(Fault.DELIVER_TWICE, route, request.path) is not None:
                self._answer(request)
            self._faults.after(route, request.path)
        except OrderedFaultError as fault:
            return web.Response(status=fault.http_code, text=fault.message, headers=_FLAVOR)
        return response

    def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        if path.startswith(_ROOT) and request.headers.get("Metadata-Flavor") != "Google":
            # The real server wants the header, too: it proves that the caller is no browser.
            return web.Response(status=403, text="Missing required header: Metadata-Flavor: Google", headers=_FLAVOR)
        if path.startswith(_ROOT) and "X-Forwarded-For" in request.headers:
            # A proxy has passed the request on, so it is not the machine's own.
            return web.Response(status=403, text="Request with X-Forwarded-For is refused", headers=_FLAVOR)
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text=f"{request.method} is not served", headers=_FLAVOR)
        match path:
            case "/oauth2/v1/certs":
                return _cached_json(self._issuer.certificates())
            case "/oauth2/v3/certs":
                return _cached_json(self._issuer.key_set())
            case "/" | "/computeMetadata/v1/":
                # google-auth's ping.
                return web.Response(text="computeMetadata/\n", headers=_FLAVOR)
        if path.startswith(f"{_ROOT}/"):
            return self._account.answer(request, path.removeprefix(f"{_ROOT}/"))
        return _missing(path)


def route_of_path(path: str) -> str:
    """Return the id of the route that answers `path`."""
    item = path.removeprefix(f"{_ROOT}/")
    if path.startswith("/oauth2/"):
        return "metadata.certificates"
    if item == path or not item:
        return "metadata.ping"
    area, _, rest = item.partition("/")
    if area == "instance" and rest.startswith("service-accounts"):
        last = item.rstrip("/").rpartition("/")[2]
        return f"metadata.{last}" if last in ("token", "identity") else "metadata.account"
    return f"metadata.{area}" if area in ("project", "universe") else "metadata.instance"


class _Account:
    """The metadata of one service account."""

    def __init__(self, issuer: TokenIssuer, project: MetadataProject, email: str) -> None:
        self._issuer = issuer
        self._email = email
        self._texts = {
            "project/project-id": project.project,
            "project/numeric-project-id": project.project_number,
            "instance/id": "1234567890123456789",
            "instance/zone": f"projects/{project.project_number}/zones/{project.location}-1",
            "instance/region": f"projects/{project.project_number}/regions/{project.location}",
            "universe/universe-domain": "googleapis.com",
            "instance/service-accounts/": f"default/\n{email}/\n",
        }

    def answer(self, request: web.BaseRequest, path: str) -> web.Response:
        """Answer one metadata path."""
        if (text := self._texts.get(path)) is not None:
            return _text(text)
        parts = path.rstrip("/").split("/")
        if len(parts) < 3 or parts[:2] != ["instance", "service-accounts"] or parts[2] not in ("default", self._email):
            return _missing(path)
        return self._account_answer(request, "/".join(parts[3:]))

    def _account_answer(self, request: web.BaseRequest, item: str) -> web.Response:
        match item:
            case "" if request.query.get("recursive", "").lower() == "true":
                facts = {"aliases": ["default"], "email": self._email, "scopes": list(DEFAULT_SCOPES)}
                return web.json_response(facts, headers=_FLAVOR)
            case "":
                return _text("aliases\nemail\nidentity\nscopes\ntoken\n")
            case "aliases":
                return _text("default\n")
            case "email":
                return _text(self._email)
            case "scopes":
                return _text("".join(f"{scope}\n" for scope in DEFAULT_SCOPES))
            case "token":
                scopes = [s for s in request.query.get("scopes", "").split(",") if s]
                token = self._issuer.mint_access_token(self._email, scopes or DEFAULT_SCOPES)
                body = {"access_token": token, "expires_in": TOKEN_LIFETIME_S - 1, "token_type": "Bearer"}
                return web.json_response(body, headers=_FLAVOR)
            case "identity":
                audience = request.query.get("audience", "")
                if not audience:
                    return web.Response(status=400, text="non-empty audience parameter required", headers=_FLAVOR)
                return _text(self._issuer.mint_id_token(self._email, audience))
            case _:
                return _missing(item)


def _text(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/text", headers=_FLAVOR)


def _missing(path: str) -> web.Response:
    return web.Response(status=404, text=f"localcloud has no metadata at {path}", headers=_FLAVOR)


def _cached_json(body: object) -> web.Response:
    # Google lets verifiers keep its certificates for hours; the key here lives as long as the process.
    return web.json_response(body, headers={"Cache-Control": "public, max-age=3600, must-revalidate, no-transform"})
