"""Every field that HCL, manifests, Skaffold and Cloud Build use exists where it is sent.

The schemas in tests/data are extracts with their provenance: provider google 6.50.0, the discovery documents of the
Cloud Run and Cloud Build APIs, Skaffold's JSON Schema.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from support import deployment_files as d
from support.terraform_files import Block, Expression

DATA = d.ROOT / "tests/data"
META = {"count", "for_each", "depends_on", "provider"}


@cache
def data(name: str) -> Any:
    """Return a file of tests/data."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def hcl_faults(schema: dict[str, Any], block: Block, where: str) -> Iterator[str]:
    """Yield what a block has that the provider does not know, and what it lacks."""
    inner: list[tuple[str, Block]] = []
    for child in block.blocks:
        if child.type == "dynamic":
            inner.append((child.labels[0], child.inner("content")[0]))
        elif child.type != "lifecycle":
            inner.append((child.type, child))
    given = set(block.arguments) | {name for name, _ in inner}
    yield from (f"{where}.{name}: no such argument" for name in set(block.arguments) - META - set(schema["arguments"]))
    yield from (f"{where}.{name}: missing" for name in set(schema["required"]) - given)
    for name, values in schema.get("values", {}).items():
        value = block.arguments.get(name)
        if isinstance(value, str) and value not in values:
            yield f"{where}.{name}: {value} is none of {values}"
    for name, child in inner:
        if name in schema["blocks"]:
            yield from hcl_faults(schema["blocks"][name], child, f"{where}.{name}")
        else:
            yield f"{where}.{name}: no such block"


@pytest.mark.parametrize("kind", ["resource", "data"])
def test_terraform_uses_only_what_the_provider_has(kind: str) -> None:
    """Resource types, arguments, blocks and written values are those of provider google 6.50."""
    known = data("google_provider_6_50")[kind]

    faults = [
        fault
        for folder, block in d.terraform()
        if block.type == kind
        for fault in (
            hcl_faults(known[block.labels[0]], block, f"{folder}.{'.'.join(block.labels)}")
            if block.labels[0] in known
            else [f"{folder}: no such {kind} {block.labels[0]}"]
        )
    ]

    assert faults == []


def test_terraform_check_finds_what_is_wrong() -> None:
    """The check itself: an unknown argument, a missing one, an unknown block and a wrong value are all told."""
    known = data("google_provider_6_50")["resource"]["google_cloud_run_v2_service"]
    block = Block(
        "resource",
        ("google_cloud_run_v2_service", "x"),
        {"name": "x", "ingres": "", "ingress": "open"},
        [Block("scale", ())],
    )

    assert set(hcl_faults(known, block, "x")) == {
        "x.ingres: no such argument",
        "x.location: missing",
        "x.template: missing",
        f"x.ingress: open is none of {known['values']['ingress']}",
        "x.scale: no such block",
    }


def test_provider_versions_are_those_that_were_checked() -> None:
    """All modules take provider google and google-beta from the version of the extract on, and no untried major one."""
    folders = [*d.MODULES.iterdir(), *d.ENVIRONMENTS.iterdir()]
    text = "".join((folder / "versions.tf").read_text(encoding="utf-8") for folder in folders)

    assert set(re.findall(r'^\s{6}version = "(.*)"$', text, re.MULTILINE)) == {">= 6.50, < 8.0"}
    assert data("google_provider_6_50")["version"] == "6.50.0"


def test_resources_of_the_beta_provider_say_so() -> None:
    """What only google-beta has names it, in a module that requires it; nothing else does."""
    beta = {name for name, schema in data("google_provider_6_50")["resource"].items() if "provider" in schema}
    named = {
        (folder, block.labels[0]): block.arguments["provider"]
        for folder, block in d.terraform()
        if block.type == "resource" and "provider" in block.arguments
    }

    assert set(named.values()) == {Expression("google-beta")}
    assert {kind for _, kind in named} == beta
    for folder, _ in named:
        assert "hashicorp/google-beta" in (d.MODULES / folder / "versions.tf").read_text(encoding="utf-8")


def test_modules_are_given_exactly_their_variables() -> None:
    """Every argument of a module call is a variable of the module, and what has no default is given."""
    calls = {
        block.labels[0]: set(block.arguments) - {"source", "depends_on", "count", "providers"}
        for _, block in d.terraform()
        if block.type == "module"
    }
    for name, given in calls.items():
        variables = {block.labels[0]: block.arguments for block in d.module(name) if block.type == "variable"}
        assert given <= set(variables), name
        assert {v for v, arguments in variables.items() if "default" not in arguments} <= given, name
    assert set(calls) == {path.name for path in d.MODULES.iterdir()}


def test_every_variable_and_output_is_described() -> None:
    """Whoever fills in terraform.tfvars reads what each variable means."""
    silent = [
        f"{folder}.{block.labels[0]}"
        for folder, block in d.terraform()
        if block.type in {"variable", "output"} and not block.arguments.get("description")
    ]

    assert silent == []


def test_outputs_print_what_operators_need() -> None:
    """`terraform output` shows where sheets are posted and the line that runs the workflow."""
    outputs = {
        b.labels[0]: str(b.arguments["value"]) for f, b in d.terraform() if f == "pressroom" and b.type == "output"
    }

    assert '["ingest"]' in outputs["upload_url"]
    assert "/upload" in outputs["upload_url"]
    assert "gcloud workflows run ${module.workflow.name} " in outputs["gcloud"]
    assert "--data=" in outputs["gcloud"]


