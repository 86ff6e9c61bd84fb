"""The Cloud Scheduler v1 API over REST."""
