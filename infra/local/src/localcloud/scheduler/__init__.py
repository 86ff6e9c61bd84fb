"""The Cloud Scheduler emulator: HTTP targets called by cron, and the methods of its API that need no new jobs."""
