"""A private bucket: links in answers and reports open their image until they expire, and nothing else does."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from samples.catalogue import SampleFile
from samples.origin import Origin

from e2e.conftest import running_stack
from localcloud.stack.config import StackConfig
from support.pictures import encoded, photo
from support.shop_client import Shop, sheet_of


def private(config: StackConfig) -> StackConfig:
    """Return the stack as it is deployed with `public_images = false`."""
    ours = {"compressor": {"PUBLIC_URL_BASE": "${url.reporter}/images"}}
    return replace(
        config,
        processes=tuple(
            replace(process, environment={**process.environment, **ours.get(process.name, {})})
            for process in config.processes
        ),
    )


@pytest.mark.feature("54")
@pytest.mark.threat("T10")
def test_images_of_a_private_bucket_open_by_their_links(tmp_path: Path) -> None:
    """In the status, in the list of images and in the sheet; a changed link and one without a signature do not open."""
    picture = SampleFile("image/jpeg", encoded(photo(64, 48, seed=1), "JPEG"))
    with running_stack(tmp_path / "stack", change=private) as stack, Origin({"/a.jpg": picture}) as origin:
        shop = Shop(stack)
        request_id = shop.upload(sheet_of([[f"{origin.base_url}/a.jpg"]]))
        [product] = shop.finished(request_id)["products"]
        listed = requests.get(f"{stack.url('ingest')}/status/{request_id}/images", timeout=10).json()["images"]
        [row] = csv.DictReader(io.StringIO(shop.sheet(request_id).decode("utf-8-sig")))
        link = str(product["output_images"])

        shown = requests.get(link, timeout=10)
        bare = requests.get(link.partition("?")[0], timeout=10)
        changed = requests.get(link.replace("expires=1", "expires=2"), timeout=10)

    assert link.startswith(f"{stack.url('reporter')}/images/pressroom-images/images/")
    assert [listed[0]["output_url"], row["Output Image Urls"]] == [link, link]
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")
    assert shown.content[:2] == b"\xff\xd8"
    assert shown.headers["Cache-Control"].startswith("private, max-age=")
    assert [answer.status_code for answer in (bare, changed)] == [403, 403]
    assert changed.json()["error"]["details"][0]["reason"] == "IMAGE_LINK_INVALID"
