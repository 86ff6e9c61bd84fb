"""Tries mutants: the tests are collected once, and each mutant meets, in a fork, those that reach its function.

Nothing but the tests themselves is run for a mutant: no start of pytest, no collecting, no names of tests on a command
line, and what lives as long as a test run (a database, certificates) is there before the fork. The tests of the
function's module come first, then those of its package, the fastest before others; the first failure ends a trial.
Every `CONTROL_EACH`th trial is repeated without any change: its tests must pass, or a mutant might be called caught
because a test fails by itself.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import requests
from mutmut.__main__ import copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from sqlalchemy import Engine

from mutation.counted import Mutant
from mutation.verdicts import Verdicts
from support.postgres_server import SHARED_PORT, running_postgres

CONTROL_EACH = 30
PASSED, FAILED, BROKEN = 0, 1, 2
_LEAST_WAIT_S, _WAITS = 20.0, 6.0
"""A trial may take this long, and this many times what its tests took without a change; then it counts as timed out."""
_TESTS_S = 60.0
"""A mutant has survived when so many seconds of the tests that reach it have passed; hundreds reach a batch's row."""
_POLL_S = 0.005


@dataclass(slots=True)
class Reach:
    """What each test took, in seconds, and which tests reach each function, in the order in which they are tried.

    Tests that failed once and then passed are `unsteady`: they judge no mutant.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[str, list[str]] = field(default_factory=dict)
    unsteady: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Trials:
    """A plugin of pytest that runs no tests but mutants.

    Args:
        mutants: those to try.
        verdicts: what became of each is added to these.
        seed: of their order.
        postgres_ports: a server for each trial that runs at the same time; none where no test needs one.
    """

    mutants: list[Mutant]
    verdicts: Verdicts
    children: int
    seed: int
    postgres_ports: list[int]
    failed_test: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure, be it of a test or of what it needs."""
        if report.failed and self.failed_test is None:
            why = report.longreprtext.strip().splitlines()[-1:] or [""]
            self.failed_test = f"{report.nodeid} ({report.when}): {why[0]}"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once, then every mutant; return True, since that was all."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        reach = self._reach(session)
        mutants = list(self.mutants)
        found = f"{len(session.items)} tests reach {len(reach.tests)} functions"
        sys.stdout.write(f"{found}; {len(mutants)} mutants to try; left out as unsteady: {reach.unsteady}\n")
        sys.stdout.flush()
        random.Random(self.seed).shuffle(mutants)  # a run that is ended early was a fair sample
        slots = [
            _forked(partial(self._slot, session, number, mutants[number :: self.children], reach))
            for number in range(self.children)
        ]
        for slot in slots:
            os.waitpid(slot, 0)
        return True

    def _reach(self, session: pytest.Session) -> Reach:
        """Run all tests in forks and return what reaches what.

        Raises:
            pytest.Session.Interrupted: a test fails three times although nothing is changed.
        """
        files = [self.verdicts.file.with_suffix(f".reach{number}") for number in range(self.children)]
        for noted in files:
            noted.unlink(missing_ok=True)
        children = [
            _forked(partial(self._note_reach, session.items[number :: self.children], number, noted))
            for number, noted in enumerate(files)
        ]
        for child in children:
            os.waitpid(child, 0)
        reach = Reach()
        tests: dict[str, list[str]] = defaultdict(list)
        for noted in files:
            known = json.loads(noted.read_text(encoding="utf-8"))
            if isinstance(known, str):
                raise session.Interrupted(f"fails although nothing is changed: {known}")
            reach.seconds |= known["seconds"]
            reach.unsteady += known["unsteady"]
            for function, reaching in known["tests"].items():
                tests[function] += reaching
        reach.tests = {function: _chosen(function, reaching, reach.seconds) for function, reaching in tests.items()}
        return reach

    def _note_reach(self, items: list[pytest.Item], number: int, noted: Path) -> int:
        self._take_postgres(number)
        _silence()
        seconds: dict[str, float] = {}
        tests: dict[str, list[str]] = defaultdict(list)
        unsteady: list[str] = []
        set_mutant_under_test("stats")
        for item in items:
            state()._stats.clear()
            began = time.monotonic()
            self._run(item)
            seconds[item.nodeid] = time.monotonic() - began
            if self.failed_test:
                # Twice more: it may be the load of this machine.
                if not (self._passes(item) or self._passes(item)):
                    noted.write_text(json.dumps(self.failed_test), encoding="utf-8")
                    return FAILED
                unsteady.append(item.nodeid)
                continue
            for function in list(state()._stats):
                tests[function].append(item.nodeid)
        noted.write_text(json.dumps({"seconds": seconds, "tests": tests, "unsteady": unsteady}), encoding="utf-8")
        return PASSED

    def _slot(self, session: pytest.Session, number: int, mutants: list[Mutant], reach: Reach) -> int:
        """Try one mutant after another."""
        self._take_postgres(number)
        set_mutant_under_test("")
        items = {item.nodeid: item for item in session.items}
        _silence()
        for item in _users_of_session_fixtures(session.items, reach.seconds):
            self._run(item)
        shared = [each for each in gc.get_objects() if isinstance(each, Engine | requests.Session)]
        gc.freeze()
        whole_run = os.getppid()
        catchers: dict[str, list[str]] = defaultdict(list)  # of other changes of a function; they are asked first
        for place, mutant in enumerate(mutants):
            if os.getppid() != whole_run:
                return BROKEN  # the run was ended, and its database with it: every test would fail now
            tests = reach.tests.get(mutant.reached_as, [])
            if not tests:
                self.verdicts.add(mutant.key, "no tests")
                continue
            limit_s = _LEAST_WAIT_S + _WAITS * sum(reach.seconds[test] for test in tests)
            known = catchers[mutant.reached_as]
            chosen = [items[test] for test in [*known, *(test for test in tests if test not in known)]]
            verdict, by = self._try(mutant.name, chosen, shared, limit_s)
            self.verdicts.add(mutant.key, verdict, by)
            if (test := by.partition(" (")[0]) in tests and test not in known:
                known.append(test)
            if place % CONTROL_EACH == 0:
                self.verdicts.add_control(mutant.key, *self._try("", chosen, shared, limit_s))
        return PASSED

    def _try(self, mutant: str, items: list[pytest.Item], shared: list[Any], limit_s: float) -> tuple[str, str]:
        """Run the tests in a fork until one fails; return what became of it, and which test failed."""
        failing, told = os.pipe()

        def trial() -> int:
            os.setpgid(0, 0)
            for each in shared:
                # Connections stay those of the process that made them.
                each.dispose(close=False) if isinstance(each, Engine) else each.close()
            set_mutant_under_test(mutant)
            self.failed_test = None
            for item in items:
                self._run(item)
                if self.failed_test:
                    os.write(told, self.failed_test.encode()[:1000])
                    return FAILED
            return PASSED

        child = _forked(trial)
        os.close(told)
        status = _waited(child, limit_s)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # whatever the tests started
        with os.fdopen(failing, "rb") as pipe:
            by = pipe.read().decode() if status == FAILED else ""
        verdicts: dict[int | None, str] = {None: "timeout", PASSED: "survived", FAILED: "killed"}
        return verdicts.get(status, "crashed"), by

    def _passes(self, item: pytest.Item) -> bool:
        self.failed_test = None
        self._run(item)
        return self.failed_test is None

    def _run(self, item: pytest.Item) -> None:
        # What lives as long as the session is left standing: the session is what comes next.
        item.ihook.pytest_runtest_protocol(item=item, nextitem=item.session)

    def _take_postgres(self, number: int) -> None:
        if self.postgres_ports:
            os.environ[SHARED_PORT] = str(self.postgres_ports[number])


