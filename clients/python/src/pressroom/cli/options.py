"""Options that many commands have, and the client that they make."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import httpx2
import typer

from pressroom.answers import Summary
from pressroom.cli.display import problem_line, say
from pressroom.cli.settings import SettingsError, load_settings
from pressroom.client import Pressroom
from pressroom.errors import ApiError, NotAllowedError, PressroomError, SheetInvalidError

FAILED, USAGE, WITH_ERRORS, NOT_ALLOWED, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit statuses; 0 says that all is done."""

Url = Annotated[str | None, typer.Option("--url", help="URL of the service [env: PRESSROOM_URL]", show_default=False)]
Key = Annotated[
    str | None, typer.Option("--api-key", help="prk_... [env: PRESSROOM_API_KEY]", show_default=False, metavar="KEY")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write the result as JSON")]
BatchId = Annotated[str, typer.Argument(metavar="ID", help="Id of a batch", show_default=False)]


class Wiring:
    """How clients are made; tests give a transport and a wait of their own."""

    transport: httpx2.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep


@contextmanager
def connected(url: str | None, api_key: str | None) -> Iterator[Pressroom]:
    """Give the client, and turn what goes wrong into a message and an exit status."""
    try:
        settings = load_settings(url, api_key, os.environ)
        with Pressroom(
            settings.url, api_key=settings.api_key, transport=Wiring.transport, sleep=Wiring.sleep
        ) as client:
            yield client
    except SheetInvalidError as error:
        # Told by whoever knows the file's name; here there is none.
        for problem in error.problems:
            say(problem_line("sheet", problem))
        raise typer.Exit(USAGE) from error
    except NotAllowedError as error:
        say(f"pressroom: not allowed: {_told(error)}")
        say("pressroom: `pressroom login` stores a key.")
        raise typer.Exit(NOT_ALLOWED) from error
    except ApiError as error:
        say(f"pressroom: {_told(error)}")
        raise typer.Exit(USAGE if error.code in {400, 404, 413, 415, 422} else FAILED) from error
    except SettingsError as error:
        say(f"pressroom: {error}")
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (PressroomError, OSError) as error:
        say(f"pressroom: {error}")
        raise typer.Exit(FAILED) from error


def status_of(summary: Summary) -> int:
    """Return the exit status of a batch that has ended."""
    return {"COMPLETED": 0, "COMPLETED_WITH_ERRORS": WITH_ERRORS}.get(summary.status, FAILED)


def is_terminal() -> bool:
    """Return whether a person can answer questions."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _told(error: ApiError) -> str:
    reason = f" ({error.reason})" if error.reason else ""
    quoted = f" [request {error.request_id}]" if error.request_id else ""
    return f"{error.message}{reason}{quoted}"
