"""`python -m fuzz TARGET SECONDS`: drive one target with atheris; `make fuzz` drives all of them.

Inputs that reached new code are kept in .local/fuzz/TARGET and are where the next run begins; an input that broke the
truth is left in .local/fuzz as TARGET-crash-... and fails the run. Coverage-guided fuzzing with libFuzzer:
https://github.com/google/atheris
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ingest", "compressor", "localcloud", "chassis"]):
    from fuzz.targets import TARGETS

CORPUS = Path(__file__).resolve().parents[2] / ".local" / "fuzz"
LONGEST_INPUT_BYTES = 4096
SLOWEST_INPUT_S = 20
MEMORY_MB = 2048


def main() -> None:
    """Fuzz the target named first for as many seconds as named second; ends the process."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    target = TARGETS[name]
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST_INPUT_BYTES}",
            f"-timeout={SLOWEST_INPUT_S}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={CORPUS}/{name}-",
            "-print_final_stats=1",
        ],
        target.check,
    )
    atheris.Fuzz()


main()
