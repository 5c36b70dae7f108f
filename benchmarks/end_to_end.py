"""Reports over real sockets into committed findings, beside PostgreSQL alone.

    python -m benchmarks.end_to_end [--wearers 1000] [--seconds 20] [--repeats 3] [--profile]

Starts the service as a program of its own on an embedded database in a temporary folder, enters wearers with five
zones each, and sends fixes over kept-alive connections, each request answered after its commit:

    in tens         as many requests of ten fixes, one a minute, as 32 connections bear
    in tens of many the same over 256 connections: of a fleet each tag has its own, and a turn takes what has come
    in 500s         requests of 500 fixes, one each ten seconds, over 32 connections
    paced           at the rate of a country (205 fixes/s) and at 500 fixes/s, in tens: the time from sending to the answer, which
                    comes after the commit of the finding that the fix makes, if it makes one

The requests are made before the clock runs; sender, service and database share the machine. The baseline, in the same run and on
the same server, is binary COPY of the same columns into the same table, by asyncpg alone, in one transaction for each 4,000 rows.
Every round alternates them. Medians of the rounds are printed.

`--profile` prints where the time of a fix goes instead: processor time of sender, service and database; the stages of the turn by
the service's own clock; and beside them floors, which are what a stage cannot do without: the JSON decoder alone, the kernels
alone, COPY alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import statistics
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec
import numpy as np
import uvloop

from benchmarks.keep_alive import KeptAlive, report_request
from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings
from geofence import datetime_of, format_instant
from geofence.judgement.places import Places
from ingest import read_request
from ingest.binary_copy import COLUMNS

CONNECTIONS = 32
HISTORY_MS = 12 * 3_600_000
"""The fixes begin so long ago: what is sent is the backlog of an outage."""


class Load(NamedTuple):
    """How fixes are sent. `fix_every_ms`: the time between two fixes of one wearer."""

    name: str
    fixes_a_request: int
    fix_every_ms: int
    connections: int = CONNECTIONS


TENS = Load("in tens", 10, 60_000)
MANY_TENS = Load("in tens of many", 10, 60_000, 256)
HUNDREDS = Load("in 500s", 500, 10_000)
LOADS = (TENS, MANY_TENS, HUNDREDS)


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
    """A wearer's fixes: a random walk that passes through zones, in order of time."""

    def __init__(self, number: int, from_ms: int, boot: int = 1, fix_every_ms: int = 60_000) -> None:
        self._rng = random.Random(number)
        self._lon, self._lat = -2.2 + self._rng.uniform(-0.2, 0.2), 53.0 + self._rng.uniform(-0.15, 0.15)
        self._at_ms = from_ms
        self._boot = boot
        self._fix_every_ms = fix_every_ms
        self._seq = 0

    def request(self, fixes: int) -> bytes:
        """The body of the next one."""
        reports = []
        for _ in range(fixes):
            self._at_ms += self._fix_every_ms
            self._seq += 1
            self._lon += self._rng.uniform(-0.002, 0.002)
            self._lat += self._rng.uniform(-0.0012, 0.0012)
            reports.append(
                {"seq": self._seq, "type": "position", "fix_time": format_instant(self._at_ms), "mechanism": "GPS",
                 "lat_deg": round(self._lat, 6), "lon_deg": round(self._lon, 6), "precision_m": 6}
            )  # fmt: skip
        return msgspec.json.encode({"boot": self._boot, "reports": reports})


