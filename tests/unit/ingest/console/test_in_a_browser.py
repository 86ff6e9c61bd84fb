"""The console in Chromium: by keyboard alone, for screen readers, without JavaScript, with nothing from elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import axe_playwright_python
import pytest
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, Route, ViewportSize, expect, sync_playwright

from chassis.auth.api_keys import new_key
from support.console_site import HOSTILE_NAME, Story, play, served, sheet
from support.console_webhooks import ENDPOINT_ID, webhook_answers
from support.ingest_service import Lab, MakeLab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; `apt-get install chromium` enables it")

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DESK, PHONE = ViewportSize(width=1400, height=1000), ViewportSize(width=390, height=844)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass(slots=True)
class Visit:
    """A browser's visit of the console: its page, and whatever should not have happened."""

    lab: Lab
    url: str
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        """Open a page of the console."""
        self.page.goto(self.url + path)


@pytest.fixture
def visit(lab: Lab, chromium: Chromium) -> Callable[..., Any]:
    """Give a visit; whatever is asked of another origin, any message of a policy and any error of a script fail it."""

    @contextmanager
    def begin(at: Lab = lab, **options: Any) -> Iterator[Visit]:
        with served(at.app) as url, closing(chromium.new_context(viewport=DESK, **options)) as context:
            found = Visit(at, url, context, context.new_page())
            context.on("request", lambda request: _note_foreign(found, request.url))
            found.page.on("console", lambda message: _note_message(found, message.type, message.text))
            found.page.on("pageerror", lambda error: found.faults.append(f"script: {error}"))
            found.page.on("dialog", lambda dialog: found.faults.append(f"dialog: {dialog.message}"))
            yield found
            assert found.faults == []

    return begin


@contextmanager
def closing(context: BrowserContext) -> Iterator[BrowserContext]:
    """Close a context at the end."""
    try:
        yield context
    finally:
        context.close()


def _note_foreign(found: Visit, url: str) -> None:
    if not url.startswith((found.url, "data:")):
        found.faults.append(f"foreign: {url}")


def _note_message(found: Visit, kind: str, text: str) -> None:
    # An answer of 4xx is a page of ours and no fault of the script.
    if kind == "error" and "Failed to load resource" not in text:
        found.faults.append(text)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds on a page by all its rules, and whether the page scrolls sideways."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE)  # within the page's world but not as a script of the page, so its policy has no say
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]] + (
        [f"it scrolls sideways by {wide} px"] if wide > 0 else []
    )


