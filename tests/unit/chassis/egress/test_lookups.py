"""Lookups that hang hold up who asks for the same names, and nobody else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.egress.address_policy import parse_networks
from chassis.egress.client import Egress, EgressPolicy
from chassis.egress.faults import EgressError, EgressFault
from chassis.egress.lookups import MAX_AT_ONCE, MAX_OF_A_DOMAIN, NameLookups

GOOD = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]


class Names:
    """A getaddrinfo of which names with `slow` do not answer until the test is over."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *_rest: object) -> Any:
        """Look up."""
        if not host.islower():
            return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
        self.asked.append(host)
        if "slow" in host:
            self.over.wait(60)
        if "none" in host:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return GOOD


@pytest.fixture
def names() -> Iterator[Names]:
    names = Names()
    yield names
    names.over.set()


def fault(lookups: NameLookups, host: str, *, wait_s: float = 0.01) -> EgressFault:
    """Return why a lookup failed."""
    with pytest.raises(EgressError) as caught:
        lookups.addresses(host, 80, wait_s=wait_s)
    return caught.value.fault


def test_a_name_is_looked_up(names: Names) -> None:
    """By the system's own function, which knows /etc/hosts."""
    assert NameLookups(names).addresses("good.example", 80, wait_s=5) == GOOD
    assert NameLookups(socket.getaddrinfo).addresses("localhost", 80, wait_s=5)


def test_a_name_that_there_is_not_has_failed(names: Names) -> None:
    """It may be there later."""
    assert fault(NameLookups(names), "none.example", wait_s=5) is EgressFault.DNS_FAILED


def test_many_names_that_hang_hold_up_no_other(names: Names) -> None:
    """Far more than sixteen, and a good name is found at once."""
    lookups = NameLookups(names)
    for number in range(100):
        assert fault(lookups, f"slow{number}.site{number}.example") is EgressFault.TIMEOUT

    assert lookups.addresses("good.test", 80, wait_s=5) == GOOD


def test_a_name_that_hangs_costs_one_thread_however_often_it_is_asked_for(names: Names) -> None:
    """In whatever case it is written."""
    lookups = NameLookups(names)
    for _ in range(50):
        assert fault(lookups, "slow.example") is EgressFault.TIMEOUT
        assert fault(lookups, "SLOW.example") is EgressFault.TIMEOUT

    assert names.asked == ["slow.example"]


