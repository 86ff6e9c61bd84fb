"""Failpoints: nothing unless asked for, refused when misspelt, and once only across processes and restarts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.failpoints import MAX_TICKETS, FailpointError, arm, reach
from chassis.settings import Settings, SettingsError

NAMES = ("stored", "sent")


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    arm((), "", known=NAMES)


def lay(folder: Path, name: str, count: int) -> None:
    """Lay tickets, so that the place acts at the `count`-th time."""
    for number in range(1, count + 1):
        (folder / f"{name}.{number}").touch()


def acted(name: str) -> bool:
    try:
        reach(name)
    except FailpointError:
        return True
    return False


def test_an_unarmed_failpoint_does_nothing(tmp_path: Path) -> None:
    """Whatever lies in a folder that nobody named."""
    lay(tmp_path, "stored", 1)

    assert acted("stored") is False
    assert (tmp_path / "stored.1").exists()


def test_an_armed_failpoint_without_a_ticket_does_nothing(tmp_path: Path) -> None:
    """So all places may be armed at the start and one be chosen later."""
    arm(("stored:raise",), str(tmp_path), known=NAMES)

    assert acted("stored") is False


def test_only_the_named_place_acts(tmp_path: Path) -> None:
    """Tickets of others are left alone."""
    arm(("stored:raise",), str(tmp_path), known=NAMES)
    lay(tmp_path, "sent", 1)

    assert acted("sent") is False
    assert (tmp_path / "sent.1").exists()


@pytest.mark.parametrize("time", [1, 3, MAX_TICKETS])
def test_it_acts_at_the_time_asked_for_and_never_again(tmp_path: Path, time: int) -> None:
    """As many tickets as times; the last one taken acts."""
    arm(("stored:raise",), str(tmp_path), known=NAMES)
    lay(tmp_path, "stored", time)

    assert [acted("stored") for _ in range(time + 3)] == [False] * (time - 1) + [True] + [False] * 3


@pytest.mark.parametrize(
    ("order", "fault"), [("stord:kill", "stord"), ("stored:explode", "explode"), ("stored", "action")]
)
def test_a_misspelt_order_is_refused_by_name(tmp_path: Path, order: str, fault: str) -> None:
    """A typing error must not look like a failpoint that nothing reaches."""
    with pytest.raises(SettingsError, match=fault):
        arm((order,), str(tmp_path), known=NAMES)


def test_the_folder_is_needed(tmp_path: Path) -> None:
    """Without one a killed service would kill itself for ever."""
    for folder in ("", str(tmp_path / "none")):
        with pytest.raises(SettingsError, match="FAILPOINTS_DIR"):
            arm(("stored:kill",), folder, known=NAMES)


def test_cloud_run_refuses_failpoints() -> None:
    """A deployed service has no such door."""
    environ = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l", "FAILPOINTS": "stored:kill"}

    assert Settings.from_environ(environ).failpoints == ("stored:kill",)
    with pytest.raises(SettingsError, match="FAILPOINTS"):
        Settings.from_environ(environ | {"K_SERVICE": "ingest"})


def test_kill_ends_the_process_at_once_and_says_so(tmp_path: Path) -> None:
    """SIGKILL, after a line at the highest level; the next process comes through."""
    lay(tmp_path, "stored", 1)
    code = (
        "import sys\n"
        "from chassis.failpoints import arm, reach\n"
        "from chassis.logs import configure_logs\n"
        "configure_logs(service='x', project='p', revision='', level='INFO')\n"
        "arm(['stored:kill'], sys.argv[1], known=['stored'])\n"
        "try:\n    reach('stored')\nfinally:\n    print('past')\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, timeout=30)
        for _ in range(2)
    ]

    assert [run.returncode for run in runs] == [-signal.SIGKILL, 0]
    assert b"past" not in runs[0].stdout
    assert b"failpoint.reached" in runs[0].stdout
    assert b"CRITICAL" in runs[0].stdout
    assert b"past" in runs[1].stdout
