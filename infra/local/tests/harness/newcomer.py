"""A newcomer's path as the README prints it: from an empty folder to a passing test of a workflow of their own.

`python tests/harness/newcomer.py` walks it with pip and the package index and tells what each step took;
`--no-cache` downloads everything anew.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from readme_tables import README

PACKAGE = README.parent
_LEFT_BY_BUILDS = shutil.ignore_patterns("*.egg-info", "build", "__pycache__", ".git")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the README that was run, and the seconds that it took."""

    command: str
    wall_s: float
    cpu_s: float


def quick_start() -> str:
    """Return the section of the README that a newcomer follows."""
    [section] = re.findall(
        r"^## Quick start\n(.*?)^## ", README.read_text(encoding="utf-8") + "\n## ", re.DOTALL | re.MULTILINE
    )
    return str(section)


def files() -> dict[str, str]:
    """Return the files that the section asks for: path to text, in its order."""
    printed = re.findall(r"`([\w/.]+)`[^`]*:\n\n```(?:yaml|pytest)\n(.*?)^```", quick_start(), re.DOTALL | re.MULTILINE)
    return {str(path): str(text) for path, text in printed}


def preparations() -> list[str]:
    """Return the commands that come before the files."""
    return str(re.findall(r"^```sh\n(.*?)^```", quick_start(), re.DOTALL | re.MULTILINE)[0]).splitlines()


def last_command() -> str:
    """Return the command that passes at the end."""
    [command] = re.findall(r"`([^`]+)` passes", quick_start())
    return str(command)


def copy_of_package(folder: Path) -> None:
    """Put localcloud where the section's commands look for it."""
    shutil.copytree(PACKAGE, folder / "infra/local", ignore=_LEFT_BY_BUILDS)


def write_files(folder: Path) -> None:
    """Write the files that the section asks for."""
    for path, text in files().items():
        (folder / path).write_text(text, encoding="utf-8")


def run(command: str, folder: Path, environment: dict[str, str]) -> Step:
    """Run a command of the section.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["sh", "-ec", command], check=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Step(command, time.monotonic() - began, cpu_s)


def walk(folder: Path, environment: dict[str, str]) -> Iterator[Step]:
    """Walk the path in an empty folder, and yield each step when it is done."""
    copy_of_package(folder)
    for command in preparations():
        yield run(command, folder, environment)
    write_files(folder)
    yield run(last_command(), folder, environment)


def main() -> None:
    """Walk and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-cache", action="store_true", help="pip downloads everything anew")
    options = parser.parse_args()
    environment = dict(os.environ)
    if options.no_cache:
        environment["PIP_NO_CACHE_DIR"] = "1"
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        steps = list(walk(Path(folder), environment))
    total = Step("in all", sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps))
    lines = [f"{step.wall_s:7.1f} {step.cpu_s:7.1f}  {step.command}" for step in (*steps, total)]
    sys.stdout.write("\n".join([" wall s   cpu s", *lines, ""]))


if __name__ == "__main__":
    main()
