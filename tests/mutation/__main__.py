"""`python -m mutation PACKAGE`: change its modules of security and state in every small way, and run their tests.

mutmut (https://mutmut.readthedocs.io, BSD licence) writes the mutants. It wants sources in `src` beside the tests, so
the repository's tracked files are copied to `.local/mutants/PACKAGE` first. What became of each mutant is a line of
`.local/mutants/PACKAGE.jsonl`; with `--keep` those that were caught before are not tried again while their function is
the same. The survivors are listed at the end with what they change.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import yaml

from mutation.counted import Mutant, counted_mutants
from mutation.verdicts import CAUGHT, Verdicts

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENTS = Path(__file__).with_name("equivalents.yaml")
AIM_PERCENT = 95


@dataclass(frozen=True, slots=True)
class Target:
    """Modules below `src/PACKAGE`, and the tests that must notice when one is wrong."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "chassis": Target(
        ("auth/*", "egress/*", "http/key_guard.py", "http/caller_guard.py", "http/owner_guard.py"),
        (
            "tests/unit/chassis/auth",
            "tests/unit/chassis/egress",
            "tests/unit/chassis/http/test_app.py",
            "tests/unit/chassis/http/test_owner_guard.py",
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
            "tests/unit/reporter/reports/test_links.py",
            "tests/unit/reporter/reports/test_publish.py",
            "tests/unit/reporter/http/test_downloads.py",
            "tests/unit/reporter/test_retention.py",
        ),
    ),
}
LEFT_OUT = {
    "tests/unit/ingest/state/test_schema.py",
    "tests/unit/ingest/state/test_writes.py",
    "tests/unit/ingest/batches/test_large_sheets.py",
    "tests/unit/ingest/batches/test_upload_time.py",
    "tests/unit/reporter/state/test_query_costs.py",
    "tests/unit/reporter/state/test_schema.py",
    "tests/unit/reporter/webhooks/test_slow_names.py",
}
"""Tests that take long, that want a server of their own, or that read sources; none is about what a transition does."""


def main() -> int:
    """Run the mutants of a package; return 0 when as many are caught as should be."""
    parser = argparse.ArgumentParser(prog="python -m mutation")
    parser.add_argument("package", choices=TARGETS)
    parser.add_argument("--keep", action="store_true", help="do not try again what was caught before")
    parser.add_argument("--again", action="store_true", help="try again what survived before, and nothing else")
    parser.add_argument("--only", metavar="GLOB", action="append", help="mutants, e.g. 'ingest.state.*'; repeatable")
    parser.add_argument("--sample", type=int, metavar="N", help="N of the mutants, drawn with the seed")
    parser.add_argument("--seed", type=int, default=1, help="another one draws and orders the mutants otherwise (1)")
    parser.add_argument("--children", type=int, default=1, help="how many mutants at once (1)")
    given = parser.parse_args()
    folder = ROOT / ".local/mutants" / given.package
    stage(given.package, folder)
    os.chdir(folder)
    from mutation.trials import try_mutants, write_mutants  # mutmut reads its settings when imported

    write_mutants()
    every = [
        mutant
        for mutant in counted_mutants(folder / "mutants/src", given.package)
        if any(fnmatch(mutant.name, glob) for glob in given.only or ["*"])
    ]
    equal = [mutant for mutant in every if is_argued_equal(mutant)]
    others = [mutant for mutant in every if mutant not in equal]
    if given.sample:
        others = random.Random(given.seed).sample(others, min(given.sample, len(others)))
    verdicts = Verdicts(folder.with_suffix(".jsonl"))
    survivors = verdicts.survivors()
    verdicts.begin(keep=given.keep or given.again)
    known = verdicts.read()
    left = [mutant for mutant in others if mutant.key not in known]
    if given.again:
        left = [mutant for mutant in left if mutant.name in survivors]
    status = try_mutants(
        left,
        verdicts,
        arguments_of(TARGETS[given.package], folder),
        children=given.children,
        seed=given.seed,
        postgres=given.package != "chassis",
    )
    return status or report(others, equal, verdicts)


def is_argued_equal(mutant: Mutant) -> bool:
    """Tell whether the list of equivalents says why nobody can notice this mutant."""
    return any(
        fnmatch(mutant.function, entry["function"]) and entry["becomes"] in mutant.becomes for entry in _equivalents()
    )


@cache
def _equivalents() -> list[dict[str, str]]:
    found: list[dict[str, str]] = yaml.safe_load(EQUIVALENTS.read_text(encoding="utf-8"))
    return found


def stage(package: str, folder: Path) -> None:
    """Copy what git tracks, the sources to `src`, and say what is to be changed.

    What mutmut has written of a source stays: it writes anew what is older than its source.
    """
    written, kept = folder / "mutants/src", folder.with_suffix(".kept")
    shutil.rmtree(kept, ignore_errors=True)
    if written.exists():
        written.rename(kept)
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files"], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy)
    shutil.copytree(ROOT / f"services/{package}/src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    if kept.exists():
        written.parent.mkdir()
        kept.rename(written)
        for path in written.rglob("*.py"):
            if not (folder / "src" / path.relative_to(written)).exists():
                path.unlink()
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{package}/{module}" for module in TARGETS[package].modules],
        "also_copy": ["bench", "tests", "services", "workflows", "infra", "docs"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    with (folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def arguments_of(target: Target, folder: Path) -> list[str]:
    """Return what to tell pytest: a fixed order, and nothing that compares times, since that may fail by itself."""
    tests = [test for test in target.tests if (folder / test).exists()]
    ignored = [f"--ignore={test}" for test in sorted(LEFT_OUT)]
    return [*tests, *ignored, "-p", "no:xdist", "-p", "no:randomly", "-m", "not timing"]


def report(others: list[Mutant], equal: list[Mutant], verdicts: Verdicts) -> int:
    """Print what became of the mutants; those that no test reaches count as survivors."""
    known = verdicts.read()
    tried = [mutant for mutant in others if mutant.key in known]
    counts = Counter(known[mutant.key] for mutant in tried)
    caught = sum(counts[verdict] for verdict in CAUGHT)
    for mutant in tried:
        if known[mutant.key] not in CAUGHT:
            print(f"{known[mutant.key]}: {mutant.name}\n    " + "\n    ".join(mutant.becomes or ("(a line is gone)",)))
    print(f"{len(equal)} mutants are argued to be the same as the original; {len(tried)} of {len(others)} others tried")
    print(f"{caught} of these are caught: {100 * caught / max(len(tried), 1):.1f} % ({dict(counts)})")
    controls = verdicts.controls()
    failed = [by for verdict, by in controls if verdict != "survived"]
    print(f"{len(controls)} trials without a change, of which failed: {failed}")
    return 1 if failed or 100 * caught < AIM_PERCENT * len(tried) else 0


if __name__ == "__main__":
    raise SystemExit(main())
