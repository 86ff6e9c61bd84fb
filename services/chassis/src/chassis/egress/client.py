"""HTTP to addresses that users chose: the only place that dials them.

Guarantees: only http and https; no user info, no odd ports; a name is resolved once, refused when any of its addresses
is not public, and the checked address is the one dialled (Host, SNI and certificate keep the name); redirects are
followed by hand and each hop passes the same checks; one deadline spans name lookup, connect, headers and body, kept
by shutting the socket down; the size limit counts decompressed bytes; proxies and .netrc of the environment are
ignored; nothing is kept alive between two calls. The heads of answers are bounded, and cookies live for one call.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.util import Url, parse_url

from chassis.clock import Clock
from chassis.deadlines import Deadlines
from chassis.egress.address_policy import is_public, parse_address
from chassis.egress.connections import Call, EgressPolicy, PinnedHTTP, PinnedHTTPS, trusting_context
from chassis.egress.cookies import CallCookies
from chassis.egress.faults import TRANSIENT_FAULTS, EgressError, EgressFault
from chassis.egress.link_repairs import repair_location
from chassis.egress.lookups import NameLookups
from chassis.logs import get_logger

log = get_logger(__name__)

__all__ = ["TRANSIENT_FAULTS", "Egress", "EgressError", "EgressFault", "EgressPolicy", "EgressResponse"]

_REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog")
_FORBIDDEN_SUFFIXES = (".localhost", ".internal", ".local", ".metadata.goog")
_CHUNK_BYTES = 65536
_MAX_CHUNK_BYTES = 1 << 20
_MAX_URL_CHARS = 2083
_MAX_CONTENT_ENCODINGS = 2  # each may multiply a body by a thousand


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """What came back; `body` is decompressed, `truncated` says that it was cut at the limit asked for.

    `headers` are looked up in any case. `redirect_repaired` says that a redirect's `Location` was no link as it stood.
    `first_byte_s` is how long the last hop took to answer, connecting included.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    truncated: bool = False
    redirect_repaired: bool = False
    first_byte_s: float = 0.0


