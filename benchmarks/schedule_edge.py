"""The edge of a night: so many curfews begin at one second, everybody is out, and no position arrives.

    python -m benchmarks.schedule_edge [--wearers 100000] [--requirements 5] [--out 30000]

A real database, the service's own worker, and a clock that stands still while it works. Measured: what a tick costs at which
nothing is due (the look for what is due, and the whole turn with its commit), what a turn costs that takes in an order for one
person, and how long it takes from the edge until every finding and its alert are committed, in turns of at most MAX_DUE
activations, and what processor time that needs. The baseline is the same rows of findings and alerts written by binary COPY
alone, into tables without indexes, on the same server in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from emtrack.db.connect import connect
from emtrack.db.embedded import embedded_server
from emtrack.db.migrate import migrate
from emtrack.forms.reading import read_orders
from emtrack.metrics import Metrics
from emtrack.orders.entry import enter_orders
from emtrack.service.keys import DeviceKeys
from emtrack.service.warm_up import calm_collector, warm_up
from emtrack.service.worker import MAX_DUE, Pace, Worker
from geofence import format_instant, parse_instant
from ingest import Inbox, Submission, read_request

BEGIN, EDGE = "2026-03-02T12:00:00Z", "2026-03-02T19:00:00Z"
FIXES = ("17:58", "18:10", "18:22", "18:34", "18:46", "18:58")
"""The last within two minutes of the edge: who was seen out later than that is out when it begins."""
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
AT_ONCE = 2_000
TICKS = 50
ORDERS = 5


class StandingClock:
    """Moves when it is told to."""

    rate = 1.0
    emulated = True

    def __init__(self) -> None:
        self.at_ms = parse_instant(BEGIN)

    def now_ms(self) -> int:
        return self.at_ms


PACE = Pace(max_wait_s=0.0001)
"""An empty inbox is not waited for."""


def orders(first: int, last: int, requirements: int, out: int) -> dict[str, Any]:
    """Wearers with a curfew (those who are out from 19:00, the others from 21:00) and exclusion zones."""
    numbers = range(first, last)
    rows = [_curfew(n, "19:00" if n < out else "21:00") for n in numbers]
    rows += [_exclusion(n, k) for n in numbers for k in range(1, requirements)]
    activations = [
        {
            "activation_id": f"A{n}",
            "device_id": f"D{n}",
            "wearer_id": f"W{n}",
            "from": BEGIN,
            "report_interval_s": 1e6,
        }
        for n in numbers
    ]
    return {"activations": activations, "requirements": rows}


def _curfew(n: int, start: str) -> dict[str, Any]:
    home = [-2.2 + n % 1000 * 1e-4, 53 + n // 1000 * 1e-3]
    return {
        "requirement_id": f"C{n}", "wearer_id": f"W{n}", "kind": "CURFEW", "from": BEGIN,
        "geometry": {"type": "Circle", "centre": home, "radius_m": 60},
        "timetable": [{"day": day, "start": start, "end": "07:00"} for day in DAYS],
    }  # fmt: skip


def _exclusion(n: int, k: int) -> dict[str, Any]:
    centre = [-2.5 - k * 0.01, 54.0]
    return {
        "requirement_id": f"X{n}-{k}", "wearer_id": f"W{n}", "kind": "EXCLUSION", "from": BEGIN,
        "geometry": {"type": "Circle", "centre": centre, "radius_m": 200},
    }  # fmt: skip


def submissions(devices: dict[str, int], out: int) -> Iterator[Submission]:
    """Of everybody who is out, fixes far from home."""
    loop = asyncio.get_running_loop()
    for n in range(out):
        reports = [
            {"seq": seq, "type": "position", "fix_time": f"2026-03-02T{at}:00Z", "lat_deg": 52.5, "lon_deg": -2.1,
             "precision_m": 6, "mechanism": "GPS"}
            for seq, at in enumerate(FIXES, 1)
        ]  # fmt: skip
        body = msgspec.json.encode({"boot": 1, "reports": reports})
        yield Submission(devices[f"D{n}"], read_request(body, "application/json").reports, loop.create_future())


def processor_s(pid: int) -> float:
    """What a process of this machine has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def enter(connection: asyncpg.Connection[Any], wearers: int, requirements: int, out: int, now_ms: int) -> None:
    for first in range(0, wearers, AT_ONCE):
        form = orders(first, min(wearers, first + AT_ONCE), requirements, out)
        async with connection.transaction():
            read = read_orders(msgspec.json.encode(form).decode(), "orders")
            await enter_orders(connection, read, who="benchmark", now_ms=now_ms)


