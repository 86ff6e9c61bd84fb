"""Staging and production are two folders of one shape: what was tried in one is what the other gets."""

from __future__ import annotations

from typing import Any

import pytest

from support import deployment_files as d
from support.terraform_files import Block, read_folder

STAGING, PRODUCTION = (d.ENVIRONMENTS / name for name in ("staging", "production"))
OWN = {
    "size",
    "database_highly_available",
    "deletion_protection",
    "monthly_budget",
    "images_retention_days",
}
"""What an environment decides for itself; anything else is equal, or comes from terraform.tfvars."""


def call(name: str) -> dict[str, Any]:
    """Return the arguments with which an environment calls the module that is all of Pressroom."""
    calls: list[Block] = [block for block in read_folder(d.ENVIRONMENTS / name) if block.type == "module"]
    (one,) = calls
    return one.arguments


def test_both_folders_have_the_same_files() -> None:
    """And there is no third one that nobody compares."""
    files = [
        {path.name for path in folder.iterdir() if not path.name.startswith(".")} for folder in (STAGING, PRODUCTION)
    ]

    assert {path.name for path in d.ENVIRONMENTS.iterdir()} == {"staging", "production"}
    assert files[0] - {"terraform.tfvars"} == files[1] - {"terraform.tfvars"}


@pytest.mark.parametrize("name", ["variables.tf", "outputs.tf", "versions.tf"])
def test_variables_outputs_and_providers_are_the_same(name: str) -> None:
    """To the letter."""
    assert (STAGING / name).read_text(encoding="utf-8") == (PRODUCTION / name).read_text(encoding="utf-8")


def test_environments_differ_in_the_named_variables_only() -> None:
    """Both state each of them; what stands beside them is the same call of the same module."""
    staging, production = call("staging"), call("production")

    assert set(staging) == set(production) >= OWN
    assert {name for name in staging if staging[name] != production[name]} <= OWN
    assert production["deletion_protection"] is True
    assert production["database_highly_available"] is True


def test_lines_of_an_environments_own_are_marked() -> None:
    """Whoever edits main.tf sees where the folders may differ: outside they are equal, the comment on top aside."""
    rest = []
    for folder in (STAGING, PRODUCTION):
        before, _, after = (folder / "main.tf").read_text(encoding="utf-8").partition("  # This environment's own.\n")
        rest.append((before[before.index("module ") :], after.partition("  # Until here.\n")[2]))

    assert rest[0] == rest[1]
    assert all(rest[0])


def test_every_output_of_the_system_is_an_output_of_an_environment() -> None:
    """The commands of deploy.md read them there."""
    names = [
        {block.labels[0] for block in read_folder(folder) if block.type == "output"}
        for folder in (d.MODULES / "pressroom", STAGING)
    ]

    assert names[0] == names[1]


def test_production_may_see_and_pull_what_staging_runs_and_nothing_else() -> None:
    """Its deployer and the agent that pulls images for Cloud Run read the registry; what serves may be looked up."""
    grants = {
        block.labels[0]: block.arguments
        for _, block in d.terraform()
        if block.type == "resource" and block.labels[1:] == ("promoted_to",)
    }
    (seen,) = [role for role in d.resources("google_project_iam_custom_role") if role.labels[1] == "see_release"]

    assert set(grants) == {"google_artifact_registry_repository_iam_member", "google_project_iam_member"}
    assert grants["google_artifact_registry_repository_iam_member"]["role"] == "roles/artifactregistry.reader"
    assert {permission.rpartition(".")[2] for permission in seen.arguments["permissions"]} == {"get"}
    assert d.default("pressroom", "promoted_to") is None
