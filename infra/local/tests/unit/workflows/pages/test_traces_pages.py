"""The pages of traces, as HTML."""

from __future__ import annotations

from localcloud.traces.store import Span, TraceStore
from localcloud.workflows.pages.traces_pages import MAX_ROWS, trace_page, traces_page

TRACE = "0af7651916cd43dd8448eb211c80319c"
EVIL = '<script>document.title="owned"</script>'


def test_a_trace_is_listed_and_its_spans_are_rows() -> None:
    """A bar each, the failed one marked, nothing of a sender taken for HTML."""
    store = TraceStore()
    store.add([Span(TRACE, "a", "", EVIL, EVIL, 0, 2), Span(TRACE, "b", "a", "fetch", "", 1, 2, EVIL, {EVIL: EVIL})])

    [trace] = store.traces()
    page, pages = trace_page(trace), traces_page(store)

    assert page.count("<svg") == 2
    assert page.count('<tr class="failed"') == 1
    assert f'href="/ui/traces/{TRACE}"' in pages
    assert EVIL not in page + pages


def test_a_page_of_very_many_spans_is_cut() -> None:
    """And says so."""
    store = TraceStore()
    store.add(Span(TRACE, str(number), "", "x", "", number, number) for number in range(MAX_ROWS + 1))

    page = trace_page(store.traces()[0])

    assert page.count("<svg") == MAX_ROWS
    assert f"The first {MAX_ROWS} of {MAX_ROWS + 1} spans." in page
