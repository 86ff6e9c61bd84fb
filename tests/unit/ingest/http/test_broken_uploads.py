"""Uploads that break off: what came of them is thrown away at once, not when the garbage collector happens to run."""

from __future__ import annotations

import gc
from io import BytesIO
from pathlib import Path

import pytest

from support.ingest_service import Lab

BEGIN = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
LARGE = b"x" * 600_000
"""More than werkzeug keeps of a file in memory."""


class Broken(BytesIO):
    """A body whose client goes away after the last byte."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes.

        Raises:
            ConnectionResetError: there are no more.
        """
        piece = super().read(size)
        if not piece:
            raise ConnectionResetError
        return piece


def open_files() -> int:
    """Count this process's files that have no name any more."""
    return sum(
        path.is_symlink() and str(path.readlink()).endswith(" (deleted)") for path in Path("/proc/self/fd").iterdir()
    )


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        (b"", 400),
        (b'\r\n--b\r\nContent-Disposition: form-data; name="csv_text"\r\n\r\n' + LARGE + b"\r\n--b--\r\n", 413),
    ],
    ids=["the client goes away", "a field is too large"],
)
def test_a_form_that_breaks_off_leaves_no_file_open(lab: Lab, rest: bytes, code: int) -> None:
    """Its sheet lies in a temporary file already."""
    body = BEGIN + LARGE + rest
    before = open_files()
    gc.disable()
    try:
        response = lab.client().post(
            "/upload",
            input_stream=Broken(body),
            content_length=len(body) + (0 if rest else 1),
            content_type="multipart/form-data; boundary=b",
        )
        after = open_files()
    finally:
        gc.enable()

    assert (response.status_code, after - before) == (code, 0)


def test_the_lab_leaves_no_file_of_a_large_upload_open(lab: Lab) -> None:
    """Neither the service nor the test client, so that no other test fails for it."""
    before = open_files()
    gc.disable()
    try:
        answer = lab.upload(LARGE)
        after = open_files()
    finally:
        gc.enable()

    assert (answer.reason, after - before) == ("SHEET_INVALID", 0)
