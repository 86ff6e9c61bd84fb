"""The compressor's failpoints: one between every two effects of an attempt.

A test kills the service at each of them (tests/e2e/test_failpoints.py).
"""

from __future__ import annotations

from enum import StrEnum


class Failpoint(StrEnum):
    """The points, in the order in which an attempt comes by; the value is the name in `FAILPOINTS`."""

    IMAGE_FETCHED = "image_fetched"
    """The origin has sent the image."""
    IMAGE_ENCODED = "image_encoded"
    """The rendition exists in memory only."""
    IMAGE_STORED = "image_stored"
    """The object exists; ingest has not been told."""
    OUTCOME_REPORTED = "outcome_reported"
    """Ingest knows; Cloud Tasks has no answer yet."""
