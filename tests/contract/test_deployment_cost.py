"""What a month costs: prices with date and source, usage that is measured where it can be, and the sums in the docs."""

from __future__ import annotations

import json
import re
from datetime import date
from types import ModuleType

import pytest
from docs.generate.cost import script

from contract.test_batch_yaml import pages_of, task_request
from ingest.dispatch.claim import MAX_PAGE_BYTES
from ingest.dispatch.groups import MAX_GROUP
from support import deployment_files as d
from support.workflow_steps import count_steps

FOLDER = d.ROOT / "infra/cost"


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    return script()


def test_every_price_has_unit_source_and_date(cost: ModuleType) -> None:
    """A price without these cannot be checked."""
    document = json.loads((FOLDER / "prices.json").read_text(encoding="utf-8"))

    assert date.fromisoformat(document["checked"])
    for name, line in document["lines"].items():
        assert set(line) == {"unit", "usd", "free", "source", "seen"}, name
        assert line["source"].startswith("https://cloud.google.com/")


def test_page_names_the_prices_that_were_not_seen(cost: ModuleType) -> None:
    """What is from memory is told where the sum is read, and nothing else is."""
    lines = json.loads((FOLDER / "prices.json").read_text(encoding="utf-8"))["lines"]
    page = (d.ROOT / "docs/cost.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"From memory alone: ([^.]+)\.", page)

    assert set(re.findall(r"`(\w+)`", told)) == {name for name, line in lines.items() if not line["seen"]}


def test_every_usage_says_how_it_is_known(cost: ModuleType) -> None:
    """Measured, derived or assumed: each number says which."""
    silent = [name for name, line in cost.load("usage.json").items() if len(str(line["how"])) < 10]

    assert silent == []


def test_steps_are_those_that_the_workflow_takes(cost: ModuleType) -> None:
    """The steps of usage.json are counted by running batch.yaml, not guessed."""
    page = int(cost.usage_values()["images_per_page"])
    one, two, group = (
        count_steps(images=images, images_per_page=page, images_per_group=per_group).internal
        for images, per_group in ((page, page), (2 * page, page), (page, page // 2 + 1))
    )
    measured = {
        "steps_per_group": group - one,
        "steps_per_page": two - one - (group - one),
        "steps_per_batch": one - (group - one),
    }

    assert {name: cost.usage_values()[name] for name in measured} == measured


def test_workflow_needs_half_a_step_for_an_image(cost: ModuleType) -> None:
    """Full pages, all that a claim and its calls cost included."""
    u = cost.usage_values()
    groups = -(-u["images_per_page"] // MAX_GROUP)

    assert (u["steps_per_page"] + groups * u["steps_per_group"]) / u["images_per_page"] <= 0.5


def test_pages_hold_so_many_images(cost: ModuleType) -> None:
    """Links of ordinary length in the stack's own names: what fits into a page of JSON."""
    request = len(json.dumps(task_request(1, "https://shop.example/media/catalog/product/a/b/ab-12345-front.jpg")))

    assert cost.usage_values()["images_per_page"] == pytest.approx(MAX_PAGE_BYTES / (request + 130), rel=0.15)


def test_workflow_counts_its_own_steps_from_above() -> None:
    """`steps_used` in batch.yaml hands over in time: what it adds up is not below what really happens."""
    for images in (1, 90, 500, 1000):
        pages = pages_of(images)
        stated = 20 + (len(pages) + 1) * 24 + 16 * sum(len(page) for page in pages)
        assert stated >= count_steps(images=images).entries - 40, images


def test_machine_sizes_are_those_of_manifests_and_terraform(cost: ModuleType) -> None:
    """What is priced is what is deployed."""
    usage = cost.usage_values()
    for service in ("ingest", "compressor"):
        limits = d.container(service)["resources"]["limits"]
        assert (usage[f"{service}_vcpu"], f"{usage[f'{service}_gib']:g}Gi") == (float(limits["cpu"]), limits["memory"])
    for name, size in d.sizes().items():
        vcpu, gib = cost.tier(name)
        assert size["database"]["tier"] == f"db-custom-{vcpu:g}-{gib * 1024:g}"
    assert usage["requests_per_instance"] == d.pod("compressor")["containerConcurrency"]
    assert usage["schedules"] == len(d.schedules())
    assert usage["secret_versions"] == len(d.local("secrets", "readers"))


@pytest.mark.feature("57")
def test_costs_grow_in_proportion_beyond_the_free_share(cost: ModuleType) -> None:
    """Without the free share a thousand times the images cost a thousand times what an image adds."""
    idle, one, many = (
        sum(line.usd for line in cost.cost(cost.Month(n, b), with_free_share=False))
        for n, b in ((0, 0), (3_000, 1), (3_000_000, 1_000))
    )

    assert many - idle == pytest.approx(1_000 * (one - idle), rel=1e-6)


def test_free_share_is_given_once(cost: ModuleType) -> None:
    """The three services share one free quantity of processor time."""
    month = cost.Month(1_000_000, 10)
    free, full = (
        sum(line.usd for line in cost.cost(month, with_free_share=share) if line.price == "run_cpu")
        for share in (True, False)
    )
    price = cost.load("prices.json")["run_cpu"]

    assert full - free == pytest.approx(price["free"] * price["usd"])


def test_images_without_a_batch_are_refused(cost: ModuleType) -> None:
    """A month that cannot be is an error and not a cheap month."""
    with pytest.raises(ValueError, match="at least one"):
        cost.cost(cost.Month(10, 0))


def test_every_condition_of_an_alert_is_counted(cost: ModuleType) -> None:
    """As many as Terraform makes: its maps, read by another reader than the script's."""
    policies = d.resources("google_monitoring_alert_policy")
    burns, objectives = d.local("monitoring", "burns"), d.local("monitoring", "objectives")
    each = {
        "local . alerts": len(d.local("monitoring", "alerts")),
        "local . sweeps": len(d.local("monitoring", "sweeps")),
        "local . burn_alerts": len(burns) * len(objectives),
        "var . public_hosts": len(d.PUBLIC),
    }
    counted = [
        each[policy.arguments["for_each"].text] if "for_each" in policy.arguments else 1
        for policy in policies
        for _ in policy.inner("conditions")
    ]

    assert cost.alert_conditions() == sum(counted) > len(policies)
