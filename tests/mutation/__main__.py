"""`python -m mutation PACKAGE`: change its modules of security and state in every small way, and run their tests.

mutmut (https://mutmut.readthedocs.io, BSD licence) wants sources in `src` beside the tests, so the repository's tracked
files are copied to `.local/mutants/PACKAGE` first. A run that was ended goes on where it was with `--keep`. At its end
the surviving mutants are listed; `cd .local/mutants/PACKAGE && mutmut show NAME` shows one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTMUT = Path(sys.executable).with_name("mutmut")
CAUGHT = {"killed", "timeout", "suspicious", "segfault"}
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
            "tests/unit/chassis/test_settings.py",
        ),
    ),
    "ingest": Target(
        ("state/*", "dispatch/*", "supervision/*", "batches/quotas.py"),
        (
            "tests/unit/ingest/state",
            "tests/unit/ingest/dispatch",
            "tests/unit/ingest/supervision",
            "tests/unit/ingest/batches",
        ),
    ),
    "reporter": Target(
        ("state/*", "webhooks/signature.py", "webhooks/secrets.py", "reports/links.py"),
        ("tests/unit/reporter/state", "tests/unit/reporter/webhooks", "tests/unit/reporter/reports"),
    ),
}


def main() -> int:
    """Run the mutants of a package; return 0 when as many are caught as should be."""
    parser = argparse.ArgumentParser(prog="python -m mutation")
    parser.add_argument("package", choices=TARGETS)
    parser.add_argument("--keep", action="store_true", help="go on with the run before instead of beginning anew")
    given = parser.parse_args()
    folder = ROOT / ".local/mutants" / given.package
    if not given.keep:
        stage(given.package, folder)
    subprocess.run([MUTMUT, "run", "--max-children", "2"], check=False, cwd=folder)
    return report(folder)


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
        "pytest_add_cli_args": ["-p", "no:xdist", "-q"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def report(folder: Path) -> int:
    """Print what became of the mutants; those that no test runs count as survivors."""
    listed = subprocess.run(
        [MUTMUT, "results", "--all", "true"], check=False, cwd=folder, capture_output=True, text=True
    ).stdout
    results = [line.strip().rpartition(": ") for line in listed.splitlines() if ": " in line]
    counts = Counter(result for _name, _colon, result in results)
    caught, total = sum(counts[result] for result in CAUGHT), sum(counts.values())
    for name, _colon, result in results:
        if result not in CAUGHT:
            print(f"{result}: {name}")
    percent = 100 * caught / max(total, 1)
    print(f"{caught} of {total} mutants are caught: {percent:.1f} % ({dict(counts)})")
    return 0 if percent >= AIM_PERCENT else 1


if __name__ == "__main__":
    raise SystemExit(main())
