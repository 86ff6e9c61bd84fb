"""The head of an answer: how much of it is read, and which part of it is the answer."""

from __future__ import annotations

import pytest

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.answers import MAX_HEAD_BYTES, MAX_HEADERS
from chassis.egress.client import Egress, EgressError, EgressFault, EgressPolicy
from support.scripted_origin import ScriptedOrigin, endless, raw

STATUS = "HTTP/1.1 200 OK\r\n"
END = "Content-Length: 2\r\n\r\n"
LONGEST_LINE = 65_536


@pytest.fixture
def egress() -> Egress:
    policy = EgressPolicy(allowed_networks=parse_networks(("127.0.0.1/32",)))
    return Egress(policy, user_agent="test", clock=SystemClock())


def asked(egress: Egress, origin: ScriptedOrigin, text: str) -> int | EgressFault:
    """Return the status of an answer that is sent as it stands, or the fault that it is."""
    url = origin.on("/x", raw(text.encode("latin-1") + b"ok"))
    try:
        return egress.request("GET", url).status
    except EgressError as error:
        return error.fault


def padded(size: int) -> str:
    """Return a head of so many bytes, in lines of 1,000."""
    lines = "".join(f"X: {'y' * 995}\r\n" for _ in range(size // 1000 - 1))
    rest = size - len(STATUS) - len(lines) - len(END)
    return STATUS + lines + f"X: {'y' * (rest - 5)}\r\n" + END


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (padded(MAX_HEAD_BYTES), 200),
        (padded(MAX_HEAD_BYTES + 1), EgressFault.TOO_LARGE),
        (STATUS + f"X: {'y' * (LONGEST_LINE - 5)}\r\n" + END, 200),
        (STATUS + f"X: {'y' * (LONGEST_LINE - 4)}\r\n" + END, EgressFault.TOO_LARGE),
        # The status line, the length and the empty line count, too.
        (STATUS + "X: y\r\n" * (MAX_HEADERS - 3) + END, 200),
        (STATUS + "X: y\r\n" * (MAX_HEADERS - 2) + END, EgressFault.TOO_LARGE),
    ],
    ids=["bytes", "one byte more", "line", "longer line", "lines", "one line more"],
)
def test_a_head_is_read_up_to_its_limits(
    egress: Egress, origin: ScriptedOrigin, text: str, expected: int | EgressFault
) -> None:
    """At the limit it is an answer, above it is TOO_LARGE."""
    assert asked(egress, origin, text) == expected


@pytest.mark.parametrize("begin", ["", STATUS + "X: "], ids=["status line", "header"])
def test_a_line_without_an_end_is_read_up_to_its_limit(egress: Egress, origin: ScriptedOrigin, begin: str) -> None:
    """And no further, however fast it comes."""
    url = origin.on("/x", endless(begin.encode(), b"y" * 65_536))

    with pytest.raises(EgressError) as caught:
        egress.request("GET", url)
    assert caught.value.fault in {EgressFault.TOO_LARGE, EgressFault.INCOMPLETE}


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_interim_answers_are_skipped(egress: Egress, origin: ScriptedOrigin, interim: int) -> None:
    """The one behind them counts."""
    before = f"HTTP/1.1 {interim} Wait\r\nLink: </x>\r\n\r\n"

    assert asked(egress, origin, before * 2 + "HTTP/1.1 404 Not Found\r\n" + END) == 404
