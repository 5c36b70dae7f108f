"""Whether anybody waits for somebody else: live reports beside what costs much.

    python -m benchmarks.nobody_waits [--live 100] [--wearers 200] [--days 1] [--fix-every-s 60] [--facts 40000] [--entered 2000]
                                      [--refused 50000]

Starts the service as a program of its own on an embedded database in a temporary folder. A hundred devices are live, one fix each two
seconds. Beside them, one after the other:

    nothing                 the baseline of the same run
    what waited for orders  reports of a tag that nobody wore are in quarantine, and it is entered from before them
    a typo                  an activation and a curfew every night, both from 1926
    many new people         two thousand are entered in one import, each with five requirements since half a day
    settings                `max_gap_s` changes for everybody: wearers with a stored history of some days are judged again
    orders of one person    of whom some ten thousand facts are stored
    a fact of long ago      of that person: the oldest fact but one
    a thousand days         1,000 fixes on 1,000 days, of which no day has a partition yet, in one request: for half a minute
    a fleet returns         the wearers upload half a day each, in requests of 720, all at once

Printed are p50, p99 and the longest time from sending a live report to its answer, which comes after the commit of its findings and
alerts; how long it took until nobody waited to be judged again; and that no outage was recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import aiohttp
import msgspec

from benchmarks.end_to_end import Walk, orders, quantile
from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys, make_device_key
from emtrack.settings import Settings
from geofence import format_instant

LIVE_EVERY_S = 2.0
DAY_MS = 86_400_000
LARGEST = 500
"""Fixes in a request with which a history is built."""


class Bench(NamedTuple):
    settings: Settings
    session: aiohttp.ClientSession
    keys: dict[str, str]

    async def post(self, device_id: str, body: bytes) -> int:
        headers = {"Authorization": f"Bearer {self.keys[device_id]}", "Content-Type": "application/json"}
        async with self.session.post(f"/v1/devices/{device_id}/reports", data=body, headers=headers) as response:
            await response.read()
            return response.status

    async def enter(self, form: dict[str, Any]) -> None:
        self.keys.update(
            await import_with_keys(self.settings, read_orders(json.dumps(form), "orders"), who="benchmark")
        )

    async def waiting(self) -> int:
        async with self.session.get("/metrics") as response:
            text = await response.text()
        waits = re.findall(r"^emtrack_(?:activations_to_judge_again|devices_to_examine) (\S+)", text, re.M)
        return round(sum(map(float, waits)))

    async def until_nobody_waits(self, most_s: float) -> None:
        deadline_s = time.perf_counter() + most_s
        await asyncio.sleep(3)  # what was entered is noticed by the next turns
        while await self.waiting() and time.perf_counter() < deadline_s:  # noqa: ASYNC110  another program
            await asyncio.sleep(0.2)


class Live:
    """Devices that report one fix each few seconds, as long as it lasts."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        self._count = count
        self.latencies: list[float] = []
        self.refused = 0
        self._seq = int(time.time())

    async def _report(self, number: int) -> None:
        self._seq += 1
        now = format_instant(int(time.time() * 1000))
        fix = {"seq": self._seq, "type": "position", "fix_time": now, "mechanism": "GPS",
               "lat_deg": 53 + random.random() / 100, "lon_deg": -2.1, "precision_m": 6}  # fmt: skip
        started = time.perf_counter()
        status = await self._bench.post(f"L{number}", msgspec.json.encode({"boot": 1, "reports": [fix]}))
        if status == 200:
            self.latencies.append(time.perf_counter() - started)
        else:
            self.refused += 1

    async def run(self) -> None:
        async def one(number: int) -> None:
            await asyncio.sleep(LIVE_EVERY_S * number / self._count)
            while True:
                due = time.perf_counter() + LIVE_EVERY_S
                await self._report(number)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

        await asyncio.gather(*(one(number) for number in range(self._count)))


