"""Clocks of two machines differ a little: ten seconds are forgiven a token, half a minute is not."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from localcloud.identity.engine.issuer import TokenIssuer
from support.scripted_origin import ScriptedOrigin
from unit.chassis.auth.test_oidc import call, make_app, minted


@pytest.fixture
def app(certificates: ScriptedOrigin) -> Flask:
    return make_app(certificates.url("/certs"))


@pytest.mark.fault("I5")
@pytest.mark.parametrize(("off_s", "code"), [(6, 200), (30, 401)])
def test_a_token_may_be_a_little_too_old_or_too_new(app: Flask, issuer: TokenIssuer, off_s: int, code: int) -> None:
    """Expired that long ago, or issued that far in the future."""
    now = int(time.time())
    expired = minted(issuer, iat=now - 3600, exp=now - off_s)
    early = minted(issuer, iat=now + off_s, exp=now + 3600)

    assert [call(app, f"Bearer {token}").status_code for token in (expired, early)] == [code, code]
