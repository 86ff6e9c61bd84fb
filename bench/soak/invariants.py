"""What must hold when the dust has settled: nothing lost, nothing doubled, every counter exact.

Each check returns what is wrong as sentences; none means that it holds.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg2
import requests
from PIL import Image
from samples.receiver import Receiver

from bench.soak.shops import Upload
from localcloud.stack.blocking import Stack

FINAL = frozenset({"COMPLETED", "COMPLETED_WITH_ERRORS"})
_PICTURES_LOOKED_AT = 200
_SHOWN = 5


def rows_of(url: str, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a database."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


class Evidence:
    """Everything that the checks look at, read once when the stack is quiet.

    Args:
        stack: still running.
        uploads: accepted ones.
        receiver: was told of every batch.
    """

    def __init__(self, stack: Stack, uploads: Sequence[Upload], receiver: Receiver) -> None:
        self.stack = stack
        self.uploads = uploads
        self.received = tuple(receiver.received)
        ingest = stack.database_url("pressroom_ingest")
        self.batches = {
            str(row[0]): row[1:]
            for row in rows_of(ingest, "SELECT request_id, status, total, pending, succeeded, failed FROM batches")
        }
        self.images = rows_of(
            ingest,
            "SELECT images.batch::text, images.status, images.attempt, images.attempt_limit, images.output_url,"
            " images.finished_at <= batches.sealed_at, images.bytes_out"
            " FROM images JOIN batches ON batches.request_id = images.batch",
        )
        self.objects = {item["name"]: int(item["size"]) for item in _listed(stack, "pressroom-images")}


def lost_uploads(evidence: Evidence) -> list[str]:
    """Every 202 has a batch, and every batch came from a 202."""
    accepted = Counter(upload.request_id for upload in evidence.uploads)
    found = [f"upload {name} has no batch" for name in accepted if name not in evidence.batches]
    found += [f"batch {name} was never accepted" for name in evidence.batches if name not in accepted]
    return found + [f"{name} was accepted {count} times" for name, count in accepted.items() if count > 1]


def unfinished_batches(evidence: Evidence) -> list[str]:
    """Every batch has ended, as its counters say."""
    found = []
    for name, (status, _, _, _, failed) in evidence.batches.items():
        expected = "COMPLETED_WITH_ERRORS" if failed else "COMPLETED"
        if status != expected:
            found.append(f"batch {name} is {status}, not {expected}")
    return found


def wrong_counters(evidence: Evidence) -> list[str]:
    """The counters of each batch are those of its images, and of the sheet that was sent."""
    counted: dict[str, Counter[object]] = defaultdict(Counter)
    for batch, status, *_ in evidence.images:
        counted[str(batch)][status] += 1
    found = []
    for upload in evidence.uploads:
        _, total, pending, succeeded, failed = evidence.batches.get(upload.request_id, ("", 0, 0, 0, 0))
        images = counted[upload.request_id]
        real = (images.total(), images["PENDING"] + images["DISPATCHED"], images["SUCCEEDED"], images["FAILED"])
        if (total, pending, succeeded, failed) != real or total != upload.images:
            found.append(f"batch {upload.request_id}: counters {(total, pending, succeeded, failed)}, images {real}")
    return found


def late_outcomes(evidence: Evidence) -> list[str]:
    """No image changed after its batch was sealed, none had more attempts than its budget."""
    found = [f"an image of {row[0]} ended after sealing" for row in evidence.images if not row[5]]
    return found + [f"an image of {row[0]} had {row[2]} attempts" for row in evidence.images if row[2] > row[3]]


def failed_photos(evidence: Evidence) -> list[str]:
    """Only what the origin never served has failed."""
    found = []
    for upload in evidence.uploads:
        for image in _images(evidence.stack, upload.request_id):
            is_bad = "/gone/" in image["input_url"] or "/page/" in image["input_url"]
            if (image["status"] == "SUCCEEDED") == is_bad:
                found.append(f"{image['input_url']} of {upload.request_id}: {image['status']} {image['code']}")
    return found


def wrong_objects(evidence: Evidence) -> list[str]:
    """Every output is one object of the size told, and no object is without an output."""
    told = {str(row[4]).rsplit("/pressroom-images/", 1)[1]: row[6] for row in evidence.images if row[4]}
    found = [f"output {name} has no object" for name in told if name not in evidence.objects]
    found += [f"object {name} has no row" for name in evidence.objects if name not in told]
    sizes = [name for name, size in told.items() if evidence.objects.get(name, size) != size]
    return found + [f"object {name} has another size than its row" for name in sizes]


def wrong_sheets(evidence: Evidence) -> list[str]:
    """Each sheet comes back with its rows in order, as many slots as it had, and pictures behind the links."""
    found = []
    looked_at = 0
    for upload in evidence.uploads:
        text = _sheet(evidence.stack, upload.request_id)
        rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
        if [row[:3] for row in rows] != upload.rows:
            found.append(f"the sheet of {upload.request_id} differs from what was sent")
            continue
        for row in rows:
            slots = row[3].split(",")
            if len(slots) != len(row[2].split(", ")):
                found.append(f"row {row[0]} of {upload.request_id} has {len(slots)} slots")
            for url in slots:
                if url and looked_at < _PICTURES_LOOKED_AT:
                    looked_at += 1
                    found += _not_a_jpeg(url)
    return found


def wrong_webhooks(evidence: Evidence) -> list[str]:
    """Each batch was told once under one id, verified, with one body."""
    ids: dict[str, set[str]] = defaultdict(set)
    bodies: dict[str, set[str]] = defaultdict(set)
    found = [f"a webhook of {item.event.get('request_id')} was not signed well" for item in evidence.received
             if not item.verified]  # fmt: skip
    for item in evidence.received:
        ids[str(item.event["request_id"])].add(item.message_id)
        bodies[item.message_id].add(json.dumps(item.event, sort_keys=True))
    found += [f"{name} was told under {len(ids[name])} ids" for name in evidence.batches if len(ids[name]) != 1]
    return found + [f"webhook {name} had {len(texts)} bodies" for name, texts in bodies.items() if len(texts) > 1]


def broken_logs(evidence: Evidence) -> list[str]:
    """Every line that a service logged is JSON, and none holds a secret."""
    secrets = json.loads((evidence.stack.state_dir / "secrets.json").read_text(encoding="utf-8"))
    found = []
    for service in ("ingest", "ingest-internal", "compressor", "reporter", "reporter-internal"):
        text = (Path(evidence.stack.state_dir) / "logs" / f"{service}.log").read_text(encoding="utf-8")
        found += [f"{service} logged a secret" for secret in secrets.values() if secret in text]
        for line in text.splitlines():
            try:
                json.loads(line)
            except ValueError:
                found.append(f"{service} logged {line[:120]!r}")
    return found


CHECKS: Mapping[str, Callable[[Evidence], list[str]]] = {
    "every accepted upload is one batch": lost_uploads,
    "every batch has ended": unfinished_batches,
    "counters equal images": wrong_counters,
    "nothing after sealing, attempts within budget": late_outcomes,
    "only bad pictures failed": failed_photos,
    "one object for each output, no orphan": wrong_objects,
    "sheets come back slot by slot": wrong_sheets,
    "one webhook for each batch": wrong_webhooks,
    "logs are JSON without secrets": broken_logs,
}


def shown(faults: Sequence[str]) -> str:
    """Return faults for a table: the first few and how many more."""
    more = len(faults) - _SHOWN
    return "\n".join([*faults[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])])


def _listed(stack: Stack, bucket: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = []
    token = ""
    while True:
        page = requests.get(
            f"{stack.url('storage')}/storage/v1/b/{bucket}/o",
            params={"maxResults": "1000", "pageToken": token},
            timeout=60,
        ).json()
        items += page.get("items", [])
        token = page.get("nextPageToken", "")
        if not token:
            return items


def _images(stack: Stack, request_id: str) -> list[dict[str, str]]:
    answer = requests.get(f"{stack.url('ingest')}/status/{request_id}", params={"page_size": 1000}, timeout=60)
    return [image for product in answer.json()["products"] for image in product["images"]]


def _sheet(stack: Stack, request_id: str) -> str:
    answer = requests.get(f"{stack.url('reporter')}/download_csv", params={"request_id": request_id}, timeout=60)
    return requests.get(answer.json()["download_url"], timeout=60).content.decode("utf-8-sig")


def _not_a_jpeg(url: str) -> list[str]:
    answer = requests.get(url, timeout=60)
    try:
        with Image.open(io.BytesIO(answer.content), formats=["JPEG"]) as picture:
            picture.load()
    except OSError:
        return [f"{url} is no JPEG"]
    return []