def test_every_suppression_of_the_scanner_is_argued() -> None:
    """A `checkov:skip` without a reason is a fault that was hidden."""
    skips = [
        line.strip()
        for path in d.TERRAFORM.rglob("*.tf")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "checkov:skip" in line
    ]

    everywhere = (d.ROOT / "infra/.checkov.yaml").read_text(encoding="utf-8").splitlines()
    unargued = [
        line
        for before, line in pairwise(everywhere)
        if line.strip().startswith("- CKV") and not re.fullmatch(r"\s+# .{12,}", before)
    ]

    assert [line for line in skips if not re.fullmatch(r"#checkov:skip=CKV2?_\w+:.{12,}", line)] == []
    assert unargued == []


def test_ci_runs_the_scanner() -> None:
    """`make ci`, which `.ci/run` and Cloud Build start, has `policy`, and it scans what is deployed, offline."""
    makefile = (d.ROOT / "Makefile").read_text(encoding="utf-8")
    (ci,) = re.findall(r"^ci: ([a-z ]+)##", makefile, re.MULTILINE)

    assert {"policy", "sbom"} <= set(ci.split())
    assert set(re.findall(r"@\$\(CHECKOV\) --directory (\S+)", makefile)) == {"infra/terraform", "services"}
    assert "--skip-download" in makefile
    assert re.search(r"^make ci$", (d.ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)


def api_faults(types: dict[str, Any], expected: Any, value: Any, where: str) -> Iterator[str]:
    """Yield the fields of a value that an API's type does not have, and values of another type."""
    match expected:
        case str() if expected.startswith("#"):
            if not isinstance(value, dict):
                yield f"{where}: an object is wanted"
                return
            fields = types[expected[1:]]
            for name, item in value.items():
                if name in fields:
                    yield from api_faults(types, fields[name], item, f"{where}.{name}")
                else:
                    yield f"{where}.{name}: no such field"
        case [element]:
            if not isinstance(value, list):
                yield f"{where}: a list is wanted"
                return
            for index, item in enumerate(value):
                yield from api_faults(types, element, item, f"{where}[{index}]")
        case {"*": element}:
            for name, item in value.items():
                yield from api_faults(types, element, item, f"{where}[{name}]")
        case {"enum": names}:
            if value not in names:
                yield f"{where}: {value} is none of {names}"
        case _:
            kinds: dict[str, type | tuple[type, ...]] = {
                "string": str,
                "boolean": bool,
                "integer": int,
                "number": (int, float),
            }
            if expected in kinds and (
                not isinstance(value, kinds[expected]) or (expected != "boolean" and value is True)
            ):
                yield f"{where}: {value!r} is no {expected}"


@pytest.mark.parametrize("name", ["ingest", "compressor", "reporter", "migrate-ingest", "migrate-reporter"])
def test_manifest_uses_only_fields_of_the_cloud_run_api(name: str) -> None:
    """Each rendered manifest is a Service or Job of run.googleapis.com/v1, field by field."""
    manifest = d.manifests()[name]

    assert list(api_faults(data("cloud_run_v1")["types"], f"#{manifest['kind']}", manifest, name)) == []


def test_manifest_check_finds_what_is_wrong() -> None:
    """The check itself: a misspelt field and a number that should be text are told."""
    wrong = {"spec": {"template": {"spec": {"containerConcurency": 1, "serviceAccountName": 7}}}}

    assert list(api_faults(data("cloud_run_v1")["types"], "#Service", wrong, "x")) == [
        "x.spec.template.spec.containerConcurency: no such field",
        "x.spec.template.spec.serviceAccountName: 7 is no string",
    ]


BUILDS = ("cloudbuild.yaml", "cloudbuild-deploy.yaml")


@pytest.mark.parametrize("name", BUILDS)
def test_cloud_build_file_uses_only_fields_of_the_api(name: str) -> None:
    """Each is a Build of cloudbuild.googleapis.com/v1."""
    document = yaml.safe_load((d.ROOT / name).read_text(encoding="utf-8"))

    assert list(api_faults(data("cloud_build_v1")["types"], "#Build", document, "build")) == []


@pytest.mark.parametrize("name", BUILDS)
def test_cloud_build_knows_every_substitution_that_is_used(name: str) -> None:
    """A `$NAME` that is no substitution fails the build, so shell variables are written `$$NAME`."""
    text = (d.ROOT / name).read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    used = set(re.findall(r"(?<!\$)\$\{?([A-Za-z_]\w*)", re.sub(r"(?m)^\s*#.*$", "", text)))

    assert used - {"BUILD_ID"} == {*document["substitutions"], "PROJECT_ID"}
    assert re.findall(r"(?<!\$)\$[^A-Za-z_{$]", text) == []


@pytest.mark.parametrize("configuration", ["images", "migrations", "services"])
def test_skaffold_file_matches_its_schema(configuration: str) -> None:
    """Each configuration is valid skaffold/v4beta14."""
    faults = Draft7Validator(data("skaffold_v4beta14")).iter_errors(d.skaffold()[configuration])

    assert [fault.message for fault in faults] == []


def test_skaffold_schema_refuses_unknown_keys() -> None:
    """The check itself: a misspelt key of the deployer is told."""
    wrong = {**d.skaffold()["services"], "deploy": {"cloudrun": {"regions": "x"}}}

    assert list(Draft7Validator(data("skaffold_v4beta14")).iter_errors(wrong))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.name)
def test_extracted_schema_says_where_it_is_from(path: Path) -> None:
    """Source, version and licence are in the file."""
    document = json.loads(path.read_text(encoding="utf-8"))

    assert re.search(r"Apache-2\.0|MPL-2\.0", document.get("provenance") or document["$comment"])


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_terraform_is_formatted() -> None:
    """`terraform fmt -check` where there is a terraform."""
    command = ["terraform", "fmt", "-check", "-recursive", str(d.TERRAFORM)]

    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