class Egress:
    """Makes guarded calls; one per process.

    Args:
        policy: addresses, ports, limits and time-outs.
        user_agent: how the calls name themselves.
        clock: deadlines are kept on its monotonic time.
        resolve: a `getaddrinfo`; injected by tests.
    """

    def __init__(
        self, policy: EgressPolicy, *, user_agent: str, clock: Clock, resolve: Any = socket.getaddrinfo
    ) -> None:
        self._policy = policy
        self._user_agent = user_agent
        self._clock = clock
        self._lookups = NameLookups(resolve)
        self._deadlines = Deadlines(clock, name="egress-deadlines")

    def check_url(self, url: str) -> Url:
        """Return the parsed URL if its form may be dialled; addresses are checked when dialling.

        Raises:
            EgressError: URL_INVALID or URL_FORBIDDEN.
        """
        if len(url) > _MAX_URL_CHARS:
            raise EgressError(EgressFault.URL_INVALID, f"longer than {_MAX_URL_CHARS} characters")
        if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url) or "\\" in url:
            raise EgressError(EgressFault.URL_INVALID, "has blanks, control characters or backslashes")
        try:
            parsed = parse_url(url)
        except (urllib3.exceptions.LocationParseError, ValueError) as error:
            raise EgressError(EgressFault.URL_INVALID, "cannot be parsed") from error
        if parsed.scheme not in {"http", "https"}:
            raise EgressError(EgressFault.URL_INVALID, "is not http or https")
        if not parsed.host or parsed.port == 0:
            raise EgressError(EgressFault.URL_INVALID, "has no host, or port 0")
        if parsed.auth is not None:
            raise EgressError(EgressFault.URL_FORBIDDEN, "carries user name or password")
        name = parsed.host.lower().rstrip(".")
        internal = name == "localhost" or name.endswith(_FORBIDDEN_SUFFIXES)
        if name in _METADATA_NAMES or (internal and not self._policy.allowed_networks):
            raise EgressError(EgressFault.URL_FORBIDDEN, "names an internal host")
        return parsed

    def check_target(self, url: str) -> None:
        """Raise the EgressError with which `request` would refuse the URL, its addresses or its port; dial nothing."""
        parsed = self.check_url(url)
        call = Call(self._policy, self._clock.monotonic() + self._policy.connect_timeout_s, self._clock)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        self._checked_addresses(call, (parsed.host or "").strip("[]"), port)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        follow_redirects: bool = True,
        truncate_at: int | None = None,
        skip_error_bodies: bool = False,
    ) -> EgressResponse:
        """Make one call; any HTTP status is returned.

        Args:
            method: GET or POST.
            url: the user's URL.
            headers: further request headers.
            body: sent as it is.
            follow_redirects: False returns the 3xx itself.
            truncate_at: cut the body there instead of refusing it; None: `max_body_bytes` is a hard limit.
            skip_error_bodies: do not read the body of an answer outside 200-299; it is returned empty.

        Raises:
            EgressError: the call was refused or failed.
        """
        call = Call(self._policy, self._clock.monotonic() + self._policy.total_timeout_s, self._clock)
        deadline = self._deadlines.begin(self._policy.total_timeout_s, call.expire)
        cookies = CallCookies()
        repaired = False
        try:
            for _hop in range(self._policy.max_redirects + 1):
                parsed = self.check_url(url)
                sent = {**(headers or {}), **cookies.header(url)}
                asked = self._clock.monotonic()
                response = self._one_hop(call, method, parsed, sent, body)
                first_byte_s = self._clock.monotonic() - asked
                try:
                    location = response.headers.get("Location")
                    if not (follow_redirects and response.status in _REDIRECT_CODES and location):
                        if skip_error_bodies and not 200 <= response.status < 300:
                            found = EgressResponse(response.status, response.headers, b"", url)
                        else:
                            found = self._read(call, response, url, truncate_at)
                        return replace(found, redirect_repaired=repaired, first_byte_s=first_byte_s)
                    cookies.take(url, response.headers.getlist("Set-Cookie"))
                    target = repair_location(location)
                    repaired = repaired or target != location
                    url = urljoin(url, target)
                finally:
                    response.close()
            raise EgressError(EgressFault.REDIRECT_LIMIT, f"more than {self._policy.max_redirects} redirects")
        except EgressError:
            raise
        except Exception as error:
            # Whatever a peer says must end in a fault that can be recorded; what was not foreseen is for us to see too.
            log.exception("egress.unexpected", error=type(error).__name__)
            raise _fault_from(error, call) from error
        finally:
            self._deadlines.end(deadline)
            call.close()

    def _one_hop(
        self, call: Call, method: str, parsed: Url, headers: Mapping[str, str], body: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": self._user_agent, "Accept-Encoding": "identity", "Connection": "close", **headers}
        connection = self._connection(call, parsed)
        try:
            # No pool of urllib3 around it: this connection is for one hop.
            connection.connect()
            # A server may answer and close before it has read all that we send.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, parsed.request_uri, body=body, headers=sent, preload_content=False)
            return connection.getresponse()
        except EgressError:
            raise
        except Exception as error:
            raise _fault_from(error, call) from error

    def _connection(self, call: Call, parsed: Url) -> PinnedHTTP | PinnedHTTPS:
        # The port is always given: http.client would look for one in an IPv6 address.
        host, read_s = (parsed.host or "").strip("[]"), self._policy.read_timeout_s
        if parsed.scheme == "https":
            context = trusting_context()
            return PinnedHTTPS(self.dial, call, host=host, port=parsed.port or 443, timeout=read_s, ssl_context=context)
        return PinnedHTTP(self.dial, call, host=host, port=parsed.port or 80, timeout=read_s)

    def _read(
        self, call: Call, response: urllib3.BaseHTTPResponse, url: str, truncate_at: int | None
    ) -> EgressResponse:
        limit = self._policy.max_body_bytes if truncate_at is None else truncate_at
        declared = response.headers.get("Content-Length", "")[:20]
        if truncate_at is None and declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise EgressError(EgressFault.TOO_LARGE, f"{declared} bytes, the limit is {limit}")
        encodings = response.headers.get("Content-Encoding", "").count(",") + 1
        if encodings > _MAX_CONTENT_ENCODINGS:
            raise EgressError(EgressFault.TOO_LARGE, f"{encodings} encodings, the limit is {_MAX_CONTENT_ENCODINGS}")
        pieces: list[bytes] = []
        size, truncated = 0, False
        try:
            for piece in _pieces(response, limit):
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    if truncate_at is None:
                        raise EgressError(EgressFault.TOO_LARGE, f"more than {limit} bytes")
                    truncated = True
                    pieces[-1] = piece[: len(piece) - (size - limit)]
                    break
        except EgressError:
            raise
        except Exception as error:
            raise _fault_from(error, call) from error
        if call.expired:
            raise EgressError(EgressFault.TIMEOUT, f"not finished after {self._policy.total_timeout_s:g} s")
        return EgressResponse(response.status, response.headers, b"".join(pieces), url, truncated)

    def dial(self, call: Call, host: str, port: int) -> socket.socket:
        """Resolve once, check every address, connect to one of those checked.

        Raises:
            EgressError: URL_FORBIDDEN, DNS_FAILED, CONNECT_FAILED or TIMEOUT.
        """
        for family, kind, protocol, target in self._checked_addresses(call, host, port):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(max(0.001, min(self._policy.connect_timeout_s, call.remaining())))
                sock.connect(target)
            except OSError:
                sock.close()
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(max(0.001, min(self._policy.read_timeout_s, call.remaining())))
            call.watch(sock)
            return sock
        if call.remaining() <= 0:
            raise EgressError(EgressFault.TIMEOUT, "the connection was not made in time")
        raise EgressError(EgressFault.CONNECT_FAILED, "the connection was refused or not answered")

    def _checked_addresses(self, call: Call, host: str, port: int) -> Sequence[tuple[Any, Any, int, Any]]:
        found = self._lookups.addresses(host, port, wait_s=max(0.001, call.remaining()))
        checked = []
        for family, kind, protocol, _name, target in found:
            address = parse_address(str(target[0]))
            trusted = any(address in network for network in self._policy.allowed_networks)
            if not trusted and (not is_public(address) or port not in self._policy.ports):
                raise EgressError(EgressFault.URL_FORBIDDEN, "leads to an address or port that is not allowed")
            checked.append((family, kind, protocol, target))
        if not checked:
            raise EgressError(EgressFault.DNS_FAILED, "the host name has no address")
        return checked


def _pieces(response: urllib3.BaseHTTPResponse, limit: int) -> Iterator[bytes]:
    """Yield the body, decompressed; what is neither packed nor chunked comes in one piece if it has at most `limit`."""
    if "Content-Encoding" in response.headers or "Transfer-Encoding" in response.headers:
        yield from response.stream(_CHUNK_BYTES, decode_content=True)
        return
    declared = response.length_remaining
    at_once = _MAX_CHUNK_BYTES if declared is None else min(declared, limit) + 1
    while piece := response.read(at_once, decode_content=False):
        yield piece


def _fault_from(error: Exception, call: Call) -> EgressError:
    """Classify an exception of urllib3, which lets an EgressError of ours pass as it is."""
    if call.expired or call.remaining() <= 0:
        return EgressError(EgressFault.TIMEOUT, f"not finished after {call.policy.total_timeout_s:g} s")
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return EgressError(EgressFault.TIMEOUT, "the server did not answer in time")
    if isinstance(error, urllib3.exceptions.SSLError | ssl.SSLError | ssl.CertificateError):
        return EgressError(EgressFault.TLS_ERROR, "the TLS connection could not be trusted")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return EgressError(EgressFault.INCOMPLETE, "the content encoding is broken")
    return EgressError(EgressFault.INCOMPLETE, "the answer broke off or is not HTTP")
