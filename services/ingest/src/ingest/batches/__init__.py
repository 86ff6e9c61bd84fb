"""What clients do with a batch: submit, read, cancel, retry."""
