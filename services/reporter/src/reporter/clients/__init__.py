"""The Google APIs that the reporter calls."""
