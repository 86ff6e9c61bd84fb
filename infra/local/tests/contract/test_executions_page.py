"""The executions page, asked over HTTP by a client and by a real browser."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from coroutine_tests import until
from localcloud.core.clock import ManualClock
from localcloud.identity.engine.issuer import AccountTokens, TokenIssuer
from localcloud.workflows.api.lists import ListQuery
from localcloud.workflows.server import WorkflowsServer, start_workflows_server

PARENT = "projects/demo/locations/us-central1"
UI = "/ui"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; `apt-get install chromium` enables it")

EVIL = '<script>document.title="owned"</script>'
STORY = """
main:
  params: [args]
  steps:
    - fan_out:
        parallel:
          for:
            value: row
            in: ${args.rows}
            steps:
              - weigh:
                  assign:
                    - weight: ${row + 1}
    - answer:
        return: ${args}
"""
NAP = """
- doze:
    call: sys.sleep
    args: {seconds: 600}
"""
DOOR = """
- open:
    call: events.create_callback_endpoint
    args: {http_callback_method: PUT}
    result: door
- wait:
    call: events.await_callback
    args: {callback: "${door}", timeout: 60}
"""
CRASH = """
main:
  params: [rows]
  steps:
    - tell: {call: sys.log, args: {text: '${"rows " + string(len(rows))}', severity: WARNING}}
    - each:
        parallel:
          for:
            value: row
            in: ${rows}
            steps:
              - weigh:
                  switch:
                    - condition: ${row > 2}
                      raise: too heavy
"""
FAIL = "- look_up:\n    return: ${[1, 2][5]}\n"
REFUSED = "- broken:\n    return: ${1 + nope}\n"


@dataclass
class Site:
    """The server and a client."""

    server: WorkflowsServer
    client: aiohttp.ClientSession
    folder: Path

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page."""
        async with self.client.get(self.server.base_url + path) as response:
            return response.status, await response.text()

    async def post(
        self, path: str, headers: dict[str, str] | None = None, **form: str
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send a form and return status, text and headers of the answer, redirects not followed."""
        url = self.server.base_url + path
        async with self.client.post(url, data=form, headers=headers, allow_redirects=False) as response:
            return response.status, await response.text(), response.headers

    async def ran(self, workflow: str, argument: str) -> str:
        """Run a workflow to its end and return the path of the execution's page."""
        name = self.start(workflow, argument)
        await until(lambda: not self.server.store.execution(name).is_live)
        return f"{UI}/{name}"

    def start(self, workflow: str, argument: str = "null") -> str:
        """Start a workflow and return the execution's name."""
        return str(self.server.executions.create(f"{PARENT}/workflows/{workflow}", {"argument": argument})["name"])


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    sources = {"story": STORY, "nap": NAP, "fail": FAIL, "refused": REFUSED, "door": DOOR, "crash": CRASH}
    for name, source in sources.items():
        (folder / f"{name}.yaml").write_text(source)
    clock = ManualClock()
    issuer = TokenIssuer(clock)
    server = await start_workflows_server(
        port=0,
        grpc_port=0,
        clock=clock,
        project="demo",
        project_number="123456789012",
        location="us-central1",
        service_account="workflows@demo.iam.gserviceaccount.com",
        token_source=lambda email: AccountTokens(issuer, email),
        endpoints={},
        workflows_dir=folder,
    )
    async with aiohttp.ClientSession() as client:
        try:
            yield Site(server, client, folder)
        finally:
            await server.stop()


def seen(page: str) -> str:
    """Return the text of a page without its tags and script."""
    without_script = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]+>", " ", without_script))


async def test_first_page_lists_workflows_and_what_they_did(tmp_path: Path) -> None:
    """Each workflow is a link, with the states of its executions."""
    async with site(tmp_path) as local:
        await local.ran("story", '{"rows": [1]}')
        status, page = await local.get(f"{UI}/")

    assert status == 200
    assert f'href="{UI}/{PARENT}/workflows/story"' in page
    assert "1 succeeded" in seen(page)


async def test_refused_file_of_the_folder_is_shown_with_its_caret(tmp_path: Path) -> None:
    """The same text as in the log: message, line and caret below the fault."""
    async with site(tmp_path) as local:
        _, page = await local.get(f"{UI}/")

    assert "symbol 'nope' is neither a variable nor a sub-workflow name" in seen(page)
    assert re.search(r"2 \|     return: \$\{1 \+ nope\}\n +\^", html.unescape(page))


