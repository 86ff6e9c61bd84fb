"""A file of a report as a stream: it is an object when it is whole and finished, and nothing before."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]

from chassis.errors import ApiError
from reporter.clients.bucket import ReportObjects
from reporter.clients.object_file import PIECE_BYTES, ObjectFile
from support.reporter_service import Answer, Got, loopback
from support.upload_sessions import UploadSessions

NAME = "reports/a/1/output.csv"
LARGE = 2 * PIECE_BYTES + 1000
QUARTER = 256 * 1024


@pytest.fixture
def storage() -> Iterator[UploadSessions]:
    """Give a bucket without objects."""
    sessions = UploadSessions()
    with loopback(sessions.handle) as sessions.url:
        yield sessions


@pytest.fixture
def objects(storage: UploadSessions) -> Iterator[ReportObjects]:
    """Give our client of it, which tries again for a while."""
    client = gcs.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage.url}
    )
    yield ReportObjects(client.bucket("bucket"), write_retried_for_s=5.0)
    client.close()


def content_of(size: int) -> bytes:
    """Return bytes that show when some are lost, doubled or in another place."""
    return random.Random(size).randbytes(size)


def written(objects: ReportObjects, content: bytes, **more: Any) -> ObjectFile:
    """Return a file with its content, not finished, written in pieces as text is."""
    file = objects.begin(NAME, content_type="text/csv", **more)
    for start in range(0, len(content), 100_000):
        file.write(content[start : start + 100_000])
    return file


@pytest.mark.parametrize(
    "size",
    [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, LARGE],
    ids=["nothing", "a byte", "almost a piece", "a piece", "a byte more", "two pieces", "more"],
)
def test_a_file_is_an_object_when_it_is_finished(objects: ReportObjects, storage: UploadSessions, size: int) -> None:
    """Whatever was sent before, there is no object; then there is all of it."""
    content = content_of(size)

    file = written(objects, content)

    assert storage.objects == {}
    file.finish()
    assert storage.objects == {NAME: content}


def test_pieces_go_while_the_file_is_written(objects: ReportObjects, storage: UploadSessions) -> None:
    """What was sent is not held; whoever asks is told of each piece."""
    told: list[int] = []

    file = written(objects, content_of(LARGE), on_piece=lambda: told.append(storage.pieces))

    assert told == [1, 2]
    assert [len(upload.kept) for upload in storage.uploads] == [2 * PIECE_BYTES]
    file.abandon()


@pytest.mark.fault("C11")
@pytest.mark.parametrize("piece", [1, 2, 3])
def test_a_piece_that_is_refused_is_sent_again(objects: ReportObjects, storage: UploadSessions, piece: int) -> None:
    """503 in the middle or at the end: the object is what was written."""
    content = content_of(LARGE)
    storage.before = lambda _got, number: Answer(503) if number == piece else None

    written(objects, content).finish()

    assert storage.objects == {NAME: content}


@pytest.mark.fault("C11")
@pytest.mark.parametrize("piece", [1, 2])
def test_a_piece_whose_answer_is_lost_is_not_doubled(
    objects: ReportObjects, storage: UploadSessions, piece: int
) -> None:
    """Storage has kept it and passes over the bytes that come again."""
    content = content_of(LARGE)
    storage.after = lambda _got, number: Answer(503) if number == piece else None

    written(objects, content).finish()

    assert storage.objects == {NAME: content}


@pytest.mark.fault("C11")
def test_a_lost_answer_to_the_last_piece_is_harmless(objects: ReportObjects, storage: UploadSessions) -> None:
    """The object exists; the last piece, sent again, meets it, and it is what was to be written."""
    content = content_of(LARGE)
    storage.after = lambda _got, number: Answer(503) if number == 3 else None

    written(objects, content).finish()

    assert storage.objects == {NAME: content}


@pytest.mark.fault("C11")
def test_a_piece_of_which_only_a_part_was_kept_ends_the_report(objects: ReportObjects, storage: UploadSessions) -> None:
    """Storage may keep less than was sent. The report is made again; of this one nothing is visible."""
    storage.kept_of_piece = lambda number, size: QUARTER if number == 1 else size

    with pytest.raises(ApiError) as refused:
        written(objects, content_of(LARGE))

    assert refused.value.reason == "STORAGE_UNAVAILABLE"
    assert storage.objects == {}


@pytest.mark.fault("C12")
@pytest.mark.parametrize("when", ["before the first piece", "before the last piece"])
def test_the_first_of_two_files_wins(objects: ReportObjects, storage: UploadSessions, when: str) -> None:
    """412 on the generation: the other's object stays as it is, and nothing has failed."""
    content = content_of(LARGE)
    if when == "before the first piece":
        storage.objects[NAME] = b"the other's"

    file = written(objects, content)
    storage.objects[NAME] = b"the other's"
    file.finish()

    assert storage.objects == {NAME: b"the other's"}
    assert storage.pieces == (0 if when == "before the first piece" else 3)


@pytest.mark.fault("C11")
@pytest.mark.parametrize("answer", [499, 503], ids=["storage forgets it", "storage refuses"])
def test_an_abandoned_file_never_becomes_an_object(storage: UploadSessions, answer: int) -> None:
    """Not by a later write, nor when it is thrown away, whatever storage answers; the session is told to end."""
    deleted: list[Got] = []

    def hear(got: Got) -> Answer:
        if got.method == "DELETE":
            deleted.append(got)
            return Answer(answer)
        return storage.handle(got)

    with loopback(hear) as storage.url:
        client = gcs.Client(
            project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage.url}
        )
        file = written(ReportObjects(client.bucket("bucket")), content_of(LARGE))
        file.abandon()
        file.write(content_of(LARGE))
        del file
        gc.collect()
        client.close()

    assert (len(deleted), storage.pieces) == (1, 2)
    assert storage.objects == {}


def test_a_file_that_is_forgotten_never_becomes_an_object(objects: ReportObjects, storage: UploadSessions) -> None:
    """Python closes a file when it is thrown away, and closing is how the library ends an upload."""
    file = written(objects, content_of(LARGE))

    del file
    gc.collect()

    assert storage.objects == {}


@pytest.mark.fault("C11")
def test_a_storage_that_stays_away_ends_the_report(storage: UploadSessions) -> None:
    """The caller hears 503, and there is no object."""
    storage.before = lambda _got, number: Answer(503) if number > 1 else None
    client = gcs.Client(
        project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": storage.url}
    )
    objects = ReportObjects(client.bucket("bucket"), write_retried_for_s=0.05)

    with pytest.raises(ApiError) as refused:
        written(objects, content_of(LARGE))
    client.close()

    assert (refused.value.reason, refused.value.http_code) == ("STORAGE_UNAVAILABLE", 503)
    assert storage.objects == {}
