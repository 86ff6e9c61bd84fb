"""How one service of ours tells another for whom it asks."""

from __future__ import annotations

import pytest

from chassis.auth.callers import ANONYMOUS, SYSTEM, Caller, owner_headers


@pytest.mark.parametrize(
    ("caller", "headers"),
    [
        (ANONYMOUS, {}),
        (SYSTEM, {"X-Pressroom-Sees-All": "1"}),
        (Caller("shop"), {"X-Pressroom-Owner": "shop"}),
        (Caller("root", sees_all=True), {"X-Pressroom-Owner": "root", "X-Pressroom-Sees-All": "1"}),
    ],
)
def test_headers_say_for_whom_is_asked(caller: Caller, headers: dict[str, str]) -> None:
    """What is not said means nobody's things, and nobody else's."""
    assert owner_headers(caller) == headers
