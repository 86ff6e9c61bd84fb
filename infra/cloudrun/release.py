"""Brings a release to Cloud Run and back: candidates without traffic, a smoke batch, traffic, rollback.

    python3 infra/cloudrun/release.py ran RELEASE               refuses what the environment before does not run
    python3 infra/cloudrun/release.py migrate NAME RELEASE      the tables, by the jobs of the release
    python3 infra/cloudrun/release.py candidates NAME RELEASE   new revisions beside those that serve
    python3 infra/cloudrun/release.py url NAME [TAG]            where sheets are posted, of all or of a tag's revision
    python3 infra/cloudrun/release.py smoke ROOT_URL IMAGE_URL  one image from upload to COMPLETED
    python3 infra/cloudrun/release.py smoke-candidate NAME IMAGE_URL   the same through the new public door
    python3 infra/cloudrun/release.py promote                   all traffic to the candidates
    python3 infra/cloudrun/release.py rollback                  all traffic back to the revisions before

A revision that serves is tagged `previous` when its successor is tagged `candidate`, so a rollback needs nothing but
Cloud Run's own memory. Standard library and gcloud only: it runs in Cloud Build and on operators' machines. PROJECT and
LOCATION are read from the environment, for `smoke` API_KEY, and STAGING: the project that ran the release before and
has its images; empty where releases are built.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# What is called comes before what calls it, and what clients reach comes last.
SERVICES = ("compressor", "reporter-internal", "ingest-internal", "reporter", "ingest")
WORKFLOW = HERE.parents[1] / "workflows/batch.yaml"
PLACEHOLDER = "us-docker.pkg.dev/cloudrun/container/"
"""Where Terraform's first image of every service is from."""
IMAGES = ("ingest", "compressor", "reporter")
FINAL = ("COMPLETED", "COMPLETED_WITH_ERRORS", "FAILED", "CANCELLED")
SMOKE_WITHIN_S = 300.0
_TRAFFIC = re.compile(r"(?m)^  traffic:\n(?:    .*\n?)+")


class ReleaseError(Exception):
    """Something is not as a release needs it; nothing more is changed."""


