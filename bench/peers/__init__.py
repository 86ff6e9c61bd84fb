"""The stack beside what people would use instead; `make bench-peers` writes `bench/results/peers.json`."""
