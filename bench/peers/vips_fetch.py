"""A process that fetches links with two threads and writes each as a JPEG of quality 50 by pyvips.

`python vips_fetch.py FOLDER < links`
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyvips  # type: ignore[import-not-found]
import requests

_SESSION = requests.Session()
_SESSION.trust_env = False


def _work(numbered: tuple[int, str]) -> None:
    number, url = numbered
    source = _SESSION.get(url, timeout=30).content
    picture = pyvips.Image.new_from_buffer(source, "", access="sequential")
    picture.jpegsave(str(Path(sys.argv[1]) / f"{number}.jpg"), Q=50, strip=True)


if __name__ == "__main__":
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_work, enumerate(sys.stdin.read().split())))
