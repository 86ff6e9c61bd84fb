"""What localcloud says about itself is so: the README's tables and programs, fidelity lines, conformance cases."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from conformance_report import EVIDENCE, all_cases, fidelity_lines, report
from localcloud.check import report as check_report
from localcloud_process import PARENT, Served, eventually
from readme_tables import README, TABLES, readme_blocks, table_in

LINES = {line["id"]: line for line in fidelity_lines()}
WORKFLOW = f"{PARENT}/workflows/greeting"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    server = Served([sys.executable, "-m", "localcloud"], folder, source=readme_blocks("yaml")[0])
    yield server
    server.kill()


def on_ports_of(served: Served, text: str) -> str:
    """Return a text of the README with the ports of a server in place of the default ones."""
    defaults = {"8787": "workflows", "8788": "workflows-grpc", "8123": "tasks", "8124": "tasks-grpc"}
    ports = "|".join(defaults)
    return re.sub(rf"\b({ports})\b", lambda port: str(served.ports[defaults[port[0]]]), text)


@pytest.mark.parametrize("name", TABLES)
def test_table_of_the_readme_equals_its_data(name: str) -> None:
    """The README shows every flag and fidelity line; `python tests/harness/readme_tables.py` writes them."""
    assert table_in(README.read_text(encoding="utf-8"), name) == TABLES[name]()


def test_fidelity_lines_are_complete_and_distinct() -> None:
    """Every line has its fields, known words only, and an id of its own."""
    faults = [
        line
        for line in fidelity_lines()
        if set(line) != {"id", "area", "behaviour", "status", "known_from", "note"}
        or line["status"] not in ("faithful", "approximated", "refused")
        or line["known_from"] not in ("documented", "assumed")
    ]
    repeated = [name for name, count in Counter(line["id"] for line in fidelity_lines()).items() if count > 1]

    assert (faults, repeated) == ([], [])


def test_nothing_that_is_assumed_is_called_faithful() -> None:
    """Faithful means that a page of Google's says so."""
    assert [
        name for name, line in LINES.items() if (line["status"], line["known_from"]) == ("faithful", "assumed")
    ] == []


def test_there_are_at_least_four_hundred_cases() -> None:
    """The conformance suite is large enough to mean something."""
    assert len(all_cases()) >= 400


def test_every_case_says_how_we_know() -> None:
    """Every case names its evidence and its source."""
    assert [case for case in all_cases() if case.known_from not in EVIDENCE or not case.source] == []


def test_every_assumed_case_has_a_fidelity_line() -> None:
    """What a case assumes is admitted in the fidelity data: its key `fidelity` names a line there."""
    assert [case for case in all_cases() if case.known_from == "assumed" and case.fidelity not in LINES] == []


def test_line_of_an_assumed_case_is_assumed() -> None:
    """No case leans on a line that claims to be documented, unless localcloud refuses what the line is about."""
    claimed = {case.fidelity for case in all_cases() if case.known_from == "assumed" and case.fidelity in LINES}

    assert [
        name for name in claimed if LINES[name]["known_from"] != "assumed" and LINES[name]["status"] != "refused"
    ] == []


def test_report_counts_every_case_once() -> None:
    """The report's last number is the number of cases."""
    assert report(all_cases()).split()[-1] == str(len(all_cases()))


@pytest.mark.parametrize("number", range(len(readme_blocks("python"))), ids=("workflows", "tasks"))
def test_python_of_the_readme_runs(served: Served, number: int) -> None:
    """The client programs run as they are printed, but for the ports."""
    program = on_ports_of(served, readme_blocks("python")[number])

    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr


def test_task_of_the_readme_starts_the_workflow(served: Served) -> None:
    """The task that the README's program creates becomes an execution with its argument."""
    program = on_ports_of(served, readme_blocks("python")[1]).replace("queues/letters", "queues/letters-too")
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)

    listing = f"{served.url('workflows')}/v1/{WORKFLOW}/executions?view=FULL"
    results = eventually(
        lambda: {each.get("result") for each in requests.get(listing, timeout=5).json().get("executions", [])},
        lambda found: '"Hello a task"' in found,
    )

    assert '"Hello a task"' in results


def test_shell_of_the_readme_runs(served: Served, tmp_path: Path) -> None:
    """The gcloud recipe and the curl line work as they are printed, but for the ports."""
    if shutil.which("gcloud") is None or shutil.which("curl") is None:
        pytest.skip("gcloud or curl is not installed")
    blocks = [block for block in readme_blocks("sh") if block.startswith(("export", "curl"))]
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows/greeting.yaml").write_text(readme_blocks("yaml")[0], encoding="utf-8")
    script = on_ports_of(served, "set -e\n" + "\n".join(blocks))

    done = subprocess.run(
        ["sh", "-c", script],
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert "Hello gcloud" in done.stdout


def node(program: str, **variables: str) -> str:
    """Run a program of the README with Node and return what it prints."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("the recipe for Node was NOT run: node is not installed")
    done = subprocess.run(
        [found, "-e", program],
        check=False,
        env={"PATH": os.environ["PATH"], "METADATA_SERVER_DETECTION": "none", **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fetch_of_the_readme_runs_in_node(served: Served) -> None:
    """It starts an execution, whose name it prints."""
    printed = node(on_ports_of(served, readme_blocks("js")[1])).strip()

    assert printed.startswith(f"{WORKFLOW}/executions/")


def test_clients_of_the_readme_run_in_node(served: Served) -> None:
    """Google's own, where `npm install @google-cloud/tasks @google-cloud/workflows` put them."""
    modules = os.environ.get("LOCALCLOUD_TEST_NODE_MODULES")
    if modules is None:
        pytest.skip("Google's clients for Node were NOT run: LOCALCLOUD_TEST_NODE_MODULES names no node_modules")

    task, result = node(on_ports_of(served, readme_blocks("js")[0]), NODE_PATH=modules).splitlines()

    assert (task.startswith(f"{PARENT}/queues/node/tasks/"), result) == (True, '"Hello Node"')


THUMBS = """
main:
  params: [args]
  steps:
    - each_image:
        parallel:
          for:
            value: image
            in: ${args.images}
            steps:
              - shrink:
                  try:
                    call: http.post
                    args:
                      url: ${"http://127.0.0.1:8081/compress"}
                      body: {image: '${image}'}
                  retry: ${http.default_retry}
    - done:
        return: ${len(args.images)}
"""


def test_check_says_what_the_readme_shows() -> None:
    """The example is the real report of such a workflow, up to its approximations."""
    said = "\n".join(check_report.report("thumbs.yaml", check_report.check_source(THUMBS.lstrip("\n"))))

    assert said.startswith(readme_blocks("text")[0].rstrip("\n"))
