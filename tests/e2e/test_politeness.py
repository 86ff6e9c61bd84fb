"""How an origin sees us: how fast we come, and what it had answered by then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from samples.photos import encoded, photo

from support.shop_client import Shop, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PICTURE = encoded(photo(64, 48, seed=1), "JPEG")
HOLD_S = 2.5
ANSWER_S = 0.05

RATES = [(4, 5.0), (8, 10.0), (13, 20.0), (23, 40.0), (33, 80.0), (43, 160.0), (10_000, 500.0)]
"""Answers below which no more than so many images may start in a second.

The pace doubles with each good sample: answers of 0.25 s, at least 4; above 40 a second some stand for all.
"""


class CountingOrigin:
    """An image server that notes when each request came and when each answer was given.

    On 127.0.0.2, a host without limits of its own in the stack file: the defaults of production hold for it. Its first
    answers take their time, so that whoever goes on faster without having been answered is seen.
    """

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.answers: list[float] = []
        self._lock = threading.Lock()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with origin._lock:
                    origin.starts.append(time.time())
                    held_until = origin.starts[0] + HOLD_S
                time.sleep(max(ANSWER_S, held_until - time.time()))
                # Before the answer: what it teaches may be known at once.
                with origin._lock:
                    origin.answers.append(time.time())
                self.send_response(200)
                self.send_header("Content-Length", str(len(PICTURE)))
                self.end_headers()
                self.wfile.write(PICTURE)

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.2", 0), Handler)
        self.base_url = f"http://127.0.0.2:{self.server.server_address[1]}"


@pytest.fixture(name="counting")
def _counting() -> Iterator[CountingOrigin]:
    origin = CountingOrigin()
    thread = threading.Thread(target=origin.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield origin
    origin.server.shutdown()
    thread.join()
    origin.server.server_close()


def paces(answered: int) -> list[float]:
    """Return the starts a second that may be planned after so many answers: what was planned before starts as well."""
    passed = sum(below <= answered for below, _rate in RATES)
    return [rate for _below, rate in RATES[: passed + 1]]


def most_starts(begin: float, answers: list[float], until: float) -> float:
    """Return how many images may have started by a moment: what the host had shown to bear, second after second."""
    moments = [begin, *(at for at in answers if at < until), until]
    planned = sum(sum(paces(number)) * (after - at) for number, (at, after) in enumerate(pairwise(moments)))
    return planned + len(paces(len(moments) - 2))  # the first one of each pace


@pytest.mark.feature("25")
@pytest.mark.fault("D20")
@pytest.mark.threat("T9")
def test_two_batches_together_ask_an_origin_for_no_more_than_it_has_shown_to_bear(
    shop: Shop, counting: CountingOrigin
) -> None:
    """At each start, however late, there were no more before it than the answers until then allow; every image once."""
    urls = [f"{counting.base_url}/{number}.jpg" for number in range(120)]
    batches = [shop.upload(sheet_of([[url] for url in part])) for part in (urls[:100], urls[100:])]

    finished = [shop.finished(request_id, within_s=60) for request_id in batches]

    assert [status["counts"]["succeeded"] for status in finished] == [100, 20]
    assert len(counting.starts) == 120
    begin = min(datetime.fromisoformat(status["started_at"]).timestamp() for status in finished)
    for before, start in enumerate(counting.starts):
        assert before < most_starts(begin, counting.answers, start), (before, start - begin)
