"""What the soak asks of the stack: sheets of new pictures at a bounded rate, status polls, webhooks taken down.

Shops behave as good clients do: an upload that got no answer is repeated with the same Idempotency-Key.
"""

from __future__ import annotations

import csv
import io
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import requests
from samples.catalogue import SampleFile
from samples.photos import encoded, photo

ROWS = (4, 24)
SLOTS = (1, 3)
_PHOTO_PX = (1024, 768)
_GIVE_UP_S = 120.0


class Pictures(Mapping[str, SampleFile]):
    """Any path is a file: `/gone/N` is missing, `/page/N` is a page, `/shaky/N` fails at first, others are photos.

    Each photo has bytes of its own, so each makes an object of its own.
    """

    def __init__(self) -> None:
        self._drawn = [encoded(photo(*_PHOTO_PX, seed=seed), "JPEG") for seed in range(8)]
        self._seen: Counter[str] = Counter()

    def __getitem__(self, path: str) -> SampleFile:
        """Return the file at a path such as `/photo/17.jpg`."""
        kind, _, name = path.strip("/").partition("/")
        if kind == "gone":
            return SampleFile("text/plain", b"gone\n", status=404)
        if kind == "page":
            return SampleFile("image/jpeg", b"<!DOCTYPE html><html>Please log in</html>")
        self._seen[path] += 1
        if kind == "shaky" and self._seen[path] == 1:
            return SampleFile("text/plain", b"later\n", status=503)
        body = self._drawn[len(name) % 8]
        comment = path.encode()
        return SampleFile("image/jpeg", body[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + body[2:])

    def __iter__(self) -> Iterator[str]:
        """Raise: there is no end of paths."""
        raise TypeError("every path is a file")

    def __len__(self) -> int:
        """Return how many photos were asked for."""
        return len(self._seen)


@dataclass(frozen=True, slots=True)
class Upload:
    """A sheet that was accepted."""

    request_id: str
    rows: list[list[str]]
    images: int


@dataclass(slots=True)
class Tally:
    """What shops saw; shared by their threads."""

    uploads: list[Upload] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    status_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def images(self) -> int:
        """Return how many images were accepted."""
        with self.lock:
            return sum(upload.images for upload in self.uploads)


class Shops:
    """Uploads sheets so that about so many images a second arrive, and polls a status now and then.

    Args:
        ingest: root URL.
        origin: root URL of the pictures.
        webhook_url: told of every batch.
        images_per_s: offered rate.
        seed: of everything that is chosen at random.
    """

    def __init__(self, ingest: str, origin: str, webhook_url: str, *, images_per_s: float, seed: int) -> None:
        self.tally = Tally()
        self._ingest = ingest
        self._origin = origin
        self._webhook_url = webhook_url
        self._rate = images_per_s
        self._dice = random.Random(seed)
        self._numbers = iter(range(10_000_000))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._upload_all, self._poll_all)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the uploads in hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _upload_all(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            rows = self._sheet()
            images = sum(len(row[2].split(", ")) for row in rows)
            due += images / self._rate
            self._upload(rows, images)

    def _sheet(self) -> list[list[str]]:
        urls: list[str] = []
        rows = []
        for number in range(1, self._dice.randint(*ROWS) + 1):
            slots = []
            for _ in range(self._dice.randint(*SLOTS)):
                if urls and self._dice.random() < 0.1:
                    slots.append(self._dice.choice(urls))
                    continue
                kind = self._dice.choices(("photo", "gone", "page", "shaky"), (97, 1, 1, 1))[0]
                urls.append(f"{self._origin}/{kind}/{next(self._numbers)}.jpg")
                slots.append(urls[-1])
            rows.append([str(number), f"Product {number}", ", ".join(slots)])
        return rows

    def _upload(self, rows: list[list[str]], images: int) -> None:
        table = io.StringIO(newline="")
        csv.writer(table).writerows([["S. No.", "Product Name", "Input Image Urls"], *rows])
        key = str(uuid4())
        give_up = time.monotonic() + _GIVE_UP_S
        while time.monotonic() < give_up:
            try:
                answer = requests.post(
                    f"{self._ingest}/upload",
                    files={"file": ("soak.csv", table.getvalue().encode(), "text/csv")},
                    data={"webhook_url": self._webhook_url},
                    headers={"Idempotency-Key": key},
                    timeout=30,
                )
            except requests.RequestException as error:
                self._count(f"upload {type(error).__name__}")
            else:
                self._count(f"upload {answer.status_code}")
                if answer.status_code == 202:
                    with self.tally.lock:
                        self.tally.uploads.append(Upload(answer.json()["request_id"], rows, images))
                    return
                if answer.status_code not in {429, 503}:
                    return
            time.sleep(0.5)
        self._count("upload given up")

    def _poll_all(self) -> None:
        dice = random.Random(self._dice.random())
        while not self._stop.wait(0.2):
            with self.tally.lock:
                upload = dice.choice(self.tally.uploads) if self.tally.uploads else None
            if upload is None:
                continue
            began = time.monotonic()
            try:
                answer = requests.get(f"{self._ingest}/status/{upload.request_id}", timeout=30)
            except requests.RequestException as error:
                self._count(f"status {type(error).__name__}")
                continue
            self._count(f"status {answer.status_code}")
            if answer.status_code == 200:
                self.tally.status_s.append(time.monotonic() - began)

    def _count(self, what: str) -> None:
        with self.tally.lock:
            self.tally.answers[what] += 1
