"""The first page: all workflows, and the folder they are deployed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from localcloud.workflows.enums import ExecutionState
from localcloud.workflows.folder import WorkflowFolder
from localcloud.workflows.model import Workflow
from localcloud.workflows.pages.layout import ROOT, badge, button_form, page, page_url, section, table, time_text
from localcloud.workflows.pages.markup import Child, Markup, h
from localcloud.workflows.store import Store


def workflows_page(store: Store, folder: WorkflowFolder | None) -> str:
    """Return the page."""
    workflows = [workflow for _, workflow in sorted(store.workflows.items())]
    is_live = any(execution.is_live for execution in store.all_executions())
    parts = [_list(workflows, store, is_live=is_live)]
    if folder is not None:
        parts.append(_folder(folder, store))
    parts.append(section("Traces", h("p", h("a", "What programs sent to the Telemetry API", href=f"{ROOT}/traces"))))
    return page("Workflows", (), parts, is_live=is_live)


def _list(workflows: Sequence[Workflow], store: Store, *, is_live: bool) -> Markup:
    if not workflows:
        return section("Deployed", h("p", "Nothing is deployed.", class_="soft"), part="workflows")
    rows = [_row(workflow, store) for workflow in workflows]
    headings = ("Workflow", "Location", "Revision", "Deployed", "Executions", "Latest")
    listed = table(headings, rows, caption="Workflows")
    return section("Deployed", h("div", listed, data_live=is_live), part="workflows")


def _row(workflow: Workflow, store: Store) -> Sequence[Child]:
    _, project, _, location, _, workflow_id = workflow.name.split("/")
    executions = store.executions(workflow.name)
    latest = executions[0] if executions else None
    return (
        h("a", workflow_id, href=page_url(workflow.name)),
        f"{project} / {location}",
        h("code", workflow.current.revision_id),
        time_text(workflow.current.create_time),
        _counts(Counter(execution.state for execution in executions)),
        [badge(latest.state), " ", h("a", time_text(latest.create_time), href=page_url(latest.name))]
        if latest
        else None,
    )


def _counts(counts: Counter[ExecutionState]) -> str:
    if not counts:
        return "none"
    return ", ".join(f"{count} {state.name.lower()}" for state, count in sorted(counts.items()))


def _folder(folder: WorkflowFolder, store: Store) -> Markup:
    rows = [_file_row(folder, workflow_id, store) for workflow_id in folder.ids]
    content: Child = table(("File", "State", "Why"), rows, caption="Files") if rows else h("p", "No *.yaml file in it.")
    return section(
        "Folder",
        h(
            "p",
            "Watched: ",
            h("code", str(folder.path)),
            ". Changed files are deployed within a second.",
            class_="soft",
        ),
        h("div", button_form(f"{ROOT}/folder:deploy", "Deploy again"), class_="actions"),
        h("div", content, data_part="folder"),
    )


def _file_row(folder: WorkflowFolder, workflow_id: str, store: Store) -> Sequence[Child]:
    refusal = folder.refusals.get(workflow_id)
    name = f"{folder.parent}/workflows/{workflow_id}"
    deployed = store.workflows.get(name)
    file = h("code", f"{workflow_id}.yaml")
    if refusal is None:
        return file, h("span", "deployed", class_="badge deployed"), None
    # The message may be long and wraps; below it the line and the caret must not.
    message, _, position = refusal.partition("\n")
    kept = f"Revision {deployed.current.revision_id} stays in force." if deployed else "No revision is deployed."
    return (
        file,
        h("span", "refused", class_="badge refused"),
        [
            h("p", message),
            h("pre", position) if position else None,
            h("p", kept, class_="soft"),
        ],
    )