async def test_deploy_button_takes_a_mended_file(tmp_path: Path) -> None:
    """Without waiting for the watcher, the file is a workflow and no longer refused."""
    async with site(tmp_path) as local:
        (tmp_path / "refused.yaml").write_text(REFUSED.replace("nope", "1"))
        status, _, headers = await local.post(f"{UI}/folder:deploy")
        _, page = await local.get(f"{UI}/")

        assert (status, headers["Location"]) == (303, f"{UI}/")
        assert f"{PARENT}/workflows/refused" in local.server.store.workflows
        assert "neither a variable" not in page


async def test_run_form_starts_an_execution(tmp_path: Path) -> None:
    """The browser is sent to the page of the new execution, which shows argument and result."""
    async with site(tmp_path) as local:
        status, _, headers = await local.post(f"{UI}/{PARENT}/workflows/story:run", argument='{"rows": [7]}')
        name = headers["Location"].removeprefix(f"{UI}/")
        await until(lambda: not local.server.store.execution(name).is_live)
        _, page = await local.get(headers["Location"])

    assert status == 303
    assert seen(page).count('"rows": [') == 2


async def test_run_form_keeps_an_argument_that_is_no_json(tmp_path: Path) -> None:
    """The form comes back with the text and why it was refused; nothing ran."""
    async with site(tmp_path) as local:
        status, page, _ = await local.post(f"{UI}/{PARENT}/workflows/story:run", argument='{"rows": ')

        assert (status, local.server.store.all_executions()) == (400, [])
        assert '{"rows": </textarea>' in html.unescape(page)
        assert 'role="alert"' in page


async def test_cancel_button_cancels(tmp_path: Path) -> None:
    """A live execution has the button, and it works."""
    async with site(tmp_path) as local:
        name = local.start("nap")
        await until(lambda: bool(local.server.store.execution(name).history.entries))
        _, before = await local.get(f"{UI}/{name}")
        await local.post(f"{UI}/{name}:cancel")
        _, after = await local.get(f"{UI}/{name}")

    assert ("Cancel" in seen(before), "Cancel " in seen(after), "CANCELLED" in seen(after)) == (True, False, True)


async def test_live_execution_says_where_it_is(tmp_path: Path) -> None:
    """The current step with its line, marked in the source; the page refreshes itself, also without scripts."""
    async with site(tmp_path) as local:
        name = local.start("nap")
        await until(lambda: bool(local.server.store.execution(name).history.entries))
        _, page = await local.get(f"{UI}/{name}")

    assert "main · doze" in seen(page)
    assert 'class="line running" id="L3"' in page
    assert "data-live" in page
    assert '<noscript><meta http-equiv="refresh"' in page


async def test_open_callback_of_a_live_execution_can_be_called(tmp_path: Path) -> None:
    """The page shows a URL that ends the wait."""
    async with site(tmp_path) as local:
        name = local.start("door")
        await until(lambda: len(local.server.store.execution(name).history.entries) == 2)
        _, page = await local.get(f"{UI}/{name}")
        [url] = re.findall(r"http://[^<]*/callbacks/[^<]*", page)
        async with local.client.put(url, json={}) as response:
            status = response.status
        await until(lambda: not local.server.store.execution(name).is_live)
        _, after = await local.get(f"{UI}/{name}")

    assert (status, "Open callbacks" in page, "Open callbacks" in after) == (200, True, False)


async def test_finished_execution_does_not_refresh(tmp_path: Path) -> None:
    """Nothing moves any more, so the page stays as the reader left it."""
    async with site(tmp_path) as local:
        _, page = await local.get(await local.ran("story", '{"rows": []}'))

    assert "http-equiv" not in page
    assert " data-live" not in page


async def test_failed_execution_marks_the_line_that_failed(tmp_path: Path) -> None:
    """Context, payload and stack, and the source line with its caret."""
    async with site(tmp_path) as local:
        _, page = await local.get(await local.ran("fail", "null"))

    assert "IndexError" in seen(page)
    assert 'class="line failed" id="L2"' in page
    assert f"{' ' * 12}{'^' * len('${[1, 2][5]}')} in main · look_up" in seen(page)


async def test_threads_that_failed_are_listed_with_their_lines(tmp_path: Path) -> None:
    """The parallel step failed, but what the reader wants is the line inside it."""
    async with site(tmp_path) as local:
        _, page = await local.get(await local.ran("story", '{"rows": [1, null, null]}'))

    threads = seen(page)[seen(page).index("Threads") :]
    assert len(re.findall(r"main · weigh\s+line 13", threads)) == 2
    assert "in main · weigh, 2 threads" in seen(page)
    assert 'class="line failed" id="L13"' in page


async def test_timeline_shows_each_parallel_iteration(tmp_path: Path) -> None:
    """Nested by iteration, every row with its bar and a text for those who cannot see it."""
    async with site(tmp_path) as local:
        _, page = await local.get(await local.ran("story", '{"rows": [1, 2]}'))

    assert re.findall(r"fan_out #\d(?=<)", page) == ["fan_out #1", "fan_out #2"]
    assert page.count("<rect") == page.count("<title>") - 1 == 6


