"""The metadata server over HTTP."""
