"""The signing key and the tokens signed with it."""
