"""Bounds on silence in calls to Google's services: packets are dropped, or bytes are swallowed on the way.

What is bounded is how long nothing happens, not how long a call lasts: a large upload or download goes on for as long
as its bytes move. `requests` by itself waits for each address of a name in turn, sends a body as one piece that has to
be gone within the time to connect, and waits as long as its caller says, by default 60 s.
With `SilenceBounds` one waits `CONNECT_S` for name lookup and all addresses together, and `SILENCE_S` for each
piece that is sent or received; what callers say counts no more. A silence is never tried again: that would only wait
again, and whoever called us comes again.
"""

from __future__ import annotations

import io
import socket
from typing import Any

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from chassis.clock import Clock, SystemClock
from chassis.egress.faults import EgressError, EgressFault
from chassis.egress.lookups import NameLookups

CONNECT_S = 1.5
"""Seconds to find a name's addresses and to connect to one of them; enough for one packet that was lost."""

SILENCE_S = 3.0
"""Seconds without a byte; together with CONNECT_S less than the 5 s within which our own callers hear 503."""

CALL_S = 4.0
"""Seconds for the whole of a call that is small both ways."""

GRPC_OPTIONS = (
    # A connection without answers is found dead, and a new one is tried for soon. Google's servers take a ping each
    # 30 s: https://github.com/grpc/grpc/blob/master/doc/keepalive.md
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
"""Options of a gRPC channel that finds its way back from a silence; the silence itself is bounded by CALL_S."""

_PIECE_BYTES = 65_536
_SEND_BUFFER_BYTES = 262_144
_CONNECTIONS = 16


def is_silence(error: BaseException) -> bool:
    """Return whether an error says that somebody did not answer in time, directly or as the cause of another."""
    inner: BaseException | None = error
    for _depth in range(20):
        # To urllib3 a connection that is refused is one that timed out.
        refused = isinstance(inner, urllib3.exceptions.NewConnectionError)
        if isinstance(inner, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError) and not refused:
            return True
        if inner is None:
            return False
        # requests and urllib3 keep what happened as an argument.
        argument = next((each for each in inner.args if isinstance(each, BaseException)), None)
        inner = argument or inner.__cause__ or inner.__context__
    return False


class SilenceBounds:
    """Bounds on the silence of those who are called over connections of urllib3.

    Args:
        connect_s: seconds for name lookup and connecting.
        silence_s: seconds for each piece that is sent or received.
        resolve: a `getaddrinfo`; injected by tests.
    """

    def __init__(
        self, *, connect_s: float = CONNECT_S, silence_s: float = SILENCE_S, resolve: Any = socket.getaddrinfo
    ) -> None:
        self.timeout = urllib3.Timeout(connect=connect_s, read=silence_s)
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._lookups = NameLookups(resolve)
        self._clock: Clock = SystemClock()

    def new_pools(self) -> urllib3.PoolManager:
        """Return pools of kept connections; bodies should go through `in_pieces`."""
        pools = urllib3.PoolManager(
            maxsize=_CONNECTIONS, timeout=self.timeout, blocksize=_PIECE_BYTES, ca_certs=certifi.where()
        )
        self.apply_to(pools)
        return pools

    def apply_to(self, pools: urllib3.PoolManager) -> None:
        """Let new connections of pools be made with these bounds."""
        pools.pool_classes_by_scheme = {"http": _http_pool(self), "https": _https_pool(self)}

    def dial(self, connection: urllib3.connection.HTTPConnection) -> socket.socket:
        """Connect to one of a name's addresses.

        Raises:
            urllib3.exceptions.NewConnectionError: none can be reached.
            urllib3.exceptions.ConnectTimeoutError: none answered in time.
        """
        deadline = self._clock.monotonic() + self._connect_s
        try:
            found = self._lookups.addresses(connection._dns_host, connection.port, wait_s=self._connect_s)  # noqa: SLF001
        except EgressError as error:
            if error.fault is EgressFault.TIMEOUT:
                raise urllib3.exceptions.ConnectTimeoutError(connection, str(error)) from error
            raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
        failed: OSError | None = None
        for number, (family, kind, protocol, _name, target) in enumerate(found, start=1):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            try:
                # An address that swallows packets leaves time for those behind it.
                sock.settimeout(left if number == len(found) else left / 2)
                sock.connect(target)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # What lies in a large buffer looks sent, and the wait for the answer begins before it has gone.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            except OSError as error:
                sock.close()
                failed = error
                continue
            sock.settimeout(self._silence_s)
            return sock
        if failed is None or isinstance(failed, TimeoutError):
            message = f"{connection.host} does not answer"
            raise urllib3.exceptions.ConnectTimeoutError(connection, message) from failed
        raise urllib3.exceptions.NewConnectionError(connection, str(failed)) from failed


def in_pieces(body: bytes) -> bytes | io.BytesIO:
    """Return a body as something that is sent in pieces, so that each has the time and not all of them together.

    Whoever sends it states its Content-Length.
    """
    return io.BytesIO(body) if len(body) > _PIECE_BYTES else body


def bound(session: requests.Session, bounds: SilenceBounds | None = None) -> requests.Session:
    """Return a session of `requests` whose calls keep the bounds, whatever time-outs its callers ask for."""
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(bounds or SilenceBounds()))
    # Proxies and .netrc of the environment must not see tokens; looking for them takes 0.15 ms of each call.
    session.trust_env = False
    return session


class _Adapter(HTTPAdapter):
    def __init__(self, bounds: SilenceBounds) -> None:
        self._bounds = bounds
        super().__init__(pool_connections=_CONNECTIONS, pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, blocksize=_PIECE_BYTES)
        self._bounds.apply_to(self.poolmanager)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        body = request.body
        if isinstance(body, bytes) and (pieces := in_pieces(body)) is not body:
            request = request.copy()
            # The types of requests know bytes and text only; it sends files as well.
            request.body = pieces  # type: ignore[assignment]
        return super().send(request, *args, **kwargs | {"timeout": self._bounds.timeout})


def _http_pool(bounds: SilenceBounds) -> type[urllib3.HTTPConnectionPool]:
    class Connection(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return bounds.dial(self)

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    return Pool


def _https_pool(bounds: SilenceBounds) -> type[urllib3.HTTPSConnectionPool]:
    class Connection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return bounds.dial(self)

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    return Pool
