"""HTTP to addresses that users chose."""
