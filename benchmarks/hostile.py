"""Whether somebody who wants to can stop the service: live reports beside each attack.

    python -m benchmarks.hostile [--live 100] [--seconds 10] [--write docs/security.md]

Starts the service as a program of its own on an embedded database in a temporary folder. A hundred devices are live, one fix each two
seconds. Beside them goes on, in a process of its own, one attack after the other (`benchmarks.attacks`); before and after, nothing.
Printed are how many live reports were answered, how many not, and p50, p99 and the longest time from sending one to its answer, which
comes after the commit of its findings and alerts; and how many outages of ours were recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import platform
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.attacks import ATTACKS, Target
from benchmarks.end_to_end import quantile
from benchmarks.nobody_waits import Bench, Live, people, typo
from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.people.roles import Role
from emtrack.people.tokens import add_token
from emtrack.settings import Settings

LINES = re.compile(r"(<!-- hostile begin -->\n).*(<!-- hostile end -->)", re.DOTALL)
SETTLE_S = 3.0
"""Between two attacks."""
OUTAGES = "SELECT count(*) FROM outages WHERE cause NOT LIKE 'before%'"


def attack(name: str, target: Target) -> None:
    """In a process of its own, until it is ended."""

    async def go_on() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            target.address, connector=connector, cookie_jar=aiohttp.DummyCookieJar()
        ) as http:
            await ATTACKS[name](target, http)

    with suppress(KeyboardInterrupt):
        asyncio.run(go_on())


async def beside(bench: Bench, live: int, seconds: float, name: str, target: Target | None) -> str:
    """A line of the table. `target` None: nothing goes on."""
    attacker: Any = None
    if target is not None:
        attacker = multiprocessing.get_context("spawn").Process(target=attack, args=(name, target), daemon=True)
        attacker.start()
        await asyncio.sleep(1)
    reports = Live(bench, live)
    task = asyncio.create_task(reports.run())
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    if attacker is not None:
        attacker.kill()
        await asyncio.to_thread(attacker.join)
    await asyncio.sleep(SETTLE_S)
    times = reports.latencies or [float("inf")]
    p50, p99 = (quantile(times, share) * 1000 for share in (0.5, 0.99))
    return f"| {name} | {len(reports.latencies)} | {reports.refused} | {p50:.0f} / {p99:.0f} / {max(times) * 1000:.0f} ms |"


async def measure(settings: Settings, live: int, seconds: float) -> list[str]:
    now_ms = int(time.time() * 1000)
    token = secrets.token_urlsafe()
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        await add_token(connection, "attacker", Role.OFFICER, who="benchmark", now_ms=now_ms, token=token)
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(settings.base_url, connector=connector, timeout=timeout) as session:
            bench = Bench(settings, session, {})
            await bench.enter(people("L", live, now_ms - 60_000))
            await bench.enter(people("D", 1, 946_684_800_000))
            await bench.enter(typo())
            await bench.until_nobody_waits(300)
            target = Target(settings.base_url, token, "D0", bench.keys["D0"], "WL0", "WT0", now_ms)
            lines = [await beside(bench, live, seconds, "nothing", None)]
            for name in ATTACKS:
                lines.append(await beside(bench, live, seconds, name, target))
                print(lines[-1], flush=True)
            lines.append(await beside(bench, live, seconds, "nothing again", None))
        outages = await connection.fetchval(OUTAGES)
        await connection.close()
    return [*lines, "", f"{outages} outages of ours were recorded."]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    with served(EMTRACK_TLS="proxy") as settings:  # the attacker says for each login where it comes from
        lines = asyncio.run(measure(settings, arguments.live, arguments.seconds))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = "\n".join(
        [
            f"{machine}: {arguments.live} live devices, {arguments.seconds:g} s each (`make hostile`).",
            "",
            "| beside | live answers | put off | p50 / p99 / longest |",
            "|---|---|---|---|",
            *lines,
            "",
        ]
    )
    print(text)
    if arguments.write is not None:
        page = arguments.write.read_text()
        arguments.write.write_text(LINES.sub(lambda found: found[1] + text + found[2], page))


if __name__ == "__main__":
    main()
