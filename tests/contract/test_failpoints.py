"""Every declared failpoint is a place in the code, once, and no deployment arms one."""

from __future__ import annotations

import ast
from collections import Counter
from enum import StrEnum
from pathlib import Path

import pytest

from compressor.failpoints import Failpoint as CompressorFailpoint
from ingest.failpoints import Failpoint as IngestFailpoint
from reporter.failpoints import Failpoint as ReporterFailpoint
from support import deployment_files as d

ROOT = Path(__file__).parents[2]
DECLARED: dict[str, type[StrEnum]] = {
    "ingest": IngestFailpoint,
    "compressor": CompressorFailpoint,
    "reporter": ReporterFailpoint,
}


def call_sites(service: str) -> Counter[str]:
    """Return how often each `reach(Failpoint.NAME)` stands in the source of a service."""
    found: Counter[str] = Counter()
    for path in (ROOT / "services" / service / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach":
                (argument,) = node.args
                assert isinstance(argument, ast.Attribute), f"{path}: {ast.dump(argument)}"
                assert isinstance(argument.value, ast.Name)
                assert argument.value.id == "Failpoint"
                found[argument.attr] += 1
    return found


@pytest.mark.parametrize("service", DECLARED)
def test_every_failpoint_is_one_place(service: str) -> None:
    """One without a call would be survived by doing nothing; one with two would name neither place."""
    assert call_sites(service) == Counter(failpoint.name for failpoint in DECLARED[service])


def test_no_name_is_used_twice() -> None:
    """The services share one folder of tickets in the tests."""
    names = [failpoint.value for table in DECLARED.values() for failpoint in table]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("service", d.IMAGES)
def test_no_manifest_arms_a_failpoint(service: str) -> None:
    """Neither variable is in what is deployed."""
    assert not {name for name in d.environment(service) if name.startswith("FAILPOINT")}


def test_nothing_that_is_deployed_or_run_by_hand_speaks_of_failpoints() -> None:
    """Terraform, manifests, images, Skaffold and the local stack: tests alone arm them."""
    folders = [ROOT / "infra" / name for name in ("terraform", "cloudrun")]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and ".terraform" not in path.parts
    ]
    files += [ROOT / "skaffold.yaml", ROOT / "infra/local/stack.yaml", *(ROOT / "services").glob("*/Dockerfile")]

    assert len(files) > 20
    assert [path for path in files if b"FAILPOINT" in path.read_bytes()] == []
