"""Settings: all faults at once, nothing unsafe, and a table to compare documentation with."""

from __future__ import annotations

from typing import Self

import pytest
from pydantic import Field, SecretStr, ValidationError, model_validator

from chassis.auth.api_keys import new_key
from chassis.settings import CommaList, PublicSettings, Settings, SettingsError, exit_with_faults, settings_rows


class Sample(Settings):
    """A service's settings."""

    names: CommaList = Field(("a", "b"), alias="NAMES", description="Names")
    limit: int = Field(5, alias="LIMIT", ge=1, description="A limit")
    secret: SecretStr = Field(SecretStr("hidden"), alias="SECRET", description="A secret")
    peer_url: str = Field(alias="PEER_URL", description="A peer")


GIVEN = {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l", "PEER_URL": "http://peer"}


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Sample.from_environ(environ)
    return caught.value.faults


def test_settings_come_from_the_given_mapping_only() -> None:
    """Names as in the environment; unknown variables are of no interest."""
    settings = Sample.from_environ(GIVEN | {"LIMIT": "7", "HOME": "/root"})

    assert (settings.project, settings.limit, settings.peer_url) == ("p", 7, "http://peer")


@pytest.mark.fault("J4")
@pytest.mark.threat("T16")
def test_every_fault_is_named_at_once_and_no_value_is_shown() -> None:
    """One start, one list of what to fix."""
    found = faults({"LIMIT": "s3cret-typo", "GOOGLE_CLOUD_PROJECT": "p"})

    assert [fault.split(":")[0] for fault in sorted(found)] == ["GOOGLE_CLOUD_LOCATION", "LIMIT", "PEER_URL"]
    assert "s3cret" not in "".join(found)


def test_an_empty_variable_counts_as_not_set() -> None:
    """Shells and Cloud Run cannot tell the two apart reliably."""
    assert Sample.from_environ(GIVEN | {"LIMIT": ""}).limit == 5
    assert faults(GIVEN | {"PEER_URL": ""})[0].startswith("PEER_URL")


@pytest.mark.parametrize(("text", "names"), [("x", ("x",)), ("x,y", ("x", "y")), (" x , y ,", ("x", "y")), (",", ())])
def test_lists_are_written_with_commas(text: str, names: tuple[str, ...]) -> None:
    """Blanks around items and empty items do not count."""
    assert Sample.from_environ(GIVEN | {"NAMES": text}).names == names


def test_a_fault_of_the_combination_is_listed_too() -> None:
    """A validator of the whole model belongs to no single variable."""

    class Paired(Sample):
        @model_validator(mode="after")
        def _fits(self) -> Self:
            message = "LIMIT does not fit NAMES"
            raise ValueError(message)

    with pytest.raises(SettingsError, match="LIMIT does not fit NAMES"):
        Paired.from_environ(GIVEN)


def test_settings_cannot_be_changed() -> None:
    """They are read once."""
    settings = Sample.from_environ(GIVEN)
    with pytest.raises(ValidationError):
        settings.limit = 6  # type: ignore[misc]


def test_unchecked_tokens_are_refused_off_cloud_run() -> None:
    """AUTH_MODE=platform trusts whoever stands in front, and off Cloud Run nobody does."""
    assert faults(GIVEN | {"AUTH_MODE": "platform"})[0].startswith("AUTH_MODE")
    assert Sample.from_environ(GIVEN | {"AUTH_MODE": "platform", "K_SERVICE": "ingest"}).auth_mode == "platform"


def test_a_foreign_issuer_is_refused_on_cloud_run() -> None:
    """In production only Google's certificates count; a look-alike prefix is not Google's."""
    for url in ("http://127.0.0.1:8090/certs", "https://www.googleapis.com.evil.example/certs"):
        assert faults(GIVEN | {"K_SERVICE": "ingest", "AUTH_CERTS_URL": url})[0].startswith("AUTH_CERTS_URL")


@pytest.mark.threat("T11")
@pytest.mark.parametrize("keys", ["", "off"])
def test_public_routes_without_keys_are_refused_on_cloud_run(keys: str) -> None:
    """Nobody opens a service to the world by forgetting something; who wants it open says so."""
    open_to_world = GIVEN | {"K_SERVICE": "ingest", "DOOR": "public", "API_KEYS": keys}

    with pytest.raises(SettingsError, match="API_KEYS"):
        PublicSettings.from_environ(open_to_world)
    assert PublicSettings.from_environ(open_to_world | {"PUBLIC_WITHOUT_KEYS": "true"}).keys_of_callers == ()
    assert PublicSettings.from_environ(GIVEN | {"API_KEYS": keys}).keys_of_callers == ()


def test_public_routes_with_keys_start_on_cloud_run() -> None:
    """One key is enough."""
    line = new_key(owner="operator", scopes=["admin"]).line

    at_the_door = GIVEN | {"K_SERVICE": "ingest", "DOOR": "public", "API_KEYS": line}

    assert PublicSettings.from_environ(at_the_door).keys_of_callers


@pytest.mark.threat("T11")
@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"DOOR": ""}, "DOOR"),
        ({"DOOR": "internal"}, "AUTH_MODE"),
        ({"DOOR": "public", "AUTH_MODE": "platform"}, "AUTH_MODE"),
    ],
    ids=["both doors", "signatures that IAM took", "tokens that nobody checks"],
)
def test_a_door_that_does_not_fit_its_front_is_refused_on_cloud_run(given: dict[str, str], fault: str) -> None:
    """One door a service; behind IAM there is nothing to verify, without IAM nothing to trust."""
    with pytest.raises(SettingsError, match=fault):
        PublicSettings.from_environ(GIVEN | {"K_SERVICE": "ingest", "PUBLIC_WITHOUT_KEYS": "true"} | given)


def test_the_internal_door_needs_no_keys() -> None:
    """No client gets there."""
    behind_iam = GIVEN | {"K_SERVICE": "ingest-internal", "DOOR": "internal", "AUTH_MODE": "platform"}

    assert PublicSettings.from_environ(behind_iam).serves_our_parts


def test_an_unknown_auth_mode_is_refused() -> None:
    """There is no mode that checks nothing."""
    assert faults(GIVEN | {"AUTH_MODE": "off"})[0].startswith("AUTH_MODE")


def test_rows_describe_every_field_in_order_and_hide_secrets() -> None:
    """The rows that docs/settings.md is written from."""
    rows = {row.variable: row for row in settings_rows(Sample)}

    assert (rows["NAMES"].default, rows["LIMIT"].default, rows["PEER_URL"].default) == ("a,b", "5", "required")
    assert rows["SECRET"].default == ""
    assert list(rows)[:2] == ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"]
    assert all(row.help for row in rows.values())


def test_a_process_with_bad_settings_ends_with_2_and_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    """Before any traffic is served."""
    with pytest.raises(SystemExit) as caught:
        exit_with_faults("ingest", SettingsError(["A: missing", "B: bad"]))

    assert caught.value.code == 2
    assert capsys.readouterr().err == "ingest: bad setting A: missing\ningest: bad setting B: bad\n"
