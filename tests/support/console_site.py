"""The console on a real port with batches in every state, for browsers: in tests, and for pictures of the pages."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from support.ingest_service import Lab

HOSTILE_NAME = '"><img src=x onerror=alert(1)><script>document.title="owned"</script>'
"""A product name that would run where a page forgot to escape it."""

_PRODUCTS = ("Desk lamp", "Oak stool", "Linen curtain", "Café table", "Wool rug", "Tea pot", "Wall clock", "Bookshelf")
_HOSTS = ("cdn.northwind.example", "images.lumen.example", "static.oakandco.example")
_FAILURES = (("HTTP_4XX", "HTTP 404"), ("NOT_AN_IMAGE", "a web page, not a picture"), ("TOO_LARGE", "more than 25 MB"))


class _Quiet(WSGIRequestHandler):
    def log(self, *_args: object) -> None:
        pass


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an application on loopback; yield its root URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Story:
    """What becomes of a batch: how many rows it has, which part of its images ends, and which part of those fails."""

    name: str
    rows: int
    ended: float = 1.0
    failed: float = 0.0
    hours_ago: float = 1.0
    minutes: float = 4.0
    cancelled: bool = False
    options: dict[str, str] = field(default_factory=dict)


STORIES = (
    Story("archive-2019.csv", 30, failed=1.0, hours_ago=52, minutes=2.3),
    Story(
        "Lumen lighting, winter.xlsx.csv", 60, hours_ago=29, minutes=7.2, options={"format": "webp", "quality": "80"}
    ),
    Story("outdoor-furniture.csv", 40, ended=0.5, hours_ago=26, cancelled=True),
    Story("shopify-export.csv", 120, failed=0.06, hours_ago=5, minutes=11),
    Story("northwind-catalogue.csv", 200, ended=0.42, failed=0.03, hours_ago=0.03),
    Story("new-arrivals.csv", 12, ended=0.0, hours_ago=0.004),
)
"""A shop's last days, oldest first."""


def sheet(rows: int, *, first_name: str = "") -> str:
    """Return a sheet with two images in a row from one of three hosts."""
    lines = ["SKU,Product Name,Brand,Image Urls"]
    for number in range(1, rows + 1):
        host = _HOSTS[number % len(_HOSTS)]
        name = (first_name if number == 1 else "") or f"{_PRODUCTS[number % len(_PRODUCTS)]} {number}"
        links = ", ".join(f"https://{host}/p/{number:05}/{side}.jpg" for side in ("front", "detail"))
        quoted = name.replace('"', '""')
        lines.append(f'NW-{number:05},"{quoted}",Northwind,"{links}"')
    return "\r\n".join(lines) + "\r\n"


def upload(lab: Lab, content: str, name: str, **form: str) -> str:
    """Upload a sheet under a name and return the batch's id."""
    data = {**form, "file": (io.BytesIO(content.encode()), name)}
    answer = lab.client().post("/upload", data=data)
    assert answer.status_code == 202, answer.text
    return str(answer.get_json()["request_id"])


def play(lab: Lab, story: Story, *, seed: int = 1) -> str:
    """Let a batch go through its story; return its id."""
    chance = random.Random(seed)
    request_id = upload(
        lab, sheet(story.rows, first_name=HOSTILE_NAME if story.failed else ""), story.name, **story.options
    )
    if story.ended:
        execution = lab.start(request_id)
        left = round(lab.status(request_id)["counts"]["total"] * story.ended)
        deadline = time.monotonic() + 60
        # A host is given more only after it has answered, so outcomes are reported page by page.
        while left and time.monotonic() < deadline:
            for payload in lab.claim(request_id, execution)[:left]:
                _report(lab, payload, chance, failed=chance.random() < story.failed)
                left -= 1
        assert left == 0
        if story.cancelled:
            assert lab.post("/cancel", {"request_id": request_id}).code == 202
        if story.ended == 1.0 or story.cancelled:
            assert lab.finish(request_id, execution).code == 200
    _move_back(lab, request_id, story)
    return request_id


def _report(lab: Lab, payload: Mapping[str, Any], chance: random.Random, *, failed: bool) -> None:
    if failed:
        code, detail = chance.choice(_FAILURES)
        lab.report(payload, outcome="FAILED", code=code, detail=detail, bytes_in=None)
        return
    before = chance.randrange(180_000, 2_400_000)
    after = round(before * chance.uniform(0.18, 0.55))
    lab.report(payload, bytes_in=before, bytes_out=after, width=1200, height=900)


def fill(lab: Lab, stories: Sequence[Story] = STORIES) -> dict[str, str]:
    """Play stories and return the batches' ids by name."""
    return {story.name: play(lab, story, seed=number) for number, story in enumerate(stories)}


def _move_back(lab: Lab, request_id: str, story: Story) -> None:
    # As if it had happened then: what the pages show of it are times and rates.
    lab.change(
        """
        UPDATE batches SET created_at = now() - make_interval(secs => :ago),
          deadline_at = deadline_at - make_interval(secs => :ago),
          started_at = CASE WHEN started_at IS NOT NULL THEN now() - make_interval(secs => :ago - 3) END,
          sealed_at = CASE WHEN sealed_at IS NOT NULL THEN now() - make_interval(secs => :ago - :took + 5) END,
          finished_at = CASE WHEN finished_at IS NOT NULL THEN now() - make_interval(secs => :ago - :took) END
        WHERE request_id = :batch
        """,
        batch=request_id,
        ago=story.hours_ago * 3600,
        took=story.minutes * 60,
    )
