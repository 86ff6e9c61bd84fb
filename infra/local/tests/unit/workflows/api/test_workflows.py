"""Workflows, revisions, operations and locations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from localcloud.core.google_errors import GoogleError
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.api.resources import to_wire

PARENT = "projects/demo/locations/us-central1"
WORKFLOW = f"{PARENT}/workflows/w"
ACCOUNT = "projects/demo/serviceAccounts/123456789012-compute@developer.gserviceaccount.com"


def test_create_is_a_finished_operation_with_the_workflow(emulator: Any) -> None:
    """The operation carries the types that Google's clients unpack by."""
    operation = to_wire(emulator.deploy())

    assert re.fullmatch(rf"{PARENT}/operations/operation-[0-9a-f-]{{36}}", operation["name"])
    assert operation["done"] is True
    assert operation["metadata"] == {
        "@type": "type.googleapis.com/google.cloud.workflows.v1.OperationMetadata",
        "createTime": "2023-11-14T22:13:20Z",
        "endTime": "2023-11-14T22:13:20Z",
        "target": WORKFLOW,
        "verb": "create",
        "apiVersion": "v1",
    }
    assert operation["response"]["@type"] == "type.googleapis.com/google.cloud.workflows.v1.Workflow"
    assert operation["response"]["name"] == WORKFLOW


def test_new_workflow_is_shown_with_googles_fields(emulator: Any) -> None:
    """A workflow without options runs as the default account, at revision one."""
    emulator.deploy()

    shown = to_wire(emulator.workflows.get(WORKFLOW))

    revision = shown.pop("revisionId")
    assert re.fullmatch(r"000001-[0-9a-f]{3}", revision)
    assert shown == {
        "name": WORKFLOW,
        "state": "ACTIVE",
        "createTime": "2023-11-14T22:13:20Z",
        "updateTime": "2023-11-14T22:13:20Z",
        "revisionCreateTime": "2023-11-14T22:13:20Z",
        "serviceAccount": ACCOUNT,
        "sourceContents": "echo",
    }


def test_refused_source_is_an_operation_with_error_code_three(emulator: Any) -> None:
    """A bad source answers 200 with a failed operation that shows the caret, and creates nothing."""
    operation = emulator.deploy("nonsense")

    assert operation["error"] == {"code": 3, "message": "no such program: nonsense\n1 | nonsense\n    ^"}
    with pytest.raises(GoogleError, match="was not found"):
        emulator.workflows.get(WORKFLOW)


def test_refused_update_leaves_the_old_revision(emulator: Any) -> None:
    """A failed deploy changes nothing."""
    emulator.deploy()
    before = emulator.workflows.get(WORKFLOW)

    operation = emulator.workflows.patch(WORKFLOW, "sourceContents", {"sourceContents": "nonsense"})

    assert operation["error"]["code"] == 3
    assert emulator.workflows.get(WORKFLOW) == before


def test_creating_a_workflow_twice_is_already_exists(emulator: Any) -> None:
    """The second create of an id is 409."""
    emulator.deploy()

    with pytest.raises(GoogleError) as caught:
        emulator.deploy()

    assert caught.value.status == "ALREADY_EXISTS"


@pytest.mark.parametrize("workflow_id", ["", "1st", "a-", "a b", "a" * 65], ids=repr)
def test_ill_formed_workflow_id_is_refused(emulator: Any, workflow_id: str) -> None:
    """Ids start with a letter, end with a letter or digit and have at most 64 characters."""
    with pytest.raises(GoogleError) as caught:
        emulator.workflows.create(PARENT, workflow_id, {"sourceContents": "echo"})

    assert caught.value.status == "INVALID_ARGUMENT"


@pytest.mark.parametrize("mask", ["sourceContents", "source_contents", ""], ids=["camel", "snake", "empty"])
def test_new_source_is_a_new_revision(emulator: Any, mask: str) -> None:
    """A mask in either spelling, or none at all, takes the source over."""
    emulator.deploy()

    emulator.workflows.patch(WORKFLOW, mask, {"sourceContents": "wait"})

    shown = emulator.workflows.get(WORKFLOW)
    assert (shown["sourceContents"], shown["revisionId"][:7]) == ("wait", "000002-")


