"""From a task to the HTTP request that dispatches it: URL, headers, token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from localcloud.core.clock import Clock
from localcloud.core.google_hosts import google_service
from localcloud.core.http_status import DEADLINE_EXCEEDED
from localcloud.tasks.model import USER_AGENT, HttpTarget, OAuthToken, OidcToken, Task

MintIdToken = Callable[[str, str], str]
"""`(service account email, audience)` to a signed identity token."""
MintAccessToken = Callable[[str, list[str]], str]
"""`(service account email, scopes)` to an access token."""

TOKEN_REUSE_S = 600.0
"""A token lives an hour; reusing it for ten minutes spares a signature (about 1 ms) on every dispatch."""
_GATEWAY_TIMEOUT = 504
_DROPPED_PREFIXES = ("x-google-", "x-appengine-", "x-cloudtasks-")
_DROPPED_NAMES = frozenset({"host", "content-length", "user-agent"})


class RequestFactory:
    """Makes dispatch requests.

    Args:
        clock: gives the age of tokens.
        mint_id_token: signs identity tokens; its errors fail the attempt.
        mint_access_token: mints access tokens.
        url_rewrites: URL prefix to its replacement, so that a task made for a production address reaches a local one;
            the longest prefix wins. Audiences keep the original address.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        mint_id_token: MintIdToken,
        mint_access_token: MintAccessToken,
        url_rewrites: Mapping[str, str],
    ) -> None:
        self._clock = clock
        self._mint_id_token = mint_id_token
        self._mint_access_token = mint_access_token
        self._url_rewrites: list[tuple[str, str]] = []
        self.add_rewrites(url_rewrites)
        self._tokens: dict[OidcToken | OAuthToken, tuple[float, str]] = {}

    def add_rewrites(self, url_rewrites: Mapping[str, str]) -> None:
        """Add URL prefixes, or replace them."""
        known = {**dict(self._url_rewrites), **url_rewrites}
        self._url_rewrites = sorted(known.items(), key=lambda pair: len(pair[0]), reverse=True)

    def url(self, target: HttpTarget) -> str:
        """Return where a request is really sent.

        Raises:
            ValueError: it would go to a Google API, which must never see a local token.
        """
        for prefix, replacement in self._url_rewrites:
            if target.url.startswith(prefix):
                return replacement + target.url[len(prefix) :]
        if google_service(target.url) is not None:
            raise ValueError(f"{target.url} has no local server, and localcloud sends nothing to Google")
        return target.url

    def headers(self, task: Task, target: HttpTarget) -> dict[str, str]:
        """Return the headers of the next dispatch of `task` as `target`: the user's, then those of the service.

        Source: https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler
        """
        headers = {
            name: value
            for name, value in target.headers.items()
            if (lower := name.lower()) not in _DROPPED_NAMES and not lower.startswith(_DROPPED_PREFIXES)
        }
        if target.token is not None:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            headers["Authorization"] = f"Bearer {self._token(target.token, target.url)}"
        headers["User-Agent"] = USER_AGENT
        headers["X-CloudTasks-QueueName"] = task.queue_name.rpartition("/")[2]
        headers["X-CloudTasks-TaskName"] = task.task_id
        headers["X-CloudTasks-TaskRetryCount"] = str(task.dispatch_count)
        headers["X-CloudTasks-TaskExecutionCount"] = str(task.execution_count)
        headers["X-CloudTasks-TaskETA"] = f"{task.schedule_time:.6f}"
        if task.last_attempt is not None:
            # Recorded: a deadline that passed looks like an answer.
            passed = _GATEWAY_TIMEOUT if task.last_attempt.rpc_code == DEADLINE_EXCEEDED else None
            if (answer := task.last_attempt.http_code or passed) is not None:
                headers["X-CloudTasks-TaskPreviousResponse"] = str(answer)
            # Recorded: there, and empty, whatever the attempt before has met.
            headers["X-CloudTasks-TaskRetryReason"] = ""
        return headers

    def _token(self, wanted: OidcToken | OAuthToken, url: str) -> str:
        if isinstance(wanted, OidcToken) and not wanted.audience:
            wanted = OidcToken(wanted.service_account_email, url)
        now = self._clock.now()
        minted = self._tokens.get(wanted)
        if minted is not None and 0 <= now - minted[0] < TOKEN_REUSE_S:
            return minted[1]
        match wanted:
            case OidcToken(email, audience):
                token = self._mint_id_token(email, audience)
            case OAuthToken(email, scope):
                token = self._mint_access_token(email, scope.split())
        if len(self._tokens) >= 1000:
            # Audiences that default to the task's URL may all differ.
            self._tokens.clear()
        self._tokens[wanted] = (now, token)
        return token
