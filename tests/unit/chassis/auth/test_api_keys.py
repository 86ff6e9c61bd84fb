"""API keys: the secret's lines, the command that makes them, and the guard of public routes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from flask import Flask

from chassis.auth.api_keys import MAX_KEY_CHARS, Scope, find_key, main, new_key, parse_api_keys
from chassis.http.app import new_app
from chassis.http.key_guard import KeyGuard, caller, open_to_all, used_key
from chassis.settings import PublicSettings, SettingsError

READER, WRITER, ADMIN, OLD = (
    new_key(owner="shop", scopes=["read"], name="reader"),
    new_key(owner="shop", scopes=["read", "write"]),
    new_key(owner="root", scopes=["admin"]),
    new_key(owner="shop", scopes=["read"], expires_at="2026-01-02T00:00:00Z"),
)
SECRET = "\n".join(key.line for key in (READER, WRITER, ADMIN, OLD))


def make_app(clock: Any, secret: str = SECRET) -> Flask:
    app = new_app("service", clock, max_body_bytes=1000)
    keys = KeyGuard(parse_api_keys(secret), clock)

    def who() -> dict[str, Any]:
        return {"owner": caller().owner, "sees_all": caller().sees_all}

    app.get("/things")(keys.needs(Scope.READ)(who))
    app.post("/things", endpoint="make")(keys.needs(Scope.WRITE)(who))
    app.get("/open", endpoint="open")(open_to_all(lambda: {"open": True}))
    return app


def call(app: Flask, key: str | None, method: str = "GET") -> tuple[int, Any]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    response = app.test_client().open("/things", method=method, headers=headers)
    return response.status_code, response.json if response.status_code == 200 else reason_of(response)


def reason_of(response: Any) -> str:
    return str(response.json["error"]["details"][0]["reason"])


def test_a_key_says_who_calls(clock: Any) -> None:
    """Each key acts for its owner; an admin's sees everybody's things."""
    app = make_app(clock)

    assert call(app, READER.key) == (200, {"owner": "shop", "sees_all": False})
    assert call(app, WRITER.key, "POST") == (200, {"owner": "shop", "sees_all": False})
    assert call(app, ADMIN.key, "POST") == (200, {"owner": "root", "sees_all": True})


@pytest.mark.feature("46")
@pytest.mark.fault("I9")
@pytest.mark.threat("T10")
@pytest.mark.parametrize(
    ("key", "method", "expected"),
    [
        (None, "GET", (401, "API_KEY_MISSING")),
        ("", "GET", (401, "API_KEY_MISSING")),
        ("prk_unknown", "GET", (401, "API_KEY_INVALID")),
        ("prk_ünknown", "GET", (401, "API_KEY_INVALID")),
        (READER.key[:-1], "GET", (401, "API_KEY_INVALID")),
        (READER.key + "x", "GET", (401, "API_KEY_INVALID")),
        (hashlib.sha256(READER.key.encode()).hexdigest(), "GET", (401, "API_KEY_INVALID")),
        ("prk_" + "x" * MAX_KEY_CHARS, "GET", (401, "API_KEY_INVALID")),
        (f"{READER.key} {READER.key}", "GET", (401, "API_KEY_INVALID")),
        (READER.key, "POST", (403, "SCOPE_MISSING")),
    ],
    ids=["none", "empty", "unknown", "not ascii", "cut", "longer", "hash", "too long", "two", "scope"],
)
def test_a_request_without_the_right_key_is_refused(
    clock: Any, key: str | None, method: str, expected: tuple[int, str]
) -> None:
    """401 when nobody is known, 403 when the key may not; the stored hash itself opens nothing."""
    assert call(make_app(clock), key, method) == expected


def told(app: Flask, headers: dict[str, str], method: str = "GET") -> dict[str, str]:
    """Return the facts that a refusal tells beside its reason."""
    response: Any = app.test_client().open("/things", method=method, headers=headers)
    facts: dict[str, str] = response.json["error"]["details"][0].get("metadata", {})
    return facts


def test_a_refusal_says_what_is_missing_or_too_long(clock: Any) -> None:
    """A key of the longest length is looked for; above it the limit is named."""
    app = make_app(clock)
    longest = "x" * MAX_KEY_CHARS

    facts = told(app, {"X-API-Key": longest + "x"})

    assert told(app, {"X-API-Key": longest}) == {}
    assert facts == {
        "limit_name": "max_api_key_characters",
        "limit": str(MAX_KEY_CHARS),
        "value": str(MAX_KEY_CHARS + 1),
    }
    assert told(app, {"X-API-Key": READER.key}, "POST") == {"scope": "write"}


def test_logs_of_a_request_name_the_owner_and_the_key(clock: Any) -> None:
    """And never the key itself."""
    app = make_app(clock)
    seen: list[dict[str, Any]] = []
    keys = KeyGuard(parse_api_keys(SECRET), clock)

    @app.get("/logged")
    @keys.needs(Scope.READ)
    def logged() -> dict[str, Any]:
        seen.append(structlog.contextvars.get_contextvars())
        return {}

    app.test_client().get("/logged", headers={"X-API-Key": READER.key})

    assert {name: seen[0][name] for name in ("owner", "api_key")} == {"owner": "shop", "api_key": "reader"}
    assert READER.key not in str(seen)


def test_a_view_says_which_scope_it_needs(clock: Any) -> None:
    """By this attribute a test can walk every public route."""
    views = make_app(clock).view_functions

    needed = {name: vars(views[name])["needed_scope"] for name in ("who", "make", "open")}
    assert needed == {"who": Scope.READ, "make": Scope.WRITE, "open": None}


@pytest.mark.fault("I9")
def test_a_key_works_until_it_expires(clock: Any) -> None:
    """Its time is the service's."""
    app = make_app(clock)
    assert call(app, OLD.key)[0] == 200
    clock.sleep(timedelta(days=1).total_seconds())
    assert call(app, OLD.key) == (401, "API_KEY_EXPIRED")


