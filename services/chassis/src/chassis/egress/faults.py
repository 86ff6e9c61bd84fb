"""Why a guarded call failed, and whether it may work later."""

from __future__ import annotations

from enum import StrEnum


class EgressFault(StrEnum):
    """Why a call failed; the values are public outcome codes."""

    URL_INVALID = "URL_INVALID"
    URL_FORBIDDEN = "URL_FORBIDDEN"
    DNS_FAILED = "DNS_FAILED"
    CONNECT_FAILED = "CONNECT_FAILED"
    TLS_ERROR = "TLS_ERROR"
    TIMEOUT = "TIMEOUT"
    REDIRECT_LIMIT = "REDIRECT_LIMIT"
    TOO_LARGE = "TOO_LARGE"
    INCOMPLETE = "INCOMPLETE"


TRANSIENT_FAULTS = frozenset(
    {EgressFault.DNS_FAILED, EgressFault.CONNECT_FAILED, EgressFault.TIMEOUT, EgressFault.INCOMPLETE}
)


class EgressError(Exception):
    """A call that brought no usable answer; `detail` never holds an address or the peer's text."""

    def __init__(self, fault: EgressFault, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail

    @property
    def transient(self) -> bool:
        """Return whether the same call may work later."""
        return self.fault in TRANSIENT_FAULTS
