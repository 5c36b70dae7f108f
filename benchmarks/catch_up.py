"""A fleet that could not send for hours returns all at once, while others are live.

    python -m benchmarks.catch_up [--devices 730] [--hours 12] [--live 50] [--rude]

Starts the service as a program of its own on an embedded database in a temporary folder. Each device of the fleet has a fix for each
minute of the outage and sends them in one request (at most 1,000 fixes), again and again until it is answered: after the time that it
is told to wait, or, with `--rude`, at once. `--live`: fixes a second of other devices, one fix a request, from half a minute before
the fleet comes until it is through.

Printed are how fast the fleet was drained, the times from sending a live report to its answer, which comes after the commit of its
findings and alerts; and what must hold: every report of the fleet is stored once, no outage is recorded, no live report is put off,
and what was found of twenty devices of the fleet is what the judge finds in their fixes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import time
from contextlib import suppress
from typing import Any, NamedTuple

import asyncpg
import msgspec
import uvloop

from benchmarks.end_to_end import Walk, quantile
from benchmarks.keep_alive import KeptAlive, report_request
from benchmarks.nobody_waits import people
from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings
from geofence import Fact, format_instant
from geofence.judgement import judge_history
from ingest import PositionReport, fact_of, read_request

MOST = 1_000
CONNECTIONS = 64
LIVE_DEVICES = 100
COMPARED = 20
CALM_S = 30.0


class Door(NamedTuple):
    address: str
    keys: dict[str, str]

    async def opened(self) -> KeptAlive:
        host, port = self.address.split(":")
        return await KeptAlive.opened(host, int(port))

    def request(self, device_id: str, body: bytes) -> bytes:
        return report_request(self.address, device_id, self.keys[device_id], body)


class Live:
    """Devices that are never out of reach."""

    def __init__(self, door: Door, fixes_per_s: float) -> None:
        self._door = door
        self._fixes_per_s = fixes_per_s
        self._seq = 0
        self.latencies: list[float] = []
        self.put_off = 0

    def forget(self) -> None:
        self.latencies, self.put_off = [], 0

    async def run(self) -> None:
        async def one(number: int) -> None:
            pause_s = LIVE_DEVICES / self._fixes_per_s
            connection = await self._door.opened()
            await asyncio.sleep(pause_s * number / LIVE_DEVICES)
            while True:
                due = time.perf_counter() + pause_s
                await self._report(connection, number)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

        await asyncio.gather(*map(one, range(LIVE_DEVICES)))

    async def _report(self, connection: KeptAlive, number: int) -> None:
        self._seq += 1
        fix = {"seq": self._seq, "type": "position", "fix_time": format_instant(int(time.time() * 1000)), "mechanism": "GPS",
               "lat_deg": 53.0 + self._seq % 100 / 1e5, "lon_deg": -2.1, "precision_m": 6}  # fmt: skip
        started = time.perf_counter()
        status, _ = await connection.ask(
            self._door.request(f"L{number}", msgspec.json.encode({"boot": 1, "reports": [fix]}))
        )
        if status == 200:
            self.latencies.append(time.perf_counter() - started)
        else:
            self.put_off += 1

    def told(self, name: str) -> str:
        p50, p99 = (quantile(self.latencies, share) * 1000 for share in (0.5, 0.99))
        times = f"{p50:.0f} / {p99:.0f} / {max(self.latencies) * 1000:.0f} ms"
        return f"| live, {name}: answers, put off, p50 / p99 / longest | {len(self.latencies)}, {self.put_off}, {times} |"


async def drain(door: Door, bodies: dict[str, bytes], *, waits_as_told: bool) -> float:
    """Every device sends until it is answered, so many at a time as there are connections. Seconds that it took."""
    waiting = iter(bodies.items())
    started = time.perf_counter()

    async def courier() -> None:
        connection = await door.opened()
        for device_id, body in waiting:
            request = door.request(device_id, body)
            while True:
                status, answer = await connection.ask(request)
                if status == 200:
                    break
                if status not in (429, 503):
                    raise RuntimeError(f"{status}: {answer.decode()}")
                await asyncio.sleep(connection.retry_after_s if waits_as_told else 0.05)
        connection.close()

    await asyncio.gather(*(courier() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started


async def compared(connection: asyncpg.Connection[Any], bodies: dict[str, bytes], from_ms: int) -> int:
    """Of how many devices of the first of the fleet what was found is not what the judge finds."""
    plans = plans_of(read_orders(json.dumps(people("R", COMPARED, from_ms)), "orders"))
    now_ms = int(await connection.fetchval("SELECT epoch_ms(alive_at) FROM liveness"))
    other = 0
    for plan in plans:
        reports = read_request(bodies[str(plan.activation.device_id)], "application/json").reports
        facts: list[Fact] = [
            fact_of(one.report, None, now_ms, place)
            for place, one in enumerate(reports)
            if isinstance(one.report, PositionReport)
        ]
        wanted = {
            (str(f.kind), f.begin_ms)
            for f in judge_history(plan, facts, now_ms)
            if f.kind not in ("NO_COMMUNICATION",)
        }
        rows = await connection.fetch(FOUND, str(plan.activation.activation_id))
        found = {(row["kind"], row["begin_ms"]) for row in rows if row["change"] != "withdrawn"}
        other += found != wanted
    return other


FOUND = """
SELECT DISTINCT ON (v.finding_no) f.kind, epoch_ms(v.begin_at) AS begin_ms, v.change
FROM finding_versions v JOIN findings f USING (finding_no) JOIN activations a USING (activation_no)
WHERE a.activation_id = $1 AND f.kind <> 'NO_COMMUNICATION' ORDER BY v.finding_no, v.version DESC
"""
STORED = """
SELECT coalesce(sum(c.received), 0)::bigint AS received, coalesce(sum(c.stored), 0)::bigint AS stored
FROM device_counts c JOIN devices d USING (device_no) WHERE d.device_id LIKE 'R%'
"""


async def measure(settings: Settings, arguments: argparse.Namespace) -> None:
    now_ms = int(time.time() * 1000)
    from_ms = now_ms - round(arguments.hours * 3_600_000) - 60_000
    fixes = min(MOST, round(arguments.hours * 60))
    keys: dict[str, str] = {}
    for prefix, count, since_ms in (("L", LIVE_DEVICES, now_ms - 60_000), ("R", arguments.devices, from_ms)):
        form = json.dumps(people(prefix, count, since_ms))
        keys |= await import_with_keys(settings, read_orders(form, "orders"), who="benchmark")
    door = Door(settings.listen, keys)
    bodies = {f"R{number}": Walk(number, from_ms).request(fixes) for number in range(arguments.devices)}
    live = Live(door, arguments.live)
    task = asyncio.create_task(live.run())
    await asyncio.sleep(3)
    live.forget()
    await asyncio.sleep(CALM_S)
    print(live.told("before"))
    live.forget()
    took_s = await drain(door, bodies, waits_as_told=not arguments.rude)
    print(live.told("beside"))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    print(f"| drained {arguments.devices * fixes:,} fixes, fixes/s | {arguments.devices * fixes / took_s:,.0f} |")
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        stored = await connection.fetchrow(STORED)
        print(f"| sent once, stored | {arguments.devices * fixes:,}, {stored['stored']:,} |")
        outages = await connection.fetchval("SELECT count(*) FROM outages WHERE cause NOT LIKE 'before%'")
        print(f"| outages recorded | {outages} |")
        print(
            f"| devices of {COMPARED} whose findings are not those of the judge | {await compared(connection, bodies, from_ms)} |"
        )
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=730)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--live", type=float, default=50.0)
    parser.add_argument("--rude", action="store_true")
    arguments = parser.parse_args()
    with served() as settings:
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
        print("| what | measured |\n|---|---|")
        uvloop.run(measure(settings, arguments))


if __name__ == "__main__":
    main()
