"""One named constant for every documented limit.

Source: https://cloud.google.com/workflows/quotas, unless a constant says otherwise. The wording of what happens when
one is exceeded is assumed, its kind is documented: counts of the source fail the deploy, the others the execution.
"""

from __future__ import annotations

MAX_SOURCE_BYTES = 128 * 1024
"""Size of a source."""

MAX_EXPRESSION_CHARACTERS = 400
"""Length of one expression, `${` and `}` included."""

MAX_ASSIGNMENTS = 50
"""Entries of one assign step."""

MAX_CONDITIONS = 50
"""Entries of one switch step."""

MAX_BRANCHES = 10
"""Branches of one parallel step."""

MAX_PARAMETERS = 10
"""Parameters of a subworkflow. Source: the JSON schema published for editors."""

MAX_MEMORY_BYTES = 512 * 1024
"""Variables, arguments and events of one execution. Source: release note of 2022-10-12."""

MAX_STRING_BYTES = 256 * 1024
"""Length of one string. Source: https://cloud.google.com/workflows/docs/reference/syntax/syntax-cheat-sheet"""

MAX_STEPS = 100_000
"""Steps of one execution; https://cloud.google.com/workflows/docs/best-practice lists what counts."""

MAX_CALL_DEPTH = 20
"""Depth of the call stack; main is its first entry (assumed)."""

MAX_PARALLEL_DEPTH = 2
"""Parallel steps inside one another, also through subworkflows."""

MAX_CONCURRENT_THREADS = 20
"""Branches and iterations of one execution that run at the same time; others wait."""

MAX_UNHANDLED_EXCEPTIONS = 100
"""Unhandled exceptions in the parallel steps of one execution."""

MAX_HTTP_RESPONSE_BYTES = 2 * 1024 * 1024
"""Body of one HTTP response."""

DEFAULT_HTTP_TIMEOUT_S = 300.0
"""Timeout of an HTTP call that gives none."""

MAX_HTTP_TIMEOUT_S = 1800.0
"""Largest timeout of an HTTP call."""

DEFAULT_CALLBACK_TIMEOUT_S = 43_200.0
"""How long `events.await_callback` waits when not told otherwise."""

MAX_SLEEP_S = 31_536_000.0
"""Longest `sys.sleep`, and how far ahead `sys.sleep_until` may look: one year."""
