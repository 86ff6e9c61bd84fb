"""A bar that shows when something happened within a longer time, as SVG: the pages' policy allows no inline style."""

from __future__ import annotations

from typing import Final

from localcloud.workflows.pages.markup import Markup, h

_BAR_WIDTH: Final = 1000
_LEAST_BAR_WIDTH: Final = 3


def bar(start_s: float, duration_s: float, span_s: float, said: str) -> Markup:
    """Return a bar of `duration_s` from `start_s` on, in a box that stands for `span_s`; `said` tells it in words."""
    scale = _BAR_WIDTH / span_s if span_s > 0 else 0.0
    width = max(_LEAST_BAR_WIDTH, round(duration_s * scale)) if scale else _BAR_WIDTH
    left = min(round(start_s * scale), _BAR_WIDTH - _LEAST_BAR_WIDTH) if scale else 0
    box = h("rect", x=left, y=0, width=min(width, _BAR_WIDTH - left), height=10)
    return h(
        "svg",
        h("title", said),
        box,
        viewBox=f"0 0 {_BAR_WIDTH} 10",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
    )
