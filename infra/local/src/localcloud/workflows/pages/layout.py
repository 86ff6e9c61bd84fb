"""What all pages share: the frame, crumbs, badges, times and JSON texts."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.pages.markup import Child, Markup, h, join, raw

ROOT = "/ui"

REFRESH_S = 3
"""Reload interval of a live page where scripts are off; the script below asks every second."""

# Replaces the marked parts of a live page by those of a fresh copy, except where the reader's focus is or where
# something was opened; what was scrolled stays so.
_SCRIPT = """
async function refresh() {
  if (!document.querySelector("[data-live]")) return;
  try {
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const old of document.querySelectorAll("[data-part]")) {
      const now = fresh.querySelector(`[data-part="${old.dataset.part}"]`);
      if (!now || now.outerHTML === old.outerHTML) continue;
      if (old.contains(document.activeElement) || old.querySelector("details[open]")) continue;
      const scrolled = [...old.querySelectorAll("pre, .scroll")].map((box) => [box.scrollTop, box.scrollLeft]);
      old.replaceWith(now);
      now.querySelectorAll("pre, .scroll").forEach((box, i) => box.scrollTo(...(scrolled[i] ?? [0, 0]).reverse()));
    }
  } catch { }
  setTimeout(refresh, 1000);
}
setTimeout(refresh, 1000);
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"
)
"""What a browser may do on these pages: nothing comes from elsewhere, no script runs but the one above."""


def page(title: str, crumbs: Sequence[tuple[str, str]], *content: Child, is_live: bool = False) -> str:
    """Return a whole document.

    Args:
        title: of the page and of the window.
        crumbs: text and URL of the pages above this one.
        content: what goes into `<main>`.
        is_live: something on it still moves, so it refreshes itself.
    """
    trail = [h("li", h("a", text, href=url)) for text, url in [("localcloud", f"{ROOT}/"), *crumbs]]
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("title", f"{title} · localcloud"),
        h("link", rel="stylesheet", href=f"{ROOT}/pages.css"),
        h("noscript", h("meta", http_equiv="refresh", content=REFRESH_S)) if is_live else None,
    )
    body = h(
        "body",
        h("a", "Skip to content", href="#content", class_="skip"),
        h(
            "header",
            h("nav", h("ol", trail), aria_label="Breadcrumb"),
            h("p", "local emulator, not Google Cloud", class_="sign"),
        ),
        h("main", h("h1", title), content, id="content"),
        h("script", raw(_SCRIPT)),
    )
    return "<!doctype html>" + h("html", head, body, lang="en")


def section(title: str, *content: Child, part: str | None = None) -> Markup:
    """Return a headed section; one with a `part` name is what the script replaces."""
    return h("section", h("h2", title), content, data_part=part, id=part)


def table(headings: Sequence[str], rows: Iterable[Sequence[Child]], *, caption: str, class_: str = "") -> Markup:
    """Return a table that scrolls by itself when the window is narrow; the caption is for screen readers."""
    head = h("thead", h("tr", [h("th", heading, scope="col") for heading in headings]))
    body = h("tbody", [h("tr", [h("td", cell) for cell in row]) for row in rows])
    inner = h("table", h("caption", caption), head, body, class_=class_ or None)
    return h("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def facts(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Return a list of names and values; what has no value is left out."""
    return h("dl", [join((h("dt", name), h("dd", value))) for name, value in rows if value is not None])


def badge(state: ExecutionState) -> Markup:
    """Return the state of an execution, coloured and in words."""
    return h("span", state.name, class_=f"badge {state.name.lower()}")


def time_text(seconds: float | None) -> Markup | None:
    """Return a moment as `2026-11-22 11:42:11Z`, with the fraction in its machine-readable form."""
    if seconds is None:
        return None
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return h("time", f"{moment:%Y-%m-%d %H:%M:%S}Z", datetime=moment.isoformat())


def duration_text(seconds: float) -> str:
    """Return a duration short enough for a table cell: `<1 ms`, `12 ms`, `3.42 s`, `4 min 7 s`, `2 h 5 min`."""
    if 0 < seconds < 0.001:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def json_block(text: str, label: str) -> Markup:
    """Return JSON text indented; text that is no JSON stays as it is."""
    try:
        shown = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        shown = text
    return h("pre", shown, class_="json", tabindex="0", role="region", aria_label=label)


def page_url(resource_name: str, verb: str = "") -> str:
    """Return the URL of a resource's page, or of something to do with it."""
    return f"{ROOT}/{quote(resource_name)}{f':{verb}' if verb else ''}"


def button_form(url: str, label: str, *, class_: str = "") -> Markup:
    """Return a form that is one button."""
    return h("form", h("button", label, type="submit", class_=class_ or None), method="post", action=url)