def violations_of(begun: Visit, paths: list[str]) -> dict[str, list[str]]:
    """Return what axe-core finds on pages in four ways of looking at them; what has no fault is left out."""
    found: dict[str, list[str]] = {}
    for path in paths:
        begun.go(path)
        for size, scheme in product((DESK, PHONE), SCHEMES):
            begun.page.set_viewport_size(size)
            begun.page.emulate_media(color_scheme=scheme)
            found[f"{path} at {size['width']} px, {scheme}"] = violations(begun.page)
        begun.page.set_viewport_size(DESK)
    return {name: faults for name, faults in found.items() if faults}


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, as somebody without a mouse does."""
    for _ in range(150):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no way to {selector} by keyboard")


def image_of(lab: Lab, request_id: str) -> str:
    """Return the first image of a batch that has an output."""
    (row,) = lab.rows(
        "SELECT id FROM images WHERE batch = :id AND status = 'SUCCEEDED' ORDER BY row_number, slot LIMIT 1",
        id=request_id,
    )
    return str(row["id"])


def test_every_page_can_be_used_by_everybody(lab: Lab, visit: Callable[..., Any]) -> None:
    """axe-core finds nothing, and no page scrolls sideways."""
    lab.webhooks.answers |= webhook_answers()
    done = play(lab, Story("done.csv", 6, failed=0.4))
    running = play(lab, Story("running.csv", 6, ended=0.5))
    pages = [
        "/console/new",
        "/console/batches",
        "/console/batches?status=CANCELLED",
        f"/console/batches/{running}",
        f"/console/batches/{running}/cancel",
        *(f"/console/batches/{done}?tab={tab}" for tab in ("images", "problems", "hosts", "deliveries", "options")),
        f"/console/batches/{done}?tab=downloads",
        f"/console/images/{image_of(lab, done)}",
        "/console/webhooks",
        f"/console/webhooks/{ENDPOINT_ID}",
        "/console/settings",
        "/console/nothing",
    ]
    with visit() as begun:
        assert violations_of(begun, pages) == {}


def test_the_sign_in_can_be_used_by_everybody(make_lab: MakeLab, visit: Callable[..., Any]) -> None:
    """Also when it has just refused a key."""
    lab = make_lab(API_KEYS=new_key(owner="shop", scopes=["read"]).line)
    with visit(lab) as begun:
        assert violations_of(begun, ["/console/login"]) == {}

        begun.page.fill("[name=key]", "prk_wrong")
        begun.page.keyboard.press("Enter")
        begun.page.get_by_role("alert").wait_for()
        assert violations(begun.page) == []


@pytest.mark.threat("T20")
def test_a_revoked_key_is_signed_out(make_lab: MakeLab, visit: Callable[..., Any]) -> None:
    """The browser keeps its cookie; the service that no longer has the key leads to the sign-in."""
    revoked, kept = (new_key(owner="shop", scopes=["read"]) for _ in range(2))
    after = make_lab(API_KEYS=kept.line)
    with visit(make_lab(API_KEYS=f"{revoked.line}\n{kept.line}")) as begun, served(after.app) as url:
        begun.go("/console/login")
        begun.page.fill("[name=key]", revoked.key)
        begun.page.keyboard.press("Enter")
        begun.page.get_by_role("heading", name="Batches", level=1).wait_for()

        begun.url = url  # cookies know no ports
        begun.go("/console/batches")

        assert "/console/login" in begun.page.url


def test_a_bad_sheet_becomes_a_result_by_keyboard_alone(lab: Lab, visit: Callable[..., Any]) -> None:
    """Paste, choose a column, skip the bad row, watch, compare, download; without a mouse."""
    rows = "Title,Code,Image Urls\nLamp,L-1,https://a.test/1.jpg\nStool,S-2,no link\nRug,R-3,https://a.test/3.jpg\n"
    with visit() as begun:
        page: Page = begun.page
        begun.go("/console/new")
        expect(page.get_by_role("button", name="Start")).to_be_disabled()
        tab_to(page, "details summary")
        page.keyboard.press("Enter")
        tab_to(page, "#csv_text")
        page.keyboard.insert_text(rows)
        page.keyboard.press("Tab")
        expect(page.locator("#checked")).to_contain_text("First rows")
        expect(page.get_by_role("cell", name="Lamp")).to_be_visible()
        tab_to(page, "#name")
        page.keyboard.type("Code")
        page.keyboard.press("Tab")
        expect(page.get_by_role("cell", name="L-1")).to_be_visible()
        expect(page.locator("#checked")).to_contain_text("URL_INVALID")
        tab_to(page, "[data-skip]")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/batches/*")
        request_id = page.url.rpartition("/")[2].partition("?")[0]
        expect(page.get_by_text("0 of 2 images have ended")).to_be_visible()
        lab.finish_all(request_id)
        expect(page.get_by_text("2 of 2 images have ended")).to_be_visible(timeout=15_000)
        page.reload()
        tab_to(page, f"a[href^='/console/images/{image_of(lab, request_id)}']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/console/images/*")
        for key, at in (("1", "100"), ("3", "0"), ("2", "50")):
            page.keyboard.press(key)
            expect(page.get_by_role("slider")).to_have_value(at)
        page.go_back()
        page.route("https://reporter.test/**", _instead_of_the_reporter)
        tab_to(page, "a.primary")
        with page.expect_download() as downloading:
            page.keyboard.press("Enter")
        assert downloading.value.suggested_filename == "output.csv"
        begun.faults[:] = [fault for fault in begun.faults if "https://reporter.test/" not in fault]


def _instead_of_the_reporter(route: Route) -> None:
    headers = {"Content-Disposition": 'attachment; filename="output.csv"'}
    route.fulfill(body="a,b\r\n", content_type="text/csv", headers=headers)


@pytest.mark.threat("T20")
def test_what_a_sheet_says_is_never_run(lab: Lab, visit: Callable[..., Any]) -> None:
    request_id = play(lab, Story("<img src=x onerror=alert(1)>.csv", 3, failed=0.3))
    with visit() as begun:
        page: Page = begun.page
        for path in (
            "/console/batches",
            f"/console/batches/{request_id}",
            f"/console/images/{image_of(lab, request_id)}",
        ):
            begun.go(path)
            assert page.locator("img[src='x']").count() == 0
        begun.go("/console/new")
        page.set_input_files(
            "#file", {"name": "x.csv", "mimeType": "text/csv", "buffer": sheet(3, first_name=HOSTILE_NAME).encode()}
        )
        expect(page.locator("#checked")).to_contain_text('document.title="owned"')
        assert page.title() == "New batch · Pressroom"


def test_without_javascript_a_sheet_is_checked_and_started(lab: Lab, visit: Callable[..., Any]) -> None:
    with visit(java_script_enabled=False) as begun:
        page: Page = begun.page
        begun.go("/console/new")
        page.set_input_files("#file", {"name": "shop.csv", "mimeType": "text/csv", "buffer": sheet(4).encode()})
        page.get_by_role("button", name="Check the sheet").click()
        assert page.get_by_text("8 images").is_visible()
        page.get_by_role("button", name="Start", exact=True).click()

        assert page.get_by_role("heading", name="shop.csv").is_visible()
        page.goto(f"{begun.url}/console/batches")
        assert page.get_by_role("link", name="shop.csv", exact=True).is_visible()


@pytest.mark.threat("T20")
def test_a_page_of_another_origin_cannot_send_our_forms(lab: Lab, visit: Callable[..., Any]) -> None:
    """Another port is the same site but not the same origin, which is the nearest that an attacker gets on loopback."""
    request_id = lab.submit("https://a.test/1.jpg")
    other = Flask("other")
    with visit() as begun:
        target = f"{begun.url}/console/batches/{request_id}/cancel"
        form = f'<form method="post" action="{target}"><button>Win a prize</button></form>'
        other.add_url_rule("/", "index", lambda: form)
        with served(other) as elsewhere:
            begun.page.goto(elsewhere)
            begun.page.get_by_role("button").click()
            begun.page.wait_for_url(target)
        assert "OTHER_ORIGIN" in begun.page.content()
        begun.faults[:] = [fault for fault in begun.faults if elsewhere not in fault]

    assert lab.batch_row(request_id)["cancel_requested"] is False


def test_a_page_that_is_final_or_hidden_asks_no_more(lab: Lab, visit: Callable[..., Any]) -> None:
    done = play(lab, Story("done.csv", 2))
    running = lab.submit("https://a.test/1.jpg")
    with visit() as begun:
        asked: list[str] = []
        begun.page.on("request", lambda request: asked.append(request.url) if "/live" in request.url else None)
        begun.page.clock.install()
        begun.go(f"/console/batches/{done}")
        begun.page.clock.run_for(60_000)
        of_final = len(asked)
        begun.go(f"/console/batches/{running}")
        begun.page.clock.run_for(2_500)
        expect(begun.page.get_by_text("0 of 1 images have ended")).to_be_visible()
        of_running = len(asked)
        begun.page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
        begun.page.clock.run_for(60_000)
        of_hidden = len(asked) - of_running

    assert (of_final, of_running, of_hidden) == (0, 1, 0)


def test_the_focus_and_what_was_typed_outlive_an_update(lab: Lab, visit: Callable[..., Any]) -> None:
    """The part that is exchanged has links; who stands on one is still there afterwards."""
    request_id = lab.submit("https://a.test/1.jpg")
    with visit() as begun:
        begun.go("/console/batches")
        tab_to(begun.page, f"a[href='/console/batches/{request_id}']")
        lab.change("UPDATE batches SET source_name = 'renamed.csv' WHERE request_id = :id", id=request_id)
        expect(begun.page.get_by_role("link", name="renamed.csv", exact=True)).to_be_visible(timeout=15_000)

        assert begun.page.evaluate("document.activeElement.getAttribute('href')") == f"/console/batches/{request_id}"


def test_a_screen_reader_hears_what_a_batch_is_doing(lab: Lab, visit: Callable[..., Any]) -> None:
    request_id = play(lab, Story("done.csv", 2))
    with visit() as begun:
        begun.go(f"/console/batches/{request_id}")
        said = begun.page.locator("main").aria_snapshot()

    for words in ('heading "done.csv"', "4 of 4 images have ended", 'img "4 done, 0 failed, 0 open"', "Bytes saved"):
        assert words in said, json.dumps(said)[:3000]
