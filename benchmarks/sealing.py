"""What a record that shows if it was touched costs: a leaf, the tree, a proof, and reports over sockets with it and without.

    python -m benchmarks.sealing [--wearers 1000] [--seconds 10] [--repeats 3]

The last is as `benchmarks.end_to_end`, saturated: requests of ten fixes over 32 connections, alternated in every round on one
running service. Without: the owner switches the triggers of raw reports and positions off, so that nothing is hashed and nothing
waits for the tree; salts are drawn and stored in both.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from benchmarks.end_to_end import CONNECTIONS, HISTORY_MS, Walk, orders, quantile
from benchmarks.serving import served
from benchmarks.session_load import FIXES_A_REQUEST, send
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys
from emtrack.sealing.proving import prove_rows
from emtrack.sealing.store import last_head, waiting_leaves
from emtrack.sealing.tree import Growing
from emtrack.settings import Settings

LEAVES = 200_000
SWITCHES = {
    "with the log": "ALTER TABLE {} ENABLE TRIGGER seal_{}",
    "without": "ALTER TABLE {} DISABLE TRIGGER seal_{}",
}
HOT = ("raw_reports", "positions")
ADD = """
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at, salt)
SELECT -$2::bigint - n, 1000000 + n % 1000, now() + n * interval '1 ms', 'GPS', 53 + n / 1e7, -2, 6, now(),
       decode(md5(n::text), 'hex')
FROM generate_series(1, $1::bigint) n
"""
SOME_FACTS = "SELECT keys[1] AS fact_id FROM log_material WHERE kind = 'raw_reports' ORDER BY random() LIMIT 20"


def tree_us() -> float:
    """Microseconds a leaf, of the tree in Python."""
    leaves = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(LEAVES)]
    started = time.perf_counter()
    Growing(0, []).append(leaves)
    return (time.perf_counter() - started) / LEAVES * 1e6


async def switch(connection: asyncpg.Connection[Any], what: str) -> None:
    for table in HOT:
        await connection.execute(SWITCHES[what].format(table, table))


async def leaf_us(connection: asyncpg.Connection[Any]) -> float:
    """Microseconds that a position more costs in the statement that adds it, of statements of 4,000 rows."""
    times: dict[str, list[float]] = {what: [] for what in SWITCHES}
    for round_no in range(10):
        for number, what in enumerate(SWITCHES):
            await switch(connection, what)
            started = time.perf_counter()
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(ADD, 4_000, (round_no * 2 + number) * 1_000_000)
            times[what].append(time.perf_counter() - started)
            await transaction.rollback()
    return (statistics.median(times["with the log"]) - statistics.median(times["without"])) / 4_000 * 1e6


async def proof_ms(connection: asyncpg.Connection[Any]) -> float:
    """Milliseconds of the proofs of one fact (its report and its position)."""
    times = []
    for row in await connection.fetch(SOME_FACTS):
        started = time.perf_counter()
        async with connection.transaction():
            await prove_rows(connection, "fact", row["fact_id"])
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


SERVER_PROCESSES = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
TICKS_A_S = os.sysconf("SC_CLK_TCK")


async def used_s(connection: asyncpg.Connection[Any]) -> float:
    """Seconds of processor that the service and its database have used: what others do on the machine is not in it."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    server = [str(row["pid"]) for row in await connection.fetch(SERVER_PROCESSES)]
    return sum(_ticks(pid) for pid in {*children, *server}) / TICKS_A_S


def _ticks(pid: str) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it ended meanwhile
        return 0
    return int(fields[11]) + int(fields[12])


async def all_sealed(connection: asyncpg.Connection[Any]) -> float:
    """Seconds until nothing waits for the tree."""
    started = time.perf_counter()
    while await waiting_leaves(connection, 0):  # noqa: ASYNC110  another process seals
        await asyncio.sleep(0.05)
    return time.perf_counter() - started


async def measure(settings: Settings, wearers: int, seconds: float, repeats: int) -> None:
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(settings, read_orders(orders(wearers, from_ms), "orders"), who="benchmark")
    ordered = [keys[f"D{number}"] for number in range(wearers)]
    walks = [Walk(number, from_ms) for number in range(wearers)]
    rates: dict[str, list[float]] = {what: [] for what in SWITCHES}
    waits: dict[str, list[float]] = {what: [] for what in SWITCHES}
    costs: dict[str, list[float]] = {what: [] for what in SWITCHES}
    lags = []
    async with (
        aiohttp.ClientSession(settings.base_url, connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session,
        database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn,
    ):
        connection = await connect(dsn)
        await send(session, walks, ordered, 3, None)  # warm: partitions, connections, caches
        for round_no in range(repeats):
            order = list(SWITCHES) if round_no % 2 == 0 else list(reversed(SWITCHES))
            for what in order:
                await switch(connection, what)
                before_s = await used_s(connection)
                rate, latencies = await send(session, walks, ordered, seconds, None)
                rates[what].append(rate)
                waits[what] += latencies
                if what == "with the log":
                    lags.append(await all_sealed(connection))
                costs[what].append((await used_s(connection) - before_s) / (len(latencies) * FIXES_A_REQUEST) * 1e6)
        await switch(connection, "with the log")
        print(f"| a leaf more in the statement that adds it | {await leaf_us(connection):.2f} µs |")
        await switch(connection, "with the log")
        head = await last_head(connection)
        assert head is not None, "the service signed one"
        print(f"| proofs of a fact, in a log of {head.size:,} leaves | {await proof_ms(connection):.1f} ms |")
        await connection.close()
    for what, found in rates.items():
        p50, p99 = (quantile(waits[what], share) * 1000 for share in (0.5, 0.99))
        print(f"| {what}: fixes/s, p50 / p99 | {statistics.median(found):,.0f}, {p50:.1f} / {p99:.1f} ms |")
    for what, used in costs.items():
        print(f"| {what}: processor of service and database | {statistics.median(used):,.0f} µs a fix |")
    ratio = statistics.median(w / o for w, o in zip(rates["with the log"], rates["without"], strict=True))
    print(f"| with to without (median of rounds) | {ratio:.3f} |")
    print(f"| until everything is under a head, after a round | {statistics.median(lags):.2f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {arguments.wearers} wearers × 5 zones, requests of {FIXES_A_REQUEST}\n")
    print("| what | measured |\n|---|---|")
    print(f"| a leaf in the tree, in Python | {tree_us():.2f} µs |")
    with served() as settings:
        asyncio.run(measure(settings, arguments.wearers, arguments.seconds, arguments.repeats))


if __name__ == "__main__":
    main()
