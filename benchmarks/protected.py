"""What all protections of the record cost together: the same fixes over real sockets with everything on and with nothing, in turns.

    python -m benchmarks.protected [--wearers 1000] [--seconds 10] [--repeats 3] [--write FILE]

As `benchmarks.end_to_end`, saturated: requests of ten fixes over 32 connections, on one running service. With everything: rows hold
policies, requests are signed, the log seals. With nothing: the owner switches the policies of all tables and the triggers of the log
off, and nobody signs. The sender signs on the same machine. The processor's time is that of the service and of the database alone, so
that what others do on the machine is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import statistics
import time
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from benchmarks.end_to_end import CONNECTIONS, HISTORY_MS, orders, quantile
from benchmarks.sealing import all_sealed, used_s
from benchmarks.serving import served
from benchmarks.session_load import FIXES_A_REQUEST, send
from benchmarks.signatures import SigningWalk
from emtrack.client import public_half
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys, replace_signing_keys
from emtrack.settings import Settings

LINES = re.compile(r"(<!-- protected begin -->\n).*(<!-- protected end -->)", re.DOTALL)
ALL, NOTHING = "everything on", "nothing on"
PROTECTED = """
SELECT format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relname) AS on,
       format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', relname) AS off
FROM pg_class WHERE relrowsecurity AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT format('ALTER TABLE %I ENABLE TRIGGER %I', c.relname, t.tgname),
       format('ALTER TABLE %I DISABLE TRIGGER %I', c.relname, t.tgname)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname LIKE 'seal\\_%' AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""


class Round:
    """What was measured in the rounds of one kind."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.waits: list[float] = []
        self.costs_us: list[float] = []

    @property
    def line(self) -> str:
        p50, p99 = (quantile(self.waits, share) * 1000 for share in (0.5, 0.99))
        rate, cost_us = statistics.median(self.rates), statistics.median(self.costs_us)
        return f"{rate:,.0f} fixes/s, p50 / p99 {p50:.1f} / {p99:.1f} ms, processor {cost_us:,.0f} µs a fix"


async def switch(connection: asyncpg.Connection[Any], statements: list[str]) -> None:
    async with connection.transaction():
        for statement in statements:
            await connection.execute(statement)


async def measure(settings: Settings, wearers: int, seconds: float, repeats: int) -> list[str]:
    """Lines of a table."""
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(settings, read_orders(orders(wearers, from_ms), "orders"), who="benchmark")
    ordered = [keys[f"D{number}"] for number in range(wearers)]
    walks = [SigningWalk(number, from_ms) for number in range(wearers)]
    public = {f"D{number}": public_half(walk.key) for number, walk in enumerate(walks)}
    await replace_signing_keys(settings, public, who="benchmark")
    rounds = {ALL: Round(), NOTHING: Round()}
    async with (
        aiohttp.ClientSession(settings.base_url, connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session,
        database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn,
    ):
        connection = await connect(dsn)
        found = await connection.fetch(PROTECTED)
        statements = {ALL: [row["on"] for row in found], NOTHING: [row["off"] for row in found]}
        await send(session, walks, ordered, 3, None)  # warm: partitions, connections, caches
        for round_no in range(repeats):
            for what in list(rounds) if round_no % 2 == 0 else list(reversed(rounds)):
                await switch(connection, statements[what])
                for walk in walks:
                    walk.signer = walk.key if what == ALL else None
                before_s = await used_s(connection)
                rate, waits = await send(session, walks, ordered, seconds, None)
                if what == ALL:
                    await all_sealed(connection)
                used_us = (await used_s(connection) - before_s) * 1e6
                rounds[what].rates.append(rate)
                rounds[what].waits += waits
                rounds[what].costs_us.append(used_us / (len(waits) * FIXES_A_REQUEST))
        await switch(connection, statements[ALL])
        await connection.close()
    return lines_of(rounds[ALL], rounds[NOTHING], len(found))


def lines_of(protected: Round, bare: Round, switches: int) -> list[str]:
    rate = statistics.median(p / b for p, b in zip(protected.rates, bare.rates, strict=True))
    cost = statistics.median(p / b for p, b in zip(protected.costs_us, bare.costs_us, strict=True))
    ten_thousand = statistics.median(protected.costs_us) * 10_000 / 1e6
    more = (statistics.median(protected.costs_us) - statistics.median(bare.costs_us)) * 10_000 / 1e6
    return [
        f"| {ALL} ({switches} policies and triggers, and signatures) | {protected.line} |",
        f"| {NOTHING} | {bare.line} |",
        f"| with to without, fixes/s (median of rounds) | {rate:.3f} |",
        f"| with to without, processor a fix (median of rounds) | {cost:.3f} |",
        f"| at 10,000 fixes a second, by the processor's time | {ten_thousand:.2f} cores, of which protection is {more:.2f} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with served() as settings:
        lines = asyncio.run(measure(settings, arguments.wearers, arguments.seconds, arguments.repeats))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = os.getloadavg()[0]
    head = f"{machine}, {arguments.wearers} wearers × 5 zones, requests of {FIXES_A_REQUEST}; load of the machine {load:.0f} with us"
    text = "\n".join([head, "", "| what | measured |", "|---|---|", *lines, ""])
    print(text)
    if arguments.write is not None:
        page = arguments.write.read_text()
        arguments.write.write_text(LINES.sub(lambda found: found[1] + text + found[2], page))


if __name__ == "__main__":
    main()
