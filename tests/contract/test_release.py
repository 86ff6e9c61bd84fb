"""infra/cloudrun/release.py, run with a program in the place of gcloud that keeps the traffic of five services."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import deployment_files as d

RELEASE = "0b5c1d2e"
DIGEST = "sha256:" + "ab" * 32
STAGING = "shop-staging"
HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
# Cloud Run as far as a release needs it: a file per service with its traffic, which `replace` takes from the manifest.
_GCLOUD = """#!{python}
import json, sys
from pathlib import Path

state, words = Path("{state}"), [word for word in sys.argv[1:] if not word.startswith("--")]
options = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
(state / "calls").open("a").write(" ".join(words) + "\\n")
if words[:3] == ["artifacts", "docker", "images"]:
    print("{digest}")
elif words[:3] == ["run", "services", "describe"]:
    where = state / "staging" if options["project"] == "{staging}" else state
    print(json.dumps({{"status": {{"traffic": json.loads((where / words[3]).read_text())}}}}))
elif words[:3] == ["run", "revisions", "describe"]:
    where = state / "staging" if options["project"] == "{staging}" else state
    print(json.dumps({{"spec": {{"containers": [{{"image": (where / (words[3] + ".image")).read_text()}}]}}}}))
elif words[:3] == ["workflows", "describe", "batch"]:
    print((state / "staging/batch.yaml").read_text())
elif words[:3] == ["run", "services", "replace"]:
    import yaml
    manifest = yaml.safe_load(Path(words[3]).read_text())
    name, traffic = manifest["metadata"]["name"], manifest["spec"]["traffic"]
    (state / (name + ".image")).write_text(manifest["spec"]["template"]["spec"]["containers"][0]["image"])
    for part in traffic:
        part.setdefault("revisionName", name + "-00002")
    (state / name).write_text(json.dumps(traffic))
elif words[:3] == ["run", "services", "update-traffic"]:
    tag = options["to-tags"].partition("=")[0]
    traffic = json.loads((state / words[3]).read_text())
    for part in traffic:
        part["percent"] = 100 if part.get("tag") == tag else 0
    (state / words[3]).write_text(json.dumps(traffic))
elif words[:2] != ["run", "jobs"]:
    sys.exit(64)
