"""Rules of the house that a machine can check: dependencies, sizes, documented tables, one help line per target."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("services", "clients/python/src", "infra/local/src", "samples", "bench", "docs/generate")
    for path in (ROOT / folder).rglob("*.py")
    if "build" not in path.parts
)


def test_dependency_rules_hold() -> None:
    """import-linter's contracts in pyproject.toml are kept."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]

    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_modules_are_short_enough_to_read() -> None:
    """No module has more than 400 lines."""
    assert [path for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


def test_services_have_no_local_mode() -> None:
    """No service asks whether it runs locally; only endpoints in the environment differ."""
    pattern = re.compile(r"\bif\b[^\n]*\b(is_)?local(_mode|host)?\b")
    asking = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "services")
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line.split("#")[0])
    ]

    assert asking == []


def test_every_make_target_has_help() -> None:
    """`make` lists every target."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None

    documented = set(re.findall(r"^([a-z0-9-]+):.*## ", text, re.MULTILINE))

    assert set(phony[1].split()) == documented


def test_no_path_of_one_machine_is_committed() -> None:
    """Tracked files name no home folder and no checkout folder."""
    listed = subprocess.run(["git", "ls-files"], check=False, cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert listed, "git lists no files"
    needles = (str(ROOT) + "/", str(Path.home()) + "/")

    guilty = [
        name
        for name in listed
        if any(needle in (ROOT / name).read_text(encoding="utf-8", errors="replace") for needle in needles)
    ]

    assert guilty == []


@pytest.mark.parametrize("tests", ["tests/unit", "infra/local/tests/unit"])
def test_unit_tests_mirror_the_sources(tests: str) -> None:
    """Each folder of tests of a part has the part's name and place, so that one leads to the other."""
    sources = [*(ROOT / "services").glob("*/src"), ROOT / "clients/python/src", ROOT / "infra/local/src/localcloud"]
    folders = sorted({path.parent.relative_to(ROOT / tests) for path in (ROOT / tests).rglob("test_*.py")})

    lost = [folder for folder in folders if not any((source / folder / "__init__.py").exists() for source in sources)]

    assert folders
    assert lost == []
