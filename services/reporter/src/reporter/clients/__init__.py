"""Whom the reporter calls: Cloud Storage, Cloud Tasks, and the receivers of webhooks."""
