"""What every service's HTTP interface shares."""
