"""What the services may do with objects: create and read, never overwrite or delete."""

from __future__ import annotations

import pytest

from support import deployment_files as d
from support.terraform_files import Expression

MAY = {
    # https://cloud.google.com/storage/docs/access-control/iam-roles; none of them has storage.objects.delete, which
    # an overwriting needs too.
    "roles/storage.objectCreator",
    "roles/storage.objectViewer",
    "roles/storage.legacyObjectReader",
}


@pytest.mark.feature("53")
@pytest.mark.fault("C10", "I10")
@pytest.mark.threat("T12")
def test_nobody_may_overwrite_or_delete_an_object() -> None:
    """A repeated upload without a precondition is refused by Cloud Storage itself, whatever our code does."""
    granted = {
        (str(block.arguments["member"]), str(block.arguments["role"]))
        for block in d.resources("google_storage_bucket_iam_member")
    }

    assert {role for _, role in granted} <= MAY
    creators = {member for member, role in granted if role == "roles/storage.objectCreator"}
    assert creators == {
        *(str(Expression(f'var . members [ "{name}" ]')) for name in ("compressor", "ingest", "reporter")),
        str(Expression("var . builder_member")),  # bills of materials, in a bucket and a folder of their own
    }


@pytest.mark.fault("C10")
def test_no_project_role_reaches_objects() -> None:
    """Otherwise the grants of the buckets would not be the whole story."""
    roles = {str(grant["role"]) for grant in d.local("accounts", "project_roles").values()}

    assert {role for role in roles if role.startswith("roles/storage")} == set()