async def test_variables_of_steps_are_shown_when_they_were_recorded(tmp_path: Path) -> None:
    """The run form's box asks for a detailed history; the next form offers the same."""
    async with site(tmp_path) as local:
        form: dict[str, Any] = {"argument": '{"rows": [41]}', "detailed": "on"}
        _, _, headers = await local.post(f"{UI}/{PARENT}/workflows/story:run", **form)
        name = headers["Location"].removeprefix(f"{UI}/")
        await until(lambda: not local.server.store.execution(name).is_live)
        _, page = await local.get(headers["Location"])
        _, workflow = await local.get(f"{UI}/{PARENT}/workflows/story")
        [link] = re.findall(r'href="(/v1/[^"]*/stepEntries/3[^"]*)"', html.unescape(page))
        status, entry = await local.get(link)

    assert "<dt>weight</dt><dd><code>42</code></dd>" in page
    assert 'name="detailed" checked' in workflow
    assert (status, "variableData" in entry) == (200, True)


async def test_raised_value_stands_at_the_step_that_failed(tmp_path: Path) -> None:
    """Also with a basic history."""
    async with site(tmp_path) as local:
        _, page = await local.get(await local.ran("fail", "null"))

    assert re.search(r"<dt>Raised</dt><dd><code>\{&quot;message&quot;:&quot;IndexError", page)


async def test_last_step_of_a_failed_execution_is_the_one_that_failed(tmp_path: Path) -> None:
    """Inside of a parallel step, the step of the thread."""
    async with site(tmp_path) as page:
        _, single = await page.get(await page.ran("fail", "null"))
        _, threads = await page.get(await page.ran("crash", "[1, 3]"))

    assert "<dt>Last step</dt><dd><code>main · look_up</code>" in single
    assert "<dt>Last step</dt><dd><code>main · weigh</code>" in threads


async def test_row_is_folded_by_a_link(tmp_path: Path) -> None:
    """What is inside is left out and counted; the link of a folded row unfolds it."""
    async with site(tmp_path) as page:
        path = await page.ran("crash", "[1, 2]")
        _, whole = await page.get(path)
        [link] = re.findall(r'href="([^"]*)" class="fold" aria-label="Fold each"', whole)
        _, folded = await page.get(html.unescape(link))

    assert len(re.findall(r"each #\d", whole)) > len(re.findall(r"each #\d", folded)) == 0
    assert re.search(r"\d inside", folded)
    assert 'aria-label="Unfold each"' in folded


async def test_only_what_failed_is_shown_on_demand(tmp_path: Path) -> None:
    """With what is around it."""
    async with site(tmp_path) as page:
        _, shown = await page.get(f"{await page.ran('crash', '[1, 3]')}?failed=1")

    steps = shown[shown.index('id="steps"') : shown.index('data-part="log"')]
    assert re.findall(r'class="step">([^<]*)<', steps) == ["each", "each #2", "weigh", "weigh #1", "weigh"]


@pytest.mark.parametrize("fold", ["x", "1,,x", "1" * 12, ",".join(map(str, range(101)))])
async def test_fold_that_names_no_rows_is_refused(tmp_path: Path, fold: str) -> None:
    """As a bad page number is."""
    async with site(tmp_path) as page:
        status, _ = await page.get(f"{await page.ran('crash', '[1]')}?fold={fold}")

    assert status == 400


async def test_log_stands_on_the_page(tmp_path: Path) -> None:
    """Severity and text of each line."""
    async with site(tmp_path) as page:
        _, shown = await page.get(await page.ran("crash", "[1]"))

    assert '<span class="severity warning">WARNING</span></td><td><code>rows 1</code>' in shown


async def test_run_again_takes_the_same_argument(tmp_path: Path) -> None:
    """It is another execution of the current revision."""
    async with site(tmp_path) as page:
        path = await page.ran("crash", "[1, 2]")
        status, _, headers = await page.post(f"{path}:runAgain")
        again = page.server.store.execution(headers["Location"].removeprefix(f"{UI}/"))

    assert (status, again.argument) == (303, "[1, 2]")
    assert headers["Location"] != path


async def test_callback_is_sent_by_its_form(tmp_path: Path) -> None:
    """With the body that was typed."""
    async with site(tmp_path) as page:
        name = page.start("door")
        await until(lambda: bool(page.server.executions.list_callbacks(name, ListQuery()).get("callbacks")))
        _, shown = await page.get(f"{UI}/{name}")
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
        status, _, _ = await page.post(f"{UI}/{name}:sendCallback", **fields, body='{"ok": true}')
        await until(lambda: not page.server.store.execution(name).is_live)

    assert (status, page.server.store.execution(name).state.name) == (303, "SUCCEEDED")


