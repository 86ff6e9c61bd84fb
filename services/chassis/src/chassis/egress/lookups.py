"""Name lookups that are waited for with a limit, and that hold up nobody but who asks for the same names.

`getaddrinfo` cannot be interrupted, and only it knows `/etc/hosts` and the system's resolver. Each lookup has a thread
of its own, and whoever asks for a name that is being looked up waits for that lookup. A name that hangs costs one
thread however often it is asked for, a domain of such names `MAX_OF_A_DOMAIN`, all together `MAX_AT_ONCE`; other names
go on. Literal addresses need no lookup.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from chassis.egress.faults import EgressError, EgressFault
from chassis.limited import Limited

MAX_OF_A_DOMAIN: Annotated[
    int, Limited("lookups", "`DNS_FAILED`", "Lookups under way at once of names of one domain", internal=True)
] = 16
"""A domain is the last two labels of a name: whoever has one can make as many names of it as he likes."""

MAX_AT_ONCE: Annotated[
    int, Limited("lookups", "`DNS_FAILED`", "Lookups under way at once in a process, for one purpose", internal=True)
] = 128

AddressInfo = tuple[Any, Any, int, str, Any]


@dataclass(slots=True)
class _Lookup:
    """One lookup; `done` is set when `found` or `error` is there."""

    done: threading.Event = field(default_factory=threading.Event)
    found: Sequence[AddressInfo] = ()
    error: BaseException | None = None


class NameLookups:
    """The lookups of one purpose.

    Args:
        resolve: a `getaddrinfo`.
    """

    def __init__(self, resolve: Any) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], _Lookup] = {}
        self._of_domains: Counter[str] = Counter()

    def addresses(self, host: str, port: int, *, wait_s: float) -> Sequence[AddressInfo]:
        """Return what `getaddrinfo` tells of a host.

        Args:
            host: a name or a literal address in any spelling that the system knows.
            port: goes into the result.
            wait_s: seconds to wait for the answer.

        Raises:
            EgressError: DNS_FAILED, or TIMEOUT when the answer does not come in time.
        """
        if _is_literal(host, port):
            found: Sequence[AddressInfo] = self._resolve(host, port, 0, socket.SOCK_STREAM)
            return found
        lookup = self._begun(host.lower(), port)
        if not lookup.done.wait(wait_s):
            raise EgressError(EgressFault.TIMEOUT, "the name lookup took too long")
        if lookup.error is not None:
            raise EgressError(EgressFault.DNS_FAILED, "the host name cannot be resolved") from lookup.error
        return lookup.found

    def _begun(self, host: str, port: int) -> _Lookup:
        key, domain = (host, port), ".".join(host.rstrip(".").rsplit(".", 2)[-2:])
        with self._lock:
            present = self._under_way.get(key)
            if present is not None:
                return present
            if len(self._under_way) >= MAX_AT_ONCE or self._of_domains[domain] >= MAX_OF_A_DOMAIN:
                raise EgressError(EgressFault.DNS_FAILED, "too many name lookups are under way")
            lookup = self._under_way[key] = _Lookup()
            self._of_domains[domain] += 1
        # A daemon: a lookup that hangs must not keep the process from ending.
        threading.Thread(target=self._look_up, args=(key, domain, lookup), name="lookup", daemon=True).start()
        return lookup

    def _look_up(self, key: tuple[str, int], domain: str, lookup: _Lookup) -> None:
        try:
            lookup.found = self._resolve(*key, 0, socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            lookup.error = error
        with self._lock:
            del self._under_way[key]
            self._of_domains[domain] -= 1
            if not self._of_domains[domain]:
                del self._of_domains[domain]
        lookup.done.set()


def _is_literal(host: str, port: int) -> bool:
    """Return whether the system reads an address, in whatever spelling (`0x7f.1` is one), and asks nobody for it."""
    try:
        socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return False
    return True