@pytest.mark.feature("46")
@pytest.mark.fault("I9")
def test_a_key_whose_line_is_taken_out_is_revoked(clock: Any) -> None:
    """The owner's other keys go on."""
    app = make_app(clock, WRITER.line)
    assert call(app, READER.key) == (401, "API_KEY_INVALID")
    assert call(app, WRITER.key)[0] == 200


def test_the_other_header_and_any_case_of_bearer_serve(clock: Any) -> None:
    """X-API-Key goes before Authorization, which a proxy may need for itself."""
    client = make_app(clock).test_client()
    for headers in (
        {"X-API-Key": READER.key},
        {"X-API-Key": READER.key, "Authorization": "Bearer of-a-proxy"},
        {"Authorization": f"bearer {READER.key}"},
    ):
        assert client.get("/things", headers=headers).status_code == 200
    assert client.get("/things", headers={"Authorization": f"Basic {READER.key}"}).status_code == 401


def test_a_refusal_says_what_would_help(clock: Any) -> None:
    """RFC 9110 wants it in a header."""
    response = make_app(clock).test_client().get("/things")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "X-API-Key" in response.get_data(as_text=True)


@pytest.mark.parametrize("secret", ["", "off", "off\n"])
def test_without_keys_everybody_is_the_anonymous_caller(clock: Any, secret: str) -> None:
    """Who sees what nobody owns, and no more."""
    assert call(make_app(clock, secret), None, "POST") == (200, {"owner": None, "sees_all": False})


@pytest.mark.parametrize(("secret", "name"), [(SECRET, "reader"), ("off", None)])
def test_a_view_can_see_which_key_was_used(clock: Any, secret: str, name: str | None) -> None:
    """Where there are keys."""
    app = new_app("service", clock, max_body_bytes=1000)
    keys = KeyGuard(parse_api_keys(secret), clock)

    @app.get("/things")
    @keys.needs(Scope.READ)
    def which() -> dict[str, Any]:
        key = used_key()
        return {"name": key and key.name}

    assert call(app, READER.key) == (200, {"name": name})


def test_the_keys_of_an_owner_are_all_of_its_own(clock: Any) -> None:
    """And nobody else's."""
    keys = KeyGuard(parse_api_keys(SECRET), clock)

    assert [key.name for key in keys.keys_of("shop")] == ["reader", "", ""]
    assert [len(keys.keys_of(owner)) for owner in ("root", "nobody", None)] == [1, 0, 0]


