"""A session stands for a key, for twelve hours, as long as the key is there."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from chassis.auth.api_keys import ApiKey
from chassis.auth.sessions import SESSION_S, key_of_session, new_session

NOW = datetime(2026, 11, 29, 22, 0, tzinfo=UTC)


def key(text: str, **fields: object) -> ApiKey:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ApiKey.model_validate({"owner": "shop", "scopes": ["read"], "sha256": digest, **fields})


OURS, OTHER = key("ours"), key("other")


@pytest.mark.parametrize("passed_s", [0, SESSION_S - 1])
def test_a_session_leads_to_its_key(passed_s: int) -> None:
    later = NOW + timedelta(seconds=passed_s)

    assert key_of_session([OTHER, OURS], new_session(OURS, NOW), later) == OURS


def test_a_session_ends_after_twelve_hours() -> None:
    later = NOW + timedelta(seconds=SESSION_S)

    assert key_of_session([OURS], new_session(OURS, NOW), later) is None


def test_a_session_ends_with_its_key() -> None:
    session = new_session(OURS, NOW)
    expired = key("ours", expires_at=NOW)

    assert key_of_session([OTHER], session, NOW) is None
    assert key_of_session([expired], session, NOW) is None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_no_part_of_a_session_can_be_changed(part: int) -> None:
    parts = new_session(OURS, NOW).split(".")
    parts[part] = f"{int(parts[part], 16) + 1:x}".zfill(len(parts[part])) if part != 1 else str(int(parts[1]) + 1)

    assert key_of_session([OURS, OTHER], ".".join(parts), NOW) is None


@pytest.mark.parametrize("nonsense", ["", ".", "a.b.c", "é" * 32, "0" * 10_000])
def test_nonsense_is_no_session(nonsense: str) -> None:
    assert key_of_session([OURS], nonsense, NOW) is None


def test_a_session_shows_neither_key_nor_hash() -> None:
    """Whoever reads it could otherwise sign another one."""
    session = new_session(OURS, NOW)

    assert "ours" not in session
    assert OURS.sha256 not in session
    assert OURS.sha256[:32] not in session
