"""The GCE metadata look-alike: what google-auth asks for, answered for one service account per listening port.

Source: https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys. Also serves the issuer's certificates,
so that any of its ports can be a verifier's certificate URL.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from localcloud.core.clock import Clock
from localcloud.core.control import Control
from localcloud.core.faults import ConnectionLostError, Fault, FaultPlan, OrderedFaultError
from localcloud.core.google_errors import GoogleError, invalid_argument
from localcloud.core.hang_up import hang_up
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
    """What the metadata server says about the project and the place."""

    project: str
    project_number: str
    location: str


def metadata_app(
    issuer: TokenIssuer, place: MetadataProject, email: str, clock: Clock | None = None
) -> web.Application:
    """Return the application for one port, whose `default` service account is `email`.

    `clock` is that of ordered faults and of `/_local/time`; the issuer's unless given.
    """
    faults = FaultPlan(clock or issuer.clock, ROUTES)
    control = Control(faults, clock or issuer.clock, _nothing_to_reset)
    app = web.Application(middlewares=[_faulty(faults), _flavored])
    account = _Account(issuer, place, email)

    async def local(request: web.Request) -> web.Response:
        return await _local(control, request)

    app.add_routes(
        [
            web.route("*", "/_local/{path:.*}", local),
            web.get("/", _root),
            web.get("/oauth2/v1/certs", account.certificates),
            web.get("/oauth2/v3/certs", account.key_set),
            web.get(f"{_ROOT}/", _root),
            web.get(f"{_ROOT}/{{path:.+}}", account.answer),
        ]
    )
    return app


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


async def _nothing_to_reset() -> None:
    """A port keeps nothing but its faults."""


async def _local(control: Control, request: web.Request) -> web.Response:
    """Answer the port's instrument panel."""
    try:
        content = await request.read()
        try:
            body = json.loads(content) if content else {}
        except (ValueError, RecursionError) as error:
            raise invalid_argument(f"Invalid JSON payload received. {error}") from None
        return web.json_response(await control.answer(request.method, request.path, body))
    except GoogleError as error:
        return web.json_response(error.to_json(), status=error.http_code)


def _faulty(faults: FaultPlan) -> Middleware:
    """Return a middleware that lets happen what was ordered; a repeated request only mints another token."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_local/"):
            return await handler(request)
        route = route_of_path(request.path)
        try:
            await faults.before(route, request.path)
            response = await handler(request)
            if faults.fires(Fault.DELIVER_TWICE, route, request.path) is not None:
                await handler(request)
            faults.after(route, request.path)
        except OrderedFaultError as fault:
            return web.Response(status=fault.http_code, text=fault.message, headers=_FLAVOR)
        except ConnectionLostError:
            return hang_up(request)
        return response

    return answer


@web.middleware
async def _flavored(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse metadata requests without the header that proves the caller is no browser, like the real server."""
    if request.path.startswith(_ROOT) and request.headers.get("Metadata-Flavor") != "Google":
        return web.Response(status=403, text="Missing required header: Metadata-Flavor: Google", headers=_FLAVOR)
    return await handler(request)


async def _root(_request: web.Request) -> web.Response:
    """Answer google-auth's ping."""
    return web.Response(text="computeMetadata/\n", headers=_FLAVOR)


class _Account:
    """The handlers of one port."""

    def __init__(self, issuer: TokenIssuer, place: MetadataProject, email: str) -> None:
        self._issuer = issuer
        self._email = email
        self._texts = {
            "project/project-id": place.project,
            "project/numeric-project-id": place.project_number,
            "instance/id": "1234567890123456789",
            "instance/zone": f"projects/{place.project_number}/zones/{place.location}-1",
            "instance/region": f"projects/{place.project_number}/regions/{place.location}",
            "universe/universe-domain": "googleapis.com",
            "instance/service-accounts/": f"default/\n{email}/\n",
        }

    async def certificates(self, _request: web.Request) -> web.Response:
        """`/oauth2/v1/certs`: key id to X.509 PEM."""
        return _cached_json(self._issuer.certificates())

    async def key_set(self, _request: web.Request) -> web.Response:
        """`/oauth2/v3/certs`: a JSON Web Key Set."""
        return _cached_json(self._issuer.key_set())

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one metadata path."""
        path = request.match_info["path"]
        if (text := self._texts.get(path)) is not None:
            return _text(text)
        parts = path.rstrip("/").split("/")
        if len(parts) < 3 or parts[:2] != ["instance", "service-accounts"] or parts[2] not in ("default", self._email):
            return _missing(path)
        return self._account_answer(request, "/".join(parts[3:]))

    def _account_answer(self, request: web.Request, item: str) -> web.Response:
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
