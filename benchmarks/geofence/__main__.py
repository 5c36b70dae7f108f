"""`python -m benchmarks.geofence`: the figures are printed, and written into a page if asked for."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.geofence import __doc__ as SUBJECT
from benchmarks.geofence.report import report

BEGIN, END = "<!-- geofence begin -->", "<!-- geofence end -->"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.geofence", description=(SUBJECT or "").splitlines()[0]
    )
    parser.add_argument("--fixes", type=int, default=1_200_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 300_000, 1_000_000])
    parser.add_argument(
        "--data", default="../shared/data", help="folder with real shapes; skipped where it is absent"
    )
    parser.add_argument("--postgis", metavar="DSN", help="a server with PostGIS to measure beside")
    parser.add_argument("--write", type=Path, help="a page whose part between the markers is written anew")
    options = parser.parse_args()
    out = "\n".join(report(options))
    print(out)
    if options.write:
        page = options.write.read_text()
        part = f"{BEGIN}\n{out}\n{END}"
        options.write.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: part, page, flags=re.DOTALL))


if __name__ == "__main__":
    main()