def test_who_waits_for_the_same_name_gets_the_same_answer(names: Names) -> None:
    """All of them, as soon as it is there."""
    lookups, found = NameLookups(names), []
    threads = [
        threading.Thread(target=lambda: found.append(lookups.addresses("slow.example", 80, wait_s=30)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    names.over.set()
    for thread in threads:
        thread.join(30)

    assert found == [GOOD] * 20


def test_a_domain_of_names_that_hang_is_bounded(names: Names) -> None:
    """Whoever has a domain can make any number of names; its neighbours are found."""
    lookups = NameLookups(names)
    for number in range(MAX_OF_A_DOMAIN):
        assert fault(lookups, f"slow{number}.mean.example") is EgressFault.TIMEOUT

    assert fault(lookups, "slow-too.mean.example") is EgressFault.DNS_FAILED
    assert lookups.addresses("good.kind.test", 80, wait_s=5) == GOOD
    assert len(names.asked) == MAX_OF_A_DOMAIN + 1


def test_all_lookups_together_are_bounded_and_free_their_places(names: Names) -> None:
    """When they end, others may begin."""
    lookups = NameLookups(names)
    for number in range(MAX_AT_ONCE):
        assert fault(lookups, f"slow.site{number}", wait_s=0.001) is EgressFault.TIMEOUT
    assert fault(lookups, "good.test") is EgressFault.DNS_FAILED

    names.over.set()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            assert lookups.addresses("good.test", 80, wait_s=5) == GOOD
            break
        except EgressError:
            threading.Event().wait(0.05)

    assert "good.test" in names.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "2130706433", "0x7f.1", "017700000001", "127.1"])
def test_a_literal_needs_no_lookup(host: str) -> None:
    """In any spelling that the system takes for an address: there is no time for one."""
    found = NameLookups(socket.getaddrinfo).addresses(host, 80, wait_s=0)

    assert [info[4][0] for info in found] in (["127.0.0.1"], ["::1"])


def test_a_literal_is_dialled_while_every_lookup_hangs(names: Names) -> None:
    """The check of its address is the same."""
    egress = Egress(
        EgressPolicy(allowed_networks=parse_networks(("127.0.0.0/8",)), connect_timeout_s=0.01),
        user_agent="test",
        clock=SystemClock(),
        resolve=names,
    )
    for number in range(MAX_AT_ONCE):
        with pytest.raises(EgressError):
            egress.check_target(f"http://slow.site{number}/")

    egress.check_target("http://127.0.0.1:8080/")
    with pytest.raises(EgressError) as caught:
        egress.check_target("http://10.0.0.1/")
    assert caught.value.fault is EgressFault.URL_FORBIDDEN


def test_names_of_one_domain_share_its_places_and_those_of_another_do_not(names: Names) -> None:
    """A domain is the last two labels, whatever stands before them and whether a dot stands behind them."""
    lookups = NameLookups(names)
    for number in range(MAX_OF_A_DOMAIN):
        assert fault(lookups, f"slow{number}.a.b.one.test") is EgressFault.TIMEOUT

    refused = ("good.one.test", "good.one.test.", "x.y.good.one.test")
    assert [fault(lookups, host) for host in refused] == [EgressFault.DNS_FAILED] * 3
    assert lookups.addresses("good.two.test", 80, wait_s=5) == GOOD
    assert not any("one.test" in host and "good" in host for host in names.asked)


def test_a_lookup_that_ended_gives_back_no_place_but_its_own(names: Names) -> None:
    """Those of its domain that hang still count."""
    lookups = NameLookups(names)
    for number in range(MAX_OF_A_DOMAIN - 1):
        assert fault(lookups, f"slow{number}.one.test") is EgressFault.TIMEOUT
    assert lookups.addresses("good.one.test", 80, wait_s=5) == GOOD

    assert fault(lookups, "slow-again.one.test") is EgressFault.TIMEOUT
    assert fault(lookups, "good.one.test") is EgressFault.DNS_FAILED


def test_a_lookup_that_ended_gives_its_place_back(names: Names) -> None:
    """However many there were, and however they ended."""
    lookups = NameLookups(names)
    for _ in range(MAX_OF_A_DOMAIN + 1):
        assert lookups.addresses("good.one.test", 80, wait_s=5) == GOOD
        assert fault(lookups, "none.one.test", wait_s=5) is EgressFault.DNS_FAILED
    for number in range(MAX_OF_A_DOMAIN):
        assert fault(lookups, f"slow{number}.one.test") is EgressFault.TIMEOUT

    assert fault(lookups, "good.one.test") is EgressFault.DNS_FAILED


def test_a_lookup_that_hangs_keeps_no_process_from_ending(names: Names) -> None:
    """Its thread is a daemon."""
    fault(NameLookups(names), "slow.test")

    assert [thread.daemon for thread in threading.enumerate() if thread.name == "lookup"].count(False) == 0


def test_addresses_are_those_of_streams() -> None:
    """Without that each would be there once for each kind of socket."""
    kinds = {info[1] for info in NameLookups(socket.getaddrinfo).addresses("localhost", 80, wait_s=5)}

    assert kinds == {socket.SOCK_STREAM}


def test_a_name_that_the_machine_itself_knows_is_no_literal() -> None:
    """It may hang as any other name: whoever asks for it waits no longer than he said."""
    over = threading.Event()
    lookups = NameLookups(lambda *_question: over.wait(60) and [])
    try:
        with pytest.raises(EgressError) as caught:
            lookups.addresses("localhost", 80, wait_s=0.05)
    finally:
        over.set()

    assert caught.value.fault is EgressFault.TIMEOUT
