"""A local Google Cloud Workflows runtime and Cloud Tasks queue."""
