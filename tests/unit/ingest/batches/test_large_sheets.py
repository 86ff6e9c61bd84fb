"""The largest sheets: how much memory a process needs that takes one in, and that none of it is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.ingest_service import Lab

ROWS = 100_000
MEMORY_BOUND_MIB = 256

# A process of its own, because the greatest memory that a process ever had cannot be reset.
_CHILD = """
import io, sys, uuid
from chassis.db.engine import new_engine
from ingest.options import ImageOptions
from ingest.sheets.intake import read_sheet
from ingest.sheets.model import SheetLimits
from ingest.batches.submit import Submission, submit_upload
from ingest.settings import IngestSettings
import ingest.wsgi  # what a worker has in memory anyway

url, rows, encoding = sys.argv[1], int(sys.argv[2]), sys.argv[3]
out = io.BytesIO()
out.write('S. No.,Product Name,Colour,Price,Input Image Urls\\r\\n'.encode(encoding))
for number in range(rows):
    link = f'https://cdn.example/catalogue/2026/winter/{number:08d}/front.jpg?width=2000' if number % 2 else ''
    out.write(f'{number},"Größe {number % 50}: lamp, oak and brass",red,19.90,"{link}"\\r\\n'.encode(encoding))
body = out.getvalue()
del out
settings = IngestSettings.model_construct(max_attempts=5, batch_deadline_s=86400)
sheet = read_sheet(body, SheetLimits(32 * 2**20, rows, rows // 2, 100, 200))
submission = Submission(sheet, body, 'large.csv', ImageOptions(), None)
submit_upload(new_engine(url, pool_size=1), settings, submission, request_id=uuid.uuid4(), response={}, key=None)
[peak] = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]
print(len(body), sheet.facts.images, sheet.facts.unique_urls, peak.split()[1])
"""


@pytest.mark.feature("9")
@pytest.mark.threat("T6")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_hundred_thousand_rows_are_taken_in_within_the_memory_of_a_small_instance(
    lab: Lab, migrated_url: str
) -> None:
    """The most rows and images that are taken, parsed, checked and stored; only the bytes of the file are held."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, migrated_url, str(ROWS), "utf-8"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    size_bytes, images, unique, peak_kib = (int(part) for part in done.stdout.split())
    stored = lab.rows("SELECT (SELECT count(*) FROM rows) AS rows, (SELECT count(*) FROM images) AS images")[0]
    assert (stored["rows"], stored["images"], images, unique) == (ROWS, ROWS // 2, ROWS // 2, ROWS // 2)
    assert peak_kib / 1024 < MEMORY_BOUND_MIB, f"{peak_kib / 1024:.0f} MiB for a sheet of {size_bytes} bytes"