@pytest.mark.parametrize(
    ("field", "value"),
    [("userEnvVars", {"A": "1"}), ("serviceAccount", "projects/-/serviceAccounts/me@demo.iam.gserviceaccount.com")],
)
def test_environment_and_account_belong_to_the_revision(emulator: Any, field: str, value: Any) -> None:
    """Changing what an execution is pinned to makes a revision."""
    emulator.deploy()

    emulator.workflows.patch(WORKFLOW, field, {field: value})

    assert emulator.workflows.get(WORKFLOW)["revisionId"].startswith("000002-")


def test_description_and_labels_are_the_workflows_own(emulator: Any) -> None:
    """Changing them makes no revision."""
    emulator.deploy()

    emulator.workflows.patch(WORKFLOW, "description,labels", {"description": "d", "labels": {"team": "a"}})

    shown = emulator.workflows.get(WORKFLOW)
    assert (shown["description"], shown["labels"], shown["revisionId"][:7]) == ("d", {"team": "a"}, "000001-")


def test_masked_field_that_the_body_leaves_out_is_cleared(emulator: Any) -> None:
    """AIP-134: the mask decides."""
    emulator.deploy(description="d")

    emulator.workflows.patch(WORKFLOW, "description", {})

    assert "description" not in emulator.workflows.get(WORKFLOW)


def test_old_revision_can_be_read(emulator: Any) -> None:
    """`revisionId` gives the workflow as it was."""
    first = emulator.deploy()["response"]["revisionId"]
    emulator.workflows.patch(WORKFLOW, "sourceContents", {"sourceContents": "wait"})

    assert emulator.workflows.get(WORKFLOW, first)["sourceContents"] == "echo"


def test_revisions_are_listed_newest_first(emulator: Any) -> None:
    """The list starts with the current revision and pages on."""
    emulator.deploy()
    emulator.workflows.patch(WORKFLOW, "sourceContents", {"sourceContents": "wait"})

    first = emulator.workflows.list_revisions(WORKFLOW, ListQuery(page_size=1))
    second = emulator.workflows.list_revisions(WORKFLOW, ListQuery(page_size=1, page_token=first["nextPageToken"]))

    assert [page["workflows"][0]["sourceContents"] for page in (first, second)] == ["wait", "echo"]
    assert "nextPageToken" not in second


def test_workflows_are_listed_by_location(emulator: Any) -> None:
    """A list holds what was created in its location only."""
    emulator.deploy()
    emulator.workflows.create("projects/demo/locations/europe-west1", "other", {"sourceContents": "echo"})

    listed = emulator.workflows.list(PARENT, ListQuery())

    assert [workflow["name"] for workflow in listed["workflows"]] == [WORKFLOW]


