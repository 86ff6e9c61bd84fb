"""Two doors from one image: what strangers send to one takes nothing from the work behind the other."""

from __future__ import annotations

import select
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
import requests
from samples.catalogue import SampleFile
from samples.origin import Origin

from localcloud.stack.blocking import Stack
from support import deployment_files as d
from support.pictures import encoded, photo
from support.shop_client import Shop, sheet_of

IMAGES = 40
_PIECE = b"x" * 4096


@contextmanager
def uploads_that_never_end(root: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold as many requests of a service: each sends its body fast enough to be waited for."""
    at = urlsplit(root)
    fields = (f"Host: {at.netloc}", "Content-Type: multipart/form-data; boundary=b", "Content-Length: 30000000")
    part = ("--b", 'Content-Disposition: form-data; name="file"; filename="sheet.csv"')
    head = "\r\n".join(("POST /upload HTTP/1.1", *fields, "", *part, "", ""))
    stopped = threading.Event()
    with ExitStack() as opened:
        held = []
        for _ in range(count):
            sock = opened.enter_context(socket.create_connection((str(at.hostname), at.port or 80), timeout=30))
            sock.sendall(head.encode() + _PIECE)
            held.append(sock)

        def go_on() -> None:
            while not stopped.wait(0.2):
                for sock in held:
                    sock.sendall(_PIECE)

        sending = threading.Thread(target=go_on)
        sending.start()
        try:
            yield held
        finally:
            stopped.set()
            sending.join()


def health_s(root: str) -> float:
    """Return the seconds that `/health` takes, in the middle of five."""
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        assert requests.get(f"{root}/health", timeout=30).status_code == 200
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


@pytest.mark.fault("F18")
@pytest.mark.threat("T6")
def test_burst_of_uploads_holds_up_no_claim_and_no_outcome(stack: Stack, shop: Shop) -> None:
    """As many uploads at once as Cloud Run sends to an instance: a batch goes on, and both doors are healthy."""
    at_once = d.pod("ingest")["containerConcurrency"]
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(64, 48, seed=n), "JPEG")) for n in range(IMAGES)}
    with Origin(files, delay_s=0.1) as origin:
        request_id = shop.upload(sheet_of([[f"{origin.base_url}/{n}.jpg"] for n in range(IMAGES)]))
        with uploads_that_never_end(stack.url("ingest"), at_once) as held:
            taken = {name: health_s(stack.url(name)) for name in ("ingest", "ingest-internal")}
            status = shop.finished(request_id)
            answered, _, _ = select.select(held, [], [], 0)
            answers = [sock.recv(1000) for sock in answered]

    assert answers == []  # nobody was answered, so all of them were held until now
    assert status["counts"] == {"total": IMAGES, "pending": 0, "succeeded": IMAGES, "failed": 0}
    assert {name for name, seconds in taken.items() if seconds >= 1} == set()


@pytest.mark.threat("T11")
@pytest.mark.parametrize("image", ["ingest", "reporter"])
def test_each_door_has_its_own_routes_only(image: str, stack: Stack) -> None:
    """Whoever finds the other door's address finds no route of this one behind it."""
    public, internal = stack.url(image), stack.url(f"{image}-internal")

    assert requests.post(f"{public}/internal/sweep", timeout=10).status_code == 404
    assert requests.post(f"{internal}/internal/sweep", timeout=10).status_code == 401
    assert requests.get(f"{public}/limits", timeout=10).status_code == 200
    assert requests.get(f"{internal}/limits", timeout=10).status_code == 404
