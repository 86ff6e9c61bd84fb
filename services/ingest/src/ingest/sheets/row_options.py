"""The options a row sets for itself in columns such as `quality`, each checked by the rules of the whole batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ingest.options import FORMATS, ImageOptions

_WORDS = frozenset({"format", "metadata", "animated"})
_NUMBERS = frozenset({"quality", "max_width", "max_height", "target_bytes"})
_FORMATS = frozenset(
    {
        *FORMATS,
        "jpg",
        "jpe",
        "jfif",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "heic",
        "heif",
        "svg",
        "jxl",
        "jpeg xl",
        "apng",
        "ico",
    }
)


def parse_option(option: str, text: str) -> tuple[Any, str | None]:
    """Return the option's value, and what is wrong with it or None; an empty cell sets nothing.

    Example:
        >>> parse_option("quality", "80")
        (80, None)
    """
    return _parsed(option, text.strip())


def can_be_option(option: str, cells: Collection[str]) -> bool:
    """Return whether the cells of a column can set an option: half of them at least, or there are none.

    A wrong value of the right kind, such as a quality of 96, still means the option. Titles that say `image` mean it
    whatever the cells hold.

    Example:
        >>> can_be_option("format", {"webp", "bmp"}), can_be_option("format", {"DVD"}), can_be_option("quality", {"96"})
        (True, False, True)
    """
    if not cells or option not in {*_NUMBERS, "format"}:
        return True
    alike = sum(_is_like(option, cell.strip().lower()) for cell in cells)
    return alike * 2 >= len(cells)


def _is_like(option: str, cell: str) -> bool:
    return cell.lstrip(".") in _FORMATS if option == "format" else cell.rstrip("% px").isdecimal()


@lru_cache(maxsize=1024)
def _parsed(option: str, text: str) -> tuple[Any, str | None]:
    if not text:
        return None, None
    value = {"jpg": "jpeg"}.get(text.lower(), text.lower()) if option in _WORDS else text
    try:
        return getattr(ImageOptions.model_validate({option: value}), option), None
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)[0]["msg"]


def option_cells(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as the cells that would set them."""
    return {option: "" if value is None else str(value) for option, value in options.items()}
