"""Signatures: the official vector, every secret that must be refused, and the zone trap of the library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks.webhooks import Webhook

from chassis.clock import SystemClock
from reporter.secret_formats import check_secret
from reporter.webhooks.signature import signed_headers
from support.reporter_service import SECRET

BODY = b'{"test": 2432232314}'
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


@pytest.mark.feature("59")
@pytest.mark.fault("H1")
@pytest.mark.threat("T13")
def test_the_official_vector_is_reproduced() -> None:
    """The values of the Standard Webhooks libraries' own tests."""
    at = datetime.fromtimestamp(1614265330, tz=UTC)

    assert signed_headers((SECRET,), message_id=VECTOR["webhook-id"], attempt_time=at, body=BODY) == VECTOR


@pytest.mark.fault("H2")
def test_a_time_of_another_zone_is_converted() -> None:
    """The library would replace the zone and be hours off."""
    at = datetime.fromtimestamp(1614265330, tz=timezone(timedelta(hours=5, minutes=30)))

    assert signed_headers((SECRET,), message_id=VECTOR["webhook-id"], attempt_time=at, body=BODY) == VECTOR


def test_a_naive_time_is_refused() -> None:
    """Nobody knows which moment it is."""
    with pytest.raises(ValueError, match="aware"):
        signed_headers((SECRET,), message_id="msg_1", attempt_time=datetime(2026, 1, 1), body=b"{}")  # noqa: DTZ001


@pytest.mark.fault("H1")
@pytest.mark.threat("T13")
def test_the_signature_covers_id_time_and_the_very_bytes() -> None:
    """Recomputed by hand over `id.timestamp.body`, with text beyond ASCII."""
    body = '{"message": "fertig – 春"}'.encode()
    headers = signed_headers((SECRET,), message_id="msg_1", attempt_time=datetime.now(UTC), body=body)

    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    content = b"msg_1." + headers["webhook-timestamp"].encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.fault("H2")
def test_a_process_in_kolkata_signs_what_receivers_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library's trap shifts a time by 5.5 hours: the receiver here still verifies."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    try:
        now = SystemClock().now().astimezone()
        headers = signed_headers((SECRET,), message_id="msg_1", attempt_time=now, body=b"{}")
        assert Webhook(SECRET).verify(b"{}", headers) == {}
    finally:
        monkeypatch.undo()
        time.tzset()

    assert now.utcoffset() == timedelta(hours=5, minutes=30)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_are_accepted(size: int) -> None:
    """With and without the base64 padding."""
    secret = "whsec_" + base64.b64encode(bytes(size)).decode()

    check_secret(secret)
    check_secret(secret.rstrip("="))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret",
        "whsec_not base64!",
        "whsec_A",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        base64.b64encode(bytes(32)).decode(),
    ],
    ids=lambda secret: secret[:20] or "empty",
)
def test_other_secrets_are_refused_without_being_shown(secret: str) -> None:
    """No prefix, no base64, too short, too long."""
    with pytest.raises(ValueError, match="must") as refused:
        check_secret(secret)

    assert not secret.removeprefix("whsec_") or secret.removeprefix("whsec_") not in str(refused.value)
