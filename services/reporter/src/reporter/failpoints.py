"""The reporter's failpoints: one between every two effects of a report and of a delivery.

A test kills the service at each of them (tests/e2e/test_failpoints.py).
"""

from __future__ import annotations

from enum import StrEnum


class Failpoint(StrEnum):
    """The failpoints in the order of a batch's effects; the value is the name in `FAILPOINTS`."""

    REPORT_PIECE_STORED = "report_piece_stored"
    """Storage has a piece of a file in an upload session; rows are to come, and no object exists."""
    REPORT_WRITTEN = "report_written"
    """All rows are written; no object exists."""
    REPORT_OBJECT_STORED = "report_object_stored"
    """One object more of the report exists."""
    REPORT_STORED = "report_stored"
    """All objects exist; no row names them."""
    REPORT_RECORDED = "report_recorded"
    """The row exists; the caller has no answer yet."""
    DELIVERIES_WRITTEN = "deliveries_written"
    """The deliveries of an event are written and not committed."""
    DELIVERIES_COMMITTED = "deliveries_committed"
    """They are committed; no task has been created."""
    DELIVERIES_HINTED = "deliveries_hinted"
    """Their tasks exist; the caller has no answer yet."""
    DELIVERY_LEASED = "delivery_leased"
    """An attempt is leased; nothing has been sent."""
    DELIVERY_SENT = "delivery_sent"
    """The subscriber has answered; no row knows it."""
    DELIVERY_RECORDED = "delivery_recorded"
    """The attempt is recorded; Cloud Tasks has no answer yet."""
