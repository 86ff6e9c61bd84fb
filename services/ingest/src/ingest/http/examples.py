"""Examples of bodies and answers for the OpenAPI document; a test holds each against its schema."""

from __future__ import annotations

from typing import Any

_ID = "6b1f2d3e-0000-4000-8000-000000000001"

BATCH: dict[str, Any] = {"request_id": _ID}

UPLOAD: dict[str, Any] = {
    "items": [{"id": "1", "name": "Lamp", "urls": ["https://cdn.example/lamp.jpg", "https://cdn.example/lamp-2.jpg"]}],
    "options": {"quality": 50, "format": "webp", "max_width": 1200},
    "webhook_url": "https://shop.example/hooks",
}

_LINKS = {
    "status": f"https://ingest.example/status/{_ID}",
    "cancel": "https://ingest.example/cancel",
    "retry": "https://ingest.example/retry",
    "download": f"https://reporter.example/download_csv?request_id={_ID}",
}
_DIALECT = {"encoding": "utf-8", "bom": False, "delimiter": ",", "layout": "csv"}

_ESTIMATE = {
    "bytes_in": 1_000_000,
    "bytes_out": 400_000,
    "seconds": 1,
    "learned": False,
    "assumes": [
        "an image has 500,000 bytes and its output 200,000, as no batch of yours tells more",
        "the compressors do 25 images a second",
        "nothing waits behind other batches",
    ],
}

ACCEPTED: dict[str, Any] = {
    "request_id": _ID,
    "status": "PENDING",
    "total_images": 2,
    "invalid_images": 0,
    "total_rows": 1,
    "invalid_rows": 0,
    "dialect": _DIALECT,
    "columns": {"serial": ["S. No."], "name": ["Product Name"], "urls": ["Input Image Urls"]},
    "findings": {"platform": None, "header_row": 1, "chosen": [], "other_pictures": []},
    "may_be_larger": None,
    "estimate": _ESTIMATE,
    "problems": [],
    "problem_count": 0,
    "problems_listed": 0,
    "warnings": [],
    "warning_count": 0,
    "links": _LINKS,
}

STATUS: dict[str, Any] = {
    "request_id": _ID,
    "owner": "shop",
    "status": "PROCESSING",
    "source_name": "catalogue.csv",
    "counts": {"total": 200, "pending": 80, "succeeded": 118, "failed": 2},
    "total_rows": 100,
    "invalid_rows": 0,
    "deduplicated": 4,
    "reused": 0,
    "progress_percent": 60.0,
    "estimate": _ESTIMATE,
    "generation": 1,
    "options": {"quality": 50},
    "dialect": _DIALECT,
    "bytes_in": 59_000_000,
    "bytes_out": 21_000_000,
    "savings": {
        "images": 118,
        "bytes_in": 59_000_000,
        "bytes_out": 21_000_000,
        "saved_bytes": 38_000_000,
        "saved_percent": 64.4,
    },
    "larger_than_source": {"images": 0, "bytes": 0, "advice": None},
    "error": None,
    "created_at": "2026-11-29T10:00:00.000000Z",
    "started_at": "2026-11-29T10:00:01.000000Z",
    "finished_at": None,
    "expires_at": "2026-11-30T10:00:00.000000Z",
    "links": _LINKS,
    "images_per_s": 24.0,
    "eta_seconds": 3,
    "sheet_import": None,
}

CANCELLED: dict[str, Any] = {
    "request_id": _ID,
    "status": "PROCESSING",
    "message": "Cancelling; finished images keep their outputs",
    "cancelled_images": 80,
}

RETRIED: dict[str, Any] = {
    "request_id": _ID,
    "status": "PENDING",
    "message": "2 images are tried again",
    "retried_images": 2,
    "generation": 2,
}

UPLOAD_ADDRESS: dict[str, Any] = {"name": "catalogue.csv", "size_bytes": 734_003_200}
