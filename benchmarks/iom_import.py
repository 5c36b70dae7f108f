"""How long an import of the programme's record takes: 20,000 rows, 500 of them bad.

    python -m benchmarks.iom_import [--rows 20000] [--bad 500]

People, memberships, statuses, contacts, offences, notes and registrations of 730 invented people, in one NDJSON file, entered
twice: the second time nothing changes. Against an embedded server in a folder of its own. The target is 30 s for the first.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from emtrack.files.iom import import_file
from emtrack.settings import Settings

PEOPLE = 730
KINDS = ("ROBBERY", "RESIDENTIAL_BURGLARY", "VEHICLE", "SHOPLIFTING")
OUTCOMES = ("KEPT", "KEPT", "KEPT", "ACCEPTABLE_ABSENCE", "UNACCEPTABLE_ABSENCE")
BAD: tuple[dict[str, Any], ...] = (
    {"noun": "persn"},
    {"noun": "note", "person": "P1"},
    {"noun": "contact", "person": "nobody", "kind": "office", "occurred": "2026-01-01"},
    {"noun": "status", "person": "P1", "status": "ASLEEP", "from": "2026-01-01"},
    {"noun": "status", "person": "P2", "status": "WANTED", "from": "2025-01-01", "to": "2025-02-01"},
)
"""The last one contradicts what is there."""


def rows_of(rng: Random, count: int, bad: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number in range(PEOPLE):
        person = f"P{number}"
        rows += [
            {
                "noun": "person",
                "person": person,
                "name": f"Person {number}",
                "crn": f"X{number:06d}",
                "agencies": ["Police"],
            },
            {"noun": "membership", "person": person, "record": f"m{number}", "cohort": "FIXED", "from": "2024-01-01"},
            {"noun": "status", "person": person, "record": f"s{number}", "status": "COMMUNITY", "from": "2024-01-01"},
            {"noun": "registration", "person": person, "record": f"r{number}", "code": "RHRH", "from": "2024-01-01"},
        ]
    while len(rows) < count - bad:
        person, record = f"P{rng.randrange(PEOPLE)}", str(len(rows))
        day = f"2025-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        rows.append(_row(rng, person, record, day))
    for number in range(bad):
        rows.insert(rng.randrange(PEOPLE * 4, len(rows)), BAD[number % len(BAD)] | {"record": f"bad {number}"})
    return rows


def _row(rng: Random, person: str, record: str, day: str) -> dict[str, Any]:
    about = {"person": person, "record": record, "occurred": day}
    kind = rng.random()
    if kind < 0.6:
        return about | {"noun": "contact", "kind": "office", "outcome": rng.choice(OUTCOMES)}
    if kind < 0.8:
        return about | {"noun": "note", "text": f"seen on {day}"}
    return about | {"noun": "offence", "kind": rng.choice(KINDS), "outcome": "CONVICTED", "proven_on": day}


async def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=20_000)
    asked.add_argument("--bad", type=int, default=500)
    options = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # as root, the server works as another user
        path = Path(folder) / "rows.ndjson"
        rows = rows_of(Random(1), options.rows, options.bad)
        path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        settings = Settings(data_dir=Path(folder) / "data")
        await import_file(
            settings, _nothing(Path(folder)), "none", "the benchmark", keeps=True
        )  # makes the server and the schema
        for what in ("first", "again"):
            began = time.perf_counter()
            report = await import_file(settings, path, "delius", "the benchmark", keeps=True)
            print(f"{what}: {len(rows):,} rows in {time.perf_counter() - began:.1f} s  {report.counts}")


def _nothing(folder: Path) -> Path:
    path = folder / "nothing.json"
    path.write_text("[]")
    return path


if __name__ == "__main__":
    asyncio.run(main())
