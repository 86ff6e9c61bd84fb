"""Speed as ratios, each taken side by side in one run; `make bench` writes `bench/results/bench.json`."""
