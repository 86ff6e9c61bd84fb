"""Who may call an internal route: every way in which a token can be wrong, with real signatures."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import google.oauth2.id_token
import jwt
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.auth import oidc
from chassis.auth.oidc import CachedCerts
from chassis.clock import Clock, SystemClock
from chassis.http.app import new_app
from chassis.http.caller_guard import CallerGuard
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.identity.engine.keys import generate_signing_key
from support.scripted_origin import ScriptedOrigin, answer, silent

AUDIENCE = "https://service.example"
TASKS = "tasks@pressroom.iam.gserviceaccount.com"
NOW = SystemClock()


def make_app(certs_url: str, *, clock: Clock = NOW, mode: str = "verify") -> Flask:
    app = new_app("service", clock, max_body_bytes=1000)
    guard = CallerGuard(audience=AUDIENCE, certs_url=certs_url, mode=mode, clock=clock)

    @app.post("/internal")
    @guard.only(TASKS, "")
    def internal() -> dict[str, bool]:
        return {"admitted": True}

    return app


def call(app: Flask, authorization: str | None) -> Any:
    headers = {} if authorization is None else {"Authorization": authorization}
    return app.test_client().post("/internal", headers=headers)


def reason(response: Any) -> tuple[int, str]:
    return response.status_code, response.json["error"]["details"][0]["reason"]


def minted(issuer: TokenIssuer, **changes: Any) -> str:
    """Return a token signed by the issuer whose claims are changed; None removes a claim."""
    claims = jwt.decode(issuer.mint_id_token(TASKS, AUDIENCE), options={"verify_signature": False}) | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, issuer.key.private_key, algorithm="RS256", headers={"kid": issuer.key.key_id})


@pytest.fixture
def app(certificates: ScriptedOrigin) -> Flask:
    return make_app(certificates.url("/certs"))


def test_a_right_token_is_admitted(app: Flask, issuer: TokenIssuer) -> None:
    """Signature, issuer, audience, expiry and account are right."""
    response = call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")

    assert (response.status_code, response.json) == (200, {"admitted": True})


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwdw==", "token"])
def test_no_token_is_401(app: Flask, authorization: str | None) -> None:
    """Without a bearer token nobody gets in."""
    assert reason(call(app, authorization)) == (401, "TOKEN_MISSING")


@pytest.mark.fault("I5")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example"},
        {"aud": AUDIENCE + "/"},
        {"aud": None},
        {"exp": 1_600_000_000, "iat": 1_599_990_000},
        {"iat": 4_000_000_000, "exp": 4_000_003_600},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"email": None},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
    ],
    ids=str,
)
def test_a_token_with_one_wrong_claim_is_401(app: Flask, issuer: TokenIssuer, changes: dict[str, Any]) -> None:
    """Each claim alone is enough to be refused, although the signature is right."""
    assert reason(call(app, f"Bearer {minted(issuer, **changes)}")) == (401, "TOKEN_INVALID")


@pytest.mark.fault("I4")
def test_another_service_account_is_403(app: Flask, issuer: TokenIssuer) -> None:
    """Known by Google is not allowed by us."""
    token = issuer.mint_id_token("compressor@pressroom.iam.gserviceaccount.com", AUDIENCE)

    assert reason(call(app, f"Bearer {token}")) == (403, "CALLER_NOT_ALLOWED")


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "é.é.é", "..", "e30.e30.e30"])
def test_a_malformed_token_is_401(app: Flask, token: str) -> None:
    """Never a crash."""
    assert reason(call(app, f"Bearer {token}")) == (401, "TOKEN_INVALID")


def unsigned(header: Any, claims: Any) -> str:
    """Return a token of any header and claims, JSON or what stands for it, with a signature of nobody's."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"signature"])


