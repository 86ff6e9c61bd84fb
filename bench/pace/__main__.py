"""`python -m bench.pace [SEEDS]`: the learned pace at ten kinds of origins, simulated; prints a table."""

from __future__ import annotations

import statistics
import sys

from bench.pace.origins import Dying, Fast, Queueing, cases
from bench.pace.world import World

IMAGES = 2000
CORES, COMPRESS_S = 4, 0.03


def main() -> int:
    """Print the table; return the exit status."""
    seeds = range(1, 1 + int(sys.argv[1] if len(sys.argv) > 1 else 5))
    print("| origin | share of the best fixed pace [worst] | refused after 10 s | p95 | handed back | lost |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, case in cases(CORES / COMPRESS_S).items():
        shares, refused, p95, deferred, lost = [], [], [], [], 0
        for seed in seeds:
            seen = World(case.make, seed=seed, cores=CORES, compress_s=COMPRESS_S).run()
            shares.append((IMAGES / case.best_per_s + case.dead_s) / seen.seconds * seen.done / IMAGES)
            refused.append(seen.refused_share(after_s=10))
            p95.append(seen.p95_s())
            deferred.append(seen.deferred)
            lost += seen.lost
        mean = statistics.mean
        print(
            f"| {name} | {mean(shares):.2f} [{min(shares):.2f}] | {mean(refused):.1%} | {mean(p95):.2f} s"
            f" | {mean(deferred):.0f} | {lost} |"
        )
    for name, origin in (("fast", Fast), ("8/s", cases(1)["b 8/s"].make), ("4 x 200 ms", Queueing)):
        small = []
        for seed in seeds:
            world = World(origin, ((10_000, 0.0), (10, 30.0)), seed=seed, max_s=60.0)
            world.run()
            small.append(world.batches[1].took_s)
        print(f"ten images behind 10,000, {name}: {min(small):.1f} to {max(small):.1f} s")
    back = []
    for seed in seeds:
        seen = World(Dying, ((6000, 0.0),), seed=seed).run()
        back.append(next((t for t in range(26, 200) if sum(t <= e < t + 1 for e in seen.ended_at) > 60), 999) - 26)
    print(f"back to half of the pace after 20 dead seconds: {min(back)} to {max(back)} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
