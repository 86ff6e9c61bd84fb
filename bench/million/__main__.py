"""`make bench-million`: one sheet of 10 thousand, 100 thousand and a million rows, from its import to its report.

The real code and a real PostgreSQL, without pictures: what stands for the compressor says that each image was made.
Each phase runs in a process of its own. What is known after a phase is written to `FOLDER/ROWS.json`; called again with
the folder of a run that was ended, with `--keep`, the bench goes on with the next phase, and claims where they stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from bench.million.claims import claim_all
from bench.million.measuring import apart, postmaster_pid
from bench.million.phases import delete, finish, import_all
from bench.million.reports import export_all, report_all
from bench.million.sheets import write_sheet
from bench.million.table import told
from ingest.migrate import upgrade
from localcloud.stack.postgres import Postgres

SIZES = (10_000, 100_000, 1_000_000)
RESULTS = Path(__file__).resolve().parents[1] / "results" / "million.json"


def measure(server: Postgres, folder: Path, rows: int, phases: set[str]) -> dict[str, Any]:
    """Return what a sheet of so many rows takes, phase by phase; phases that were done before are not done again."""
    notes = folder / f"{rows}.json"
    known: dict[str, Any] = {"rows": rows, "phases": {}}
    if notes.exists():
        known = json.loads(notes.read_text(encoding="utf-8"))
    url, postmaster = server.url(f"bench_{rows}"), postmaster_pid(server.port)
    sheet = folder / f"{rows}.csv"

    def phase(name: str, *work: Any) -> Any:
        if name in known["phases"] or name not in phases:
            return known.get(name)
        known[name], known["phases"][name] = apart(postmaster, *work)
        notes.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        print(rows, name, json.dumps(known["phases"][name]), flush=True)
        return known[name]

    if "import" not in known["phases"]:
        server.create_database(f"bench_{rows}")
        write_sheet(sheet, rows)
        known["sheet_mb"] = round(sheet.stat().st_size / 1e6, 1)
    # Also of a database that an earlier release has begun.
    upgrade(url)
    batch = phase("import", import_all, url, str(sheet))
    phase("claim", claim_all, url, batch, postmaster, str(folder / f"{rows}-claims.json"))
    export = folder / f"{rows}.ndjson"
    phase("export", export_all, url, batch, str(export))
    phase("report", report_all, str(export), str(folder / f"storage-{rows}"))
    phase("finish", finish, url, batch)
    phase("delete", delete, url, batch)
    return known


def main() -> None:
    """Measure every size and print the table; the numbers go to `bench/results/million.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--keep", type=Path, help="a folder that stays, to go on with")
    parser.add_argument("--phases", nargs="+", default=["import", "claim", "export", "report", "finish", "delete"])
    asked = parser.parse_args()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="million-"))
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Postgres(folder / "postgres", port, fsync=False)
    server.start()
    try:
        results = [measure(server, folder, rows, set(asked.phases)) for rows in asked.sizes]
    finally:
        if asked.keep is None:
            server.remove()
            shutil.rmtree(folder, ignore_errors=True)
        else:
            server.stop()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(told(results))


if __name__ == "__main__":
    main()