def test_what_is_open_needs_no_key(clock: Any) -> None:
    """Also where there are keys."""
    app = make_app(clock)

    assert app.test_client().get("/open").status_code == 200
    assert vars(app.view_functions["open"])["needed_scope"] is None


@pytest.mark.parametrize("named", ["/things", "/open", "/health", "/nowhere"])
def test_options_are_answered_by_nobody(clock: Any, named: str) -> None:
    """Flask's own answer would pass the guards by."""
    assert make_app(clock).test_client().open(named, method="OPTIONS").status_code in {404, 405}


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ("  \n\n", "there is no key"),
        ("nonsense", "line 1: bad JSON"),
        (f"{READER.line}\n{READER.line}", "line 2: the same key"),
        ("off\n" + READER.line, "line 1: bad JSON"),
        (json.dumps({"owner": "a b", "scopes": [], "sha256": "x"}), "line 1: bad owner, scopes, sha256"),
        (json.dumps(json.loads(READER.line) | {"scope": "read"}), "line 1: bad scope"),
        (json.dumps(json.loads(READER.line) | {"expires_at": "2027-01-01T00:00:00"}), "line 1: bad expires_at"),
        (json.dumps(json.loads(READER.line) | {"scopes": ["delete"]}), "line 1: bad scopes"),
    ],
    ids=["blank", "nonsense", "twice", "off and more", "three faults", "unknown field", "no zone", "unknown scope"],
)
def test_a_bad_secret_keeps_the_service_from_starting(secret: str, fault: str) -> None:
    """Every line is named, and none is shown: it might be a key."""
    environ = {"GOOGLE_CLOUD_PROJECT": "demo", "GOOGLE_CLOUD_LOCATION": "us-central1", "API_KEYS": secret}
    with pytest.raises(SettingsError, match=f"API_KEYS: .*{fault}") as caught:
        PublicSettings.from_environ(environ)
    assert all(json.loads(line)["sha256"] not in str(caught.value) for line in secret.splitlines() if "sha256" in line)


@pytest.mark.threat("T14")
def test_the_settings_never_show_the_secret() -> None:
    """Neither in a repr nor in a dump."""
    environ = {"GOOGLE_CLOUD_PROJECT": "demo", "GOOGLE_CLOUD_LOCATION": "us-central1", "API_KEYS": SECRET}
    settings = PublicSettings.from_environ(environ)
    assert "shop" not in repr(settings)
    assert "shop" not in str(settings.model_dump())
    assert len(settings.keys_of_callers) == 4


@pytest.mark.feature("46")
def test_the_command_prints_the_key_once_and_the_line_to_store() -> None:
    """The line alone is on standard output, so that it can be appended to a file."""
    command = [sys.executable, "-m", "chassis.auth.api_keys", "--owner", "shop", "--scopes", "read", "--name", "ci"]
    done = subprocess.run(
        [*command, "--expires-at", "2030-01-01T00:00:00Z"], capture_output=True, text=True, check=True
    )
    (entry,) = parse_api_keys(done.stdout)
    key = done.stderr.rstrip().rpartition(" ")[2]

    assert find_key([entry], key) == entry
    assert key not in done.stdout
    assert (entry.owner, entry.scopes, entry.name) == ("shop", frozenset({Scope.READ}), "ci")
    assert entry.expires_at == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("wrong", [["--owner", "a b"], ["--owner", "a", "--scopes", "all"], ["--owner", ""]])
