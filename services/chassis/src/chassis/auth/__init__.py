"""Who calls: API keys, callers and OIDC tokens."""
