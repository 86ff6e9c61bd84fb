"""A Cloud Scheduler look-alike: HTTP targets called by cron, and the methods of its API that need no new jobs."""