async def beside(bench: Bench, live: int, name: str, work: Callable[[], Awaitable[None]]) -> None:
    reports = Live(bench, live)
    task = asyncio.create_task(reports.run())
    await asyncio.sleep(2)
    started = time.perf_counter()
    await work()
    took_s = time.perf_counter() - started
    await asyncio.sleep(2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    times = reports.latencies
    p50, p99 = (quantile(times, share) * 1000 for share in (0.5, 0.99))
    print(
        f"| {name} | {took_s:.0f} s | {len(times)} | {reports.refused} | {p50:.0f} / {p99:.0f} / {max(times) * 1000:.0f} ms |",
        flush=True,
    )


def people(prefix: str, count: int, since_ms: int) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(orders(count, since_ms))
    for activation in form["activations"]:
        for field, letter in (("activation_id", "A"), ("device_id", ""), ("wearer_id", "W")):
            activation[field] = f"{letter}{prefix}{activation[field][1:]}"
    for requirement in form["requirements"]:
        requirement["wearer_id"] = f"W{prefix}{requirement['wearer_id'][1:]}"
    return form


async def fill(bench: Bench, device_id: str, walk: Walk, facts: int) -> None:
    for _ in range(0, facts, LARGEST):
        while await bench.post(device_id, walk.request(LARGEST)) != 200:  # noqa: ASYNC110  another program
            await asyncio.sleep(1)


async def fill_all(bench: Bench, prefix: str, count: int, walk_of: Callable[[int], Walk], facts: int) -> None:
    async def some(first: int) -> None:
        for number in range(first, count, 8):
            await fill(bench, f"{prefix}{number}", walk_of(number), facts)

    await asyncio.gather(*map(some, range(8)))


def typo() -> dict[str, Any]:
    form = people("T", 1, 0)
    since = "1926-03-02T00:00:00Z"
    for entry in (*form["activations"], *form["requirements"]):
        entry["from"] = since
    return form


async def fleet(bench: Bench, count: int, since_ms: int) -> None:
    """Each sends what it kept, and again after what it is told to wait."""

    async def one(number: int) -> None:
        body = Walk(number, since_ms).request(720)
        while await bench.post(f"R{number}", body) != 200:  # noqa: ASYNC110  another program
            await asyncio.sleep(2 + random.random())

    await asyncio.gather(*map(one, range(count)))


async def build(bench: Bench, arguments: argparse.Namespace, now_ms: int, long_ago_ms: int) -> None:
    """Who is on record, and what is stored and refused before anything is measured."""
    since_ms = now_ms - arguments.days * DAY_MS
    for prefix, count, from_ms in (
        ("L", arguments.live, now_ms - 60_000), ("S", arguments.wearers, since_ms), ("O", 1, long_ago_ms),
        ("R", arguments.wearers, now_ms - DAY_MS // 2), ("M", 1, now_ms - 1_001 * DAY_MS),
    ):  # fmt: skip
        await bench.enter(people(prefix, count, from_ms))
    print("building the history", file=sys.stderr)
    every_ms = arguments.fix_every_s * 1_000
    facts = (arguments.days * DAY_MS - 3_600_000) // every_ms
    await fill_all(bench, "S", arguments.wearers, lambda number: Walk(number, since_ms, 1, every_ms), facts)
    oldest = Walk(0, long_ago_ms)
    await fill(bench, "O0", oldest, arguments.facts)
    bench.keys["Q0"] = await make_device_key(bench.settings, "Q0", who="benchmark")
    await fill(bench, "Q0", Walk(0, now_ms - 2 * DAY_MS, 1, DAY_MS // arguments.refused), arguments.refused)


async def measure(settings: Settings, arguments: argparse.Namespace) -> None:
    now_ms = int(time.time() * 1000)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(settings.base_url, connector=connector, timeout=timeout) as session:
        bench = Bench(settings, session, {})
        long_ago_ms = now_ms - (arguments.facts + 1_000) * 60_000
        await build(bench, arguments, now_ms, long_ago_ms)
        print("| beside | took | live answers | put off | p50 / p99 / longest |\n|---|---|---|---|---|", flush=True)

        async def nothing() -> None:
            await asyncio.sleep(10)

        async def mistyped() -> None:
            await bench.enter(typo())
            await bench.until_nobody_waits(300)

        async def entered() -> None:
            await bench.enter(people("N", arguments.entered, now_ms - DAY_MS // 2))
            await bench.until_nobody_waits(600)

        async def waited() -> None:
            await bench.enter(people("Q", 1, now_ms - 2 * DAY_MS))
            await bench.until_nobody_waits(600)

        async def changed_settings() -> None:
            await bench.enter({"settings": {"max_gap_s": 840}})
            await bench.until_nobody_waits(600)

        async def changed_orders() -> None:
            form = people("O", 1, long_ago_ms)
            form["requirements"][0]["geometry"]["radius_m"] = 300
            await bench.enter({"requirements": form["requirements"][:1]})
            await bench.until_nobody_waits(300)

        async def long_ago() -> None:
            fix = {"seq": 10**9, "type": "position", "fix_time": format_instant(long_ago_ms + 90_000), "mechanism": "GPS",
                   "lat_deg": 53.0, "lon_deg": -2.1, "precision_m": 6}  # fmt: skip
            assert await bench.post("O0", msgspec.json.encode({"boot": 1, "reports": [fix]})) == 200
            await bench.until_nobody_waits(300)

        async def thousand_days() -> None:
            """What is put off is sent again, as a tag does."""
            body = Walk(0, now_ms - 1_001 * DAY_MS, 1, DAY_MS).request(1_000)
            deadline_s = time.perf_counter() + 30
            while await bench.post("M0", body) != 200 and time.perf_counter() < deadline_s:  # noqa: ASYNC110
                await asyncio.sleep(2)

        async def returned() -> None:
            await fleet(bench, arguments.wearers, now_ms - DAY_MS // 2)

        all_of_them = (
            ("nothing", nothing), ("many new people", entered), ("what waited for orders", waited), ("a typo", mistyped),
            ("settings", changed_settings), ("orders of one person", changed_orders), ("a fact of long ago", long_ago),
            ("a thousand days", thousand_days), ("a fleet returns", returned),
        )  # fmt: skip
        for name, work in [one for one in all_of_them if one[0] in (arguments.only or dict(all_of_them))]:
            await beside(bench, arguments.live, name, work)
        async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
            connection = await connect(dsn)
            outages = await connection.fetchval("SELECT count(*) FROM outages WHERE cause NOT LIKE 'before%'")
            faults = await connection.fetchval("SELECT count(*) FROM judgement_faults")
            await connection.close()
        print(f"\n{outages} outages recorded, {faults} judgements failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--wearers", type=int, default=200)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--fix-every-s", type=int, default=60, help="between two fixes of the stored history")
    parser.add_argument("--facts", type=int, default=40_000)
    parser.add_argument("--entered", type=int, default=2_000)
    parser.add_argument("--refused", type=int, default=50_000, help="reports that wait for orders")
    parser.add_argument("--only", nargs="*", help="some of what is beside, by name")
    arguments = parser.parse_args()
    with served() as settings:
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}: {arguments.live} live devices\n"
        )
        asyncio.run(measure(settings, arguments))


if __name__ == "__main__":
    main()