def _chosen(function: str, tests: list[str], seconds: dict[str, float]) -> list[str]:
    """Return tests that fit into the time for a mutant, one at least: those of its module, of its package, the fastest.

    Args:
        function: as mutmut calls it, e.g. `ingest.state.locks.x_lock_batch`; its module is tested by `test_locks.py` in
            a folder `state`.
        tests: that reach it.
        seconds: that each of them took.
    """
    *_, package, module, _name = function.split(".")

    def order(test: str) -> tuple[bool, bool, float]:
        path = Path(test.partition("::")[0])
        return path.stem != f"test_{module}", path.parent.name != package, seconds[test]

    ordered = sorted(tests, key=order)
    taken = itertools.accumulate(seconds[test] for test in ordered)
    return [test for test, at in zip(ordered, taken, strict=True) if at <= _TESTS_S] or ordered[:1]


def _users_of_session_fixtures(items: list[pytest.Item], seconds: dict[str, float]) -> Iterator[pytest.Item]:
    """Yield fast tests that together need every fixture of the session."""
    seen: set[str] = set()
    for item in sorted(items, key=lambda item: seconds[item.nodeid]):
        known = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - pytest declares no public name
        needed = {name for name, definitions in known.items() if definitions[-1].scope == "session"}
        if needed - seen:
            seen |= needed
            yield item


def _forked(work: Callable[[], int]) -> int:
    """Do something in a child and return its process id; the child ends with what `work` returns."""
    child = os.fork()
    if child:
        return child
    status = BROKEN
    try:
        status = work()
    except BaseException as error:  # noqa: BLE001 - a child must never go on where its parent does
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        os._exit(status)


def _waited(child: int, limit_s: float) -> int | None:
    """Return how a child ended; None when it had to be killed."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


@contextmanager
def _servers(count: int) -> Iterator[list[int]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        yield [stack.enter_context(running_postgres(folder / str(number))).port for number in range(count)]


def write_mutants() -> None:
    """Let mutmut write every variant of every function below `mutants/src`, and have the tests import them."""
    Path("mutants").mkdir(exist_ok=True)
    with redirect_stdout(StringIO()):
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(max_children=1)
    setup_source_paths()
    os.chdir("mutants")


def try_mutants(
    mutants: list[Mutant],
    verdicts: Verdicts,
    pytest_arguments: list[str],
    *,
    children: int,
    seed: int,
    postgres: bool,
) -> int:
    """Try the mutants that were written here; return 0 when it could be done."""
    with _servers(children if postgres else 0) as ports:
        arguments = ["--rootdir=.", "--capture=no", "--quiet", "--tb=native", *pytest_arguments]
        # The server above needs localcloud, which is a plugin of pytest as well.
        arguments += ["-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"]
        return int(pytest.main(arguments, plugins=[Trials(mutants, verdicts, children, seed, ports)]))
