"""How much machine so many devices need, computed from what is measured here: processor, disk and network a fix, memory a device.

    python -m benchmarks.sizing [--wearers 1000] [--seconds 20] [--every-s 60]

Starts the service on an embedded database in a temporary folder, enters wearers with five zones each, and sends fixes in tens, as
benchmarks.end_to_end does, as fast as they are taken. Measured are processor time of service and database (not the sender's), bytes
that the database keeps and bytes of its log (what a standby is sent), for each fix; and by how much the service's memory grew for
each wearer. The table is those figures times so many devices that send a fix every `--every-s` seconds. Processor time is that of
full turns; with few devices a turn has few fixes, and each costs more. Where a fleet sends more than one service took here, the table
says so: turns go one after the other, so a faster core helps and more cores do not.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import NamedTuple

import uvloop

from benchmarks.end_to_end import HISTORY_MS, TENS, Ready, orders, spent_s
from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings

FLEETS = (1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
DAY_S = 86_400
KEPT = "SELECT pg_database_size(current_database())"
LOGGED = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"


class Costs(NamedTuple):
    """Of one fix, and of one device. `reached`: fixes a second that one service took here, sender and database beside it."""

    processor_us: float
    kept_bytes: float
    logged_bytes: float
    device_bytes: float
    reached: float


class Size(NamedTuple):
    """What a fleet needs. `cores`: busy ones, of service and database together."""

    devices: int
    fixes_a_second: float
    cores: float
    memory_gib: float
    kept_gib_a_day: float
    standby_mbit: float
    is_one_service: bool


def size_of(devices: int, every_s: float, costs: Costs) -> Size:
    rate = devices / every_s
    return Size(
        devices, rate, rate * costs.processor_us / 1e6, devices * costs.device_bytes / 1024**3,
        rate * DAY_S * costs.kept_bytes / 1024**3, rate * costs.logged_bytes * 8 / 1e6, rate <= costs.reached,
    )  # fmt: skip


def row_of(size: Size) -> str:
    services = "one" if size.is_one_service else "more than one service takes"
    return (
        f"| {size.devices:,} | {size.fixes_a_second:,.0f} | {size.cores:.2f} | {size.memory_gib:.1f} GiB "
        f"| {size.kept_gib_a_day:,.1f} GiB | {size.standby_mbit:,.1f} Mbit/s | {services} |"
    )


def memory_bytes(words: bytes, parent: int) -> int:
    """Of the process that has these words in its command line, and that we began."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if above == parent and words in (folder / "cmdline").read_bytes():
                pages = int((folder / "statm").read_text().split()[1])
                return pages * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended meanwhile
            continue
    raise RuntimeError("the service does not run")


async def ready_service(settings: Settings, wearers: int, dsn: str) -> Ready:
    from_ms = int(time.time() * 1000) - HISTORY_MS
    keys = await import_with_keys(settings, read_orders(orders(wearers, from_ms), "orders"), who="benchmark")
    return Ready(settings, await connect(dsn), [keys[f"D{number}"] for number in range(wearers)], from_ms)


async def measured(settings: Settings, wearers: int, seconds: float) -> Costs:
    empty = memory_bytes(b"emtrack\0serve", os.getpid())
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        ready = await ready_service(settings, wearers, dsn)
        fleet = ready.fleet(TENS)
        fleet.make_ready(round((seconds + 5) * 2_000))
        await fleet.send(5)  # warm: partitions, caches, and everybody's memory
        counts = [await ready.connection.fetchval(what) for what in (KEPT, LOGGED)]
        _, before = await spent_s(ready)
        reached, latencies = await fleet.send(seconds)
        _, after = await spent_s(ready)
        kept, logged = [await ready.connection.fetchval(what) for what in (KEPT, LOGGED)]
        await ready.connection.close()
    fixes = len(latencies) * TENS.fixes_a_request
    used_s = sum(
        after[name] - before[name] for name in after if name.startswith("processor") and "sender" not in name
    )
    device_bytes = (memory_bytes(b"emtrack\0serve", os.getpid()) - empty) / wearers
    return Costs(
        used_s / fixes * 1e6, (kept - counts[0]) / fixes, (logged - counts[1]) / fixes, device_bytes, reached
    )


def said(costs: Costs, every_s: float) -> None:
    print("| what | measured |\n|---|---|")
    print(f"| processor of service and database, a fix | {costs.processor_us:,.0f} µs |")
    print(f"| kept by the database, a fix | {costs.kept_bytes:,.0f} bytes |")
    print(f"| its log, which a standby is sent, a fix | {costs.logged_bytes:,.0f} bytes |")
    print(f"| the service's memory, a device with five zones | {costs.device_bytes / 1024:,.0f} KiB |")
    print(f"| fixes/s that one service took, sender and database beside it | {costs.reached:,.0f} |\n")
    print(f"A fix of each device every {every_s:g} s, computed from these:\n")
    print("| devices | fixes/s | busy cores | memory for devices | kept a day | to a standby | services |")
    print("|---|---|---|---|---|---|---|")
    for devices in FLEETS:
        print(row_of(size_of(devices, every_s, costs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--every-s", type=float, default=60)
    arguments = parser.parse_args()
    with served() as settings:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        print(f"{machine}, {arguments.wearers} wearers × 5 zones\n")
        said(uvloop.run(measured(settings, arguments.wearers, arguments.seconds)), arguments.every_s)


if __name__ == "__main__":
    main()