def gcloud(*words: str) -> str:
    """Run gcloud in project and region; return what it prints.

    Raises:
        ReleaseError: it failed; its own words are on standard error already.
    """
    done = subprocess.run(("gcloud", *words), check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        message = f"gcloud {' '.join(words[:4])} ended with {done.returncode}"
        raise ReleaseError(message)
    return done.stdout.strip()


def run(*words: str, project: str = "") -> str:
    """Run `gcloud run ...` in project and region."""
    where = (f"--project={project or os.environ['PROJECT']}", f"--region={os.environ['LOCATION']}")
    return gcloud("run", *words, *where, "--quiet")


def serving(service: str, project: str = "") -> str:
    """Return the revision that has all traffic of a service.

    Raises:
        ReleaseError: traffic is split, by hand; then nobody can say what a rollback would go back to.
    """
    described = json.loads(run("services", "describe", service, "--format=json", project=project))
    found = {part["revisionName"] for part in described["status"].get("traffic", []) if part.get("percent")}
    if len(found) != 1:
        message = f"{service}: traffic goes to {sorted(found) or 'no revision'}; send it to one first"
        raise ReleaseError(message)
    return str(found.pop())


def image_of(revision: str, project: str = "") -> str:
    """Return the image of a revision, as its manifest names it."""
    described = json.loads(run("revisions", "describe", revision, "--format=json", project=project))
    return str(described["spec"]["containers"][0]["image"])


def ran(release: str) -> None:
    """See that the environment before this one runs the release, and the workflow of these sources.

    Raises:
        ReleaseError: it runs another release or workflow, so nobody has seen them work together.
    """
    staging = os.environ.get("STAGING", "")
    if not staging:
        sys.stdout.write("no environment before this one\n")
        return
    built = images(release)
    for service in SERVICES:
        found, wanted = image_of(serving(service, staging), staging), built[service.removesuffix("-internal")]
        if found != wanted:
            message = f"{service} of {staging} runs {found} and not {wanted}: deploy {release} there first"
            raise ReleaseError(message)
    words = ("workflows", "describe", "batch", f"--project={staging}", f"--location={os.environ['LOCATION']}")
    deployed = gcloud(*words, "--format=value(sourceContents)")
    if deployed.strip() != WORKFLOW.read_text(encoding="utf-8").strip():
        message = f"{staging} has another workflow than workflows/batch.yaml of these sources: check out what it runs"
        raise ReleaseError(message)
    sys.stdout.write(f"{staging} runs {release}\n")


def images(release: str) -> dict[str, str]:
    """Return the images that a build has pushed under its name, by digest: a tag may move, a digest cannot."""
    project = os.environ.get("STAGING") or os.environ["PROJECT"]
    repository = f"{os.environ['LOCATION']}-docker.pkg.dev/{project}/pressroom"
    found = {}
    for name in IMAGES:
        words = ("artifacts", "docker", "images", "describe", f"{repository}/{name}:{release}")
        found[name] = f"{repository}/{name}@{gcloud(*words, '--format=value(image_summary.digest)')}"
    return found


def candidate_manifest(text: str, image_refs: Mapping[str, str], serving_revision: str) -> str:
    """Return a rendered manifest whose new revision gets a tag and no traffic.

    Raises:
        ReleaseError: the manifest has no `traffic`, or not the one image that is built.
    """
    text, traffic = _TRAFFIC.subn(
        "  traffic:\n"
        f"    - percent: 100\n      revisionName: {serving_revision}\n      tag: previous\n"
        "    - percent: 0\n      latestRevision: true\n      tag: candidate\n",
        text,
    )
    if traffic != 1:
        message = f"{traffic} blocks of traffic in a manifest; one is wanted"
        raise ReleaseError(message)
    return with_images(text, image_refs)


def with_images(text: str, image_refs: Mapping[str, str]) -> str:
    """Return a manifest with the image that is built, by digest.

    Raises:
        ReleaseError: it does not name one of the images that are built.
    """
    text, named = re.subn(r"(?m)^(\s+- image: )(\w+)$", lambda match: match[1] + image_refs[match[2]], text)
    if named != 1:
        message = f"{named} images in a manifest; one is wanted"
        raise ReleaseError(message)
    return text


def documents(name: str, kind: str) -> dict[str, str]:
    """Return the rendered manifests of an environment, `services` or `migrations`, by name."""
    text = (HERE / "rendered" / name / f"{kind}.yaml").read_text(encoding="utf-8")
    return {re.findall(r"(?m)^  name: (\S+)$", manifest)[0]: manifest for manifest in text.split("---\n")}


def migrate(name: str, release: str) -> None:
    """Replace the migration jobs and run them to their end."""
    refs = images(release)
    for job, manifest in documents(name, "migrations").items():
        path = HERE / "rendered" / name / f"{job}.yaml"
        path.write_text(with_images(manifest, refs), encoding="utf-8")
        run("jobs", "replace", str(path))
        run("jobs", "execute", job, "--wait")


def root_url(name: str, tag: str = "") -> str:
    """Return the root URL of ingest, or of the revision with a tag.

    That is https://TAG---SERVICE-NUMBER.REGION.run.app, and behind a load balancer https://TAG.DOMAIN (module edge).
    """
    values = json.loads((HERE / "rendered" / f"{name}.json").read_text(encoding="utf-8"))
    root = str(values["ingest_url"])
    between = "---" if root.endswith(".run.app") else "."
    return root.replace("https://", f"https://{tag}{between}", 1) if tag else root


def url(name: str, tag: str = "") -> None:
    """Print `root_url`."""
    sys.stdout.write(root_url(name, tag) + "\n")


def candidates(name: str, release: str) -> None:
    """Deploy every service of an environment beside the revision that serves."""
    refs = images(release)
    for service, manifest in documents(name, "services").items():
        path = HERE / "rendered" / name / f"{service}.candidate.yaml"
        path.write_text(candidate_manifest(manifest, refs, serving(service)), encoding="utf-8")
        run("services", "replace", str(path))


def promote() -> None:
    """Send all traffic to the candidates, what is called first."""
    for service in SERVICES:
        run("services", "update-traffic", service, "--to-tags=candidate=100")


def rollback() -> None:
    """Send all traffic to the revisions before, in the opposite order."""
    for service in reversed(SERVICES):
        run("services", "update-traffic", service, "--to-tags=previous=100")


def smoke_candidate(name: str, image: str) -> None:
    """Try a batch through the new public door and everything that serves.

    At the first deployment nothing serves but Terraform's placeholder: then the batch after `promote` is the first.

    Raises:
        ReleaseError: as `smoke`.
    """
    if any(image_of(serving(service)).startswith(PLACEHOLDER) for service in SERVICES):
        sys.stdout.write("the first deployment: no release serves yet that a candidate could be tried with\n")
        return
    smoke(root_url(name, "candidate"), image)


def smoke(
    root: str, image: str, *, within_s: float = SMOKE_WITHIN_S, wait: Callable[[float], None] = time.sleep
) -> None:
    """Upload a sheet of one image and wait until its batch is COMPLETED.

    Raises:
        ReleaseError: the batch ended otherwise, or not in time.
    """
    boundary = uuid.uuid4().hex
    sheet = f"S. No.,Product Name,Input Image Urls\n1,Smoke test,{image}\n"
    part = 'Content-Disposition: form-data; name="file"; filename="smoke.csv"'
    body = f"--{boundary}\r\n{part}\r\n\r\n{sheet}\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request_id = _call(f"{root}/upload", body, headers)["request_id"]
    ends_at = time.monotonic() + within_s
    status: dict[str, Any] = {}
    while time.monotonic() < ends_at:
        status = _call(f"{root}/status/{request_id}?view=summary", None, {})
        if status["status"] in FINAL:
            break
        wait(2)
    sys.stdout.write(f"smoke batch {request_id}: {status.get('status')}\n")
    if status.get("status") != "COMPLETED":
        message = f"the smoke batch {request_id} is {status.get('status')} and not COMPLETED: {status.get('counts')}"
        raise ReleaseError(message)


def _call(url: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
    if not url.startswith(("https://", "http://")):
        message = f"{url} is no URL"
        raise ReleaseError(message)
    key = os.environ.get("API_KEY", "")
    allowed = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, body, {**headers, **allowed})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - checked above
            decoded: dict[str, Any] = json.loads(answer.read())
            return decoded
    except (OSError, ValueError) as error:
        message = f"{url}: {error}"
        raise ReleaseError(message) from error


COMMANDS: Mapping[str, tuple[tuple[int, ...], Callable[..., None]]] = {
    "migrate": ((2,), migrate),
    "candidates": ((2,), candidates),
    "url": ((1, 2), url),
    "smoke": ((2,), smoke),
    "smoke-candidate": ((2,), smoke_candidate),
    "ran": ((1,), ran),
    "promote": ((0,), promote),
    "rollback": ((0,), rollback),
}


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    counts, command = COMMANDS.get(arguments[0] if arguments else "", ((), rollback))
    if len(arguments) - 1 not in counts:
        sys.stderr.write(str(__doc__))
        return 2
    try:
        command(*arguments[1:])
    except ReleaseError as error:
        sys.stderr.write(f"release.py: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