async def measure(dsn: str, wearers: int, requirements: int, out: int) -> dict[str, str]:
    connection = await connect(dsn)
    await migrate(connection)
    clock = StandingClock()
    await enter(connection, wearers, requirements, out, clock.at_ms)
    print(f"{wearers} wearers with {wearers * requirements} requirements entered", file=sys.stderr)
    worker = Worker(dsn, clock, Inbox(10**9), DeviceKeys(), Metrics(), pace=PACE)  # type: ignore[arg-type]
    began_s = time.perf_counter()
    await worker.step(connection, [], clock.at_ms)
    loaded_s = time.perf_counter() - began_s
    await feed(worker, connection, clock, out)
    calm_collector()
    looks_us, tick_ms = await idle(worker, connection, clock)
    taken_in_ms = await taking_in(worker, connection, clock)
    server = await connection.fetchval("SELECT pg_backend_pid()")
    before = time.process_time(), processor_s(server)
    edge_s, turns_s = await the_edge(worker, connection, clock)
    service_s, server_s = time.process_time() - before[0], processor_s(server) - before[1]
    found = await connection.fetchval("SELECT count(*) FROM findings WHERE kind = 'CURFEW'")
    alerts = await connection.fetchval("SELECT count(*) FROM alerts WHERE kind = 'CURFEW'")
    assert found == alerts == out, (found, alerts, out)
    copied_s = await copied_alone(connection)
    await connection.close()
    return {
        "wearers × requirements": f"{wearers:,} × {requirements}",
        "look for what is due, nothing due (median)": f"{looks_us:.1f} µs",
        "whole turn with its commit, nothing due (median)": f"{tick_ms:.1f} ms",
        "turn that takes in an order for one person (median)": f"{taken_in_ms:.1f} ms",
        f"edge: {out:,} findings and alerts judged and committed": f"{edge_s:.2f} s",
        "processor of the service and of the database, for each": f"{service_s / out * 1e6:.0f} µs, {server_s / out * 1e6:.0f} µs",
        "turns, the longest of them": f"{len(turns_s)}, {max(turns_s):.2f} s",
        "the same rows by COPY alone, without indexes": f"{copied_s:.2f} s",
        "ratio to COPY": f"{edge_s / copied_s:.1f}",
        "loading everything at the start": f"{loaded_s:.1f} s",
    }


async def feed(worker: Worker, connection: asyncpg.Connection[Any], clock: StandingClock, out: int) -> None:
    rows = await connection.fetch("SELECT device_id, device_no FROM devices")
    devices = {row["device_id"]: row["device_no"] for row in rows}
    clock.at_ms = parse_instant("2026-03-02T18:59:05Z")
    batch: list[Submission] = []
    for submission in submissions(devices, out):
        batch.append(submission)
        if len(batch) == 500:
            await worker.step(connection, batch, clock.at_ms)
            batch = []
    await worker.step(connection, batch, clock.at_ms)
    await drain(worker, connection, clock)


async def drain(worker: Worker, connection: asyncpg.Connection[Any], clock: StandingClock) -> list[float]:
    """Turns until nothing is due; how long each took."""
    turns_s = []
    while worker.activations.due(clock.at_ms, 1) or worker.activations.to_judge_again_count:
        began_s = time.perf_counter()
        await worker.step(connection, [], clock.at_ms)
        turns_s.append(time.perf_counter() - began_s)
    return turns_s


async def idle(worker: Worker, connection: asyncpg.Connection[Any], clock: StandingClock) -> tuple[float, float]:
    looks_s, ticks_s = [], []
    for _ in range(TICKS):
        clock.at_ms += 1_000
        await drain(worker, connection, clock)
        began_s = time.perf_counter()
        worker.activations.due(clock.at_ms, MAX_DUE)
        looks_s.append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        await worker.step(connection, [], clock.at_ms)
        ticks_s.append(time.perf_counter() - began_s)
    return statistics.median(looks_s) * 1e6, statistics.median(ticks_s) * 1e3


async def taking_in(worker: Worker, connection: asyncpg.Connection[Any], clock: StandingClock) -> float:
    """An order for one person: one more zone. Milliseconds of the turn after it."""
    took_ms = []
    for n in range(ORDERS):
        form = msgspec.json.encode({"requirements": [_exclusion(n, 99)]}).decode()
        async with connection.transaction():
            await enter_orders(connection, read_orders(form, "orders"), who="benchmark", now_ms=clock.at_ms)
        began_s = time.perf_counter()
        await worker.step(connection, [], clock.at_ms)
        took_ms.append((time.perf_counter() - began_s) * 1e3)
        await drain(worker, connection, clock)
    return statistics.median(took_ms)


async def the_edge(
    worker: Worker, connection: asyncpg.Connection[Any], clock: StandingClock
) -> tuple[float, list[float]]:
    clock.at_ms = parse_instant(EDGE)
    began_s = time.perf_counter()
    turns_s = await drain(worker, connection, clock)
    return time.perf_counter() - began_s, turns_s


async def copied_alone(connection: asyncpg.Connection[Any]) -> float:
    """The rows that the edge wrote, written once more into bare tables."""
    edge = parse_instant(EDGE)
    took_s = 0.0
    for table, since in (
        ("findings", None), ("finding_versions", "recorded_at"), ("alerts", "raised_at"),
        ("alert_occurrences", "added_at"), ("alert_changes", "changed_at"),
    ):  # fmt: skip
        where = "kind = 'CURFEW'" if since is None else f"{since} >= '{format_instant(edge)}'"
        rows = [tuple(row) for row in await connection.fetch(f"SELECT * FROM {table} WHERE {where}")]  # noqa: S608
        await connection.execute(f"CREATE TABLE bare_{table} (LIKE {table})")
        began_s = time.perf_counter()
        await connection.copy_records_to_table(f"bare_{table}", records=rows)
        took_s += time.perf_counter() - began_s
    return took_s


async def run(wearers: int, requirements: int, out: int) -> dict[str, str]:
    warm_up()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        async with embedded_server(folder / "data", program="benchmark", exclusive=True) as dsn:
            return await measure(dsn, wearers, requirements, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wearers", type=int, default=100_000)
    parser.add_argument("--requirements", type=int, default=5)
    parser.add_argument("--out", type=int, default=30_000)
    chosen = parser.parse_args()
    table = asyncio.run(run(chosen.wearers, chosen.requirements, min(chosen.out, chosen.wearers)))
    print("| what | measured |\n|---|---|")
    for what, value in table.items():
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
