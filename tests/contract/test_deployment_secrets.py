"""infra/terraform/new-secrets, run with a program in the place of gcloud that keeps what it is told."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from docs.generate.settings import SETTINGS
from sqlalchemy import make_url

from chassis.auth.api_keys import Scope, find_key, parse_api_keys
from support import deployment_files as d
from support.service_apps import settings_from

_GCLOUD = """#!/bin/sh
# Answers as gcloud does: a version or user is listed once it was added.
cd "{state}"
for word in "$@"; do
  case "$word" in
    --filter=name=*) asked=${{word##*=}} ;;
    --password=*) password=${{word#*=}} ;;
  esac
done
case "$1 $2 $3" in
  "secrets versions list") [ ! -e "secret-$4" ] || echo 1 ;;
  "secrets versions add") [ ! -e "fail-$4" ] && cat > "secret-$4" ;;
  "sql users list") [ ! -e "user-$asked" ] || echo "$asked" ;;
  "sql users create" | "sql users set-password") printf %s "$password" > "user-$4" ;;
  *) exit 64 ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A project in a folder: one file per secret version and user."""

    state: Path

    def new_secrets(self) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        command = [str(d.TERRAFORM / "new-secrets"), d.PROJECT, d.LOCATION]
        path = f"{self.state.parent / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(command, check=False, capture_output=True, text=True, env={"PATH": path})

    def values(self) -> dict[str, str]:
        """Return every secret's value by its name."""
        return {path.name.removeprefix("secret-"): path.read_text() for path in self.state.glob("secret-*")}

    def password(self, user: str) -> str:
        """Return a database user's password."""
        return (self.state / f"user-{user}").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("bin", "state"):
        (tmp_path / name).mkdir()
    gcloud = tmp_path / "bin/gcloud"
    gcloud.write_text(_GCLOUD.format(state=tmp_path / "state"))
    gcloud.chmod(0o755)
    return Project(tmp_path / "state")


def test_every_secret_gets_a_value(project: Project) -> None:
    """One run leaves no secret of Terraform's without a version, and prints none."""
    done = project.new_secrets()

    assert done.returncode == 0, done.stderr
    assert set(project.values()) == set(d.local("secrets", "readers"))
    assert [value for value in project.values().values() if value in done.stdout + done.stderr] == []


@pytest.mark.threat("T14")
def test_first_api_key_is_shown_once_and_opens_everything(project: Project) -> None:
    """The key that is printed is the one whose hash is stored; the next run prints none."""
    first, again = project.new_secrets(), project.new_secrets()
    shown = re.findall(r"prk_[A-Za-z0-9_-]{43}", first.stdout + first.stderr)
    keys = parse_api_keys(project.values()["api-keys"])

    assert len(shown) == 1
    assert [(key.owner, key.allows(Scope.ADMIN)) for key in keys] == [("operator", True), ("smoke", False)]
    assert find_key(keys, shown[0]) == keys[0]
    assert find_key(keys, project.values()["smoke-api-key"]) == keys[1]
    assert keys[1].scopes == {Scope.READ, Scope.WRITE}
    assert "prk_" not in again.stdout + again.stderr


@pytest.mark.parametrize("service", ["ingest", "reporter"])
def test_services_start_with_the_values_that_are_made(project: Project, service: str) -> None:
    """The services' own settings accept the secrets, and the URL has the password that the user got."""
    project.new_secrets()
    values = project.values()
    environment = {
        name: values[value.removeprefix("secret:").partition("/")[0]] if value.startswith("secret:") else value
        for name, value in d.environment(service).items()
    }

    assert isinstance(settings_from(environment, service), SETTINGS[service])
    assert make_url(environment["DATABASE_URL"]).password == project.password(service)


def test_second_run_changes_nothing(project: Project) -> None:
    """What has a version is left alone."""
    project.new_secrets()
    before = project.values()

    again = project.new_secrets()

    assert again.returncode == 0
    assert project.values() == before


def test_run_that_broke_off_is_completed_by_the_next(project: Project) -> None:
    """A user without a stored password gets a new one, so that user and secret agree in the end."""
    fault = project.state / "fail-ingest-database-url"
    fault.touch()
    assert project.new_secrets().returncode != 0
    fault.unlink()

    assert project.new_secrets().returncode == 0
    assert make_url(project.values()["ingest-database-url"]).password == project.password("ingest")


def test_wrong_usage_is_told() -> None:
    """Without project and region nothing is done."""
    done = subprocess.run([str(d.TERRAFORM / "new-secrets")], check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (2, "usage: new-secrets PROJECT REGION\n")