async def test_what_users_wrote_never_becomes_html(tmp_path: Path) -> None:
    """An argument and a result with a script in them are shown as text on every page that holds them."""
    async with site(tmp_path) as local:
        path = await local.ran("story", json.dumps({"rows": [], "x": EVIL}))
        pages = [(await local.get(each))[1] for each in (path, path.partition("/executions/")[0])]

    assert all("&lt;script&gt;document.title" in page and "<script>document" not in page for page in pages)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
    ids=["origin", "fetch metadata", "rebound name"],
)
async def test_form_of_another_site_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    """A page somewhere in the net cannot make the reader's browser run a workflow here."""
    async with site(tmp_path) as local:
        status, _, _ = await local.post(f"{UI}/{PARENT}/workflows/nap:run", headers=headers, argument="null")

        assert (status, local.server.store.all_executions()) == (403, [])


@pytest.mark.parametrize(
    "path", ["workflows/none", "workflows/story/executions/none", "workflows/story?first=x", "nothing"]
)
async def test_page_that_cannot_be_shown_says_why(tmp_path: Path, path: str) -> None:
    """An error is a page too, with the status of its reason."""
    async with site(tmp_path) as local:
        status, page = await local.get(f"{UI}/{PARENT}/{path}")

    assert status in (400, 404)
    assert 'class="message"' in page


async def test_page_allows_nothing_from_outside(tmp_path: Path) -> None:
    """The policy forbids it, and no address of another host is in the page."""
    async with site(tmp_path) as local, local.client.get(f"{local.server.base_url}{UI}/") as response:
        policy, page = response.headers["Content-Security-Policy"], await response.text()

    assert policy.startswith("default-src 'none'")
    assert not re.findall(r'(?:href|src|action)="(?!/ui|#)', page)


async def browser(url: str, profile: Path, *flags: str) -> str:
    """Run headless Chromium on a page and return what it printed."""
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1280,900",
        f"--user-data-dir={profile}",
        *flags,
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode()


@asynccontextmanager
async def watched(local: Site, visits: list[str]) -> AsyncIterator[str]:
    """Put a server in front that notes which pages are asked for; yields its base URL."""

    async def forward(request: web.BaseRequest) -> web.Response:
        visits.append(request.path)
        async with local.client.get(local.server.base_url + request.path) as answer:
            kept = {
                name: answer.headers[name]
                for name in ("Content-Type", "Content-Security-Policy")
                if name in answer.headers
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    runner = web.ServerRunner(web.Server(forward))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@needs_browser
async def test_browser_follows_a_live_execution_to_its_end(tmp_path: Path) -> None:
    """The script, and the policy that lets it run: the state changes in a page that was loaded once."""
    folder = tmp_path / "w"
    folder.mkdir()
    visits: list[str] = []
    async with site(folder) as local, watched(local, visits) as address:
        name = local.start("nap")
        await until(lambda: bool(local.server.store.execution(name).history.entries))
        path = f"{UI}/{name}"
        browsing = asyncio.create_task(
            browser(address + path, tmp_path / "p", "--dump-dom", "--virtual-time-budget=10000")
        )
        # The style sheet is asked for after the page was read.
        await until(lambda: browsing.done() or f"{UI}/pages.css" in visits, within_s=15)
        local.server.executions.cancel(name)
        page = await browsing

    assert visits.count(path) > 1
    assert "CANCELLED" in seen(page)
    assert "Now at" not in seen(page)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_browser_draws_the_page_in_the_readers_scheme(tmp_path: Path, scheme: str) -> None:
    """The style sheet arrives and is applied: the corner of the picture has the paper's colour of the scheme."""
    folder = tmp_path / "w"
    folder.mkdir()
    picture = tmp_path / "page.png"
    flags = [f"--screenshot={picture}"]
    if scheme == "dark":
        flags.append("--blink-settings=preferredColorScheme=0")
    async with site(folder) as local:
        path = await local.ran("story", '{"rows": [1, "a"]}')
        await browser(f"{local.server.base_url}{path}", tmp_path / "p", *flags)

    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (1280, 900)
    assert _corner(picture) == {"light": (0xFB, 0xFB, 0xFA), "dark": (0x14, 0x17, 0x1A)}[scheme]


def _corner(picture: Path) -> tuple[int, ...]:
    """Return the colour of the lowest left pixel."""
    from PIL import Image

    with Image.open(picture) as image:
        pixel = image.convert("RGB").getpixel((3, image.height - 3))
    assert isinstance(pixel, tuple)
    return pixel
