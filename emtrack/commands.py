"""What the commands do with the database and with the running service."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec

from emtrack.client import ServiceClock
from emtrack.clock import Clock, clock_of
from emtrack.db.connect import connect, database
from emtrack.db.migrate import migrate, status
from emtrack.emulator.client import send_world
from emtrack.emulator.sentlog import SentLog
from emtrack.emulator.world import build_world
from emtrack.files.export import export
from emtrack.files.replay import Recording, Sent, read_recording, refuse_strangers, send_recording
from emtrack.forms.orders import Orders, SetName, read_orders
from emtrack.people.accounts import add_user, disable_user, new_password, users_table
from emtrack.people.roles import Role
from emtrack.reading.findings import findings_as_lines
from emtrack.record.orders import DEVICES, Change, Entered, add_key, enter_device, enter_orders, log_change
from emtrack.record.progress import alive_ms
from emtrack.record.zone_sets import SetShelf, known_sets, members_of
from emtrack.service.app import prepared_database
from emtrack.service.worker import WORKER_LOCK
from emtrack.settings import Settings
from emtrack.web.guard import NEW_TOKEN
from geofence.shapes.zone_sets import Member
from geofence.words import ALWAYS_MS, datetime_of, format_instant
from geofence.zones import SetZone
from ingest.http import key_hash

NOTICE_S = 5.0
"""How long to wait for a running service to take in a change of orders."""

Say = Callable[[str], None]


class TokenExists(Exception):
    """Names of tokens stand in the record of who did what: each is used once."""


class _Desk(NamedTuple):
    """A connection to the database, and its clock."""

    connection: asyncpg.Connection[Any]
    clock: Clock


@asynccontextmanager
async def _desk(settings: Settings, program: str) -> AsyncIterator[_Desk]:
    async with prepared_database(settings, program=program, exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            yield _Desk(connection, await clock_of(connection, settings.clock, adopt=True))
        finally:
            await connection.close()


# ---------------------------------------------------------------------------------------------- orders and devices


class ImportResult(msgspec.Struct, frozen=True):
    counts: dict[str, int]
    keys: dict[str, str]


class _DryRun(Exception):
    """Rolls back what was only tried."""


async def enter(settings: Settings, orders: Orders, *, who: str, dry_run: bool) -> ImportResult:
    """Enter orders, and wait a little for a running service to take them in. Raises OrdersConflict."""
    entered = Entered()
    async with _desk(settings, "orders import") as (connection, clock):
        try:
            async with connection.transaction():
                entered = await enter_orders(connection, orders, who=who, now_ms=clock.now_ms())
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        else:
            await noticed(connection)
    counts = Counter(change.what for change in entered.changes)
    return ImportResult(dict(sorted(counts.items())), entered.keys)


async def members_of_set(settings: Settings, set_id: str, version: str | None) -> tuple[SetZone, list[Member]]:
    """A version of a zone set that is entered (None: the last), and its members. Raises UnknownSetName."""
    async with _desk(settings, "zones draw") as (connection, _):
        names, _ = await known_sets(connection)
        zone = names.named(SetName(set_id, version))
        return zone, await members_of(connection, zone.content)


NOTICED = """
SELECT changes_seen >= (SELECT coalesce(max(change_no), 0) FROM order_changes) FROM liveness
"""
SERVED = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objid = $1 AND l.classid = 0 AND l.granted AND d.datname = current_database()
"""


async def noticed(connection: asyncpg.Connection[Any]) -> None:
    """Wait until the service, if one runs, has taken in all changes of orders; at most a few seconds."""
    for _ in range(round(NOTICE_S / 0.1)):
        if not await connection.fetchval(SERVED, WORKER_LOCK) or await connection.fetchval(NOTICED):
            return
        await asyncio.sleep(0.1)


async def add_device_key(settings: Settings, device_id: str, *, who: str) -> str:
    """A new key of a device, which is entered if it is new."""
    async with _desk(settings, "devices add") as (connection, clock):
        async with connection.transaction():
            key = await _new_key(connection, device_id, who, datetime_of(clock.now_ms()))
        await noticed(connection)
    return key


async def _new_key(connection: asyncpg.Connection[Any], device_id: str, who: str, now: datetime) -> str:
    """A key of a device, entered if it is new, with its line in the log of changes. Inside a transaction."""
    number, _ = await enter_device(connection, device_id, now)
    key = await add_key(connection, number, f"added by {who}", now)
    await log_change(connection, Change("device key added", None, {"device_id": device_id}), who, now)
    return key


async def devices_table(settings: Settings, device_id: str | None) -> list[str]:
    """Lines of a table."""
    async with _desk(settings, "devices list") as (connection, _):
        rows = await connection.fetch(DEVICES, device_id)
    lines = [f"{'device':<24} {'keys':>4} {'received':>10} {'stored':>10} {'duplicates':>10} {'refused':>8}"]
    for row in rows:
        counts = [row[name] or 0 for name in ("received", "stored", "duplicates", "refused")]
        lines.append(
            f"{row['device_id']:<24} {row['keys']:>4} {counts[0]:>10} {counts[1]:>10} {counts[2]:>10} {counts[3]:>8}"
        )
    return lines


async def add_token(settings: Settings, name: str, role: str, *, who: str) -> str:
    """A new token, to be shown once: only its hash is kept. Raises TokenExists."""
    token = secrets.token_urlsafe(32)
    async with _desk(settings, "tokens add") as (connection, clock):
        try:
            await connection.execute(NEW_TOKEN, key_hash(token), name, role, datetime_of(clock.now_ms()), who)
        except asyncpg.UniqueViolationError as error:
            raise TokenExists(f"a token {name!r} exists; choose another name") from error
    return token


