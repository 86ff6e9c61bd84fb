"""The command `pressroom` against the running stack, as a process of its own."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo

from localcloud.stack.blocking import Stack
from pressroom import Pressroom
from support.shop_client import sheet_of

pytestmark = pytest.mark.e2e


@pytest.mark.feature("64")
def test_a_sheet_goes_its_way_by_the_command(stack: Stack, tmp_path: Path) -> None:
    """Check, compress with an image that fails, show, retry, download, events on loopback; each with its status."""
    command = Path(sys.executable).parent / "pressroom"
    environment = {**os.environ, "PRESSROOM_URL": stack.url("ingest"), "PRESSROOM_CONFIG": str(tmp_path / "none.toml")}

    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [command, *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def json_of(*arguments: str, status: int = 0) -> Any:
        return json.loads(run(*arguments, "--json", status=status))

    with Origin({"/1.jpg": SampleFile("image/jpeg", encoded(photo(80, 60, seed=1), "JPEG"))}) as origin:
        sheet = tmp_path / "spring.csv"
        sheet.write_bytes(sheet_of([[f"{origin.base_url}/1.jpg", f"{origin.base_url}/gone.jpg"]]))
        assert json_of("check", "spring.csv")["total_images"] == 2
        listening = subprocess.Popen(
            [command, "webhooks", "listen", "--count", "1", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert listening.stderr is not None
        assert "listening" in listening.stderr.readline()

        ended = json_of("compress", "spring.csv", "-o", "out.csv", "--format", "webp", status=3)

        request_id = ended["batch"]["request_id"]
        event = json.loads(listening.communicate(timeout=60)[0])
        rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8-sig"))))
        output = rows[1][rows[0].index("Output Image Urls")]
        assert (event["request_id"], listening.returncode) == (request_id, 0)
        assert output.endswith(".webp,")
        assert [found["request_id"] for found in json_of("list", "--limit", "1")] == [request_id]
        assert [one["code"] for one in json_of("show", request_id)["problems"]] == ["HTTP_4XX"]
        assert json_of("retry", request_id, "--code", "HTTP_4XX")["retried_images"] == 1
        assert json_of("watch", request_id, status=3)["batch"]["generation"] == 2
        assert run("download", request_id, "--failed", "-o", "-").count("gone.jpg") == 1
        assert "<html" in run("download", request_id, "--html", "-o", "-")
    with Pressroom(stack.url("ingest")) as pressroom:
        assert list(pressroom.endpoints()) == []
        assert [image.row for image in pressroom.batch(request_id).images(status="FAILED")] == [2]