"""


class Cloud:
    """The services' traffic, and a copy of infra/cloudrun that is rendered for them."""

    def __init__(self, folder: Path) -> None:
        self.state, self.scripts = folder / "state", folder / "infra/cloudrun"
        self._bin = folder / "bin"
        for made in (self.state, self._bin):
            made.mkdir()
        shutil.copytree(d.CLOUDRUN, self.scripts, ignore=shutil.ignore_patterns("rendered", "__pycache__"))
        (self.scripts / "rendered").mkdir()
        (self.scripts / "rendered/prod.json").write_text(json.dumps(d.manifest_values()))
        gcloud = self._bin / "gcloud"
        gcloud.write_text(_GCLOUD.format(python=sys.executable, state=self.state, digest=DIGEST, staging=STAGING))
        gcloud.chmod(0o755)
        for service in d.SERVICES:
            self.serve(service, "old.example/image@sha256:00")
        self("render.py", "prod")

    def __call__(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script as the pipeline does."""
        path = f"{self._bin}:{os.environ['PATH']}"
        given = {"PATH": path, "PROJECT": d.PROJECT, "LOCATION": d.LOCATION, **environment}
        command = [sys.executable, str(self.scripts / script), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=given)

    def serve(self, service: str, image: str, *, staging: bool = False) -> None:
        """Let a first revision with this image have all traffic of a service, here or in staging."""
        where = self.state / "staging" if staging else self.state
        where.mkdir(exist_ok=True)
        (where / service).write_text(json.dumps([{"revisionName": f"{service}-00001", "percent": 100}]))
        (where / f"{service}-00001.image").write_text(image)

    def traffic(self, service: str) -> dict[str, int]:
        """Return how much of a service's traffic each revision has."""
        parts: list[dict[str, Any]] = json.loads((self.state / service).read_text())
        return {str(part["revisionName"]): int(part["percent"]) for part in parts}

    def calls(self) -> list[str]:
        """Return what gcloud was asked, in order."""
        return (self.state / "calls").read_text().splitlines()


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


@pytest.mark.fault("J5")
def test_candidates_get_no_traffic_until_they_are_promoted(cloud: Cloud) -> None:
    """Each service has its new revision beside the one that serves, by digest; then all traffic goes over, and back."""
    steps = [("candidates", "prod", RELEASE), ("promote",), ("rollback",)]
    shares = []
    for step in steps:
        done = cloud("release.py", *step)
        assert done.returncode == 0, done.stderr
        shares.append([cloud.traffic(service)[f"{service}-00002"] for service in d.SERVICES])

    assert shares == [[0] * 5, [100] * 5, [0] * 5]
    assert [cloud.traffic(service)[f"{service}-00001"] for service in d.SERVICES] == [100] * 5
    images = {service: (cloud.state / f"{service}.image").read_text() for service in d.SERVICES}
    assert images == {
        service: f"{d.LOCATION}-docker.pkg.dev/{d.PROJECT}/pressroom/{d.image_of(service)}@{DIGEST}"
        for service in d.SERVICES
    }


def test_traffic_goes_over_from_the_inside_to_the_outside(cloud: Cloud) -> None:
    """What is called is new before what calls it, and back in the opposite order."""
    cloud("release.py", "candidates", "prod", RELEASE)
    cloud("release.py", "promote")
    cloud("release.py", "rollback")
    moved = [call.split()[3] for call in cloud.calls() if "update-traffic" in call]

    assert sorted(moved[:5]) == sorted(d.SERVICES)
    assert (moved[0], moved[3:5]) == ("compressor", ["reporter", "ingest"])
    assert moved[5:] == moved[:5][::-1]


def test_split_traffic_is_not_guessed_about(cloud: Cloud) -> None:
    """Nobody could say what a rollback would go back to; nothing is deployed."""
    split = [{"revisionName": f"ingest-0000{n}", "percent": 50} for n in (1, 2)]
    (cloud.state / "ingest").write_text(json.dumps(split))

    done = cloud("release.py", "candidates", "prod", RELEASE)

    assert done.returncode == 1
    assert "ingest: traffic goes to ['ingest-00001', 'ingest-00002']" in done.stderr
    assert not (cloud.state / "ingest.image").exists()


def test_tables_are_migrated_by_the_jobs_of_the_release(cloud: Cloud) -> None:
    """Both jobs are replaced and run to their end."""
    assert cloud("release.py", "migrate", "prod", RELEASE).returncode == 0

    asked = [call.split()[2:] for call in cloud.calls() if call.startswith("run jobs")]
    assert [(words[0], Path(words[1]).stem) for words in asked] == [
        (what, f"migrate-{service}") for service in ("ingest", "reporter") for what in ("replace", "execute")
    ]
    rendered = yaml.safe_load((cloud.scripts / "rendered/prod/migrate-ingest.yaml").read_text())
    assert rendered["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["image"].endswith(DIGEST)


def release_in_staging(cloud: Cloud) -> None:
    """Let staging serve the release, with the workflow of these sources."""
    repository = f"{d.LOCATION}-docker.pkg.dev/{STAGING}/pressroom"
    for service in d.SERVICES:
        cloud.serve(service, f"{repository}/{d.image_of(service)}@{DIGEST}", staging=True)
    (cloud.state / "staging/batch.yaml").write_text(d.workflow_text())
    sources = cloud.scripts.parents[1] / "workflows"
    sources.mkdir()
    (sources / "batch.yaml").write_text(d.workflow_text())


@pytest.mark.fault("J5")
def test_production_takes_the_images_that_staging_runs(cloud: Cloud) -> None:
    """They are not built again: digests, registry and workflow are those that staging has tried."""
    release_in_staging(cloud)

    assert cloud("release.py", "ran", RELEASE, STAGING=STAGING).returncode == 0
    assert cloud("release.py", "candidates", "prod", RELEASE, STAGING=STAGING).returncode == 0

    images = {(cloud.state / f"{service}.image").read_text().rpartition("/")[0] for service in d.SERVICES}
    assert images == {f"{d.LOCATION}-docker.pkg.dev/{STAGING}/pressroom"}


@pytest.mark.fault("J5")
@pytest.mark.parametrize("other", ["release", "workflow"])
def test_production_refuses_what_staging_does_not_run(cloud: Cloud, other: str) -> None:
    """Another release, or another workflow than that of the sources: nobody has seen them work together."""
    release_in_staging(cloud)
    if other == "release":
        cloud.serve("compressor", "old.example/image@sha256:00", staging=True)
    else:
        (cloud.state / "staging/batch.yaml").write_text("main: {}\n")

    done = cloud("release.py", "ran", RELEASE, STAGING=STAGING)

    assert done.returncode == 1
    assert STAGING in done.stderr


def test_first_environment_has_none_before_it(cloud: Cloud) -> None:
    """Where releases are built nothing is compared."""
    done = cloud("release.py", "ran", RELEASE, STAGING="")

    assert (done.returncode, done.stdout) == (0, "no environment before this one\n")


def test_first_deployment_is_not_tried_with_placeholders(cloud: Cloud) -> None:
    """Behind the candidate's door there is Terraform's hello container yet: the batch after `promote` is the first."""
    cloud.serve("compressor", HELLO)
    cloud("release.py", "candidates", "prod", RELEASE)

    done = cloud("release.py", "smoke-candidate", "prod", "https://images.example/1.jpg")

    assert done.returncode == 0, done.stderr
    assert "first deployment" in done.stdout
    assert HELLO.startswith(d.local("services", "placeholder"))


@contextmanager
def service_that_ends(status: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Serve an ingest whose batches end so; give its root URL and what it was asked: method, path, authorization."""
    asked: list[tuple[str, str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self, body: dict[str, Any]) -> None:
            asked.append((self.command, self.path, self.headers.get("Authorization", "")))
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert "1,Smoke test,https://images.example/1.jpg" in sent
            self._answer({"request_id": "r1"})

        def do_GET(self) -> None:
            self._answer({"status": status, "counts": {"failed": 1}})

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", 0), ("COMPLETED_WITH_ERRORS", 1), ("FAILED", 1)])
def test_smoke_batch_must_be_completed(cloud: Cloud, status: str, code: int) -> None:
    """One image is uploaded with the key of the deployment, and its batch is watched to its end."""
    with service_that_ends(status) as (root, asked):
        done = cloud("release.py", "smoke", root, "https://images.example/1.jpg", API_KEY="prk_smoke")

    assert done.returncode == code
    assert asked == [
        ("POST", "/upload", "Bearer prk_smoke"),
        ("GET", "/status/r1?view=summary", "Bearer prk_smoke"),
    ]
    assert f"smoke batch r1: {status}" in done.stdout


def test_address_of_a_candidate_is_the_one_that_cloud_run_gives(cloud: Cloud) -> None:
    """https://TAG---SERVICE-NUMBER.REGION.run.app (https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration)."""
    root = d.url("ingest")

    assert cloud("release.py", "url", "prod").stdout == f"{root}\n"
    assert (
        cloud("release.py", "url", "prod", "candidate").stdout
        == f"{root.replace('https://', 'https://candidate---')}\n"
    )


def test_wrong_usage_is_told(cloud: Cloud) -> None:
    """Status 2 and the commands that there are."""
    done = cloud("release.py", "promote", "everything")

    assert done.returncode == 2
    assert "release.py rollback" in done.stderr
