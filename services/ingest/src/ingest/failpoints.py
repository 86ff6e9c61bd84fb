"""Ingest's failpoints: one between every two effects of a batch's life that ingest takes part in.

A test kills the service at each of them (tests/e2e/test_failpoints.py).
"""

from __future__ import annotations

from enum import StrEnum


class Failpoint(StrEnum):
    """The points, in the order in which a batch comes by; the value is the name in `FAILPOINTS`."""

    UPLOAD_WRITTEN = "upload_written"
    """Batch, rows, images, key and outbox entry are written and not committed."""
    UPLOAD_COMMITTED = "upload_committed"
    """They are committed; nobody has been told."""
    IMPORT_CHECKED = "import_checked"
    """A large sheet is checked, and its counters are committed; no row is stored."""
    IMPORT_CHUNK_WRITTEN = "import_chunk_written"
    """A chunk of its rows is written and not committed."""
    IMPORT_CHUNK_COMMITTED = "import_chunk_committed"
    """It is committed; the next one is not begun."""
    IMPORT_COMPLETED = "import_completed"
    """All rows are stored, and the batch may begin; whoever imported has no answer yet."""
    START_TASK_CREATED = "start_task_created"
    """The task that starts the batch exists; so does its outbox entry."""
    START_ENTRY_REMOVED = "start_entry_removed"
    """The entry is gone; the sender has no answer yet."""
    EXECUTION_CREATED = "execution_created"
    """An execution runs that no row knows of."""
    EXECUTION_RECORDED = "execution_recorded"
    """Its name is recorded; Cloud Tasks has no answer yet."""
    OWNER_TAKEN = "owner_taken"
    """The execution owns the batch and does not know it."""
    PAGE_CLAIMED = "page_claimed"
    """A page of images is leased that nobody has received."""
    OUTCOME_WRITTEN = "outcome_written"
    """Image and counters are written and not committed, or as good: a success is one statement, which is not sent."""
    OUTCOME_COMMITTED = "outcome_committed"
    """They are committed; after the last image the batch is sealed, and its execution has not been woken."""
    OWNER_WOKEN = "owner_woken"
    """The callback is sent; the compressor has no answer yet."""
    FINISH_WRITTEN = "finish_written"
    """Final status and event are written and not committed."""
    FINISH_COMMITTED = "finish_committed"
    """They are committed; the execution does not know it."""
    SWEEP_TASK_CREATED = "sweep_task_created"
    """The sweeper has created the task of one image of a claimed page."""
    SWEEP_PUBLISHED = "sweep_published"
    """The report that the sweeper asked for is published; the batch is not finished."""
    SWEEP_NOTIFIED = "sweep_notified"
    """The reporter knows of the end; the event still lies in the outbox."""
