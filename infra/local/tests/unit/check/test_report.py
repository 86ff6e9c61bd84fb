"""What the command says and returns."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from localcloud.__main__ import main
from localcloud.check.approximations import CONSTRUCT_FACTS, FUNCTION_FACTS, fidelity
from localcloud.check.report import Checked, Refused, check_source, report
from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.library import standard_library

FANNING_OUT = """
main:
  params: [page]
  steps:
    - each_row:
        parallel:
          for:
            value: row
            in: ${page}
            steps: [{send: {call: post, args: {body: "${row}"}}}]
post:
  params: [body]
  steps:
    - call:
        try: {call: http.post, args: {url: http://127.0.0.1:1/, body: "${body}"}}
        retry:
          predicate: ${http.default_retry_predicate}
          max_retries: ${body.retries}
          backoff: {initial_delay: 1, max_delay: 2, multiplier: 2}
"""


@pytest.fixture
def fanning_out(tmp_path: Path) -> Path:
    """A file without a fault, with a loop and a retry."""
    path = tmp_path / "fanning_out.yaml"
    path.write_text(FANNING_OUT)
    return path


def checked(source: str, **assumed: int) -> Checked:
    """Return what is known about a source that can be deployed."""
    result = check_source(source, assumed)
    assert isinstance(result, Checked), result
    return result


def test_clean_file_passes_with_its_figures(fanning_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its loops and retries are listed with their steps."""
    status = main(["check", str(fanning_out), "--assume", "page=65536"])
    said = capsys.readouterr().out

    assert status == 0
    assert f"{fanning_out}: ok" in said
    assert "iteration of each_row" in said
    assert "retry of post.call" in said


def test_refused_file_is_told_with_its_caret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, and the text a deploy would show."""
    file = tmp_path / "w.yaml"
    file.write_text("- a:\n    return: ${1 + nope}\n")
    status = main(["check", str(file)])
    said = capsys.readouterr().out

    assert status == 1
    assert "refused" in said
    assert re.search(r"\n  2 \|     return: \$\{1 \+ nope\}\n +\^\n", said)


def test_one_bad_file_among_good_ones_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files are told about, whatever comes first."""
    for name, source in (("bad", "- a: {call: nobody}"), ("good", "- a: {return: 1}")):
        (tmp_path / f"{name}.yaml").write_text(source)
    status = main(["check", str(tmp_path / "bad.yaml"), str(tmp_path / "good.yaml")])

    assert (status, "good.yaml: ok" in capsys.readouterr().out) == (1, True)


def test_file_that_is_not_there_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named with its fault, and the files after it are checked all the same."""
    (tmp_path / "good.yaml").write_text("- a: {return: 1}")

    assert main(["check", str(tmp_path / "none.yaml"), str(tmp_path / "good.yaml")]) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path / 'none.yaml'}: refused\n  cannot be read: No such file or directory" in said
    assert f"{tmp_path / 'good.yaml'}: ok" in said


def test_reader_who_has_seen_enough_gets_no_complaint(fanning_out: Path) -> None:
    """`localcloud check ... | head -1` prints one line and nothing else."""
    check = shlex.join([sys.executable, "-m", "localcloud", "check", *[str(fanning_out)] * 8])
    done = subprocess.run(["sh", "-c", f"{check} | head -1"], capture_output=True, text=True, check=False, timeout=60)

    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")


def test_memory_without_a_bound_says_how_to_give_one() -> None:
    """Whoever reads the report can copy the flags; with them the share of the limit is told."""
    source = """
    main:
      params: [rows]
      steps:
        - fan: {parallel: {for: {value: row, in: '${rows}', steps: [{a: {assign: [{b: '${row}'}]}}]}}}
    """
    open_ended = "\n".join(report("w.yaml", check_source(source)))
    bounded = "\n".join(report("w.yaml", check_source(source, {"row": 13107, "b": 0})))

    assert "no bound in the source; give one with --assume" in open_ended
    assert "20 threads hold 262140 bytes at most (50 % of them)" in bounded


def test_assumption_that_is_none_is_wrong_usage(fanning_out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, as for every wrong option."""
    assert main(["check", str(fanning_out), "--assume", "page"]) == 2
    assert "NAME=BYTES" in capsys.readouterr().err


def test_known_loop_over_the_step_limit_is_a_problem() -> None:
    """Its bounds stand in the source, so it cannot succeed."""
    source = "- a:\n    for:\n      value: i\n      range: [1, 60000]\n      steps:\n        - b: {assign: [{x: 1}]}\n"

    assert "120001 steps" in checked(source).problems[0]


def test_parallel_steps_nested_through_calls_are_counted() -> None:
    """Three deep, one of them in a subworkflow: over the limit of two."""
    source = """
main:
  steps:
    - one:
        parallel:
          for:
            value: i
            in: [1]
            steps:
              - two:
                  parallel:
                    for:
                      value: j
                      in: [1]
                      steps:
                        - call: {call: three}
three:
  steps:
    - three:
        parallel:
          branches:
            - a: {steps: [{x: {assign: [{y: 1}]}}]}
            - b: {steps: [{x: {assign: [{y: 1}]}}]}
"""
    result = checked(source)

    assert (result.shape.parallel_depth, result.shape.most_branches) == (3, 2)
    assert result.problems == ("parallel steps nest 3 deep; the limit is 2",)


def test_routine_that_calls_itself_has_no_call_depth() -> None:
    """It is named instead."""
    source = "main:\n  steps:\n    - a: {call: again}\nagain:\n  steps:\n    - b: {call: again}\n"
    shape = checked(source).shape

    assert (shape.call_depth, shape.recursive) == (None, ("again",))


def test_memory_of_threads_is_bounded_where_the_source_tells() -> None:
    """Three threads at a time, each with its number, a text of three bytes and a comparison."""
    source = """
- a:
    parallel:
      concurrency_limit: 3
      for:
        value: i
        range: [1, 9]
        steps:
          - b:
              assign: [{t: abc}, {c: "${i > 2}"}]
"""
    [memory] = checked(source).memory

    assert (memory.threads, memory.bytes_at_most, memory.unknown) == (3, 3 * (8 + 11 + 8), ())


def test_answers_from_outside_have_no_bound_until_one_is_assumed() -> None:
    """They are named; an assumption counts once per thread."""
    source = """
- a:
    parallel:
      branches:
        - left: {steps: [{l: {call: http.get, args: {url: "http://a"}, result: answer}}]}
        - right: {steps: [{r: {assign: [{n: 1}]}}]}
"""
    [unknown] = checked(source).memory
    [known] = checked(source, answer=1000).memory

    assert (unknown.unknown, unknown.bytes_at_most) == (("answer",), 16)
    assert (known.unknown, known.bytes_at_most) == ((), 2 * 1008)


def test_uses_of_approximated_parts_are_listed_with_their_lines() -> None:
    """The fact is the one of fidelity.yaml."""
    found = checked('- a:\n    return: ${base64.decode("YQ==")}\n').approximations

    assert [(each.fact.id, each.uses, each.lines) for each in found] == [("base64-padding", ("base64.decode",), (2,))]


def test_table_of_uses_names_facts_that_exist() -> None:
    """A renamed id of fidelity.yaml would drop a warning silently."""
    named = {each for ids in (*FUNCTION_FACTS.values(), *CONSTRUCT_FACTS.values()) for each in ids}

    assert named <= fidelity().keys()


def test_table_of_uses_names_functions_that_exist() -> None:
    """Each pattern meets a function of the library or a connector."""
    names = [*standard_library().functions, *connector_methods()]

    assert [pattern for pattern in FUNCTION_FACTS if not fnmatch.filter(names, pattern)] == []


def test_source_that_is_not_yaml_is_refused() -> None:
    """Not a traceback."""
    assert isinstance(check_source("- a: [\n"), Refused)
