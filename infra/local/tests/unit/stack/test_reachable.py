"""Stand-ins for folders that another user cannot reach."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from localcloud.stack.reachable import reachable_copy, reachable_stand_in, remove_stand_in


@pytest.fixture(autouse=True)
def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a temporary folder of the test's own."""
    folder = tmp_path / "public"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_install_is_copied_once_with_its_libraries(tmp_path: Path) -> None:
    """The copy keeps the layout that the binaries' library path needs, open to all."""
    site = tmp_path / "site"
    (site / "wheel" / "bin").mkdir(parents=True)
    (site / "wheel" / "bin" / "postgres").write_text("binary")
    (site / "wheel.libs").mkdir()
    (site / "wheel.libs" / "lib.so").write_text("library")

    copy = reachable_copy(site / "wheel", with_neighbour="wheel.libs")

    assert (copy / "bin" / "postgres").read_text() == "binary"
    assert (copy.with_name("wheel.libs") / "lib.so").read_text() == "library"
    assert copy.parent.stat().st_mode & 0o777 == 0o755
    assert reachable_copy(site / "wheel", with_neighbour="wheel.libs") == copy


def test_stand_in_lasts_as_long_as_the_asked_folder(tmp_path: Path) -> None:
    """The same data after a restart; fresh data after the asked folder was deleted."""
    asked = tmp_path / "asked"
    first = reachable_stand_in(asked)
    again = reachable_stand_in(asked)
    shutil.rmtree(asked)

    fresh = reachable_stand_in(asked)

    assert first == again != fresh
    assert not first.exists()


def test_stand_in_in_use_is_not_swept(tmp_path: Path) -> None:
    """A server that still runs keeps its data."""
    first = reachable_stand_in(tmp_path / "asked")
    (first / "postmaster.pid").write_text(f"{os.getpid()}\n")
    shutil.rmtree(tmp_path / "asked")

    reachable_stand_in(tmp_path / "other")

    assert first.exists()


def test_removed_stand_in_is_gone(tmp_path: Path, public: Any) -> None:
    """Nothing is left in the temporary folder."""
    reachable_stand_in(tmp_path / "asked")

    remove_stand_in(tmp_path / "asked")

    assert list(public.iterdir()) == []
