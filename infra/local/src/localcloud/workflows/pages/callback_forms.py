"""The open callbacks of an execution, each with a form that sends it a request."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.workflows.model import Execution
from localcloud.workflows.pages.layout import page_url, section, table
from localcloud.workflows.pages.markup import Markup, h

_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


def callbacks_section(execution: Execution, callbacks: Sequence[tuple[str, str, int]]) -> Markup:
    """Return the section; callbacks are method, URL and number of waiting threads."""
    rows = [
        (
            h("code", method),
            h("code", url),
            "waits" if waiting else "nobody waits yet",
            _form(execution, method, url.rpartition("/")[2]),
        )
        for method, url, waiting in callbacks
    ]
    headings = ("Method", "URL", "Waiting", "Send")
    return section("Open callbacks", table(headings, rows, caption="Open callback endpoints"))


def _form(execution: Execution, method: str, callback_id: str) -> Markup:
    body = h("textarea", "{}", name="body", rows=2, spellcheck="false", aria_label="Body (JSON)")
    return h(
        "form",
        h("input", type="hidden", name="callback", value=callback_id),
        h("input", type="hidden", name="method", value=method),
        None if method in _WITHOUT_BODY else body,
        h("button", "Send", type="submit"),
        method="post",
        action=page_url(execution.name, "sendCallback"),
        class_="inline",
    )
