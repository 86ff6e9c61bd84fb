"""The reasons of the compressor's own error answers; what happened to an image is an outcome, not an error."""

from __future__ import annotations

from enum import StrEnum

from chassis.errors import ApiError, failed_precondition, not_found, unavailable


class Reason(StrEnum):
    """UPPER_SNAKE reasons, each with its status and meaning below it; those of 503 come with Retry-After."""

    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    """503: Cloud Storage did not answer within 20 s"""
    STORAGE_REFUSED = "STORAGE_REFUSED"
    """503: Cloud Storage refuses us: credentials, permission or bucket; an operator must act"""
    OUTCOME_NOT_RECORDED = "OUTCOME_NOT_RECORDED"
    """503: ingest did not take the outcome"""
    CODEC_BUSY = "CODEC_BUSY"
    """503: other images held the codec for `CODEC_WAIT_S`"""
    CODEC_STALLED = "CODEC_STALLED"
    """503: an image was `CODEC_TIMEOUT_S` in the codec without using up its processor time"""
    CODEC_UNAVAILABLE = "CODEC_UNAVAILABLE"
    """503: the codec's process does not start"""
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """503: this instance is short of memory"""
    OBJECT_GONE = "OBJECT_GONE"
    """404: preview: the stored image is not there any more"""
    PREVIEW_FAILED = "PREVIEW_FAILED"
    """400: preview: the picture cannot be had or drawn; `code` is the outcome that a compression would have"""


def storage_unavailable() -> ApiError:
    """Return a 503: Cloud Storage did not answer within its time."""
    return unavailable(Reason.STORAGE_UNAVAILABLE, "Cloud Storage cannot be reached.", retry_after_s=10)


def storage_refused() -> ApiError:
    """Return a 503: Cloud Storage refuses us (credentials, permissions, a missing bucket); an operator must act."""
    return unavailable(Reason.STORAGE_REFUSED, "Cloud Storage refused the request.", retry_after_s=30)


def outcome_not_recorded() -> ApiError:
    """Return a 503: ingest did not take the outcome, so the task must come again."""
    return unavailable(Reason.OUTCOME_NOT_RECORDED, "The outcome could not be recorded with ingest.", retry_after_s=5)


def codec_busy() -> ApiError:
    """Return a 503: other images held the codec for too long."""
    return unavailable(Reason.CODEC_BUSY, "Too many images are being decoded.", retry_after_s=5)


def codec_stalled() -> ApiError:
    """Return a 503: a picture was not done in time, although it has not used up its processor time."""
    return unavailable(Reason.CODEC_STALLED, "The codec gets no processor time.", retry_after_s=10)


def codec_unavailable() -> ApiError:
    """Return a 503: the codec's process does not start."""
    return unavailable(Reason.CODEC_UNAVAILABLE, "The codec's process does not start.", retry_after_s=10)


def out_of_memory() -> ApiError:
    """Return a 503: this instance is short of memory, which says nothing about the image."""
    return unavailable(Reason.OUT_OF_MEMORY, "This instance is short of memory.", retry_after_s=10)


def object_gone() -> ApiError:
    """Return a 404: a stored image that a preview was to show was deleted."""
    return not_found(Reason.OBJECT_GONE, "The stored image is not there any more.")


def preview_failed(code: str, detail: str) -> ApiError:
    """Return a 400: the picture cannot be had or drawn."""
    return failed_precondition(Reason.PREVIEW_FAILED, f"{code}: {detail}.", code=code, detail=detail)
