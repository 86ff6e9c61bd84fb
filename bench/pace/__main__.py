"""`python -m bench.pace [SEEDS [FIRST]]`: the learned pace at ten kinds of origins, simulated; prints a table.

The share of the noisy origin is also taken of a good fixed pace in the same simulation: that one has to wait for the
retries of its last images as well.
"""

from __future__ import annotations

import statistics
import sys

from bench.pace.origins import Dying, Fast, Queueing, cases
from bench.pace.world import World

IMAGES = 2000
CORES, COMPRESS_S = 4, 0.03


def main() -> int:
    """Print the table; return the exit status."""
    count, first = (int(given) for given in [*sys.argv[1:], *("5", "1")[len(sys.argv) - 1 :]])
    seeds = range(first, first + count)
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
    noisy = cases(CORES / COMPRESS_S)["e noisy"]
    shares = []
    for seed in seeds:
        fixed, learned = (
            World(noisy.make, seed=seed, cores=CORES, compress_s=COMPRESS_S, fixed_rate=rate).run()
            for rate in (noisy.best_per_s, None)
        )
        shares.append(fixed.seconds / learned.seconds)
    print(f"noisy, of a fixed pace with the same noise: {statistics.mean(shares):.2f}, worst {min(shares):.2f}")
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