class Fleet:
    """The tags of some wearers, who send one after the other over each connection; no two connections have one tag."""

    def __init__(
        self,
        address: str,
        keys: Sequence[str],
        numbers: range,
        from_ms: int,
        load: Load,
        connections: int = CONNECTIONS,
    ) -> None:
        self._address = address
        self._connections = connections
        self._keys = keys
        self._numbers = numbers
        self._walks = {number: Walk(number, from_ms, 1, load.fix_every_ms) for number in numbers}
        self._load = load
        self._made: list[list[bytes]] = []

    def make_ready(self, requests: int) -> None:
        """So many requests, over all connections."""
        each = -(-requests // self._connections)
        self._made = [
            [self._request(number) for number in self._turns(first, each)] for first in range(self._connections)
        ]

    def _turns(self, first: int, count: int) -> Iterator[int]:
        own = self._numbers[first :: self._connections]
        return (own[place % len(own)] for place in range(count))

    def _request(self, number: int) -> bytes:
        body = self._walks[number].request(self._load.fixes_a_request)
        return report_request(self._address, f"D{number}", self._keys[number], body)

    def sample(self, count: int) -> list[bytes]:
        """Bodies of some requests that are ready."""
        return [request.split(b"\r\n\r\n", 1)[1] for made in self._made for request in made[:2]][:count]

    async def send(self, seconds: float, fixes_per_s: float | None = None) -> tuple[float, list[float]]:
        """Fixes acknowledged a second, and the latencies (s) of the requests. `fixes_per_s` None: as many as go."""
        size = self._load.fixes_a_request
        latencies: list[float] = []
        pause_s = None if fixes_per_s is None else self._connections * size / fixes_per_s
        host, port = self._address.split(":")
        connections = [await KeptAlive.opened(host, int(port)) for _ in self._made]
        started = time.perf_counter()

        async def courier(place: int) -> None:
            due = started + (0 if pause_s is None else pause_s * place / self._connections)
            made = self._made[place]
            while made and time.perf_counter() - started < seconds:
                if pause_s is not None:
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    due += pause_s
                sent = time.perf_counter()
                status, answer = await connections[place].ask(made.pop(0))
                if status != 200:
                    raise RuntimeError(f"{status}: {answer.decode()}")
                latencies.append(time.perf_counter() - sent)

        await asyncio.gather(*map(courier, range(len(connections))))
        took_s = time.perf_counter() - started
        for connection in connections:
            connection.close()
        return len(latencies) * size / took_s, latencies


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


class Ready(NamedTuple):
    """The service, ready to be sent to."""

    settings: Settings
    connection: asyncpg.Connection[Any]
    keys: Sequence[str]
    from_ms: int

    @property
    def address(self) -> str:
        return self.settings.listen

    def fleet(self, load: Load) -> Fleet:
        """A third of the wearers each, so that no load sends what another sent."""
        share, place = len(self.keys) // len(LOADS), LOADS.index(load)
        numbers = range(place * share, (place + 1) * share)
        return Fleet(self.address, self.keys, numbers, self.from_ms, load, load.connections)


MOST_A_SECOND = 60_000
"""Fixes: so many are made ready for each second."""


async def measure(ready: Ready, seconds: float, repeats: int) -> None:
    fleets = {load: ready.fleet(load) for load in LOADS}
    rates: dict[Load, list[float]] = {load: [] for load in fleets}
    at_load: dict[Load, list[float]] = {load: [] for load in fleets}
    copied = []
    for load, fleet in fleets.items():
        fleet.make_ready(3 * 10_000 // load.fixes_a_request)
        await fleet.send(3)  # warm: partitions, connections, caches
    await copy_baseline(ready.connection, 4_000, 99)
    for round_no in range(repeats):
        copied.append(await copy_baseline(ready.connection, 100_000, round_no))
        for load, fleet in fleets.items():
            fleet.make_ready(round(seconds * MOST_A_SECOND) // load.fixes_a_request)
            rate, latencies = await fleet.send(seconds)
            rates[load].append(rate)
            at_load[load] += latencies
    print(f"| COPY alone, rows/s | {statistics.median(copied):,.0f} |")
    for load, found in rates.items():
        ratio = statistics.median(rate / copy for rate, copy in zip(found, copied, strict=True))
        print(f"| saturated {load.name}, fixes/s | {statistics.median(found):,.0f} |")
        print(f"| saturated {load.name}, p50 / p99 to the committed finding | {_ms(at_load[load])} |")
        print(f"| saturated {load.name}, ratio to COPY (median of rounds) | {ratio:.3f} |")
    for rate_wanted in (205, 500):
        fleets[TENS].make_ready(round(seconds * rate_wanted) // 10 + CONNECTIONS)
        rate, latencies = await fleets[TENS].send(seconds, rate_wanted)
        print(f"| paced {rate_wanted} fixes/s (reached {rate:,.0f}), p50 / p99 | {_ms(latencies)} |")
    found = await ready.connection.fetchval("SELECT count(*) FROM finding_versions")
    print(f"| finding versions recorded in all | {found:,} |")


# ------------------------------------------------------------------------------------------ where the time goes


TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
TURNS = re.compile(r"^emtrack_turns_total (\S+)", re.MULTILINE)
STAGE_SECONDS = re.compile(r'emtrack_turn_stage_seconds_total\{stage="(\w+)"\} (\S+)')


async def turns_so_far(address: str) -> tuple[int, dict[str, float]]:
    """How many turns there were, and what they spent (s) by stage."""
    host, port = address.split(":")
    connection = await KeptAlive.opened(host, int(port))
    _, answer = await connection.ask(f"GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    connection.close()
    text = answer.decode()
    found = TURNS.search(text)
    turns = round(float(found[1])) if found else 0
    return turns, {name: float(value) for name, value in STAGE_SECONDS.findall(text)}


def processor_s(words: bytes, parent: int | None = None) -> float:
    """What the processes have used that have these words in their command line (and this parent), with all that they began."""
    used: dict[int, tuple[int, int]] = {}
    chosen: set[int] = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            used[int(folder.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
            if words in (folder / "cmdline").read_bytes() and parent in (None, int(fields[1])):
                chosen.add(int(folder.name))
    while more := {number for number, (above, _) in used.items() if above in chosen} - chosen:
        chosen |= more
    return sum(ticks for number, (_, ticks) in used.items() if number in chosen) / TICKS_A_SECOND


async def spent_s(ready: Ready) -> tuple[int, dict[str, float]]:
    """Seconds so far: of the processors by process, and of turns by stage."""
    turns, stages = await turns_so_far(ready.address)
    database_s = processor_s(str(ready.settings.data_dir / "postgres").encode())
    return turns, {
        "processor time of the sender": time.process_time(),
        "processor time of the service": processor_s(b"emtrack\0serve", os.getpid()) - database_s,  # which it began
        "processor time of the database": database_s,
        **{f"turn, {name}": seconds for name, seconds in stages.items()},
    }


async def profile(ready: Ready, seconds: float) -> None:
    for load in LOADS:
        fleet = ready.fleet(load)
        fleet.make_ready(3 * 10_000 // load.fixes_a_request)
        await fleet.send(3)
        fleet.make_ready(round(seconds * MOST_A_SECOND) // load.fixes_a_request)
        sample = fleet.sample(40)
        turns_before, before = await spent_s(ready)
        rate, latencies = await fleet.send(seconds)
        fixes = len(latencies) * load.fixes_a_request
        turns, after = await spent_s(ready)
        print(f"| **{load.name}**, {rate:,.0f} fixes/s, {fixes / (turns - turns_before):,.0f} a turn | |")
        for name, now in after.items():
            print(f"| {load.name}: {name} | {_us(now - before.get(name, 0.0), fixes)} |")
        for name, floor_s in floors_s(sample, ready).items():
            print(f"| {load.name}: floor, {name} | {_us(floor_s, len(sample) * load.fixes_a_request)} |")
    rate = await copy_baseline(ready.connection, 100_000, 0)
    print(f"| floor, COPY alone | {1e6 / rate:.2f} µs |")


def floors_s(bodies: Sequence[bytes], ready: Ready) -> dict[str, float]:
    """Seconds for some requests, the best of five: the JSON decoder alone, reading and checking, and the kernels alone."""
    (plan,) = plans_of(read_orders(orders(1, ready.from_ms), "orders"))
    places = Places(plan.requirements)
    requests = [read_request(body, "application/json").reports for body in bodies]
    columns = [
        np.array([(r.report.lon_deg, r.report.lat_deg, 6.0) for r in reports]).T.copy()  # type: ignore[union-attr]
        for reports in requests
    ]
    return {
        "the JSON decoder alone": best_s(lambda: [msgspec.json.decode(body) for body in bodies]),
        "reading and checking": best_s(lambda: [read_request(body, "application/json") for body in bodies]),
        "the kernels alone": best_s(lambda: [places.verdicts(*one) for one in columns]),
    }


def best_s(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=1, repeat=5))


def _us(seconds: float, fixes: int) -> str:
    return f"{1e6 * seconds / fixes:.2f} µs"


def _ms(latencies: Sequence[float]) -> str:
    return f"{quantile(latencies, 0.5) * 1000:.1f} / {quantile(latencies, 0.99) * 1000:.1f} ms"


async def run(settings: Settings, arguments: argparse.Namespace) -> None:
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(
        settings, read_orders(orders(arguments.wearers, from_ms), "orders"), who="benchmark"
    )
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        ready = Ready(settings, connection, [keys[f"D{number}"] for number in range(arguments.wearers)], from_ms)
        if arguments.profile:
            await profile(ready, arguments.seconds)
        else:
            await measure(ready, arguments.seconds, arguments.repeats)
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with served() as settings:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, {arguments.wearers} wearers × 5 zones\n")
        print("| what | measured |\n|---|---|")
        uvloop.run(run(settings, arguments))


if __name__ == "__main__":
    main()
