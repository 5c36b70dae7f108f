"""Reports over real sockets into committed findings, beside PostgreSQL alone.

    python -m benchmarks.end_to_end [--wearers 1000] [--seconds 20] [--repeats 3]

Starts the service as a program of its own on an embedded database in a temporary folder, enters wearers with five
zones each, and sends fixes in tens over HTTP, each answered after its commit:

    saturated   as many requests as 32 connections bear
    paced       at the rate of a country (205 fixes/s) and at 500 fixes/s: the time from sending to the answer, which
                comes after the commit of the finding that the fix makes, if it makes one

The baseline, in the same run and on the same server: binary COPY of the same positions into the same table, by asyncpg
alone, in one transaction for each 4,000 rows. Every round alternates the two. Medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import aiohttp
import asyncpg
import msgspec

from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings
from geofence import datetime_of, format_instant

FIXES_A_REQUEST = 10
CONNECTIONS = 32
FIX_EVERY_MS = 60_000
HISTORY_MS = 12 * 3_600_000
"""The fixes begin so long ago: what is sent is the backlog of an outage."""


def orders(wearers: int, from_ms: int) -> str:
    """Wearers round 53° N, each with a curfew address, three exclusion circles and a polygon of 20 corners."""
    rng = random.Random(1)
    since = format_instant(from_ms)
    activations: list[dict[str, Any]] = []
    requirements: list[dict[str, Any]] = []
    for number in range(wearers):
        lon, lat = -2.2 + rng.uniform(-0.2, 0.2), 53.0 + rng.uniform(-0.15, 0.15)
        wearer = f"W{number}"
        activations.append(
            {
                "activation_id": f"A{number}",
                "device_id": f"D{number}",
                "wearer_id": wearer,
                "from": since,
                "report_interval_s": 600,
            }
        )
        zones: list[dict[str, Any]] = [
            {
                "type": "Circle",
                "centre": [lon + rng.uniform(-0.03, 0.03), lat + rng.uniform(-0.02, 0.02)],
                "radius_m": 200,
            }
            for _ in range(3)
        ]
        ring = [[lon + 0.01 + 0.004 * x, lat + 0.01 + 0.003 * y] for x, y in _circle(20)]
        zones.append({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
        for index, zone in enumerate(zones):
            requirements.append(
                {
                    "requirement_id": f"E{index}",
                    "wearer_id": wearer,
                    "kind": "EXCLUSION",
                    "from": since,
                    "geometry": zone,
                }
            )
        week = [
            {"day": day, "start": "19:00", "end": "07:00"}
            for day in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
        ]
        requirements.append(
            {"requirement_id": "C", "wearer_id": wearer, "kind": "CURFEW", "from": since, "timetable": week,
             "geometry": {"type": "Circle", "centre": [lon, lat], "radius_m": 60}}
        )  # fmt: skip
    return json.dumps({"activations": activations, "requirements": requirements})


def _circle(corners: int) -> list[tuple[float, float]]:
    import math

    return [(math.cos(2 * math.pi * i / corners), math.sin(2 * math.pi * i / corners)) for i in range(corners)]


class Walk:
    """A wearer's fixes: a random walk that passes through zones, in order of time, one a minute."""

    def __init__(self, number: int, from_ms: int) -> None:
        self._rng = random.Random(number)
        self._lon, self._lat = -2.2 + self._rng.uniform(-0.2, 0.2), 53.0 + self._rng.uniform(-0.15, 0.15)
        self._at_ms = from_ms
        self._seq = 0

    def request(self, fixes: int) -> bytes:
        reports = []
        for _ in range(fixes):
            self._at_ms += FIX_EVERY_MS
            self._seq += 1
            self._lon += self._rng.uniform(-0.002, 0.002)
            self._lat += self._rng.uniform(-0.0012, 0.0012)
            reports.append(
                {"seq": self._seq, "type": "position", "fix_time": format_instant(self._at_ms), "mechanism": "GPS",
                 "lat_deg": round(self._lat, 6), "lon_deg": round(self._lon, 6), "precision_m": 6}
            )  # fmt: skip
        return msgspec.json.encode({"boot": 1, "reports": reports})


