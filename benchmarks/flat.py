"""Whether a turn costs the same however many activations are on record, and however many positions are stored.

    python -m benchmarks.flat [--activations 1000 10000 100000] [--seconds 20] [--rounds 3]
    python -m benchmarks.flat --stored 0 10 100 [--seconds 20] [--rounds 3]

The load is always the same: 2,000 fixes a second in requests of ten, from the same 1,000 tags with five zones each, to a service
of its own on an embedded database. What changes is what else is there: other activations, each with a circle and a curfew, whose tags
are silent; or millions of positions of other devices in the same tables, of today and of days before (`benchmarks.stored`). Printed
are, for each, the time of a turn and of a fix by the service's own clock, processor time of service and database, and how long tags
wait; medians of the rounds; and how long the service takes to be ready, and its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import uvloop

from benchmarks.end_to_end import TENS, Fleet, Ready, orders, quantile, spent_s
from benchmarks.serving import served
from benchmarks.sizing import memory_bytes
from benchmarks.stored import add_day, days_from, homes_of
from emtrack.db.connect import connect, database
from emtrack.db.migrate import migrate
from emtrack.db.rights import grant_rights
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings
from geofence import format_instant

SENDERS = 1_000
FIXES_A_SECOND = 2_000
HISTORY_MS = 12 * 3_600_000
A_DAY_OF_MILLIONS = 7.2
"""5,000 devices, a position each minute."""
AT_A_TIME = 10_000
"""Activations of one import."""


class Cost(NamedTuple):
    """Of one round: milliseconds a turn; microseconds a fix, of the turn, of the service's processor and of the database's;
    milliseconds that half of the requests, and one in a hundred, waited."""

    turn_ms: float
    turn_us: float
    service_us: float
    database_us: float
    half_ms: float
    slowest_ms: float


def others(first: int, last: int, from_ms: int) -> str:
    """People whose tags are silent, each with an exclusion circle and a curfew of one night that is some days away: nothing is found
    of them meanwhile."""
    since, day = (
        format_instant(from_ms),
        datetime.fromtimestamp(from_ms / 1000 + 3 * 86_400, UTC).strftime("%a").upper(),
    )
    activations: list[dict[str, Any]] = []
    requirements: list[dict[str, Any]] = []
    for number in range(first, last):
        lon, lat = -2.2 + number % 401 * 1e-3, 53.0 + number % 307 * 1e-3
        names = {"wearer_id": f"S{number}", "from": since}
        activations.append(
            names | {"activation_id": f"S{number}", "device_id": f"S{number}", "report_interval_s": 86_400}
        )
        circle = {"type": "Circle", "centre": [lon, lat], "radius_m": 200}
        requirements.append(names | {"requirement_id": "X", "kind": "EXCLUSION", "geometry": circle})
        timetable = [{"day": day, "start": "19:00", "end": "07:00"}]
        requirements.append(
            names
            | {"requirement_id": "C", "kind": "CURFEW", "timetable": timetable, "geometry": circle | {"radius_m": 60}}
        )
    return json.dumps({"activations": activations, "requirements": requirements})


async def store(folder: Path, millions: float) -> None:
    """Positions of days up to today, before the service begins. Their devices have no activations."""
    days = max(1, round(millions / A_DAY_OF_MILLIONS)) if millions else 0
    homes = homes_of(5_000)
    async with database(None, folder, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        await migrate(connection)
        await grant_rights(connection)
        first = datetime.now(UTC).date() - timedelta(days=max(days - 1, 0))
        stored = 0
        for day in days_from(first, days):
            stored += await add_day(connection, day, homes, number_from=10_000_000)
        await connection.execute("VACUUM (FREEZE, ANALYZE)")
        await connection.close()
    print(f"{stored:,} positions are stored", flush=True)


async def _round(ready: Ready, fleet: Fleet, seconds: float) -> Cost:
    fleet.make_ready(round(seconds * FIXES_A_SECOND) // 10 + 100)
    turns_before, before = await spent_s(ready)
    _, latencies = await fleet.send(seconds, FIXES_A_SECOND)
    turns, after = await spent_s(ready)
    spent = {name: now - before.get(name, 0.0) for name, now in after.items()}
    print({name: f"{value * 1e6 / len(latencies) / 10:.1f} µs" for name, value in spent.items()}, file=sys.stderr)
    fixes, turn_s = len(latencies) * 10, sum(value for name, value in spent.items() if name.startswith("turn, "))
    return Cost(
        turn_s / (turns - turns_before) * 1e3, turn_s / fixes * 1e6, spent["processor time of the service"] / fixes * 1e6,
        spent["processor time of the database"] / fixes * 1e6, quantile(latencies, 0.5) * 1e3, quantile(latencies, 0.99) * 1e3,
    )  # fmt: skip


async def until_calm(address: str) -> None:
    """Everybody was judged for the first time. That nobody waits for it is not known before some turns were taken."""
    calm = 0
    async with aiohttp.ClientSession(f"http://{address}") as session:
        while calm < 5:
            await asyncio.sleep(1)
            async with session.get("/metrics") as response:
                calm = calm + 1 if "\nemtrack_activations_to_judge_again 0.0" in await response.text() else 0


async def measured(settings: Settings, rounds: int, seconds: float, keys: dict[str, str], from_ms: int) -> Cost:
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        await until_calm(settings.listen)
        ready = Ready(settings, connection, [keys[f"D{number}"] for number in range(SENDERS)], from_ms)
        fleet = Fleet(settings.listen, ready.keys, range(SENDERS), from_ms, TENS)
        fleet.make_ready(2_000)
        await fleet.send(6, FIXES_A_SECOND)  # warm: partitions, caches, and everybody's memory
        costs = [await _round(ready, fleet, seconds) for _ in range(rounds)]
        await connection.close()
    return Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))


async def enter(settings: Settings, activations: int) -> tuple[dict[str, str], int]:
    """Before the service begins: beside it each import would be taken in by it, which is not what is measured here."""
    from_ms = int(time.time() * 1000) - HISTORY_MS
    async with database(None, settings.data_dir, program="benchmark", exclusive=False):  # one server for all imports
        keys = await import_with_keys(settings, read_orders(orders(SENDERS, from_ms), "orders"), who="benchmark")
        for first in range(SENDERS, activations, AT_A_TIME):
            text = others(first, min(first + AT_A_TIME, activations), from_ms)
            await import_with_keys(settings, read_orders(text, "orders"), who="benchmark")
            print(f"{min(first + AT_A_TIME, activations):,} activations are entered", file=sys.stderr, flush=True)
    return keys, from_ms


def case(name: str, activations: int, millions: float, arguments: argparse.Namespace) -> None:
    folder = arguments.on or Path(tempfile.mkdtemp(prefix="emtrack-benchmark-", dir=arguments.folder))
    try:
        if millions:
            uvloop.run(store(folder, millions))
        keys, from_ms = uvloop.run(enter(Settings(data_dir=folder), activations))
        started = time.perf_counter()
        with served(folder) as settings:
            ready_s = time.perf_counter() - started
            cost = uvloop.run(measured(settings, arguments.rounds, arguments.seconds, keys, from_ms))
            memory = memory_bytes(b"emtrack\0serve", os.getpid())
        print(
            f"| {name} | {cost.turn_ms:.2f} ms | {cost.turn_us:.1f} µs | {cost.service_us:.1f} µs | {cost.database_us:.1f} µs "
            f"| {cost.half_ms:.1f} / {cost.slowest_ms:.1f} ms | {ready_s:.1f} s | {memory >> 20:,} MiB |",
            flush=True,
        )
    finally:
        if arguments.on is None:
            shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activations", type=int, nargs="*", default=[])
    parser.add_argument("--stored", type=float, nargs="*", default=[], help="millions of positions")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where data directories are made")
    parser.add_argument("--on", type=Path, help="a data directory with positions and no activations, used as it is")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}\n"
    )
    print(
        "| what is there | a turn | of a fix in it | service, a fix | database, a fix | tags wait, p50 / p99 | ready after | memory |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for count in arguments.activations:
        case(f"{count:,} activations", count, 0, arguments)
    if arguments.on is not None:
        case(str(arguments.on.name), SENDERS, 0, arguments)
        return
    for millions in arguments.stored:
        case(f"{millions:g} million positions", SENDERS, millions, arguments)


if __name__ == "__main__":
    main()
