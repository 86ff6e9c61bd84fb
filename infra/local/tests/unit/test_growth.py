"""Time is linear in the bytes wherever localcloud looks at a stranger's: no input of a few kilobytes holds a port up.

Each case is an input made to be slow for one parser. What a workflow costs once it runs is the workflow's business, and
its limits hold; what is measured here happens before anybody has asked for it.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from growth import measure_growth
from localcloud.check.report import check_source
from localcloud.core.google_errors import GoogleError
from localcloud.core.http_status import retry_after_s
from localcloud.core.list_fields import Field, Labels
from localcloud.core.rest import json_from_body
from localcloud.tasks.api.queue_resource import merge_queue, queue_from_json
from localcloud.tasks.api.routes import find_route
from localcloud.tasks.api.task_resource import task_from_json
from localcloud.workflows.api.lists import Collection, ListQuery, list_page
from localcloud.workflows.api.pubsub import read_notification
from localcloud.workflows.api.request_fields import labels
from localcloud.workflows.http_bodies import canonical_headers, value_from_body
from localcloud.workflows.jsontext import JsonDecodeError, decode_json
from localcloud.workflows.limits import MAX_SOURCE_BYTES
from localcloud.workflows.loader import load_program
from localcloud.workflows.source.errors import SourceError

pytestmark = pytest.mark.timing

MAX_BODY = 4 * 1024 * 1024
MAX_HEADER = 8190
"""What aiohttp takes, as a server and as a client."""

QUEUE = "projects/p/locations/l/queues/q"


def repeated(text: str, size: int) -> str:
    """Return as many copies of a text as make `size` characters."""
    return text * max(1, size // len(text))


def numbered(pattern: str, size: int) -> str:
    """Return lines made of a pattern with running numbers, about `size` characters."""
    return "".join(pattern.replace("%", str(number)) for number in range(max(1, size // len(pattern))))


def nested_loops(size: int) -> str:
    """Return loops in twenty levels beside one another: each has variables, names and a border of its own."""
    lines = []
    for number in range(max(1, size // 1500)):
        for depth in range(10):
            pad = "  " * (3 * depth)
            lines.append(f"{pad}- l{number}_{depth}: {{assign: [{{v{number}_{depth}: 1}}]}}")
            lines.append(f"{pad}- f{number}_{depth}:\n{pad}    for:\n{pad}      value: x{number}_{depth}")
            lines.append(f"{pad}      in: []\n{pad}      steps:")
        lines.append("  " * 30 + "- end: {assign: [{z: 1}]}")
    return "\n".join(lines)


SOURCES: dict[str, Callable[[int], str]] = {
    "plain steps": lambda n: numbered("- s%: {assign: [{a%: 1}]}\n", n),
    "jumps to every step": lambda n: numbered("- s%: {next: s0}\n", n),
    "a handler in every step": lambda n: numbered(
        "- s%: {try: {call: sys.now}, except: {as: e%, steps: [{h%: {assign: [{a%: 1}]}}]}}\n", n
    ),
    "a loop in every step": lambda n: numbered(
        "- s%: {for: {value: v%, in: [], steps: [{h%: {assign: [{a%: 1}]}}]}}\n", n
    ),
    "a parallel step in every step": lambda n: numbered(
        "- s%: {parallel: {branches: [{b%: {steps: [{h%: {assign: [{a%: 1}]}}]}}]}}\n", n
    ),
    "a group in every step": lambda n: numbered("- s%: {steps: [{h%: {assign: [{a%: 1}]}}]}\n", n),
    "a switch in every step": lambda n: numbered("- s%: {switch: [{condition: true, next: s0}]}\n", n),
    "loops in loops": nested_loops,
    "names shared with parallel steps": lambda n: (
        "- a: {assign: [{x: 1}]}\n"
        + numbered("- s%: {parallel: {shared: [x], branches: [{b%: {steps: [{h%: {assign: [{x: 1}]}}]}}]}}\n", n)
    ),
    "routines that call one another": lambda n: (
        "main: {steps: [{a: {return: 1}}]}\n" + numbered("r%: {steps: [{c: {call: main}}]}\n", n)
    ),
    "a long call": lambda n: f"- a: {{call: {repeated('a.', n)}a}}",
    "a long retry": lambda n: f"- a: {{try: {{call: sys.now}}, retry: '${{{repeated('a.', n)}a}}'}}",
    "a retry of parentheses": lambda n: f"- a: {{try: {{call: sys.now}}, retry: '${{{repeated('(', n)}}}'}}",
    "a long expression": lambda n: "- a: {return: '${" + repeated("1+", n) + "1}'}",
    "an assignment of a long name": lambda n: "- a: {assign: [{" + repeated("a", n) + ": 1}]}",
    "a value of many expressions": lambda n: "- a: {return: [" + repeated("'${1+1}',", n) + "]}",
    "a map of many keys": lambda n: "- a:\n    return:\n" + numbered("      k%: 1\n", n),
    "arguments without a parameter": lambda n: "- a: {call: sys.log, args: {" + numbered("k%: 1,", n) + "}}",
    "arguments of a connector": lambda n: (
        "- a: {call: googleapis.cloudtasks.v2.projects.locations.queues.tasks.create, args: {"
        + numbered("k%: 1,", n)
        + "}}"
    ),
    "anchors": lambda n: "- a: {return: [" + numbered("&a% 1, *a%,", n) + "]}",
    "aliases that unfold": lambda n: (
        "- a: {return: [&a [" + repeated("1,", n // 2) + "], " + repeated("*a,", n // 2) + "]}"
    ),
    "aliases of aliases": lambda n: "- a:\n    return:\n      - &a0 [1, 1]\n" + numbered("      - &a% [*a0, *a0]\n", n),
    "open brackets": lambda n: repeated("[", n),
    "open quotes": lambda n: "- a: {return: '" + repeated("x", n),
    "question marks": lambda n: repeated("? ", n),
    "one line of text": lambda n: repeated("a ", n),
    "a folded text": lambda n: "- a:\n    return: >\n" + repeated("      x\n\n", n),
    "a block of blank lines": lambda n: "- a:\n    return: |\n" + repeated("\n", n) + "      x",
    "comments": lambda n: repeated("#\n", n) + "- a: {return: 1}",
    "colons": lambda n: repeated("a:", n),
    "bare expressions on a wrong line": lambda n: "- a: [" + repeated("- ${", n),
    "bare expressions with blanks on a wrong line": lambda n: "a: b: " + repeated("-      ${x", n),
    "tabs": lambda n: "- a:\n" + repeated("\t", n) + "b",
    "escapes": lambda n: '- a: {return: "' + repeated("\\u00e9", n) + '"}',
    "a JSON source": lambda n: json.dumps([{f"s{k}": {"assign": [{f"a{k}": 1}]}} for k in range(max(1, n // 40))]),
    "a JSON source of escapes": lambda n: '[{"a": {"return": "' + repeated("\\ud83d\\ude00", n) + '"}}]',
    "a JSON source of half escapes": lambda n: '[{"a": {"return": "' + repeated("\\ud83d", n) + '"}}]',
    "an integer": lambda n: "- a: {return: " + repeated("9", n) + "}",
    "a number": lambda n: "- a: {return: 1." + repeated("9", n) + "e5x}",
}


@pytest.mark.parametrize("name", SOURCES)
def test_deploy_takes_time_in_proportion_to_the_source(name: str) -> None:
    """A source is parsed, linked and checked before anybody runs it; it may be refused."""

    def deploy(source: str) -> None:
        with contextlib.suppress(SourceError):
            load_program(source)

    growth = measure_growth(SOURCES[name], deploy, most=MAX_SOURCE_BYTES)

    assert growth.is_linear, growth


CHECKED = {
    "plain steps": SOURCES["plain steps"],
    "loops": SOURCES["a loop in every step"],
    "handlers": SOURCES["a handler in every step"],
    "parallel steps": SOURCES["a parallel step in every step"],
    "routines in a chain": lambda n: (
        "main: {steps: [{a: {call: r0}}]}\n"
        + "".join(
            f"r{k}: {{steps: [{{a: {{call: r{k + 1}}}}}, {{b: {{call: r{k + 1}}}}}]}}\n" for k in range(max(1, n // 60))
        )
        + f"r{max(1, n // 60)}: {{steps: [{{a: {{return: 1}}}}]}}\n"
    ),
    "jumps back": lambda n: numbered("- s%: {next: s0}\n", n),
    "jumps to the step before": lambda n: (
        "- s0: {assign: [{a: 1}]}\n"
        + "".join(f"- s{k}: {{switch: [{{condition: true, next: s{k - 1}}}]}}\n" for k in range(1, max(2, n // 45)))
    ),
}


@pytest.mark.parametrize("name", CHECKED)
def test_check_takes_time_in_proportion_to_the_source(name: str) -> None:
    """`localcloud check` reads workflows of strangers, too."""
    growth = measure_growth(CHECKED[name], lambda source: check_source(source, {}), most=MAX_SOURCE_BYTES)

    assert growth.is_linear, growth


BODIES: dict[str, Callable[[int], bytes]] = {
    "many keys": lambda n: json.dumps({f"k{number}": number for number in range(n // 12)}).encode(),
    "one key many times": lambda n: b"{" + b'"k":1,' * (n // 6) + b'"k":1}',
    "open brackets": lambda n: b"[" * n,
    "an integer": lambda n: b"9" * n,
    "a fraction": lambda n: b"0." + b"9" * n,
    "an exponent": lambda n: b"1e" + b"9" * n,
    "escapes": lambda n: b'"' + b"\\u00e9" * (n // 6) + b'"',
    "half escapes": lambda n: b'"' + b"\\ud83d" * (n // 6) + b'"',
    "blanks": lambda n: b" " * n + b"{}",
    "bytes that are no text": lambda n: b'"' + b"\xc3" * n + b'"',
    "a text that does not end": lambda n: b'"' + b"x" * n,
}


@pytest.mark.parametrize("name", BODIES)
def test_body_is_decoded_in_proportion_to_its_bytes(name: str) -> None:
    """Bodies of requests, arguments of executions and bodies that executions get."""

    def read(body: bytes) -> None:
        with contextlib.suppress(GoogleError):
            json_from_body(body)
        with contextlib.suppress(JsonDecodeError):
            decode_json(body.decode(errors="replace"))
        value_from_body(body, "application/json")

    growth = measure_growth(BODIES[name], read, most=MAX_BODY)

    assert growth.is_linear, growth


ITEMS: list[dict[str, Any]] = [{"name": repeated("ab", 400), "labels": {"team": repeated("x", 60)}} for _ in range(3)]
FIELDS = Collection(
    default_size=100,
    maximum_size=1000,
    fields={"name": Field(lambda item: item["name"]), "labels": Field(lambda item: item["labels"], Labels())},
    sortable=frozenset({"name"}),
)

LISTS: dict[str, Callable[[int], ListQuery]] = {
    "comparisons": lambda n: ListQuery(filter=repeated("name=a ", n)),
    "alternatives": lambda n: ListQuery(filter=repeated("name=a OR ", n) + "name=a"),
    "stars": lambda n: ListQuery(filter=f'name="{repeated("*a", min(n, 9_000))}*c"'),
    "stars without end": lambda n: ListQuery(filter=f'name="{repeated("*", n)}c"'),
    "stars in labels": lambda n: ListQuery(filter=f'labels.team="{repeated("*x", n)}y"'),
    "open parentheses": lambda n: ListQuery(filter=repeated("(", n)),
    "pairs of parentheses": lambda n: ListQuery(filter=repeated("(name=a) ", n)),
    "negations": lambda n: ListQuery(filter=repeated("NOT ", n)),
    "an open quote": lambda n: ListQuery(filter='name="' + repeated('\\"', n)),
    "blanks": lambda n: ListQuery(filter=" " * n + "name=a"),
    "a long field": lambda n: ListQuery(filter=repeated("a_", n)),
    "orders": lambda n: ListQuery(order_by=repeated("name,", n) + "name"),
    "an order of blanks": lambda n: ListQuery(order_by=" " * n + ","),
    "a page token of brackets": lambda n: ListQuery(page_token=base64.urlsafe_b64encode(b"[" * n).decode()),
    "a page token that is none": lambda n: ListQuery(page_token="=" * n),
    "a page token of digits": lambda n: ListQuery(page_token=base64.urlsafe_b64encode(b"9" * n).decode()),
}


@pytest.mark.parametrize("name", LISTS)
def test_list_request_is_read_in_proportion_to_its_length(name: str) -> None:
    """Filters, orders and page tokens; over gRPC they may be longer than a URL."""

    def read(query: ListQuery) -> None:
        with contextlib.suppress(GoogleError):
            list_page(ITEMS, query, FIELDS, key=lambda item: item["name"])

    growth = measure_growth(LISTS[name], read, most=MAX_BODY)

    assert growth.is_linear, growth


HEADERS: dict[str, Callable[[int], Any]] = {
    "one name many times": lambda n: [("X-A", "b")] * (n // 8),
    "names of hyphens": lambda n: [("-" * n, "b")],
    "content type of parameters": lambda n: [("Content-Type", "text/plain" + ";a=b" * (n // 4))],
    "content type of quotes": lambda n: [("Content-Type", "text/plain" + ';"' * (n // 2))],
    "content type of quoted semicolons": lambda n: [("Content-Type", 'text/plain;a="' + ";" * n)],
    "content type of continuations": lambda n: [("Content-Type", "text/plain" + numbered(";a*%=b", n))],
    "content type of blanks": lambda n: [("Content-Type", "text/" + " " * n + "plain")],
    "content type of encoded words": lambda n: [("Content-Type", "text/plain; charset=" + "=?" * (n // 2))],
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_read_in_proportion_to_their_length(name: str) -> None:
    """Those of callbacks, and of answers to the requests of executions."""

    def read(pairs: Any) -> None:
        headers = canonical_headers(pairs)
        value_from_body(b"x", headers.get("Content-Type", ""))

    growth = measure_growth(HEADERS[name], read, most=MAX_HEADER)

    assert growth.is_linear, growth


RETRY_AFTER = ["9", " ", "Mon, ", "1:", "-1 ", "(", "\u0661", "+9", "Jan ", ";", '"']


@pytest.mark.parametrize("part", RETRY_AFTER)
def test_retry_after_is_read_in_proportion_to_its_length(part: str) -> None:
    """It comes from a task's target."""
    growth = measure_growth(lambda n: repeated(part, n), lambda text: retry_after_s(text, 0.0), most=MAX_HEADER)

    assert growth.is_linear, growth