ODD = [
    {"alg": "RS256", "kid": ["a"]},
    {"alg": "RS256", "kid": {}},
    {"alg": ["RS256"], "kid": "a"},
    {"alg": {}, "kid": None},
    {"kid": 5},
    [],
    ["alg"],
    "alg",
    None,
    5,
    b"[" * 1500 + b"]" * 1500,
    b'{"kid": ' + b"[" * 1500 + b"]" * 1500 + b"}",
    b'{"exp": 1e999}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("mode", ["verify", "platform"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:24])
def test_a_token_of_any_shape_is_401(certificates: ScriptedOrigin, issuer: TokenIssuer, mode: str, odd: Any) -> None:
    """Header or claims may be lists, nested a thousand deep, or no JSON: a stranger's token is never a 500."""
    app = make_app(certificates.url("/certs"), mode=mode)
    known = {"alg": "RS256", "kid": issuer.key.key_id}

    for token in (unsigned(odd, {"aud": AUDIENCE}), unsigned(known, odd), unsigned(odd, odd)):
        assert reason(call(app, f"Bearer {token}")) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize("name", ["iss", "aud", "email", "exp", "iat", "email_verified"])
@pytest.mark.parametrize("value", [[], {}, [[]], 1e300, -5, "x", True], ids=str)
def test_behind_the_platform_claims_of_any_shape_are_refused(
    certificates: ScriptedOrigin, issuer: TokenIssuer, name: str, value: Any
) -> None:
    """Nobody has checked the signature there but the platform."""
    claims = jwt.decode(issuer.mint_id_token(TASKS, AUDIENCE), options={"verify_signature": False}) | {name: value}
    answered = call(make_app(certificates.url("/certs"), mode="platform"), f"Bearer {unsigned({'alg': 'x'}, claims)}")

    assert answered.status_code in {200, 401, 403}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "aud", "exp"]), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40) | st.builds(unsigned, JSON_VALUES, JSON_VALUES)
)
def test_any_text_is_refused(app: Flask, token: str) -> None:
    """401, whatever is sent."""
    assert call(app, f"Bearer {token}".encode("latin-1", "replace").decode("latin-1")).status_code == 401


def test_a_long_token_is_refused_before_it_is_read(app: Flask, certificates: ScriptedOrigin) -> None:
    """Google's have two thousand characters."""
    assert reason(call(app, "Bearer " + "a" * 8193)) == (401, "TOKEN_INVALID")
    assert certificates.received == []


def test_certificates_that_are_none_are_503(certificates: ScriptedOrigin, issuer: TokenIssuer) -> None:
    """A right token must come again; it is not its fault."""
    for body in (b"<html>", b"[]", b"[" * 100_000):
        certificates.on("/certs", answer(body))
        response = call(make_app(certificates.url("/certs")), f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")
        assert reason(response) == (503, "CERTIFICATES_UNAVAILABLE")


@pytest.mark.fault("I2")
def test_a_forged_signature_is_401(app: Flask, issuer: TokenIssuer) -> None:
    """Signed by another key under the issuer's key id."""
    stranger = generate_signing_key(NOW.now().timestamp())
    claims = jwt.decode(issuer.mint_id_token(TASKS, AUDIENCE), options={"verify_signature": False})
    token = jwt.encode(claims, stranger.private_key, algorithm="RS256", headers={"kid": issuer.key.key_id})

    assert reason(call(app, f"Bearer {token}")) == (401, "TOKEN_INVALID")


def test_a_token_without_a_signature_is_401(app: Flask, issuer: TokenIssuer) -> None:
    """`alg: none` and a removed signature prove nothing."""
    head, body, _ = issuer.mint_id_token(TASKS, AUDIENCE).split(".")
    nothing = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).decode().rstrip("=")

    for token in (f"{nothing}.{body}.", f"{head}.{body}.", f"{head}.{body}.SIGNATURE_REMOVED_BY_GOOGLE"):
        assert reason(call(app, f"Bearer {token}")) == (401, "TOKEN_INVALID")


@pytest.mark.fault("I2")
def test_a_changed_body_is_401(app: Flask, issuer: TokenIssuer) -> None:
    """The claims are what was signed."""
    head, body, signature = issuer.mint_id_token("nobody@example.com", AUDIENCE).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(claims | {"email": TASKS}).encode()).decode().rstrip("=")

    assert reason(call(app, f"Bearer {head}.{forged}.{signature}")) == (401, "TOKEN_INVALID")


