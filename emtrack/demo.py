"""`emtrack demo`: the embedded database, the service and the emulated tags, in one program that Ctrl-C ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from emtrack.app import Service, prepared_database, running_service
from emtrack.clock import machine_ms
from emtrack.commands import keys_for
from emtrack.db.connect import Connection, connect
from emtrack.emulator.client import Totals, send_world
from emtrack.emulator.clock import ServiceClock
from emtrack.emulator.world import build_world
from emtrack.forms import read_orders
from emtrack.settings import ClockSetting, Settings
from geofence.words import format_instant, instant_of

RATE = 60.0
"""A minute a second: a night in under a quarter of an hour."""

CLOCK_THERE = "SELECT clock_start, clock_rate FROM deployment"
BEGAN = "SELECT min(entered_at) FROM activations"
NEWS = """
SELECT v.recorded_at, v.change, w.wearer_id, f.kind, v.reason, v.begin_at, v.end_at
FROM finding_versions v JOIN findings f USING (finding_no) JOIN activation_versions a ON a.activation_no = f.activation_no
     AND upper_inf(a.recorded) JOIN wearers w USING (wearer_no)
WHERE v.recorded_at > $1 AND (f.kind, v.change) <> ('UNVERIFIED', 'amended') ORDER BY v.recorded_at, f.finding_no
"""


def demo_settings(settings: Settings) -> Settings:
    """Settings of the demonstration: a database of its own beside the real one, and an emulated clock that starts in
    the afternoon, shortly before the curfews do."""
    afternoon = datetime.fromtimestamp(machine_ms() / 1000, UTC).replace(hour=18, minute=30, second=0, microsecond=0)
    start_ms = instant_of(afternoon - timedelta(days=1))
    return msgspec.structs.replace(
        settings,
        data_dir=settings.data_dir / "demo",
        clock=settings.clock or ClockSetting(start_ms, RATE),
    )


async def run_demo(
    settings: Settings, stop: asyncio.Event, *, wearers: int, seed: int, say: Callable[[str], None]
) -> None:
    """Until `stop` is set. Started again on the same data it goes on where its clock stands."""
    chosen = demo_settings(settings)
    async with prepared_database(chosen, program="demo", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            row = await connection.fetchrow(CLOCK_THERE)
        finally:
            await connection.close()
    if row is not None and row["clock_start"] is not None:
        chosen = msgspec.structs.replace(
            chosen, clock=ClockSetting(instant_of(row["clock_start"]), row["clock_rate"])
        )
    async with running_service(chosen, stop) as service:
        say(
            f"emtrack demo listens on {service.address}  (time there: {service.address}/v1/time, ×{service.clock.rate:g})"
        )
        say("Everybody in it is invented. Findings appear below as they are made; Ctrl-C ends it all.")
        async with asyncio.TaskGroup() as group:
            group.create_task(_emulate(chosen, service, wearers, seed, stop, say))
            group.create_task(_tell_findings(service, stop, say))


async def _emulate(
    settings: Settings, service: Service, wearers: int, seed: int, stop: asyncio.Event, say: Callable[[str], None]
) -> Totals:
    connection = await connect(service.dsn)
    try:
        began = await connection.fetchval(BEGAN)
    finally:
        await connection.close()
    clock = await ServiceClock.connect(service.address)
    now_ms = clock.now_ms() // 60_000 * 60_000
    start_ms = now_ms if began is None else instant_of(began) // 60_000 * 60_000
    world = build_world(wearers, seed, start_ms)
    orders = read_orders(msgspec.json.encode(world.orders()).decode(), "the emulator's orders")
    keys = await keys_for(settings, orders, who="demo")
    say(f"{wearers} wearers with {len(keys)} tags, from {format_instant(now_ms)}")
    return await send_world(
        world, base_url=service.address, keys=keys, clock=clock, from_ms=now_ms, to_ms=None, stop=stop
    )


async def _tell_findings(service: Service, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    connection = await connect(service.dsn)
    try:
        seen = datetime(1970, 1, 1, tzinfo=UTC)
        while not stop.is_set():
            seen = await _tell_news(connection, seen, say)
            try:
                async with asyncio.timeout(1):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        await connection.close()


async def _tell_news(connection: Connection, seen: datetime, say: Callable[[str], None]) -> datetime:
    """Rows of one instant are one commit, so that nothing is missed between two looks."""
    for row in await connection.fetch(NEWS, seen):
        end = "" if row["end_at"] is None else f" to {row['end_at']:%H:%M:%S}"
        what = f"{row['kind']} {row['reason'] or ''}".strip()
        say(
            f"{row['recorded_at']:%a %H:%M:%S}  {row['change']:<9}  {row['wearer_id']}  {what} from {row['begin_at']:%H:%M:%S}{end}"
        )
        seen = row["recorded_at"]
    return seen
