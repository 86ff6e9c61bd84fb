"""Pictures of every page of the console: `python -m screenshots FOLDER` from tests/, or `make screenshots`.

A single ingest on a PostgreSQL of its own, with batches in every state; what the compressor would draw is drawn here.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import structlog
from PIL import Image
from playwright.sync_api import Browser, FilePayload, ViewportSize, sync_playwright
from samples.photos import photo

from chassis.db.engine import new_engine
from ingest.clients.previews import Preview, Trial
from ingest.migrate import upgrade
from localcloud.core.clock import SystemClock
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres
from support.console_site import Story, fill, play, served, sheet
from support.ingest_service import Lab
from support.scripted_origin import ScriptedOrigin, answer

SIZES = {"desk": ViewportSize(width=1400, height=1000), "phone": ViewportSize(width=390, height=844)}
SCHEMES = ("light", "dark")
BAD_SHEET = "S. No.,Product Name,Input Image Urls\n" + "".join(
    f"{row},Lamp {row},"
    + ("no link" if row % 5 == 0 else f"https://cdn.example/{row}.jpg https://cdn.example/{row}b.png")
    + "\n"
    for row in range(1, 31)
)


class DrawnPreviews:
    """What the compressor would draw: a photo, and the same at a low quality."""

    def stored(self, output_url: str, side: int) -> Preview:
        """Draw an output."""
        return _drawn(len(output_url), side, 14)

    def source(self, url: str, side: int, output_url: str | None) -> Preview:
        """Draw a source."""
        return _drawn(len(output_url or url), side, 92)

    def trial(self, url: str, side: int, options: Mapping[str, Any]) -> Trial:
        """Draw both."""
        return Trial(_drawn(len(url), side, 92), _drawn(len(url), side, 14), str(options["format"]), "")


def _drawn(seed: int, side: int, quality: int) -> Preview:
    size = (min(side, 1200), min(side, 1200) * 3 // 4)
    buffer = io.BytesIO()
    photo(1200, 900, seed=seed).resize(size, Image.Resampling.LANCZOS).save(buffer, "WEBP", quality=quality)
    return Preview(buffer.getvalue(), *size, 1_234_567 * quality // 92)


@contextmanager
def laboratory(**overrides: str) -> Iterator[Lab]:
    """Give an ingest with a database of its own."""
    issuer = TokenIssuer(SystemClock())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder, ScriptedOrigin() as origin:
        postgres = Postgres(Path(folder) / "data", port, fsync=False)
        postgres.start()
        try:
            certificates = json.dumps(issuer.certificates()).encode()
            origin.on("/certs", answer(certificates, headers=[("Content-Type", "application/json")]))
            origin.on("/catalogue.csv", answer(sheet(25).encode()))
            postgres.create_database("ingest")
            upgrade(postgres.url("ingest"))
            engine = new_engine(postgres.url("ingest"), pool_size=8)
            sample = {"INGEST_SAMPLE_SHEET_URL": origin.url("/catalogue.csv")}
            lab = Lab(engine, origin.url("/certs"), issuer, sample | overrides)
            drawn = DrawnPreviews()
            for name in ("stored", "source", "trial"):
                setattr(lab.previews, name, getattr(drawn, name))
            yield lab
            engine.dispose()
        finally:
            postgres.remove()


def pages(lab: Lab) -> dict[str, str]:
    """Return the paths of the pages by name, each with something to see."""
    empty = "/console/batches?status=CANCELLED"
    ids = fill(lab)
    huge = play(lab, Story("a hundred thousand images.csv", 50_000, ended=0.0))
    done, running = ids["shopify-export.csv"], ids["northwind-catalogue.csv"]
    (image, *_rest) = lab.rows("SELECT id FROM images WHERE batch = :id AND status = 'SUCCEEDED' LIMIT 1", id=done)
    tabs = ("images", "problems", "hosts", "deliveries", "options", "downloads")
    return {
        "A new batch": "/console/new",
        "C batches": "/console/batches",
        "C nothing fits": empty,
        "D running": f"/console/batches/{running}",
        **{f"D {tab}": f"/console/batches/{done}?tab={tab}" for tab in tabs},
        "D huge": f"/console/batches/{huge}",
        "D cancel": f"/console/batches/{running}/cancel",
        "E compare": f"/console/images/{image['id']}",
        "F webhooks": "/console/webhooks",
        "G settings": "/console/settings",
        "error": "/console/nothing",
    }


def take(browser: Browser, url: str, wanted: dict[str, str], folder: Path) -> list[str]:
    """Write a picture of each page in each size and scheme; return their names."""
    names = []
    for size, viewport in SIZES.items():
        for scheme in SCHEMES:
            context = browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            for name, path in wanted.items():
                page.goto(url + path)
                if path == "/console/new" and "sheet" in name:
                    bad = FilePayload(name="shop.csv", mimeType="text/csv", buffer=BAD_SHEET.encode())
                    page.set_input_files("#file", bad)
                    page.wait_for_selector("#problems")
                page.wait_for_load_state("networkidle")
                names.append(f"{name}, {size}, {scheme}.png")
                page.screenshot(path=folder / names[-1], full_page=size == "phone" or "sheet" in name)
            context.close()
    return names


def main() -> int:
    """Write the pictures and a page that shows them; return the exit status."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("there is no Chromium here; `apt-get install chromium` brings one", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, laboratory(INGEST_MAX_IMAGES="100000") as lab, served(lab.app) as url:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        names = take(browser, url, {"C no batch yet": "/console/batches"}, folder)
        names += take(browser, url, {"B a sheet with problems": "/console/new", **pages(lab)}, folder)
        browser.close()
    figures = "\n".join(
        f'<figure><figcaption>{escape(name)}</figcaption><img src="{escape(name)}" loading="lazy"></figure>'
        for name in sorted(names)
    )
    style = "body{font:15px system-ui;margin:2rem;background:#888}img{max-width:100%}figure{margin:0 0 2rem}"
    page = f"<!doctype html><meta charset=utf-8><title>Pressroom</title><style>{style}</style>{figures}"
    (folder / "index.html").write_text(page, encoding="utf-8")
    print(f"{len(names)} pictures: {folder / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
