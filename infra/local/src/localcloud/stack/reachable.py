"""Folders in the temporary folder that every user can reach, for what lies behind a private one.

PostgreSQL does not run as root, and `nobody` cannot pass a folder of mode 0700 such as a root's home or pytest's
temporary folder. Modes of existing folders are never changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_COPY_PREFIX = "localcloud-install-"
_STAND_IN_PREFIX = "localcloud-data-"
_MARKER = "MOVED_TO"
"""File in the asked folder that holds the path of its stand-in."""
_OWNER = "owner"
"""File beside the data of a stand-in that holds the asked folder."""


def reachable_copy(package: Path, *, with_neighbour: str) -> Path:
    """Copy a Python package (once for every version of it) and return the copy.

    Args:
        package: the installed package's folder.
        with_neighbour: name of a folder beside it to copy too; libraries are looked for relative to the binaries.
    """
    stamp = f"{package}:{package.stat().st_mtime_ns}"
    home = Path(tempfile.gettempdir()) / f"{_COPY_PREFIX}{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if home.exists():
        return home / package.name
    making = Path(tempfile.mkdtemp(prefix=f"{home.name}-", dir=home.parent))
    for source in (package, package.with_name(with_neighbour)):
        if source.exists():
            shutil.copytree(source, making / source.name, symlinks=True)
    making.chmod(0o755)
    try:
        making.rename(home)
    except OSError:
        shutil.rmtree(making)  # another process was faster
    return home / package.name


def reachable_stand_in(asked: Path) -> Path:
    """Return the folder that holds the data of `asked`, the same one as long as `asked` exists.

    Stand-ins whose asked folder was deleted are swept, so that a deleted state folder means fresh data and tests leave
    at most one behind.
    """
    marker = asked / _MARKER
    if marker.exists():
        stand_in = Path(marker.read_text(encoding="utf-8"))
        if stand_in.exists():
            return stand_in
    _sweep_abandoned()
    home = Path(tempfile.mkdtemp(prefix=_STAND_IN_PREFIX))
    home.chmod(0o755)
    (home / _OWNER).write_text(str(asked), encoding="utf-8")
    (home / "data").mkdir()
    asked.mkdir(parents=True, exist_ok=True)
    marker.write_text(str(home / "data"), encoding="utf-8")
    return home / "data"


def remove_stand_in(asked: Path) -> None:
    """Delete the stand-in of `asked`, if it has one."""
    marker = asked / _MARKER
    if marker.exists():
        shutil.rmtree(Path(marker.read_text(encoding="utf-8")).parent, ignore_errors=True)
        marker.unlink()


def _sweep_abandoned() -> None:
    for home in Path(tempfile.gettempdir()).glob(f"{_STAND_IN_PREFIX}*"):
        owner = home / _OWNER
        if not owner.exists() or home.stat().st_uid != os.geteuid():
            continue
        marker = Path(owner.read_text(encoding="utf-8")) / _MARKER
        points_here = marker.exists() and marker.read_text(encoding="utf-8") == str(home / "data")
        if not points_here and not _is_in_use(home / "data"):
            shutil.rmtree(home, ignore_errors=True)


def _is_in_use(data: Path) -> bool:
    """Tell whether the process that PostgreSQL's lock file names is alive."""
    try:
        pid = int((data / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return False
    return True
