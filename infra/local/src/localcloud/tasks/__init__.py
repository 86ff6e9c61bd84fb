"""The Cloud Tasks emulator: the v2 API over REST and gRPC, dispatching to HTTP targets.

Faithful (documented, and tested): names, limits and defaults of queues and tasks; views; paging; rate (token bucket)
and concurrency; pause, resume, purge, run; schedule times; backoff with doublings and linear growth; the give-up rule;
task-level retry configs; dispatch deadlines; the X-CloudTasks headers; OIDC and OAuth tokens; de-duplication of names
for 24 hours; update masks; update creates a missing queue.

Approximated, because Google publishes no number or wording: the bucket size (the rate, at most 500); after a 429 or
503 the task waits at least Retry-After (at most a day), else twice its backoff, and the queue runs at half its rate for
5 seconds; redirects are followed within the attempt, but not to a Google API; `maxAttempts` -1 with a
`maxRetryDuration` ends with the duration; texts of errors and of `responseStatus`; a purge acts at once; the name of a
deleted queue is free at once (unless `--queue-tombstone` says otherwise); a token is reused for ten minutes; RunTask
leaves an attempt that is under way alone; any project is served, one location only.

Refused with 501 UNIMPLEMENTED: App Engine targets and routing, `httpTarget` and `stackdriverLoggingConfig` of queues,
the filter of ListQueues, BufferTask, BatchCreateTasks, BatchDeleteTasks, IAM policies, CMEK, operations.

A departure for gcloud's sake: App Engine's `apps.get` is answered, so that `gcloud tasks` knows its region.

Not kept: tasks live in memory and are gone after a restart of the emulator, which production never does.
"""
