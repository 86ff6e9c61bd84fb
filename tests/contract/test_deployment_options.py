"""What operators may switch on: a key of their own, host names behind Cloud Armor; and what every variable admits."""

from __future__ import annotations

import re

import pytest

from contract.test_deployment import deployed_environment
from support import deployment_files as d
from support.service_apps import app_of, settings_from
from support.terraform_files import Block, Expression, read_folder


def variables() -> dict[str, Block]:
    """Return the variables of the whole system by name."""
    return {block.labels[0]: block for block in read_folder(d.MODULES / "pressroom") if block.type == "variable"}


def module_calls() -> dict[str, dict[str, object]]:
    """Return the arguments of each module call of the whole system."""
    return {
        block.labels[0]: block.arguments for block in read_folder(d.MODULES / "pressroom") if block.type == "module"
    }


def test_every_variable_has_a_type_and_says_what_it_refuses() -> None:
    """A wrong value ends `terraform plan` with a sentence, not an apply half way; only true and false need none."""
    loose = {
        name
        for name, block in variables().items()
        if block.arguments["type"] != Expression("bool") and not block.inner("validation")
    }

    assert {name for name, block in variables().items() if "type" not in block.arguments} == set()
    assert loose == set()
    for name, block in variables().items():
        for rule in block.inner("validation"):
            assert f"var . {name}" in rule.arguments["condition"].text, name
            assert str(rule.arguments["error_message"]).endswith("."), name


@pytest.mark.parametrize("name", ["kms_key", "domains", "promoted_to"])
def test_options_are_off(name: str) -> None:
    """Without a word of the operator nothing of them is made."""
    assert d.default("pressroom", name) is None


def test_key_reaches_everything_that_lies_at_rest() -> None:
    """Buckets, database, registry and workflow take it, once the agents of each may use it."""
    calls = module_calls()
    taking = {name for name, given in calls.items() if given.get("kms_key") == Expression("local . kms_key")}
    buckets = [block for block in d.module("buckets") if block.labels[:1] == ("google_storage_bucket",)]
    (agents,) = [block for block in d.module("encryption") if block.type == "locals"]

    assert taking == {"buckets", "database", "registry", "workflow"}
    assert len(agents.arguments["agents"]) == 4
    assert [
        bucket.labels[1] for bucket in buckets if "encryption" not in [b.labels[0] for b in bucket.inner("dynamic")]
    ] == []
    assert d.resources("google_sql_database_instance")[0].arguments["encryption_key_name"] == Expression(
        "var . kms_key"
    )
    assert d.resources("google_workflows_workflow")[0].arguments["crypto_key_name"] == Expression("var . kms_key")
    assert d.resources("google_artifact_registry_repository")[0].arguments["kms_key_name"] == Expression(
        "var . kms_key"
    )


@pytest.mark.threat("T6")
def test_cloud_armor_counts_by_key_and_by_address() -> None:
    """Both with the number that the services have; who exceeds it is answered 429, as by them."""
    (policy,) = d.resources("google_compute_security_policy")
    rates = [
        rule.inner("rate_limit_options")[0] for rule in policy.inner("rule") if rule.arguments["action"] == "throttle"
    ]

    assert {rate.arguments["enforce_on_key"] for rate in rates} == {"HTTP_HEADER", "IP"}
    assert {rate.arguments["exceed_action"] for rate in rates} == {"deny(429)"}
    for rate in rates:
        (threshold,) = rate.inner("rate_limit_threshold")
        assert threshold.arguments == {"count": Expression("var . max_requests_per_minute"), "interval_sec": 60}


def test_behind_the_load_balancer_nothing_goes_around_it() -> None:
    """The public doors then admit its traffic only, all backends have the policy, and two proxies are counted."""
    values = {
        name: str(getattr(value, "text", value)) for name, value in d.output("services", "manifest_values").items()
    }
    (backend,) = d.resources("google_compute_backend_service")

    assert "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" in d.local("services", "public_ingress").text
    assert "internal-and-cloud-load-balancing" in values["public_ingress"]
    assert values["trusted_proxies"] == 'var . settings . domains == null ? "1" : "2"'
    assert backend.arguments["security_policy"] == Expression("google_compute_security_policy . this . id")


def test_candidate_is_tried_on_the_way_that_clients_take() -> None:
    """Its host name is the one that release.py asks, and leads to the revision with that tag."""
    hosts, backends = d.local("edge", "hosts"), d.local("edge", "backends")
    script = (d.CLOUDRUN / "release.py").read_text(encoding="utf-8")

    assert hosts["candidate"] == Expression('"candidate.${var.domains.ingest}"')
    assert backends["candidate"] == {"service": "ingest", "tag": "candidate"}
    assert re.search(r'between = "---" if root\.endswith\("\.run\.app"\) else "\."', script)


@pytest.mark.threat("T6")
@pytest.mark.parametrize("service", d.PUBLIC)
def test_public_door_refuses_what_its_manifest_says(service: str) -> None:
    """With the deployed environment, and one request a minute: the second of an address is answered 429."""
    settings = settings_from(deployed_environment(service) | {"MAX_REQUESTS_PER_MINUTE": "1"}, service)
    client = app_of(settings).test_client()
    path = {"ingest": "/requests", "reporter": "/webhooks"}[service]
    sent = {"Authorization": "Bearer prk_of_nobody", "X-Forwarded-For": "203.0.113.9, 198.51.100.7"}

    codes = [client.get(path, headers=sent).status_code for _ in range(2)]
    sent["X-Forwarded-For"] = "198.51.100.7, 203.0.113.9"
    codes.append(client.get(path, headers=sent).status_code)

    assert codes == [401, 429, 401]
