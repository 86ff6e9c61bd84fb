"""Official sample programs of Workflows: every construct in them runs here, or is refused with a reason.

`cases/samples/index.csv` lists the official samples that were read, each with its commit and its constructs (see
`workflow_constructs`). `cases/samples/*.yaml` hold programs of our own, in the form of the other conformance cases;
`stands_for` names the samples whose constructs a program exercises. HTTP calls and connector calls go over the wire to
a scripted server on loopback (`answers`), whose address programs read from the environment: `sys.get_env("SERVICE")`.
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.core.clock import SystemClock
from localcloud.workflows.connectors.registry import connector_methods
from localcloud.workflows.engine.http_client import AiohttpCaller
from localcloud.workflows.loader import load_program
from localcloud.workflows.runtime.host import Host
from localcloud.workflows.runtime.interpreter import ExecutionFailedError, run_program
from localcloud.workflows.runtime.scripted_host import (
    LeapingClock,
    ReadableTokens,
    RememberedLog,
    RememberedSteps,
    ScriptedCallbacks,
)
from localcloud.workflows.source.errors import SourceError
from loopback_script import LoopbackScript
from workflow_constructs import constructs_of

CASES = Path(__file__).parent / "cases" / "samples"
CONNECTORS = connector_methods()
SERVICES = ("cloudtasks", "secretmanager", "storage", "workflowexecutions", "workflows")
PROJECT = {
    "GOOGLE_CLOUD_PROJECT_ID": "demo",
    "GOOGLE_CLOUD_PROJECT_NUMBER": "123",
    "GOOGLE_CLOUD_LOCATION": "europe-west1",
    "GOOGLE_CLOUD_WORKFLOW_ID": "sample",
    "GOOGLE_CLOUD_WORKFLOW_REVISION_ID": "000001-abc",
    "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": "ab12-cd34",
    "GOOGLE_CLOUD_SERVICE_ACCOUNT_NAME": "runner@demo.example",
}
OUTCOMES = {"result", "refused", "failed"}
KEYS = {
    "name", "known_from", "source", "fidelity", "stands_for", "constructs", "program", "argument", "answers",
    "callbacks", "log", "delays", *OUTCOMES,
}  # fmt: skip


def _cases() -> Iterator[dict[str, Any]]:
    for path in sorted(CASES.glob("*.yaml")):
        for group in yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            shared = {key: value for key, value in group.items() if key != "cases"}
            for case in group["cases"]:
                merged = {**shared, **(_refused_connector(case) if "connector" in case else case)}
                yield {**merged, "id": f"{path.stem}: {merged['name']}"}


def _refused_connector(case: dict[str, Any]) -> dict[str, Any]:
    """Return the case of a connector that localcloud does not have: a program of one step, and its refusal."""
    name, args = case["connector"], json.dumps(case["args"])
    program = f"- call_it:\n    call: {name}\n    args: {args}\n    result: answer\n"
    refused = f"localcloud does not emulate '{name}'"
    return {"name": name, "program": program, "refused": refused, "stands_for": case["stands_for"]}


ALL_CASES = list(_cases())


def _samples() -> dict[str, set[str]]:
    """Return the constructs of every sample in the index, by `repository:path`."""
    with (CASES / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {f"{row['repository'].split('/')[1]}:{row['path']}": set(row["constructs"].split()) for row in rows}


SAMPLES = _samples()


@pytest.fixture(scope="module")
def service() -> Iterator[LoopbackScript]:
    service = LoopbackScript()
    service.start()
    yield service
    service.stop()


def _outcome(case: dict[str, Any], source: str, service: LoopbackScript) -> dict[str, Any]:
    """Deploy and run a program; return what became of it, keyed like the expectations."""
    clock, log = LeapingClock(), RememberedLog()
    try:
        program = load_program(source, connectors=CONNECTORS)
    except SourceError as error:
        return {"refused": error.message}

    async def run() -> Any:
        http = AiohttpCaller(dict.fromkeys(SERVICES, service.base_url), SystemClock())
        await http.start()
        host = Host(
            clock=clock,
            http=http,
            tokens=ReadableTokens(),
            callbacks=ScriptedCallbacks(case.get("callbacks", [])),
            log=log,
            observer=RememberedSteps(),
            env={**PROJECT, "SERVICE": service.base_url},
            connectors=CONNECTORS,
        )
        try:
            return await run_program(program, case.get("argument"), host)
        finally:
            await http.stop()

    try:
        seen = {"result": asyncio.run(run())}
    except ExecutionFailedError as error:
        seen = {"failed": json.loads(error.payload)}
    return {**seen, "log": [list(entry) for entry in log.entries], "delays": clock.requested}


def _holds(key: str, seen: dict[str, Any], expected: Any) -> bool:
    if key == "refused":
        return key in seen and expected in seen[key]
    return key in seen and json.dumps(seen[key], sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case["id"])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_sample_construct_runs_or_is_refused(case: dict[str, Any], form: str, service: LoopbackScript) -> None:
    """A program with the constructs of official samples does the same written in YAML and in JSON: what it should."""
    source = case["program"] if form == "yaml" else _json_form(case)
    expected = {key: case[key] for key in (*OUTCOMES, "log", "delays") if key in case}

    with service.playing(case.get("answers", [])) as faults:
        seen = _outcome(case, source, service)

    wrong = {key: value for key, value in expected.items() if not _holds(key, seen, value)}
    assert (wrong, faults) == ({}, []), f"seen {seen}\nfaults {faults}"


def _damaged(source: str, chance: random.Random) -> str:
    """Return the source with one slip of an editor in it: a line or a character lost, moved, or too many."""
    lines = source.splitlines(keepends=True)
    line, at = chance.randrange(len(lines)), chance.randrange(len(source))
    match chance.randrange(5):
        case 0:
            return "".join(lines[:line] + lines[line + 1 :])
        case 1:
            return "".join([*lines[:line], *reversed(lines[line : line + 2]), *lines[line + 2 :]])
        case 2:
            return "".join([*lines[:line], chance.choice(["  ", "\t", "- "]), *lines[line:]])
        case 3:
            return source[:at] + source[at + 1 :]
        case _:
            return source[:at] + chance.choice("""${}[]()"':-#&*!|>%@,.~\x00\n1aé""") + source[at:]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_sample_is_accepted_or_refused_at_a_place(seed: int) -> None:
    """Whatever a slip makes of a program, a deploy answers: it is taken, or the refusal names a place in the source."""
    chance = random.Random(seed)
    misplaced = []
    for case in ALL_CASES:
        source = _damaged(case["program"], chance)
        lines = [*source.splitlines(), ""]
        try:
            load_program(source, connectors=CONNECTORS)
        except SourceError as error:
            if not (
                error.message and 1 <= error.line <= len(lines) and 1 <= error.column <= len(lines[error.line - 1]) + 1
            ):
                misplaced.append((source, error.message, error.line, error.column))

    assert misplaced == []


