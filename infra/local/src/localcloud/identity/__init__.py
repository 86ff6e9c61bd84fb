"""The local identity issuer and metadata server."""
