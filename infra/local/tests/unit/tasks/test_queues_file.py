"""The file of queues shared with Terraform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcloud.core.config_fields import ConfigError
from localcloud.tasks.model import HttpMethod, OidcToken, Queue, QueueTarget, RateLimits, RetryConfig, UriOverride
from localcloud.tasks.queues_file import load_queues


def _load(tmp_path: Path, text: str) -> Any:
    (tmp_path / "queues.yaml").write_text(text)
    return load_queues(tmp_path / "queues.yaml", project="demo", location="us-central1")


def test_queue_takes_its_limits_from_the_file(tmp_path: Path) -> None:
    """Terraform's names become the queue's fields; what is missing is Google's default."""
    text = """
queues:
  - name: images
    rate_limits: {max_dispatches_per_second: 100, max_burst_size: 3, max_concurrent_dispatches: 32}
    retry_config: {max_attempts: 5, min_backoff: 2s, max_backoff: 60s, max_doublings: 4, max_retry_duration: 90s}
  - name: plain
"""
    location = "projects/demo/locations/us-central1"

    assert _load(tmp_path, text) == [
        Queue(f"{location}/queues/images", RateLimits(100.0, 3, 32), RetryConfig(5, 90.0, 2.0, 60.0, 4)),
        Queue(f"{location}/queues/plain", RateLimits(500.0, 500, 1000), RetryConfig(100, 0.0, 0.1, 3600.0, 16)),
    ]


def test_a_rate_that_is_given_counts_instead_of_the_files(tmp_path: Path) -> None:
    """The rest is as the file says."""
    path = tmp_path / "queues.yaml"
    path.write_text(
        "queues: [{name: images, rate_limits: {max_dispatches_per_second: 100, max_concurrent_dispatches: 9}}]"
    )

    [queue] = load_queues(path, project="demo", location="us-central1", rates={"images": 500})

    assert (queue.rate_limits.max_dispatches_per_second, queue.rate_limits.max_concurrent_dispatches) == (500.0, 9)


def test_a_rate_of_no_queue_is_refused(tmp_path: Path) -> None:
    """Probably its name is misspelt."""
    (tmp_path / "queues.yaml").write_text("queues: [{name: images}]")

    with pytest.raises(ConfigError, match="no queue 'image'"):
        load_queues(tmp_path / "queues.yaml", project="demo", location="us-central1", rates={"image": 5})


def test_queue_takes_its_target_from_the_file(tmp_path: Path) -> None:
    """Terraform's blocks `http_target` and `stackdriver_logging_config`."""
    text = """
queues:
  - name: routed
    http_target:
      http_method: PUT
      uri_override: {scheme: HTTP, host: worker, port: 8080, path_override: {path: /work}}
      header_overrides: [{header: {key: X-From, value: queue}}]
      oidc_token: {service_account_email: a@b.example, audience: https://worker.example}
    stackdriver_logging_config: {sampling_ratio: 0.5}
"""
    [queue] = _load(tmp_path, text)

    assert queue.target == QueueTarget(
        uri=UriOverride(scheme="http", host="worker", port=8080, path="/work"),
        method=HttpMethod.PUT,
        headers={"X-From": "queue"},
        token=OidcToken("a@b.example", "https://worker.example"),
    )
    assert queue.logged_ratio == 0.5


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("queues: [{name: a b}]", r'queues\.yaml\.queues\[0\]: Queue name .*"'),
        ("queues: [{}]", r"queues\[0\]\.name: is missing"),
        ("queues: [{name: a}, {name: a}]", "the queue 'a' is defined twice"),
        (
            "queues: [{name: a, rate_limits: {max_dispatches_per_second: 501}}]",
            r"queues\[0\]: .* or equal to 500",
        ),
        ("queues: [{name: a, rate_limits: {rate: 1}}]", r"rate_limits: unknown 'rate'; known are max_burst_size"),
        ("queues: [{name: a, retry_config: {min_backoff: 2}}]", r"queues\[0\]: .*minBackoff.*expected seconds"),
        ("- a", r"expected a mapping, found a list"),
    ],
    ids=["name", "no-name", "twice", "rate", "unknown", "duration", "list"],
)
def test_fault_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    """A wrong queue stops the start with file, index and reason."""
    with pytest.raises(ConfigError, match=fault):
        _load(tmp_path, text)