def task_of(**request: Any) -> dict[str, Any]:
    """Return the body of a task with this request."""
    return {"httpRequest": {"url": "http://a.example/", **request}}


TASKS: dict[str, Callable[[int], Any]] = {
    "headers": lambda n: task_of(headers={f"x{number}": "b" for number in range(n // 8)}),
    "a long header": lambda n: task_of(headers={"x": "b" * n}),
    "a url of colons": lambda n: task_of(url="http://" + ":" * n),
    "a url of brackets": lambda n: task_of(url="http://" + "[" * n),
    "a url of names": lambda n: task_of(url="http://" + "a@" * (n // 2) + "b"),
    "a body that is no base64": lambda n: task_of(body="-" * n + "!"),
    "unknown fields": lambda n: {f"k{number}": 1 for number in range(n // 8)},
    "a name": lambda n: task_of() | {"name": "projects/" + "a." * (n // 2) + "/"},
    "a time": lambda n: task_of() | {"scheduleTime": "2026-01-01T00:00:00." + "9" * n},
    "a deadline": lambda n: task_of() | {"dispatchDeadline": "9" * n + "s"},
    "a method": lambda n: task_of(httpMethod="A" * n),
    "an account": lambda n: task_of(oidcToken={"serviceAccountEmail": "a" * n}),
}


@pytest.mark.parametrize("name", TASKS)
def test_task_is_read_in_proportion_to_its_bytes(name: str) -> None:
    """Whether it is created or refused."""

    def read(body: Any) -> None:
        with contextlib.suppress(GoogleError):
            task_from_json(body, queue_name=QUEUE, serial=1, now=0.0)

    growth = measure_growth(TASKS[name], read, most=MAX_BODY)

    assert growth.is_linear, growth


def changed(mask: str) -> None:
    """Change a queue by an update mask."""
    with contextlib.suppress(GoogleError):
        merge_queue(queue_from_json({}, name=QUEUE), {"rateLimits": {"maxDispatchesPerSecond": 1}}, mask=mask)


OTHERS: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "paths of slashes": (lambda n: "/v2/projects/p" + "/" * n, lambda path: find_route("GET", path)),
    "paths of names": (lambda n: "/v2/projects/" + "a" * n + "/locations", lambda path: find_route("PUT", path)),
    "paths of verbs": (lambda n: "/v2/projects/p" + ":a" * (n // 2), lambda path: find_route("GET", path)),
    "update masks": (lambda n: repeated("rateLimits.maxDispatchesPerSecond,", n), changed),
    "update masks of dots": (lambda n: "." * n, changed),
    "labels": (lambda n: {f"k{number}": "v" for number in range(n // 12)}, lambda body: labels(body, "labels")),
    "attributes of a message": (
        lambda n: {"message": {"attributes": {f"k{number}": "v" for number in range(n // 12)}}, "subscription": "s"},
        lambda body: read_notification(body, ""),
    ),
    "data of a message": (
        lambda n: {"message": {"data": "A" * n}, "subscription": "projects/p/subscriptions/s"},
        lambda body: read_notification(body, ""),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_parts_of_requests_are_read_in_proportion_to_their_length(name: str) -> None:
    """Paths, masks, labels and messages of Pub/Sub."""
    make, look = OTHERS[name]

    def read(value: Any) -> None:
        with contextlib.suppress(GoogleError):
            look(value)

    growth = measure_growth(make, read, most=MAX_BODY)

    assert growth.is_linear, growth