async def send(
    session: aiohttp.ClientSession,
    walks: Sequence[Walk],
    keys: Sequence[str],
    seconds: float,
    fixes_per_s: float | None,
) -> tuple[float, list[float]]:
    """Fixes acknowledged a second, and the latencies (s) of the requests. `fixes_per_s` None: as many as go."""
    latencies: list[float] = []
    started = time.perf_counter()
    pause_s = None if fixes_per_s is None else CONNECTIONS * FIXES_A_REQUEST / fixes_per_s

    async def courier(first: int) -> None:
        number, due = first, started + (0 if pause_s is None else pause_s * first / CONNECTIONS)
        while (now := time.perf_counter()) - started < seconds:
            if pause_s is not None:
                await asyncio.sleep(max(0.0, due - now))
                due += pause_s
            body = walks[number].request(FIXES_A_REQUEST)
            sent = time.perf_counter()
            headers = {"Authorization": f"Bearer {keys[number]}", "Content-Type": "application/json"}
            async with session.post(f"/v1/devices/D{number}/reports", data=body, headers=headers) as response:
                answer = await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {answer.decode()}")
            latencies.append(time.perf_counter() - sent)
            number += CONNECTIONS
            if number >= len(walks):
                number = first

    await asyncio.gather(*(courier(first) for first in range(min(CONNECTIONS, len(walks)))))
    return len(latencies) * FIXES_A_REQUEST / (time.perf_counter() - started), latencies


COLUMNS = (
    "fact_id",
    "device_no",
    "fix_time",
    "mechanism",
    "lat_deg",
    "lon_deg",
    "precision_m",
    "received_at",
    "salt",
)


async def copy_baseline(connection: asyncpg.Connection[Any], rows: int, round_no: int) -> float:
    """Rows a second of binary COPY into the same table: other devices, the same days, the same indexes."""
    rng = random.Random(round_no)
    base = datetime_of(int(time.time() * 1000) - HISTORY_MS)
    records = [
        (-i, 10_000_000 + round_no * 100_000 + i % 1000, base + timedelta(minutes=i // 1000), "GPS",
         53 + rng.random() / 10, -2 + rng.random() / 10, 6.0, base, rng.randbytes(16))
        for i in range(rows)
    ]  # fmt: skip
    started = time.perf_counter()
    for start in range(0, rows, 4000):
        async with connection.transaction():
            await connection.copy_records_to_table(
                "positions", records=records[start : start + 4000], columns=COLUMNS
            )
    return rows / (time.perf_counter() - started)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure(settings: Settings, wearers: int, seconds: float, repeats: int) -> None:
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(settings, read_orders(orders(wearers, from_ms), "orders"), who="benchmark")
    ordered = [keys[f"D{number}"] for number in range(wearers)]
    walks = [Walk(number, from_ms) for number in range(wearers)]
    saturated, copied, at_load = [], [], []
    async with (
        aiohttp.ClientSession(settings.base_url, connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session,
        database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn,
    ):
        connection = await connect(dsn)
        await send(session, walks, ordered, 3, None)  # warm: partitions, connections, caches
        await copy_baseline(connection, 4_000, 99)
        for round_no in range(repeats):
            rate, latencies = await send(session, walks, ordered, seconds, None)
            saturated.append(rate)
            at_load += latencies
            copied.append(await copy_baseline(connection, 100_000, round_no))
        print(f"| saturated, fixes/s | {statistics.median(saturated):,.0f} |")
        print(f"| saturated, p50 / p99 to the committed finding | {_ms(at_load)} |")
        print(f"| COPY alone, rows/s | {statistics.median(copied):,.0f} |")
        ratio = statistics.median(s / c for s, c in zip(saturated, copied, strict=True))
        print(f"| ratio to COPY (median of rounds) | {ratio:.3f} |")
        for load in (205, 500):
            rate, latencies = await send(session, walks, ordered, seconds, load)
            print(f"| paced {load} fixes/s (reached {rate:,.0f}), p50 / p99 | {_ms(latencies)} |")
        found = await connection.fetchval("SELECT count(*) FROM finding_versions")
        print(f"| finding versions recorded in all | {found:,} |")
        await connection.close()


def _ms(latencies: Sequence[float]) -> str:
    return f"{quantile(latencies, 0.5) * 1000:.1f} / {quantile(latencies, 0.99) * 1000:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with served() as settings:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, {arguments.wearers} wearers × 5 zones\n")
        print("| what | measured |\n|---|---|")
        asyncio.run(measure(settings, arguments.wearers, arguments.seconds, arguments.repeats))


if __name__ == "__main__":
    main()
