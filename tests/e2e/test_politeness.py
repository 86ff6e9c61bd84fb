"""How an origin sees us: it counts who asks at the same time and how fast they come."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from samples.photos import encoded, photo

from support.shop_client import Shop, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PICTURE = encoded(photo(64, 48, seed=1), "JPEG")
STARTS_PER_S = 5.0
ANSWER_S = 0.05


class CountingOrigin:
    """An image server that notes when each request came and how many were open then.

    On 127.0.0.2, a host without limits of its own in the stack file: the defaults of production hold for it.
    """

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.open = 0
        self.most_open = 0
        self._lock = threading.Lock()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with origin._lock:
                    origin.starts.append(time.monotonic())
                    origin.open += 1
                    origin.most_open = max(origin.most_open, origin.open)
                time.sleep(ANSWER_S)
                # Before the answer: whoever has read it may be succeeded at once.
                with origin._lock:
                    origin.open -= 1
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


@pytest.mark.feature("25")
@pytest.mark.fault("D20")
@pytest.mark.threat("T9")
def test_two_batches_together_ask_an_origin_for_no_more_than_it_has_shown_to_bear(
    shop: Shop, counting: CountingOrigin
) -> None:
    """The origin counts: 5 in the first second, then no more than six times what it has borne, every image once."""
    urls = [f"{counting.base_url}/{number}.jpg" for number in range(120)]
    batches = [shop.upload(sheet_of([[url] for url in part])) for part in (urls[:100], urls[100:])]

    finished = [shop.finished(request_id, within_s=60) for request_id in batches]

    assert [status["counts"]["succeeded"] for status in finished] == [100, 20]
    assert len(counting.starts) == 120
    begin = counting.starts[0]
    by_second = Counter(int(start - begin) for start in counting.starts)
    # Two more than the rate for tasks that ran a few milliseconds late.
    assert by_second[0] <= STARTS_PER_S + 2
    # The pace doubles after each good sample, and a sample takes 0.4 s or more: 2.5 times a second.
    asked = [by_second[second] for second in range(max(by_second) + 1)]
    shown = [max(STARTS_PER_S, *asked[: second + 1]) for second in range(len(asked))]
    assert all(later <= 6 * before + 2 for before, later in zip(shown, asked[1:], strict=False)), asked
    # Five a second would have taken 24 s.
    assert counting.starts[-1] - begin < 20