def test_the_command_refuses_what_no_entry_may_hold(wrong: list[str]) -> None:
    """It makes no key that the services would not accept."""
    done = subprocess.run(
        [sys.executable, "-m", "chassis.auth.api_keys", *wrong], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("api_keys: ")


def test_every_new_key_is_another_one() -> None:
    """43 characters of base64 hold 256 random bits."""
    keys = {new_key(owner="a", scopes=["read"]).key for _ in range(20)}
    assert len(keys) == 20
    assert {len(key) for key in keys} == {len("prk_") + 43}


@pytest.mark.fault("I9")
@pytest.mark.parametrize("place", range(64))
def test_a_key_is_known_by_every_digit_of_its_hash(place: int) -> None:
    """A hash that differs in any one of its 64 digits is that of another key."""
    made = new_key(owner="shop", scopes=["read"])
    (entry,) = parse_api_keys(made.line)
    other = f"{int(entry.sha256[place], 16) ^ 1:x}"
    near = entry.model_copy(update={"sha256": entry.sha256[:place] + other + entry.sha256[place + 1 :]})

    assert find_key([entry], made.key) == entry
    assert find_key([near], made.key) is None


def test_the_command_in_process_prints_key_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Read and write are what a key may do unless it is said otherwise."""
    assert main(["--owner", "shop"]) == 0

    told = capsys.readouterr()
    (entry,) = parse_api_keys(told.out)
    assert (entry.owner, entry.scopes, entry.name, entry.expires_at) == (
        "shop",
        frozenset({Scope.READ, Scope.WRITE}),
        "",
        None,
    )
    assert told.err.startswith("The key, shown this once: prk_")
    assert find_key([entry], told.err.rpartition(": ")[2].strip()) == entry


def test_the_command_in_process_takes_everything_that_an_entry_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Scopes are separated by commas."""
    arguments = ["--owner", "shop", "--scopes", "read,admin", "--name", "ci", "--expires-at", "2030-01-01T00:00:00Z"]
    assert main(arguments) == 0

    (entry,) = parse_api_keys(capsys.readouterr().out)
    assert (entry.scopes, entry.name) == (frozenset({Scope.READ, Scope.ADMIN}), "ci")
    assert entry.expires_at == datetime(2030, 1, 1, tzinfo=UTC)


def test_the_command_in_process_names_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """By its field, and makes nothing."""
    assert main(["--owner", "a b", "--scopes", "all"]) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(": ")[:2] for line in told.err.splitlines()] == [["api_keys", "owner"], ["api_keys", "scopes.0"]]


def test_the_command_needs_an_owner(capsys: pytest.CaptureFixture[str]) -> None:
    """A key of nobody's would own what has no owner."""
    with pytest.raises(SystemExit) as ended:
        main([])

    assert ended.value.code == 2
    assert "python -m chassis.auth.api_keys" in capsys.readouterr().err


def test_a_key_is_over_at_its_very_time() -> None:
    """Not a moment after it."""
    (entry,) = parse_api_keys(new_key(owner="a", scopes=["read"], expires_at="2030-01-01T00:00:00Z").line)
    end = datetime(2030, 1, 1, tzinfo=UTC)

    assert (entry.has_expired(end), entry.has_expired(end - timedelta(microseconds=1))) == (True, False)


def test_every_bad_line_is_named_and_blank_lines_end_nothing() -> None:
    """By its number and the fields that are wrong, never by what it holds."""
    good = new_key(owner="a", scopes=["read"]).line
    bad = good.replace('"a"', '"a b"').replace('"read"', '"secret"')

    with pytest.raises(ValueError, match="line") as refused:
        parse_api_keys(f"{good}\n\n{bad}\nnonsense\n{good}\n")

    assert str(refused.value) == "line 3: bad owner, scopes; line 4: bad JSON; line 5: the same key as in a line before"
    assert len(parse_api_keys(f"\n{good}\n\n{new_key(owner='b', scopes=['read']).line}")) == 2


def test_a_key_of_no_text_is_unknown_and_no_crash() -> None:
    """Half a surrogate pair has no bytes."""
    assert find_key(parse_api_keys(new_key(owner="a", scopes=["read"]).line), "prk_\ud800") is None


def test_a_line_holds_name_and_end_where_there_are_some() -> None:
    """And nothing empty."""
    full = json.loads(new_key(owner="a", scopes=["read"], name="ci", expires_at="2030-01-01T00:00:00Z").line)
    bare = json.loads(new_key(owner="a", scopes=["read"]).line)

    assert (full["name"], full["expires_at"], set(bare)) == (
        "ci",
        "2030-01-01T00:00:00Z",
        {"owner", "scopes", "sha256"},
    )
