"""Keep this checkout as the last release: `python -m last_release` from tests/, or `make last-release`.

To be run on the commit that was released (docs/deploy.md, "What a release may change"). It writes
tests/data/last_release: the workflow, the contracts, and what ingest and reporter answered to the workflow in a batch
of two images.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from e2e.conftest import running_stack
from support.killed_stack import Bench, running_bench
from support.last_release import FOLDER, STUB, Answer
from support.recording_proxy import Crossing
from support.shop_client import eventually, sheet_of

ROOT = Path(__file__).resolve().parents[2]
ASKED = ("/internal/batches/", "/internal/reports", "/internal/notifications")
"""What the workflow calls; `export` is the reporter's."""


def recorded(bench: Bench) -> list[Answer]:
    """Run a batch of two images to its end; return what the workflow was answered, in order."""
    links = [f"{bench.origin.base_url}/{n}.jpg" for n in range(2)]
    request_id = bench.shop.upload(sheet_of([links]), webhook_url=bench.receiver.url)
    assert bench.shop.finished(request_id)["status"] == "COMPLETED"
    taps = {name: bench.taps[name] for name in ("ingest-internal", "reporter-internal")}

    def of_the_workflow() -> list[Crossing]:
        crossings = [crossing for tap in taps.values() for crossing in tap.crossings]
        chosen = [c for c in crossings if any(part in c.route for part in ASKED) and not c.route.endswith("/export")]
        # Ingest itself tells the reporter of the beginning.
        return [c for c in chosen if "notifications" not in c.route or c.sent["status"] == "COMPLETED"]

    eventually(
        lambda: any("notifications" in c.route for c in of_the_workflow()) or None,
        within_s=20,
        what="the end is told",
    )
    chosen = of_the_workflow()
    return [Answer(c.route, c.code, stubbed(c.answered)) for c in chosen]


def stubbed(value: Any) -> Any:
    """Return an answer with one root for all addresses of this machine, which are others in the next run."""
    return json.loads(re.sub(r"http://127\.0\.0\.1:\d+", STUB, json.dumps(value)))


def main() -> int:
    """Record and write; return the exit status."""
    with tempfile.TemporaryDirectory() as folder, running_bench(Path(folder), running_stack) as bench:
        answers = recorded(bench)
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(ROOT / "workflows/contracts", FOLDER / "contracts")
    shutil.copy(ROOT / "workflows/batch.yaml", FOLDER / "batch.yaml")
    commit = subprocess.run(("git", "rev-parse", "HEAD"), cwd=ROOT, check=True, capture_output=True, text=True)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (version,) = re.findall(r"(?m)^## \[(\d[^]]*)\]", changelog)[:1]
    document = {
        "after_version": version,
        "commit": commit.stdout.strip(),
        "answers": [{"route": a.route, "code": a.code, "body": a.body} for a in answers],
    }
    (FOLDER / "answers.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(answers)} answers of {commit.stdout.strip()[:10]} in {FOLDER.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
