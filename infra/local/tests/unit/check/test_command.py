"""`localcloud check` as people and programs call it: files, folders, all errors, three formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud.__main__ import main

GOOD = "main:\n  steps:\n    - a: {return: 1}\n"
THREE_FAULTS = """main:
  steps:
    - one: {call: no.such, args: {a: 1}}
    - two: {return: '${1 +}'}
    - three: {assign: [{x: 1}]}
    - four:
        for:
          value: v
          in: [1]
          steps:
            - five: {colour: red}
"""
TWO_NAMES = """main:
  steps:
    - one: {assign: [{x: '${y}'}]}
    - two: {return: '${z}'}
    - three: {next: nowhere}
sub:
  steps:
    - four: {return: '${w}'}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with two workflows and other files."""
    (tmp_path / "flows").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "flows/good.yaml").write_text(GOOD)
    (tmp_path / "flows/bad.yml").write_text(THREE_FAULTS)
    (tmp_path / "flows/deployment.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    (tmp_path / "package.json").write_text('{"main": "index.js"}')
    (tmp_path / "values.yaml").write_text("- {name: a, value: b}\n")
    (tmp_path / ".git/hidden.yaml").write_text(THREE_FAULTS)
    return tmp_path


def lines_of(text: str) -> list[int]:
    """Return the lines that carets stand below."""
    return [int(line.partition(" | ")[0]) for line in text.splitlines() if line.strip().partition(" | ")[0].isdecimal()]


def test_every_step_that_cannot_be_built_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its line and a caret, also inside of a loop."""
    (tmp_path / "w.yaml").write_text(THREE_FAULTS)

    assert main(["check", str(tmp_path / "w.yaml")]) == 1
    assert lines_of(capsys.readouterr().out) == [3, 4, 11]


def test_every_unknown_name_is_told_when_all_steps_are_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every routine."""
    (tmp_path / "w.yaml").write_text(TWO_NAMES)

    main(["check", str(tmp_path / "w.yaml")])

    assert lines_of(capsys.readouterr().out) == [3, 4, 5, 8]


def test_folder_is_searched_for_workflows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other files and hidden folders are left alone."""
    assert main(["check", str(folder), "--format", "json"]) == 1
    reports = json.loads(capsys.readouterr().out)

    assert [(Path(each["file"]).name, each["status"]) for each in reports] == [
        ("bad.yml", "refused"),
        ("good.yaml", "ok"),
    ]


def test_folder_without_a_workflow_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt path must not look like a clean one."""
    assert main(["check", str(tmp_path)]) == 2
    assert "no workflow in" in capsys.readouterr().err


def test_broken_yaml_of_a_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When it has a line `main:`."""
    (tmp_path / "w.yaml").write_text("main:\n  steps: [\n")

    assert main(["check", str(tmp_path)]) == 1
    assert "parse error" in capsys.readouterr().out


UNKNOWN = "- a: {call: googleapis.bigquery.v9.jobs.query}\n"


def test_connector_that_nobody_knows_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Most of them are misspelt."""
    (tmp_path / "w.yaml").write_text(UNKNOWN)

    assert main(["check", str(tmp_path / "w.yaml")]) == 1
    assert "'googleapis.bigquery.v9.jobs.query'" in capsys.readouterr().out


def test_connector_that_nobody_knows_is_told_where_it_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Google has some that its discovery documents have not."""
    (tmp_path / "w.yaml").write_text(UNKNOWN)

    assert main(["check", str(tmp_path / "w.yaml"), "--allow-unemulated"]) == 0
    assert "unknown to localcloud: googleapis.bigquery.v9.jobs.query" in capsys.readouterr().out


def test_json_has_the_place_of_each_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For editors and scripts."""
    (tmp_path / "w.yaml").write_text(THREE_FAULTS)

    main(["check", str(tmp_path / "w.yaml"), "--format", "json"])
    [found] = json.loads(capsys.readouterr().out)

    assert [(each["line"], each["column"] > 1) for each in found["errors"]] == [(3, True), (4, True), (11, True)]
    assert "symbol 'no.such'" in found["errors"][0]["message"]


def test_github_shows_each_error_beside_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said about what is fine; line breaks are encoded."""
    (tmp_path / "w.yaml").write_text(THREE_FAULTS)
    (tmp_path / "good.yaml").write_text(GOOD)

    assert main(["check", str(tmp_path / "w.yaml"), str(tmp_path / "good.yaml"), "--format", "github"]) == 1
    said = capsys.readouterr().out.splitlines()

    assert [line.startswith("::error file=") for line in said] == [True] * 3
    assert f"file={tmp_path / 'w.yaml'},line=3,col=" in said[0]


def test_github_shows_what_must_fail_at_run_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no line, but the file."""
    steps = "".join(f"    - s{n}: {{call: sub}}\n" for n in range(2))
    loop = "- l: {for: {value: v, range: [1, 100000], steps: [{a: {assign: [{x: 1}]}}]}}"
    (tmp_path / "w.yaml").write_text(f"main:\n  steps:\n{steps}sub:\n  steps:\n    {loop}\n")

    assert main(["check", str(tmp_path / "w.yaml"), "--format", "github"]) == 1
    assert f"::error file={tmp_path / 'w.yaml'},title=localcloud::one pass may take" in capsys.readouterr().out
