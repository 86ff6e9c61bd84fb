"""Reading the command of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.stack.dockerfile import command_from_dockerfile


def _read(tmp_path: Path, text: str) -> Any:
    (tmp_path / "Dockerfile").write_text(text)
    return command_from_dockerfile(tmp_path / "Dockerfile")


def test_last_exec_form_command_counts(tmp_path: Path) -> None:
    """Stages may have commands of their own; comments and continued lines are understood."""
    text = 'FROM a\nCMD ["old"]\nFROM b\n# CMD ["no"]\ncmd ["gunicorn", \\\n  # why\n  "--threads", "8", "x:app"]\n'

    assert _read(tmp_path, text) == ("gunicorn", "--threads", "8", "x:app")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("FROM a\n", "no CMD"),
        ("CMD gunicorn x:app\n", "exec form"),
        ('CMD ["a", 1]\n', "list of text"),
        ('ENTRYPOINT ["a"]\nCMD ["b"]\n', "ENTRYPOINT"),
    ],
    ids=["none", "shell-form", "number", "entrypoint"],
)
def test_command_that_would_run_differently_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    """A shell form would swallow SIGTERM; what cannot be reproduced is an error that names the file."""
    with pytest.raises(ConfigError, match=f"Dockerfile: .*{fault}"):
        _read(tmp_path, text)
