"""The Postman collection has every operation of both documents, and the journey in its order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from docs.generate.postman import DEFAULTS, collection

from ingest.http.openapi import OPERATIONS as INGEST
from reporter.http.openapi import OPERATIONS as REPORTER


def requests_of(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the requests of folders, in order."""
    for item in items:
        if "request" in item:
            yield item
        else:
            yield from requests_of(item["item"])


def test_every_operation_is_in_its_service_folder() -> None:
    """None is forgotten, none is there twice."""
    folders = {folder["name"]: [one["name"] for one in requests_of([folder])] for folder in collection()["item"]}

    assert sorted(folders["ingest"]) == sorted(operation.id for operation in INGEST)
    assert sorted(folders["reporter"]) == sorted(operation.id for operation in REPORTER)


def test_the_journey_is_upload_status_download_webhook() -> None:
    """Each step looks at its answer."""
    [journey] = [folder for folder in collection()["item"] if folder["name"] == "Journey"]
    names = [one["name"].partition(" ")[2] for one in journey["item"]]

    assert names[:5] == ["upload_sheet", "get_status", "get_report_links", "download", "create_webhook"]
    assert all("pm.test(" in "".join(one["event"][0]["script"]["exec"]) for one in journey["item"])


def test_every_variable_is_known() -> None:
    """Each has a default, or is learnt on the way."""
    text = json.dumps(collection())
    used = set(re.findall(r"\{\{(\w+)\}\}", text))

    assert used == set(DEFAULTS)
