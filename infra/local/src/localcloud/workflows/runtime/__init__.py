"""The interpreter: scopes, flow, retry, parallel steps."""
