"""What a release is made of is pinned, listed and signed: build steps, packages, provenance, scans."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from support import deployment_files as d

NOT_BY_DIGEST_YET = {"gcr.io/google.com/cloudsdktool/google-cloud-cli:578.0.0-slim"}
"""Images of build steps by their exact version only: no public source was found that is sure of the digest, and none
could be asked from here. Renovate (docker:pinDigests) adds it in its first run; then none is left."""


def steps() -> Iterator[dict[str, str]]:
    """Yield every step of both builds."""
    for name in ("cloudbuild.yaml", "cloudbuild-deploy.yaml"):
        yield from yaml.safe_load((d.ROOT / name).read_text(encoding="utf-8"))["steps"]


@pytest.mark.threat("T15")
def test_build_steps_run_in_images_by_digest() -> None:
    """A tag may move to something else; each exception is named here and says at least its version."""
    images = {step["name"] for step in steps()}
    loose = {image for image in images if not re.search(r"@sha256:[0-9a-f]{64}$", image)}

    assert loose == NOT_BY_DIGEST_YET
    assert [image for image in loose if not re.search(r":\d+\.\d+\.\d+", image)] == []


def test_renovate_pins_and_renews_digests_of_build_steps_and_dockerfiles() -> None:
    """Both kinds of files are among what it manages, and digests are pinned."""
    renovate = json.loads((d.ROOT / "renovate.json").read_text(encoding="utf-8"))

    assert "docker:pinDigests" in renovate["extends"]
    assert {"cloudbuild", "dockerfile"} <= set(renovate["enabledManagers"])


@pytest.mark.threat("T15")
def test_provenance_is_demanded_and_images_are_scanned() -> None:
    """A build whose images could not be signed fails; the scanning API is enabled unless an operator says otherwise."""
    build = yaml.safe_load((d.ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))

    assert build["options"]["requestedVerifyOption"] == "VERIFIED"
    # Only of images that Cloud Build pushes itself does it sign where they come from.
    assert {image.rpartition("/")[2].partition(":")[0] for image in build["images"]} == set(d.IMAGES)
    assert "docker push" not in (d.ROOT / "cloudbuild.yaml").read_text(encoding="utf-8")
    assert "containerscanning.googleapis.com" in d.local("apis", "scanning").text
    assert d.default("pressroom", "scan_images") is True


def required(service: str) -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes of each package that the Dockerfile of a service installs."""
    text = (d.ROOT / f"services/{service}/requirements.txt").read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text)):
        name, version = re.findall(r"^([\w.-]+)==([^\s;]+)", entry)[0]
        found[name] = (version, set(re.findall(r"sha256:([0-9a-f]{64})", entry)))
    return found


@pytest.mark.timeout(400)  # where `make ci` has not made them before, their tool is installed first
def test_bill_of_materials_has_every_package_with_version_and_hashes() -> None:
    """`make sbom` makes it of the file that the image is installed from; it ends with an error where it cannot."""
    done = subprocess.run(
        ("make", "--silent", ".local/sbom/reporter.cdx.json"), cwd=d.ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    bill = json.loads((d.ROOT / ".local/sbom/reporter.cdx.json").read_text(encoding="utf-8"))
    listed = {
        part["name"]: (
            part["version"],
            {one["content"] for source in part["externalReferences"] for one in source.get("hashes", [])},
        )
        for part in bill["components"]
    }

    assert bill["bomFormat"] == "CycloneDX"
    assert listed == required("reporter")
    assert {part["purl"].partition("@")[0] for part in bill["components"]} == {f"pkg:pypi/{name}" for name in listed}


def test_every_build_keeps_a_bill_of_materials_of_each_image() -> None:
    """Beside its images, under its id; CI makes them before it tests."""
    objects = yaml.safe_load((d.ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))["artifacts"]["objects"]

    assert objects["paths"] == [f".local/sbom/{service}.cdx.json" for service in d.IMAGES]
    assert objects["location"] == "gs://${PROJECT_ID}-pressroom-deployment/sbom/${BUILD_ID}/"
