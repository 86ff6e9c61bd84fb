"""Client of Pressroom: a sheet of image links goes in, the same sheet with links of compressed images comes out.

with Pressroom(url, api_key=key) as pressroom:
batch = pressroom.compress("sheet.csv", quality=50)
batch.wait(on_progress=print)
batch.download("out.csv")
"""

from __future__ import annotations

from pressroom.answers import (
    Check,
    Counts,
    Delivery,
    Endpoint,
    Host,
    Image,
    Limit,
    Links,
    Problem,
    ProblemCount,
    Savings,
    Summary,
    WhoAmI,
)
from pressroom.batch import Batch
from pressroom.client import Pressroom
from pressroom.errors import (
    ApiError,
    NotAllowedError,
    PressroomError,
    SheetInvalidError,
    UnexpectedAnswerError,
    UnreachableError,
)

__all__ = [
    "ApiError",
    "Batch",
    "Check",
    "Counts",
    "Delivery",
    "Endpoint",
    "Host",
    "Image",
    "Limit",
    "Links",
    "NotAllowedError",
    "Pressroom",
    "PressroomError",
    "Problem",
    "ProblemCount",
    "Savings",
    "SheetInvalidError",
    "Summary",
    "UnexpectedAnswerError",
    "UnreachableError",
    "WhoAmI",
]
