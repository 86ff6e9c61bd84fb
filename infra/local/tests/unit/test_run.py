"""`localcloud run`: result, failure, log and trace of one execution, as the command line shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.__main__ import main
from loopback_script import LoopbackScript

GREETING = """
main:
  params: [args]
  steps:
    - say: {call: sys.log, args: {text: '${"greeting " + args.name}', severity: WARNING}}
    - greet: {return: '${sys.get_env("WORD") + " " + args.name}'}
"""


@pytest.fixture
def greeting(tmp_path: Path) -> str:
    """The path of a workflow that greets and logs."""
    path = tmp_path / "greeting.yaml"
    path.write_text(GREETING)
    return str(path)


def test_result_is_printed_as_json(greeting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On the standard output, and nothing else."""
    status = main(["run", greeting, "--data", '{"name": "you"}', "--env", "WORD=Hello"])
    said = capsys.readouterr()

    assert (status, said.out) == (0, '"Hello you"\n')
    assert said.err == "WARNING: greeting you\n"


def test_failure_is_told_with_its_step(greeting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1: context and payload on the standard error, no result."""
    status = main(["run", greeting, "--data", "{}"])
    said = capsys.readouterr()

    assert (status, said.out) == (1, "")
    assert 'KeyError: key not found: name\nin step "say", routine "main", line: 5' in said.err


def test_trace_tells_every_step(greeting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, with their lines."""
    main(["run", greeting, "--data", '{"name": "you"}', "--env", "WORD=Hello", "--trace"])
    said = capsys.readouterr().err

    assert [line for line in said.splitlines() if "main." in line] == [
        "   5  main.say  std_lib_call",
        "   6  main.greet  return",
    ]


def test_refused_source_is_told_with_its_caret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a deploy would tell it."""
    (tmp_path / "bad.yaml").write_text("- a: {return: '${1 +}'}")

    assert main(["run", str(tmp_path / "bad.yaml")]) == 1
    assert "error in step a" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--data", "{"], "--data is not JSON"),
        (["--env", "WORD"], "--env wants NAME=VALUE"),
        (["--service", "storage"], "--service wants SERVICE=URL"),
    ],
)
def test_option_that_cannot_be_read_is_wrong_usage(
    greeting: str, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    """Status 2, as for every wrong option."""
    assert main(["run", greeting, *options]) == 2
    assert text in capsys.readouterr().err


def test_file_that_is_not_there_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named."""
    assert main(["run", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_callback_needs_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The execution fails and says what to use."""
    source = "- a: {call: events.create_callback_endpoint, args: {http_callback_method: POST}, result: r}"
    (tmp_path / "waits.yaml").write_text(source)

    assert main(["run", str(tmp_path / "waits.yaml")]) == 1
    assert "use localcloud serve" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["option", "variable"])
def test_google_service_is_called_at_its_local_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """By an option, or by the variable that Google's clients read."""
    connector = "googleapis.storage.v1.buckets.get"
    (tmp_path / "bucket.yaml").write_text(
        f"- a: {{call: {connector}, args: {{bucket: photos}}, result: r}}\n- b: {{return: '${{r.name}}'}}"
    )
    server = LoopbackScript()
    server.start()
    try:
        options = ["--service", f"storage={server.base_url}"] if way == "option" else []
        if way == "variable":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.base_url.removeprefix("http://"))
        with server.playing([{"request": "GET /storage/v1/b/photos", "body": {"name": "photos"}}]) as faults:
            status = main(["run", str(tmp_path / "bucket.yaml"), *options])
    finally:
        server.stop()

    assert (status, faults, capsys.readouterr().out) == (0, [], '"photos"\n')


PUBLISH = "googleapis.pubsub.v1.projects.topics.publish"
PUBLISHING = f"""
- first:
    try: {{call: {PUBLISH}, args: {{topic: t}}, result: r}}
    except: {{as: e, steps: [{{again: {{call: {PUBLISH}, args: {{topic: t}}, result: r}}}}]}}
- last: {{call: {PUBLISH}, args: {{topic: t}}, result: s}}
- done: {{return: ['${{r.id}}', '${{s.id}}']}}
"""


def test_connector_that_is_not_emulated_answers_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer a call, in their order; the last one stays. Without the file the workflow is refused."""
    (tmp_path / "w.yaml").write_text(PUBLISHING)
    (tmp_path / "mocks.yaml").write_text(
        f"{PUBLISH}: [{{raises: {{code: 503, tags: [HttpError]}}}}, {{returns: {{id: one}}}}, {{returns: {{id: two}}}}]"
    )

    assert main(["run", str(tmp_path / "w.yaml")]) == 1
    assert f"localcloud does not emulate '{PUBLISH}'" in capsys.readouterr().err
    assert main(["run", str(tmp_path / "w.yaml"), "--connectors", str(tmp_path / "mocks.yaml")]) == 0
    assert capsys.readouterr().out == '["one","two"]\n'


def test_connector_without_an_answer_may_deploy_and_fail_at_its_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--allow-unemulated`, with a note."""
    (tmp_path / "w.yaml").write_text(PUBLISHING)

    assert main(["run", str(tmp_path / "w.yaml"), "--allow-unemulated"]) == 1
    said = capsys.readouterr().err
    assert f"note: '{PUBLISH}' is not emulated: the call will fail" in said
    assert '"tags":["NotEmulatedError"]' in said


def test_request_answers_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By verb and URL, with `*`; `raises` with a code is an answer of the server."""
    (tmp_path / "w.yaml").write_text(
        "- a: {call: http.post, args: {url: 'https://dataform.googleapis.com/v1beta1/p:run'}, result: r}\n"
        "- b:\n    try: {call: http.get, args: {url: 'https://api.example/x'}}\n"
        "    except: {as: e, steps: [{c: {return: ['${r.body.name}', '${e.code}']}}]}"
    )
    (tmp_path / "mocks.yaml").write_text(
        "http.post https://dataform.googleapis.com/*: {returns: {name: one}}\n"
        "http.* https://api.example/*: {raises: {code: 418}}\n"
    )

    assert main(["run", str(tmp_path / "w.yaml"), "--connectors", str(tmp_path / "mocks.yaml")]) == 0
    assert capsys.readouterr().out == '["one",418]\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[]", "expected a mapping of connectors"),
        ("a: [", "cannot be read"),
        ("translate: {returns: 1}", "'translate' is no call"),
        (f"{PUBLISH}: 5", "an answer is {returns: VALUE} or {raises: VALUE}, not 5"),
        (f"{PUBLISH}: {{returns: 1, raises: 2}}", "an answer is"),
        (f"{PUBLISH}: []", "there is no answer"),
    ],
)
def test_file_of_answers_that_cannot_be_read_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    """Status 2, with file, connector and fault."""
    (tmp_path / "w.yaml").write_text("- a: {return: 1}")
    (tmp_path / "mocks.yaml").write_text(text)

    assert main(["run", str(tmp_path / "w.yaml"), "--connectors", str(tmp_path / "mocks.yaml")]) == 2
    assert fault in capsys.readouterr().err
