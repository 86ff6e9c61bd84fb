"""`python -m mutation PACKAGE`: change its modules of security and state in every small way, and run their tests.

mutmut (https://mutmut.readthedocs.io, BSD licence) wants sources in `src` beside the tests, so the repository's tracked
files are copied to `.local/mutants/PACKAGE` first. Each mutant is met by the tests that reach its function, until one
fails. A run that was ended goes on where it was with `--keep`, and `--only` takes a part of the modules. At its end the
surviving mutants are listed; `cd .local/mutants/PACKAGE && mutmut show NAME` shows one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from mutation.counted import counted_mutants
from support.postgres_server import SHARED_PORT, running_postgres

ROOT = Path(__file__).resolve().parents[2]
MUTMUT = Path(sys.executable).with_name("mutmut")
CAUGHT = {"killed", "timeout", "suspicious", "segfault"}
NOT_CHECKED = "not checked"
AIM_PERCENT = 95


@dataclass(frozen=True, slots=True)
class Target:
    """Modules below `src/PACKAGE`, and the tests that must notice when one is wrong."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "chassis": Target(
        ("auth/*", "egress/*", "http/key_guard.py", "http/caller_guard.py"),
        (
            "tests/unit/chassis/auth",
            "tests/unit/chassis/egress",
            "tests/unit/chassis/http/test_app.py",
            "tests/unit/chassis/http/test_requests.py",
            "tests/unit/chassis/test_settings.py",
        ),
    ),
    "ingest": Target(
        ("state/*", "dispatch/*", "supervision/*", "batches/quotas.py"),
        (
            "tests/unit/ingest/state",
            "tests/unit/ingest/dispatch",
            "tests/unit/ingest/supervision",
            "tests/unit/ingest/events",
            "tests/unit/ingest/batches",
        ),
    ),
    "reporter": Target(
        ("state/*", "webhooks/signature.py", "webhooks/secrets.py", "reports/links.py"),
        (
            "tests/unit/reporter/state",
            "tests/unit/reporter/webhooks",
            "tests/unit/reporter/reports/test_publish.py",
            "tests/unit/reporter/http/test_downloads.py",
            "tests/unit/reporter/test_retention.py",
        ),
    ),
}
LEFT_OUT = {
    "tests/unit/ingest/state/test_schema.py",
    "tests/unit/ingest/batches/test_large_sheets.py",
    "tests/unit/ingest/batches/test_upload_time.py",
    "tests/unit/reporter/state/test_query_costs.py",
    "tests/unit/reporter/state/test_schema.py",
    "tests/unit/reporter/webhooks/test_slow_names.py",
}
"""Tests that take long, or that want a server of their own; none of them is about what a transition does."""


def main() -> int:
    """Run the mutants of a package; return 0 when as many are caught as should be."""
    parser = argparse.ArgumentParser(prog="python -m mutation")
    parser.add_argument("package", choices=TARGETS)
    parser.add_argument("--keep", action="store_true", help="go on with the run before instead of beginning anew")
    parser.add_argument(
        "--only", metavar="GLOB", action="append", help="modules, e.g. 'ingest.state.*'; may be repeated"
    )
    parser.add_argument("--children", default="1", help="how many mutants at once (1)")
    given = parser.parse_args()
    folder = ROOT / ".local/mutants" / given.package
    if not given.keep:
        stage(given.package, folder)
    with postgres_of(given.package) as environment:
        # No mutant has this name: mutmut writes all mutants, notes which test reaches which, and stops.
        command = (MUTMUT, "run", "--max-children", given.children)
        subprocess.run([*command, "none"], check=False, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        known = results(folder)
        chosen = [
            name
            for name in counted_mutants(folder / "mutants/src", given.package)
            if any(fnmatch(name, glob) for glob in given.only or ["*"])
        ]
        left = [name for name in chosen if known.get(name, NOT_CHECKED) == NOT_CHECKED]
        print(f"{len(known)} mutants, of which {len(chosen)} count and {len(left)} are to be tried", flush=True)
        if left:
            # Without a choice no names are given: mutmut cannot run the tests of many functions by their ids.
            names = left if given.only else []
            subprocess.run([*command, *names], check=False, cwd=folder, env=environment)
    return report(chosen, results(folder))


def stage(package: str, folder: Path) -> None:
    """Copy what git tracks, the sources to `src`, and say what is to be changed and run."""
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files"], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)
    shutil.copytree(ROOT / f"services/{package}/src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    target = TARGETS[package]
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{package}/{module}" for module in target.modules],
        "also_copy": ["tests", "services", "workflows", "infra", "docs"],
        "pytest_add_cli_args_test_selection": [test for test in target.tests if (folder / test).exists()],
        # In a fixed order, so that a mutant is caught by the same test each time.
        "pytest_add_cli_args": [
            *("-p", "no:xdist", "-p", "no:randomly", "-q"),
            *(f"--ignore={test}" for test in sorted(LEFT_OUT)),
        ],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


@contextmanager
def postgres_of(package: str) -> Iterator[dict[str, str]]:
    """Give the environment of the test runs: with a server for all of them, since starting one takes two seconds."""
    if package == "chassis":
        yield dict(os.environ)
        return
    with TemporaryDirectory() as folder, running_postgres(Path(folder) / "data") as server:
        yield {**os.environ, SHARED_PORT: str(server.port)}


def results(folder: Path) -> dict[str, str]:
    """Return what became of each mutant, by its name."""
    command = [str(MUTMUT), "results", "--all", "true"]
    listed = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True).stdout
    return {name.strip(): result for name, _, result in (line.rpartition(": ") for line in listed.splitlines()) if name}


def report(chosen: list[str], known: dict[str, str]) -> int:
    """Print what became of the mutants; those that no test runs count as survivors."""
    counts = Counter(known.get(name, NOT_CHECKED) for name in chosen)
    caught = sum(counts[result] for result in CAUGHT)
    for name in chosen:
        if known.get(name) not in CAUGHT:
            print(f"{known.get(name, NOT_CHECKED)}: {name}")
    percent = 100 * caught / max(len(chosen), 1)
    print(f"{caught} of {len(chosen)} mutants that count are caught: {percent:.1f} % ({dict(counts)})")
    return 0 if percent >= AIM_PERCENT else 1


if __name__ == "__main__":
    raise SystemExit(main())