def _json_form(case: dict[str, Any]) -> str:
    """Return the program as JSON, as the `.workflows.json` twins of samples are; what is not YAML stays as it is."""
    try:
        return json.dumps(yaml.load(case["program"], Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return str(case["program"])


def test_every_sample_has_a_program_with_its_constructs() -> None:
    """The programs that stand for a sample use, together, every construct that the index noted when it was read."""
    found: dict[str, set[str]] = {sample: set() for sample in SAMPLES}
    for case in ALL_CASES:
        for sample in case["stands_for"]:
            found[sample] |= _constructs(case)

    missing = {sample: sorted(SAMPLES[sample] - found[sample]) for sample in SAMPLES}

    assert {sample: constructs for sample, constructs in missing.items() if constructs} == {}


def _constructs(case: dict[str, Any]) -> set[str]:
    """Return what a program uses; a malformed one says itself what is wrong with it."""
    return set(case["constructs"]) if "constructs" in case else constructs_of(case["program"])


def test_every_case_has_one_outcome_and_its_evidence() -> None:
    """A case runs, fails or is refused; it says how that is known; and no key of it is ignored."""
    assert [case["id"] for case in ALL_CASES if len(OUTCOMES & case.keys()) != 1] == []
    assert [
        case["id"]
        for case in ALL_CASES
        if not case["source"] or case["known_from"] not in ("documented", "recorded", "assumed")
    ] == []
    assert [case.keys() - KEYS - {"id"} for case in ALL_CASES if not case.keys() <= KEYS | {"id"}] == []


def test_readme_counts_the_samples() -> None:
    """The README of localcloud says how many samples the index holds."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

    assert f"names the {len(SAMPLES)} samples that were read" in readme


def test_every_sample_has_constructs_and_a_case() -> None:
    """No line of the index is empty, and every case stands for at least one sample of it."""
    assert [sample for sample, constructs in SAMPLES.items() if not constructs] == []
    assert [case["id"] for case in ALL_CASES if not case["stands_for"]] == []