def test_certificates_are_fetched_once_for_many_calls(
    app: Flask, issuer: TokenIssuer, certificates: ScriptedOrigin
) -> None:
    """An internet round trip per request would double the latency of every internal call."""
    for _ in range(5):
        assert call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}").status_code == 200

    assert len(certificates.received) == 1


@pytest.mark.parametrize(("age_s", "fetched"), [(3599.0, 1), (3600.0, 2)])
def test_certificates_that_are_an_hour_old_are_old(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any, age_s: float, fetched: int
) -> None:
    """Aged on the service's clock."""
    app = make_app(certificates.url("/certs"), clock=clock)
    call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")
    clock.sleep(age_s)
    call(app, f"Bearer {minted(issuer, iat=int(time.time()) - 1)}")

    assert len(certificates.received) == fetched


@pytest.mark.parametrize(("age_s", "code"), [(86_399.0, 200), (86_400.0, 503)])
def test_certificates_that_are_a_day_old_are_worth_nothing(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any, age_s: float, code: int
) -> None:
    """While the issuer is away."""
    app = make_app(certificates.url("/certs"), clock=clock)
    call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")
    certificates.on("/certs", answer(b"down", status=500))
    clock.sleep(age_s)

    assert call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}").status_code == code


@pytest.mark.parametrize(("age_s", "fetched"), [(59.0, 1), (60.0, 2)])
def test_an_unknown_key_makes_us_ask_again_when_what_is_kept_is_a_minute_old(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any, age_s: float, fetched: int
) -> None:
    app = make_app(certificates.url("/certs"), clock=clock)
    call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")
    clock.sleep(age_s)
    call(app, f"Bearer {unknown_key(issuer)}")

    assert len(certificates.received) == fetched


@pytest.mark.parametrize(("pause_s", "asked"), [(4.0, 1), (5.0, 2)])
def test_after_a_failure_the_issuer_is_asked_again_in_five_seconds(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any, pause_s: float, asked: int
) -> None:
    certificates.on("/certs", answer(b"down", status=500))
    app = make_app(certificates.url("/certs"), clock=clock)
    call(app, f"Bearer {unknown_key(issuer)}")
    clock.sleep(pause_s)
    call(app, f"Bearer {unknown_key(issuer)}")

    assert len(certificates.received) == asked


def unknown_key(issuer: TokenIssuer) -> str:
    """Return a token that is right but for the key it names, as one signed just after a rotation."""
    claims = jwt.decode(issuer.mint_id_token(TASKS, AUDIENCE), options={"verify_signature": False})
    return jwt.encode(claims, issuer.key.private_key, algorithm="RS256", headers={"kid": "tomorrow"})


@pytest.mark.fault("I6")
def test_a_rotated_key_is_found_without_a_restart(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any
) -> None:
    """An unknown key makes the verifier ask again, but forged tokens cannot make it ask more than once a minute."""
    app = make_app(certificates.url("/certs"), clock=clock)
    assert call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}").status_code == 200
    for _ in range(10):
        assert call(app, f"Bearer {unknown_key(issuer)}").status_code == 401
    assert len(certificates.received) == 1

    clock.sleep(61)
    both = issuer.certificates() | {"tomorrow": issuer.certificates()[issuer.key.key_id]}
    certificates.on("/certs", answer(json.dumps(both).encode(), headers=[("Content-Type", "application/json")]))
    for _ in range(10):
        assert call(app, f"Bearer {unknown_key(issuer)}").status_code == 200

    assert len(certificates.received) == 2


def test_tokens_that_name_a_known_key_or_none_never_make_us_ask_again(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any
) -> None:
    """Garbage costs the issuer nothing."""
    app = make_app(certificates.url("/certs"), clock=clock)
    call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")
    clock.sleep(61)
    for token in ("a.b.c", minted(issuer, aud="https://other.example"), minted(issuer, exp=1, iat=0)):
        assert call(app, f"Bearer {token}").status_code == 401

    assert len(certificates.received) == 1


