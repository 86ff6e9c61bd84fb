"""img2dataset with two processes of sixteen threads: links to JPEG files of quality 50, not resized.

`python img2dataset_run.py FOLDER < links`
"""

from __future__ import annotations

import sys
from pathlib import Path

from img2dataset import download  # type: ignore[import-not-found]

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    links = folder / "links.txt"
    links.write_text(sys.stdin.read(), encoding="utf-8")
    download(
        url_list=str(links),
        output_folder=str(folder / "out"),
        processes_count=2,
        thread_count=16,
        resize_mode="no",
        encode_quality=50,
        number_sample_per_shard=25,
        disallowed_header_directives=[],
    )