def test_deleted_workflow_is_gone_with_an_empty_response(emulator: Any) -> None:
    """Delete is an operation whose response is Empty."""
    emulator.deploy()

    operation = emulator.workflows.delete(WORKFLOW)

    assert operation["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    with pytest.raises(GoogleError, match="was not found"):
        emulator.workflows.get(WORKFLOW)


def test_operations_are_kept_listed_and_deleted(emulator: Any) -> None:
    """An operation can be read until it is deleted."""
    name = emulator.deploy()["name"]

    listed = emulator.workflows.list_operations(PARENT, ListQuery())
    emulator.workflows.delete_operation(name)

    assert [operation["name"] for operation in listed["operations"]] == [name]
    with pytest.raises(GoogleError, match="was not found"):
        emulator.workflows.get_operation(name)


def test_locations_are_home_and_those_in_use(emulator: Any) -> None:
    """Every place that has a workflow is listed."""
    emulator.workflows.create("projects/demo/locations/europe-west1", "other", {"sourceContents": "echo"})

    listed = emulator.workflows.list_locations("demo")

    assert [place["locationId"] for place in listed["locations"]] == ["europe-west1", "us-central1"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"nonsense": 1}, "INVALID_ARGUMENT"),
        ({"labels": {"Team": "a"}}, "INVALID_ARGUMENT"),
        ({"labels": {f"k{n}": "v" for n in range(65)}}, "INVALID_ARGUMENT"),
        ({"description": "d" * 1001}, "INVALID_ARGUMENT"),
        ({"description": 3}, "INVALID_ARGUMENT"),
        ({"userEnvVars": {"GOOGLE_X": "1"}}, "INVALID_ARGUMENT"),
        ({"userEnvVars": {"A": "x" * 4097}}, "INVALID_ARGUMENT"),
        ({"userEnvVars": {f"K{n}": "v" for n in range(21)}}, "INVALID_ARGUMENT"),
        ({"sourceContents": "x" * (128 * 1024 + 1)}, "INVALID_ARGUMENT"),
        ({"serviceAccount": "nobody"}, "INVALID_ARGUMENT"),
        ({"callLogLevel": "LOUD"}, "INVALID_ARGUMENT"),
        ({"callLogLevel": 9}, "INVALID_ARGUMENT"),
        ({"cryptoKeyName": "k"}, "INVALID_ARGUMENT"),
        ({"executionHistoryLevel": "EXECUTION_HISTORY_FULL"}, "INVALID_ARGUMENT"),
        ({"tags": {"a": ""}}, "INVALID_ARGUMENT"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_bad_or_unsupported_field_is_refused(emulator: Any, fields: dict[str, Any], status: str) -> None:
    """Nothing is accepted and ignored."""
    with pytest.raises(GoogleError) as caught:
        emulator.workflows.create(PARENT, "w", {"sourceContents": "echo", **fields})

    assert caught.value.status == status


def test_key_is_shown_and_tags_are_not(emulator: Any, caplog: pytest.LogCaptureFixture) -> None:
    """`tags` is input only; a warning says that neither does anything here."""
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"

    emulator.deploy(cryptoKeyName=key, tags={"tagKeys/1": "tagValues/2"})

    shown = emulator.workflows.get(WORKFLOW)
    assert (shown["cryptoKeyName"], "tags" in shown) == (key, False)
    assert "encrypts nothing" in caplog.text


def test_key_can_be_cleared_and_tags_cannot_be_changed(emulator: Any) -> None:
    """`gcloud workflows deploy --clear-kms-key`; tags are immutable."""
    emulator.deploy(cryptoKeyName="projects/p/locations/l/keyRings/r/cryptoKeys/k")

    emulator.workflows.patch(WORKFLOW, "cryptoKeyName", {})

    assert "cryptoKeyName" not in emulator.workflows.get(WORKFLOW)
    with pytest.raises(GoogleError, match="tags"):
        emulator.workflows.patch(WORKFLOW, "tags", {"tags": {"a": "b"}})


@pytest.mark.parametrize("level", [1, "LOG_ALL_CALLS", "1"], ids=repr)
def test_enum_is_taken_by_name_or_number(emulator: Any, level: Any) -> None:
    """Google's clients send numbers, gcloud sends names."""
    emulator.deploy(callLogLevel=level)

    assert to_wire(emulator.workflows.get(WORKFLOW))["callLogLevel"] == "LOG_ALL_CALLS"


def test_unknown_mask_is_refused(emulator: Any) -> None:
    """A mask names fields that can be written."""
    emulator.deploy()

    with pytest.raises(GoogleError, match="Invalid update mask: revisionId"):
        emulator.workflows.patch(WORKFLOW, "revisionId", {})


def test_empty_source_is_a_failed_operation(emulator: Any) -> None:
    """A workflow has a source."""
    assert emulator.deploy("")["error"]["message"] == "source_contents must not be empty"


@pytest.mark.parametrize("location", ["mars-1", "us-central", "global", "US-CENTRAL1"])
def test_location_that_google_has_not_is_refused(emulator: Any, location: str) -> None:
    """With the text of the API, so that a typing error is found here."""
    parent = f"projects/demo/locations/{location}"
    text = f"Location {location} is not found or access is unauthorized."

    for ask in (
        lambda: emulator.workflows.create(parent, "w", {"sourceContents": "echo"}),
        lambda: emulator.workflows.get_location("demo", location),
        lambda: emulator.workflows.list(parent, ListQuery()),
        lambda: emulator.workflows.list_operations(parent, ListQuery()),
    ):
        with pytest.raises(GoogleError, match=text) as error:
            ask()
        assert error.value.status == "PERMISSION_DENIED"
