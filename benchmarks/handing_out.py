"""How long it takes to make a file of positions, and an evidence report, of one person (emtrack/reading/exports.py, web/reports/).

    python -m benchmarks.handing_out [--days 14] [--zones 11]

A position a minute, a curfew and so many exclusion zones, on the embedded database. In the service each is made in a process that is
ended after 10 s.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.what_if import BEGIN_MS, CENTRE, DAY_MS, filled, orders
from emtrack.db.connect import connect
from emtrack.db.opened import prepared_database
from emtrack.files.positions import PositionForm
from emtrack.forms.reading import read_orders_of
from emtrack.orders.importing import import_orders
from emtrack.people.looks import commander
from emtrack.reading.exports import WantedExport, position_file
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.settings import Settings
from emtrack.web.reports.making import Person, WantedReport, report_file
from geofence import Interval


def with_zones(zones: int) -> dict[str, Any]:
    form = orders(1)
    form["requirements"] += [
        {"requirement_id": f"X{n}", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z",
         "geometry": {"type": "Circle", "centre": [CENTRE[0] + n / 500, CENTRE[1]], "radius_m": 300}}
        for n in range(zones)
    ]  # fmt: skip
    return form


def said(what: str, made: Any, start_s: float) -> None:
    print(
        f"{time.perf_counter() - start_s:>8.2f} s  {what}: {made.positions:,} positions, {len(made.content) / 1e6:.1f} MB"
    )


async def run(days: int, zones: int) -> None:
    looker = commander("benchmark", "COURT")
    window = Interval(BEGIN_MS, BEGIN_MS + days * DAY_MS)
    with TemporaryDirectory(prefix="emtrack-handing-out-") as folder:
        Path(folder).chmod(0o711)  # whoever the server runs as gets to what is its own
        settings = Settings(data_dir=Path(folder) / "data")
        await import_orders(settings, read_orders_of(with_zones(zones), "orders"), who="benchmark", dry_run=False)
        async with prepared_database(settings, program="benchmark", exclusive=False) as dsn:
            connection = await connect(dsn)
            await filled(connection, 1, days)
            now_ms, sets = int(time.time() * 1000), ZoneSetCache(None)
            for form in PositionForm:
                start_s = time.perf_counter()
                wanted = WantedExport(1, window, form, now_ms)
                said(form, await position_file(connection, sets, wanted, looker, "W1", now_ms), start_s)
            for name in ("report", "report again"):
                start_s = time.perf_counter()
                async with connection.transaction():
                    asked = WantedReport(1, window, now_ms)
                    made = await report_file(connection, sets, asked, looker, Person("W1", None), None, now_ms)
                said(name, made, start_s)
            await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--zones", type=int, default=11)
    chosen = parser.parse_args()
    asyncio.run(run(chosen.days, chosen.zones))


if __name__ == "__main__":
    main()
