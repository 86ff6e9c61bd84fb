"""What `localcloud check` says to programs: JSON, and the commands that GitHub Actions shows beside a line.

Source of the latter: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localcloud.check.report import Checked, Refused


def as_json(name: str, checked: Refused | Checked) -> dict[str, Any]:
    """Return one file's report.

    `status` is `ok`, `fails` (it can be deployed and must fail) or `refused`; `errors` have line, column and message.
    """
    match checked:
        case Refused(text=text, errors=errors):
            found = [{"line": each.line, "column": each.column, "message": each.message} for each in errors]
            return {"file": name, "status": "refused", "errors": found or [{"message": text}]}
        case Checked(problems=problems):
            return {
                "file": name,
                "status": "fails" if problems else "ok",
                "problems": list(problems),
                "unknown_connectors": list(checked.unknown_connectors),
                "bytes": checked.source_bytes,
                "steps": {"clean": checked.costs.once.clean, "worst": checked.costs.once.worst},
                "approximations": [
                    {"id": each.fact.id, "uses": list(each.uses), "lines": list(each.lines)}
                    for each in checked.approximations
                ],
            }


def as_github(name: str, checked: Refused | Checked) -> Iterator[str]:
    """Yield a command for each error of a file, and for each connector that could not be judged."""
    match checked:
        case Refused(text=text, errors=()):
            yield f"::error file={_property(name)},title=localcloud::{_message(text)}"
        case Refused(errors=errors):
            for each in errors:
                place = f"file={_property(name)},line={each.line},col={each.column}"
                yield f"::error {place},title=localcloud::{_message(each.message)}"
        case Checked(problems=problems):
            for problem in problems:
                yield f"::error file={_property(name)},title=localcloud::{_message(problem)}"
            for connector in checked.unknown_connectors:
                said = f"{connector} is unknown to localcloud"
                yield f"::warning file={_property(name)},title=localcloud::{_message(said)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