@pytest.mark.fault("I6")
def test_while_the_issuer_is_away_known_keys_serve_for_a_day(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any
) -> None:
    """A right token is admitted, a forged one refused, and of an unknown key nothing can be said: 503, not 401."""
    app = make_app(certificates.url("/certs"), clock=clock)
    right = f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}"
    call(app, right)
    certificates.on("/certs", answer(b"down", status=500))
    clock.sleep(3700)

    assert call(app, right).status_code == 200
    assert reason(call(app, f"Bearer {unknown_key(issuer)}")) == (503, "CERTIFICATES_UNAVAILABLE")
    assert reason(call(app, f"Bearer {minted(issuer, aud='https://other.example')}")) == (401, "TOKEN_INVALID")
    assert call(app, right).status_code == 200  # the unknown key has not cost what was kept

    clock.sleep(86_400)
    assert reason(call(app, right)) == (503, "CERTIFICATES_UNAVAILABLE")


def test_an_issuer_that_is_away_is_not_asked_for_every_token(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any
) -> None:
    """Each question may take its whole time-out, and a thread with it."""
    certificates.on("/certs", answer(b"down", status=500))
    app = make_app(certificates.url("/certs"), clock=clock)
    for _ in range(10):
        assert call(app, f"Bearer {unknown_key(issuer)}").status_code == 503
    assert len(certificates.received) == 1

    clock.sleep(6)
    call(app, f"Bearer {unknown_key(issuer)}")
    assert len(certificates.received) == 2


