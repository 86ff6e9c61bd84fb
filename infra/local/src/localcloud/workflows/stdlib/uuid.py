"""`uuid`: random identifiers.

Source: https://cloud.google.com/workflows/docs/reference/stdlib/uuid
"""

from __future__ import annotations

import uuid

from localcloud.workflows.functions.signatures import Function, PureFunction


def _generate() -> str:
    return str(uuid.uuid4())


FUNCTIONS: tuple[Function, ...] = (PureFunction("uuid.generate", (), _generate),)
