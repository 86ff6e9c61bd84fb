"""The GitHub Action: what its last step runs, as GitHub would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ACTION = Path(__file__).parents[2] / "action.yml"


def test_action_shows_an_error_beside_its_line(tmp_path: Path) -> None:
    """And fails; several paths may be given, and connectors that nobody knows be warnings."""
    action = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    script = action["runs"]["steps"][-1]["run"]
    (tmp_path / "one").mkdir()
    (tmp_path / "one/w.yaml").write_text("- a: {return: '${x}'}\n")
    (tmp_path / "two.yaml").write_text("- a: {call: googleapis.new.v1.things.get}\n")

    done = subprocess.run(
        ["bash", "-e", "-c", script],
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "PATHS": "one two.yaml",
            "ALLOW_UNEMULATED": "true",
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    [error, warning] = done.stdout.splitlines()
    assert error.startswith("::error file=one/w.yaml,line=1,col=")
    assert warning == "::warning file=two.yaml,title=localcloud::googleapis.new.v1.things.get is unknown to localcloud"