# ---------------------------------------------------------------------------------------------- accounts


async def add_account(settings: Settings, name: str, role: Role, *, who: str) -> str:
    """The random password of a new account. Raises UserExists."""
    async with _desk(settings, "users add") as (connection, clock), connection.transaction():
        return await add_user(connection, name, role, who=who, now_ms=clock.now_ms())


async def reset_account(settings: Settings, name: str, *, who: str) -> str:
    """A new random password of an account. Raises NoUser."""
    async with _desk(settings, "users password") as (connection, _), connection.transaction():
        return await new_password(connection, name, who=who)


async def disable_account(settings: Settings, name: str, *, who: str) -> None:
    """Raises NoUser."""
    async with _desk(settings, "users disable") as (connection, _), connection.transaction():
        await disable_user(connection, name, who=who)


async def accounts_table(settings: Settings) -> list[str]:
    """Lines of a table."""
    async with _desk(settings, "users list") as (connection, _):
        return await users_table(connection)


# ---------------------------------------------------------------------------------------------- findings


async def stored_findings(
    settings: Settings, as_known_ms: int | None, until_ms: int | None, wearer_id: str | None
) -> list[bytes]:
    """Findings as lines. Without `until_ms`: as they are recorded (at `as_known_ms`, or now). With it: what is stored
    (by `as_known_ms`) judged again with that instant as now, as `evaluate` would."""
    async with (
        _desk(settings, "findings") as (connection, clock),
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        return await findings_as_lines(
            connection, clock.now_ms(), as_known_ms, until_ms, wearer_id, SetShelf(settings.sets_dir)
        )


async def export_to(settings: Settings, folder: Path) -> dict[str, int]:
    """Write what is stored as files; how many rows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        _desk(settings, "export") as (connection, clock),
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        judged_ms = await alive_ms(connection)
        counts = await export(connection, folder, max(clock.now_ms(), judged_ms or ALWAYS_MS))
        if judged_ms is not None:
            (folder / "until.txt").write_text(format_instant(judged_ms) + "\n")
    return counts


# ---------------------------------------------------------------------------------------------- replay and emulation


async def keys_for(settings: Settings, orders: Orders, *, who: str) -> dict[str, str]:
    """Enter orders, and get a key for every device in them."""
    async with _desk(settings, "orders import") as (connection, clock):
        async with connection.transaction():
            now_ms = clock.now_ms()
            keys = (await enter_orders(connection, orders, who=who, now_ms=now_ms)).keys
            now = datetime_of(now_ms)
            for device_id in sorted({a.device_id for a in orders.activations} - set(keys)):
                keys[device_id] = await _new_key(connection, device_id, who, now)
        await noticed(connection)
    return keys


async def replay_files(
    settings: Settings, files: Sequence[Path], orders: Orders, recording: Recording, *, who: str, say: Say
) -> Sent:
    """Enter the orders, then send the recording to the running service."""
    reports, unreadable = read_recording(files, recording)
    if unreadable:
        say(f"{unreadable} rows could not be read, and were left out")
    refuse_strangers(reports, (activation.device_id for activation in orders.activations))
    keys = await keys_for(settings, orders, who=who)
    return await send_recording(reports, base_url=settings.base_url, keys=keys, say=say)


async def emulate_world(
    settings: Settings,
    *,
    wearers: int,
    seed: int,
    speed: float | None,
    hours: float | None,
    back_hours: float,
    log: Path | None,
    stop: asyncio.Event,
    say: Say,
) -> None:
    """Enter the orders of an invented world, and send what its tags send until `stop` or the end."""
    clock = await ServiceClock.connect(settings.base_url)
    start_ms = (clock.now_ms() - round(back_hours * 3_600_000)) // 60_000 * 60_000
    world = build_world(wearers, seed, start_ms)
    orders = read_orders(msgspec.json.encode(world.orders()).decode(), "the emulator's orders")
    keys = await keys_for(settings, orders, who="emulator")
    say(f"{wearers} invented wearers, {len(keys)} devices, from {format_instant(start_ms)}")
    sent = None if log is None else SentLog(log)
    try:
        totals = await send_world(
            world,
            base_url=settings.base_url,
            keys=keys,
            clock=clock,
            from_ms=start_ms,
            to_ms=None if hours is None else start_ms + round(hours * 3_600_000),
            speed=speed,
            sent=sent,
            stop=stop,
        )
    finally:
        if sent is not None:
            sent.close()
    say(f"{totals.acknowledged} of {totals.reports_sent} reports acknowledged, in {totals.requests} requests")


# ---------------------------------------------------------------------------------------------- the database


@asynccontextmanager
async def _unmigrated(settings: Settings, program: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    async with database(settings.database_url, settings.data_dir, program=program, exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()


async def migrate_database(settings: Settings) -> list[str]:
    """Lines that say what was applied."""
    async with _unmigrated(settings, "db migrate") as connection:
        applied = await migrate(connection)
    return [f"applied {m.number:04d} {m.name}" for m in applied] or ["nothing to do"]


async def database_status(settings: Settings) -> list[str]:
    """Lines of a table."""
    async with _unmigrated(settings, "db status") as connection:
        states = await status(connection)
    return [f"{state.number:04d} {state.name:<30} {state.state}" for state in states]
