"""The steps of an execution as a table: nested, with bars, and what was recorded of each."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from localcloud.workflows.enums import StepState
from localcloud.workflows.jsontext import JsonEncodeError, encode_json_leniently
from localcloud.workflows.model import Execution
from localcloud.workflows.pages.bars import bar
from localcloud.workflows.pages.layout import duration_text, page_url
from localcloud.workflows.pages.markup import Child, Markup, h, join
from localcloud.workflows.pages.timeline import Row, Timeline, timeline
from localcloud.workflows.step_history import StepEntry
from localcloud.workflows.values import Value

MAX_ROWS = 500
"""Rows on one page; an execution may have 100,000."""

MAX_FOLDED = 100
"""Rows that may be folded at a time: they stand in the address of the page."""

_INDENT = "│ "
_MAX_VALUE_CHARS = 500
"""How much of a recorded value the page shows; the API has all of it."""


@dataclass(frozen=True, slots=True)
class StepsView:
    """What a reader wants to see of the steps: rows left out, entries folded, and whether only what failed."""

    first: int = 0
    folded: frozenset[int] = frozenset()
    failed_only: bool = False

    def url(self, execution: Execution) -> str:
        """Return the page of an execution that is seen so."""
        parts = [f"first={self.first}"]
        if self.folded:
            parts.append(f"fold={','.join(map(str, sorted(self.folded)))}")
        if self.failed_only:
            parts.append("failed=1")
        return f"{page_url(execution.name)}?{'&'.join(parts)}#steps"


def steps_table(execution: Execution, *, now_s: float, view: StepsView) -> Child:
    """Return the steps of an execution; running ones are drawn until `now_s`."""
    entries = execution.history.entries
    if not entries:
        return h("p", "No step entries: none was taken, or the history was deleted.", class_="soft")
    steps = timeline(
        entries, now_s=now_s, first=view.first, most=MAX_ROWS, folded=view.folded, failed_only=view.failed_only
    )
    rows = [
        _step_row(row, steps.span_s, page_of_entry(execution, row.entry), _fold_link(execution, row, view))
        for row in steps.rows
    ]
    head = h("tr", [h("th", text, scope="col") for text in ("Step", "Kind", "Line", "Took", "When")])
    caption = h("caption", "Steps, nested by call, thread and iteration")
    inner = h("table", caption, h("thead", head), h("tbody", rows), class_="timeline")
    kind = "step entries that failed or hold one that did" if view.failed_only else "step entries"
    count = f"{steps.total} {kind} in {duration_text(steps.span_s)}"
    return [
        h("p", count, " · ", _failed_link(execution, view), *_unfold_link(execution, view), class_="soft"),
        h("div", inner, class_="scroll", tabindex="0", role="region", aria_label="Steps"),
        _pager(execution, steps, view),
    ]


def _failed_link(execution: Execution, view: StepsView) -> Markup:
    other = StepsView(0, view.folded, not view.failed_only)
    return h("a", "All steps" if view.failed_only else "Failed only", href=other.url(execution))


def _unfold_link(execution: Execution, view: StepsView) -> list[Child]:
    if not view.folded:
        return []
    return [" · ", h("a", "Unfold all", href=StepsView(0, frozenset(), view.failed_only).url(execution))]


def _fold_link(execution: Execution, row: Row, view: StepsView) -> Markup | None:
    """Return what folds or unfolds a row, for one that has others below it."""
    entry_id = row.entry.entry_id
    if not row.entry.children:
        return None
    is_folded = entry_id in view.folded
    if not is_folded and len(view.folded) >= MAX_FOLDED:
        return None
    other = StepsView(view.first, view.folded ^ {entry_id}, view.failed_only)
    said = f"Unfold {row.label}" if is_folded else f"Fold {row.label}"
    return h("a", "+" if is_folded else "−", href=other.url(execution), class_="fold", aria_label=said)


def _step_row(row: Row, span_s: float, url: str, fold: Markup | None) -> Markup:
    kind = row.entry.step_type.name.removeprefix("STEP_").replace("_", " ").lower()
    state = _STATE_CLASSES[row.entry.state]
    guide = h("span", _INDENT * row.depth, class_="guide", aria_hidden="true")
    hidden = h("span", f" {row.hidden} inside", class_="soft") if row.hidden else None
    step = h("td", guide, fold, _name(row, url), hidden, class_="name")
    took = f"{duration_text(row.duration_s)}{' …' if row.is_running else ''}"
    said = f"{row.label}: from {duration_text(row.start_s)}, {took}, {state}"
    return h(
        "tr",
        step,
        h("td", h("span", kind, class_="kind")),
        h("td", h("a", row.entry.line, href=f"#L{row.entry.line}")),
        h("td", h("span", took, class_="duration")),
        h("td", bar(row.start_s, row.duration_s, span_s, said)),
        class_=state,
    )


def page_of_entry(execution: Execution, entry: StepEntry) -> str:
    """Return where the API shows a step entry with all that was recorded."""
    return f"/v1/{quote(execution.name)}/stepEntries/{entry.entry_id}?view=EXECUTION_ENTRY_VIEW_DETAILED"


def _name(row: Row, url: str) -> Markup:
    """Return the step's label; what was recorded of it opens below."""
    label = h("span", row.label, class_="step")
    recorded = []
    if row.entry.exception is not None:
        recorded.append(("Raised", row.entry.exception))
    if row.entry.variables:
        recorded += [(name, _text(value)) for name, value in sorted(row.entry.variables.items())]
    if not recorded:
        return label
    values = h("dl", [join((h("dt", name), h("dd", h("code", _short(text))))) for name, text in recorded])
    return h("details", h("summary", label), values, h("a", "Entry", href=url))


def _text(value: Value) -> str:
    try:
        return encode_json_leniently(value)
    except JsonEncodeError as error:
        return f"(cannot be written as JSON: {error})"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}…"


_STATE_CLASSES = {
    StepState.STATE_UNSPECIFIED: "cancelled",
    StepState.STATE_IN_PROGRESS: "running",
    StepState.STATE_SUCCEEDED: "succeeded",
    StepState.STATE_FAILED: "failed",
    StepState.STATE_CANCELLED: "cancelled",
}


def _pager(execution: Execution, steps: Timeline, view: StepsView) -> Markup | None:
    first = view.first
    if steps.total <= MAX_ROWS and not first:
        return None

    def at(start: int) -> str:
        return StepsView(max(0, start), view.folded, view.failed_only).url(execution)

    # What is folded away counts in the total, so it may take fewer pages to see the rest.
    links: list[Child] = [f"{first + 1} to {first + len(steps.rows)} of {steps.total}"]
    if first:
        links.append(h("a", "Earlier steps", href=at(first - MAX_ROWS)))
    if first + MAX_ROWS < steps.total and len(steps.rows) == MAX_ROWS:
        links.append(h("a", "Later steps", href=at(first + MAX_ROWS)))
    return h("p", [h("span", link) for link in links], class_="pages")
