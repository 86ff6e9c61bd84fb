"""How the images of a batch are to be compressed."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chassis.limited import Limited

MAX_SIDE_PX: Annotated[
    int,
    Limited(
        "pixels",
        "400 `FIELD_INVALID`, or `OPTION_INVALID` with the row",
        "Largest max_width and max_height",
        name="max_side_pixels",
    ),
] = 16383
MIN_TARGET_BYTES = 500
MAX_TARGET_BYTES: Annotated[
    int, Limited("bytes", "400 `FIELD_INVALID`, or `OPTION_INVALID` with the row", "Highest `target_bytes` of an image")
] = 26_214_400

OutputFormat = Literal["jpeg", "webp", "avif", "png", "keep", "auto"]
MetadataPolicy = Literal["strip", "copyright", "keep"]
AnimatedPolicy = Literal["first", "keep"]

FORMATS: tuple[str, ...] = get_args(OutputFormat)
"""In the order in which they are shown."""

FORMAT_HELP = (
    "Format of the outputs; keep: that of each input; auto: the smallest that will do; jpeg unless given. PNG, GIF,"
    " WebP and AVIF may become larger as JPEG; auto is usually smaller then"
)
TARGET_HELP = "Bytes that an output should not exceed; quality is lowered to get there"
METADATA_HELP = "What is left of EXIF: nothing; author and copyright (unless given); or camera and exposure too. No GPS"
BACKGROUND_HELP = "Colour under transparent pixels of JPEG, #rrggbb; white unless given"
ANIMATED_HELP = "first: the first frame of an animation (unless given); keep: all of them where the output may be WebP"

GROWING_ENDINGS: dict[str, frozenset[str]] = {
    "jpeg": frozenset({".png", ".gif", ".webp", ".avif"}),
    "png": frozenset({".jpg", ".jpeg", ".webp", ".avif"}),
}
"""Endings of links whose pictures may become larger in a format: they are of formats that pack such pictures better."""


def smaller_format_advice(output: str) -> str | None:
    """Return which `format` makes smaller files than this one; None when there is none."""
    auto = "format=auto tries several formats and takes the smallest file, so it is usually smaller"
    if output == "auto":
        return None
    if output == "keep":
        return f"{auto}."
    return f"{auto}; format=keep stays in the format of each source, which is often smaller too."


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Colour = Annotated[str, BeforeValidator(_lower), Field(pattern="^#[0-9a-f]{6}$")]
"""A colour as HTML's colour fields send it; equal colours are equal texts."""


class ImageOptions(BaseModel):
    """The options of a batch; the same for each of its images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: int = Field(50, ge=1, le=95, description="Quality of the encoder, 1 to 95 (not a percentage of size)")
    format: OutputFormat = Field("jpeg", description=FORMAT_HELP)
    max_width: int | None = Field(None, ge=1, le=MAX_SIDE_PX, description="Widest output in pixels; never enlarged")
    max_height: int | None = Field(None, ge=1, le=MAX_SIDE_PX, description="Highest output in pixels; never enlarged")
    target_bytes: int | None = Field(None, ge=MIN_TARGET_BYTES, le=MAX_TARGET_BYTES, description=TARGET_HELP)
    metadata: MetadataPolicy = Field("copyright", description=METADATA_HELP)
    background: Colour = Field("#ffffff", description=BACKGROUND_HELP)
    animated: AnimatedPolicy = Field("first", description=ANIMATED_HELP)
