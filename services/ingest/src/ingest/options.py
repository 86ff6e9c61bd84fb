"""How the images of a batch are to be compressed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SIDE_PX = 16383


class ImageOptions(BaseModel):
    """The options of a batch; the same for each of its images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: int = Field(50, ge=1, le=95, description="Quality of the encoder, 1 to 95 (not a percentage of size)")
    format: Literal["jpeg", "webp", "png", "keep"] = Field(
        "jpeg", description="Format of the outputs; keep: that of each input"
    )
    max_width: int | None = Field(None, ge=1, le=MAX_SIDE_PX, description="Widest output in pixels; never enlarged")
    max_height: int | None = Field(None, ge=1, le=MAX_SIDE_PX, description="Highest output in pixels; never enlarged")