@pytest.mark.fault("I6")
def test_unreachable_certificates_are_503_not_401(issuer: TokenIssuer) -> None:
    """The caller did nothing wrong and shall come again."""
    with ScriptedOrigin() as gone:
        url = gone.url("/certs")
    response = call(make_app(url), f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")

    assert reason(response) == (503, "CERTIFICATES_UNAVAILABLE")


def test_behind_the_platform_a_removed_signature_is_fine_and_claims_still_count(
    certificates: ScriptedOrigin, issuer: TokenIssuer
) -> None:
    """Cloud Run IAM has verified the token and may have removed its signature; audience and account are still ours."""
    app = make_app(certificates.url("/certs"), mode="platform")

    def stripped(email: str, audience: str) -> str:
        return issuer.mint_id_token(email, audience).rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"

    assert call(app, f"Bearer {stripped(TASKS, AUDIENCE)}").status_code == 200
    assert reason(call(app, f"Bearer {stripped(TASKS, 'https://other.example')}"))[0] == 401
    assert reason(call(app, f"Bearer {stripped('nobody@example.com', AUDIENCE)}"))[0] == 403


def test_an_empty_audience_or_caller_list_cannot_be_configured() -> None:
    """Both would admit more than anybody wanted."""
    with pytest.raises(ValueError, match="audience"):
        CallerGuard(audience="", certs_url="http://x", mode="verify", clock=NOW)
    with pytest.raises(ValueError, match="caller"):
        CallerGuard(audience=AUDIENCE, certs_url="http://x", mode="verify", clock=NOW).only("")


def test_a_guarded_view_names_its_callers(app: Flask) -> None:
    """By this attribute a test can walk every internal route."""
    assert vars(app.view_functions["internal"])["allowed_callers"] == {TASKS}


@pytest.mark.fault("I5")
def test_a_token_that_was_verified_is_refused_once_it_has_expired(app: Flask, issuer: TokenIssuer) -> None:
    """What is known of a token that comes again is not used beyond its own end."""
    now = int(time.time())
    token = minted(issuer, iat=now - 3600, exp=now - 8)  # ten seconds of skew are forgiven
    assert call(app, f"Bearer {token}").status_code == 200

    def refused() -> bool:
        return bool(call(app, f"Bearer {token}").status_code == 401)

    ends_at = time.monotonic() + 20
    while not refused() and time.monotonic() < ends_at:
        time.sleep(0.2)
    assert refused()


@pytest.fixture(name="verified")
def _verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the tokens that are verified from now on, one after the other."""
    verified: list[str] = []
    verify = google.oauth2.id_token.verify_token

    def noted(token: str, *args: Any, **named: Any) -> Any:
        verified.append(token)
        return verify(token, *args, **named)

    monkeypatch.setattr(google.oauth2.id_token, "verify_token", noted)
    return verified


@pytest.mark.parametrize(("pause_s", "times"), [(59.0, 1), (60.0, 2), (61.0, 2)])
def test_a_token_that_comes_again_is_not_verified_again_for_a_minute(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any, verified: list[str], pause_s: float, times: int
) -> None:
    app = make_app(certificates.url("/certs"), clock=clock)
    token = issuer.mint_id_token(TASKS, AUDIENCE)
    codes = [call(app, f"Bearer {token}").status_code for _ in range(5)]
    clock.sleep(pause_s)
    codes.append(call(app, f"Bearer {token}").status_code)

    assert codes == [200] * 6
    assert verified == [token] * times


def test_so_many_tokens_are_known_at_once(
    certificates: ScriptedOrigin,
    issuer: TokenIssuer,
    clock: Any,
    verified: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One more, and all but that one have to be verified again: memory does not grow with strangers' tokens."""
    monkeypatch.setattr(oidc, "_MAX_VERIFIED", 2)
    app = make_app(certificates.url("/certs"), clock=clock)
    now = int(time.time())
    tokens = [minted(issuer, iat=now - age_s) for age_s in (1, 2, 3)]
    first, second, third = tokens

    for token in (first, second, first, second, third, third, second):
        call(app, f"Bearer {token}")

    assert verified == [first, second, third, second]


def test_certificates_are_fetched_without_the_proxy_of_the_environment(
    certificates: ScriptedOrigin, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets a variable must not choose who signs tokens."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    app = make_app(certificates.url("/certs"))

    assert call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}").status_code == 200


def test_an_issuer_that_says_nothing_is_503(
    certificates: ScriptedOrigin, issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time that whoever calls us can wait."""
    monkeypatch.setattr(oidc, "_CERTS_TIMEOUT_S", 0.1)
    certificates.on("/certs", silent())
    begun = time.monotonic()

    answered = call(make_app(certificates.url("/certs")), f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}")

    assert reason(answered) == (503, "CERTIFICATES_UNAVAILABLE")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("authorization", "expected", "said"),
    [
        ("Bearer", "TOKEN_MISSING", "Authorization: Bearer"),
        ("Bearer two words", "TOKEN_INVALID", "malformed"),
        ("Bearer " + "x" * 8193, "TOKEN_INVALID", "8193 characters; the limit is 8192"),
    ],
    ids=["no token", "two words", "too long"],
)
def test_a_refusal_says_what_is_wrong_with_the_token(app: Flask, authorization: str, expected: str, said: str) -> None:
    """In its reason and in words."""
    answered = call(app, authorization)

    assert reason(answered) == (401, expected)
    assert said in answered.json["error"]["message"]


def test_a_machine_that_has_just_begun_knows_no_token_yet(
    certificates: ScriptedOrigin, issuer: TokenIssuer, clock: Any
) -> None:
    """Its monotonic clock may begin at zero, which is no time at which a token was verified."""
    clock.seconds = 0.0
    app = make_app(certificates.url("/certs"), clock=clock)

    assert call(app, f"Bearer {issuer.mint_id_token(TASKS, AUDIENCE)}").status_code == 200


def test_certificates_may_be_a_set_of_json_web_keys(issuer: TokenIssuer, clock: Any) -> None:
    """An issuer may offer both forms; a key that is in the set is not asked for again."""
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(issuer.key.private_key.public_key()))
    body = json.dumps({"keys": [key | {"kid": issuer.key.key_id, "alg": "RS256", "use": "sig"}]}).encode()
    with ScriptedOrigin() as server:
        server.on("/certs", answer(body, headers=[("Content-Type", "application/json")]))
        certs = CachedCerts(clock)
        certs.look_for(server.url("/certs"), issuer.key.key_id)
        clock.sleep(61)
        certs.look_for(server.url("/certs"), issuer.key.key_id)
        asked_for_a_known_one = len(server.received)
        certs.look_for(server.url("/certs"), "another")

    assert (asked_for_a_known_one, len(server.received)) == (1, 2)
    assert {received.method for received in server.received} == {"GET"}
