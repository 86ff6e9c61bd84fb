"""What a first apply meets, and a last one: agents that are asked for, a budget, names that stay taken."""

from __future__ import annotations

import re

import pytest

from support import deployment_files as d
from support.terraform_files import Expression, read_folder

USES_AN_AGENT = {
    "google_cloud_scheduler_job": "cloudscheduler.googleapis.com",
    "google_cloud_tasks_queue": "cloudtasks.googleapis.com",
    "google_workflows_workflow": "workflows.googleapis.com",
}
"""Resources whose creation fails with "service agent does not exist" where nobody has asked for the agent."""


def test_service_agents_are_asked_for_before_anything_needs_them() -> None:
    """Each is a resource of module apis, and the modules that need one wait for that module."""
    needing = {folder for folder, block in d.terraform() if block.labels[:1] and block.labels[0] in USES_AN_AGENT}
    calls = {block.labels[0]: block for block in read_folder(d.MODULES / "pressroom") if block.type == "module"}
    (asked,) = d.resources("google_project_service_identity")

    assert set(USES_AN_AGENT.values()) <= set(re.findall(r'"([\w.]+)"', d.local("apis", "agents").text))
    assert "local . agents" in asked.arguments["for_each"].text
    assert needing == {"queues", "schedules", "workflow"}
    for folder in needing:
        assert Expression("module . apis") in calls[folder].arguments["depends_on"], folder


@pytest.mark.threat("T6")
def test_budget_tells_before_it_is_spent() -> None:
    """It is made for every billing account that is named, and tells at 50, 90 and 100 %, and of a bad forecast."""
    (budget,) = d.resources("google_billing_budget")
    told = {
        (rule.arguments["threshold_percent"], rule.arguments.get("spend_basis", "CURRENT_SPEND"))
        for rule in budget.inner("threshold_rules")
    }

    assert told == {
        (0.5, "CURRENT_SPEND"),
        (0.9, "CURRENT_SPEND"),
        (1.0, "CURRENT_SPEND"),
        (1.2, "FORECASTED_SPEND"),
    }
    assert d.default("pressroom", "monthly_budget") > 0


def test_page_tells_which_names_stay_taken_and_which_policies_refuse() -> None:
    """Who takes the system down and up again, or works in a strict organisation, reads it before the error comes."""
    page = (d.ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    down = page.partition("## Take it down")[2].partition("\n## ")[0]

    assert re.search(r"\*\*queue\*\* cannot be made again for three days", down)
    assert "Cloud SQL **instance** for a week" in down
    for policy in ("sql.restrictPublicIp", "iam.allowedPolicyMemberDomains", "storage.publicAccessPrevention"):
        assert f"`{policy}`" in page
