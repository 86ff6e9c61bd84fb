"""What compression has saved: of a batch, of one of its hosts, of a row."""

from __future__ import annotations

from typing import Any


def savings(images: int, bytes_in: int, bytes_out: int) -> dict[str, Any]:
    """Return what images that succeeded have saved, as `Savings` describes it.

    `saved_bytes` is below 0 when outputs are larger than their sources; `saved_percent` has one digit, and is None
    when there is nothing to compare.
    """
    saved = bytes_in - bytes_out
    return {
        "images": images,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "saved_bytes": saved,
        "saved_percent": round(saved * 100 / bytes_in, 1) if bytes_in else None,
    }
