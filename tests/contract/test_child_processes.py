"""No process forks: what runs between fork and exec, or instead of exec, runs beside threads that hold locks.

`subprocess` makes a child without a fork (vfork) unless it is to call something or to change its user before exec.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORKING_ARGUMENTS = {"preexec_fn", "user", "group", "extra_groups"}
STARTERS = {"Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "create_subprocess_shell"}
FORKING_NAMES = {"fork", "forkpty", "fork_exec"}
NOT_MEANT = {
    "tests/contract/image_check.py": "a program of one thread, which changes its root folder before exec",
    "tests/support/captured_codec.py": "tries to fork where it must not be able to",
    "tests/mutation/trials.py": "a program that no test run imports: each mutant meets its tests in a child of its own",
}


def forks_in(source: str) -> Iterator[str]:
    """Say what in a source forks, or makes `subprocess` do so."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in STARTERS:
                found = {keyword.arg for keyword in node.keywords if keyword.arg} & FORKING_ARGUMENTS
                yield from (f"{node.lineno}: {name}({argument}=...)" for argument in sorted(found))
            case ast.Call(func=ast.Attribute(attr="ProcessPoolExecutor") | ast.Name(id="ProcessPoolExecutor")):
                if not any(keyword.arg == "mp_context" for keyword in node.keywords):
                    yield f"{node.lineno}: ProcessPoolExecutor"
            case ast.Call(func=ast.Attribute(attr="get_context") | ast.Name(id="get_context")):
                if any(isinstance(arg, ast.Constant) and arg.value == "fork" for arg in node.args):
                    yield f"{node.lineno}: get_context"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in FORKING_NAMES:
                yield f"{node.lineno}: {name}"
            case ast.Constant(value="preexec_fn" | "extra_groups" as name):
                yield f"{node.lineno}: {name}"
            case ast.Import(names=names) if any(alias.name.partition(".")[0] == "multiprocessing" for alias in names):
                yield f"{node.lineno}: import multiprocessing"
            case ast.ImportFrom(module="multiprocessing", names=names):
                yield from (f"{node.lineno}: {alias.name}" for alias in names if alias.name != "get_context")


@pytest.mark.parametrize(
    "source",
    [
        "subprocess.Popen(x, preexec_fn=f)",
        "subprocess.run(x, user=1)",
        "asyncio.create_subprocess_exec(*x, group=1)",
        "options = {'preexec_fn': f}",
        "os.fork()",
        "import multiprocessing",
        "from multiprocessing import Pool",
        "from concurrent import futures\nfutures.ProcessPoolExecutor()",
        "get_context('fork')",
    ],
)
def test_a_fork_is_seen(source: str) -> None:
    """Each way of making one."""
    assert list(forks_in(source))


def test_nothing_forks() -> None:
    """Services, localcloud, tests, bench and samples alike."""
    listed = subprocess.run(["git", "ls-files", "*.py"], check=True, cwd=ROOT, capture_output=True, text=True)
    here = str(Path(__file__).relative_to(ROOT))
    found = [
        f"{name}:{fork}"
        for name in listed.stdout.splitlines()
        if name not in NOT_MEANT and name != here and (ROOT / name).is_file()
        for fork in forks_in((ROOT / name).read_text(encoding="utf-8"))
    ]

    assert found == []
