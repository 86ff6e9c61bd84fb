"""Evaluates templates in a scope, waiting only where a subworkflow is called."""

from __future__ import annotations

from collections.abc import Sequence

from localcloud.workflows.runtime.scope import Scope
from localcloud.workflows.source.templates import Template
from localcloud.workflows.values import Value


async def evaluate(template: Template, scope: Scope) -> Value:
    """Return the template's value.

    Raises:
        WorkflowError: with the expression's position.
    """
    run = template.now
    return run(scope) if run is not None else await template.later(scope)


async def evaluate_all(templates: Sequence[Template], scope: Scope) -> list[Value]:
    """Return the values of several templates, evaluated in order."""
    return [run(scope) if (run := each.now) is not None else await each.later(scope) for each in templates]
