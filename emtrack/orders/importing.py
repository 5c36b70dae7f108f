"""Orders and keys entered by a command, beside a service that runs or not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import asyncpg
import msgspec

from emtrack.db.locks import WORKER_LOCK
from emtrack.db.opened import opened_database
from emtrack.forms.orders import Orders
from emtrack.orders.entry import enter_orders, enter_with_keys
from emtrack.people.looks import ORDER, commander
from emtrack.record.changes import are_noticed
from emtrack.record.device_identifiers import end_identifier, set_identifier
from emtrack.record.devices import (
    add_device_key,
    expire_device_keys,
    revoke_device_keys,
    rotate_device_key,
)
from emtrack.record.entering import Entered
from emtrack.record.past_orders import look_by_past_orders
from emtrack.record.signing_keys import add_signing_key, read_public_key, replace_signing_key, rotate_signing_key
from emtrack.settings import Settings

NOTICE_S = 5.0
"""How long to wait for a running service to take in a change of orders."""
LOOK_EVERY_S = 0.1

# Whether a service works on this database: it holds the lock of the worker.
SERVED = """
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objid = $1 AND l.classid = 0 AND l.granted AND d.datname = current_database()
"""


Result = TypeVar("Result")


class ImportResult(msgspec.Struct, frozen=True):
    """How many changes of each kind, the keys of devices that are new, and what is probably not meant. `is_being_taken_in`: a service
    runs and is not through with it."""

    counts: dict[str, int]
    keys: dict[str, str]
    cautions: list[str]
    is_being_taken_in: bool


class _DryRun(Exception):
    """Rolls back what was only tried."""


async def import_orders(
    settings: Settings, orders: Orders, *, who: str, dry_run: bool, strict: bool = False
) -> ImportResult:
    """Enter orders, and wait a little for a running service to take them in. Raises OrdersConflict, Cautioned or
    NoReason."""
    entered, is_noticed = Entered(), True
    async with opened_database(settings, "orders import") as (connection, clock):
        try:
            async with connection.transaction():
                now_ms = clock.now_ms()
                entered = await enter_orders(connection, orders, who=who, now_ms=now_ms, strict=strict)
                await look_by_past_orders(connection, entered.past, commander(who, ORDER), now_ms)
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        else:
            is_noticed = await wait_until_noticed(connection)
    counts = Counter(change.what for change in entered.changes)
    return ImportResult(dict(sorted(counts.items())), entered.keys, list(map(str, entered.cautions)), not is_noticed)


async def import_with_keys(settings: Settings, orders: Orders, *, who: str) -> dict[str, str]:
    """Enter orders, and get a key for every device in them."""
    return await _done(
        settings, "orders import", lambda c, now_ms: enter_with_keys(c, orders, who=who, now_ms=now_ms)
    )


async def make_device_key(settings: Settings, device_id: str, *, who: str, expires_at: datetime | None = None) -> str:
    """A new key of a device, which is entered if it is new. `expires_at` None: it does not expire."""
    return await _done(
        settings, "devices add", lambda c, now_ms: add_device_key(c, device_id, who, now_ms, expires_at)
    )


async def revoke_keys(settings: Settings, device_id: str, *, who: str, key_no: int | None = None) -> int:
    """No key of the device is good any longer, or not the one that is named; how many were."""
    return await _done(
        settings, "devices revoke", lambda c, now_ms: revoke_device_keys(c, device_id, who, now_ms, key_no)
    )


async def rotate_key(settings: Settings, device_id: str, *, who: str, keep_until: datetime) -> str:
    """A new key beside the one there is, which ends at `keep_until`. Raises NoDevice or TooManyKeys."""
    return await _done(
        settings, "devices rotate", lambda c, now_ms: rotate_device_key(c, device_id, who, now_ms, keep_until)
    )


async def register_signing_key(
    settings: Settings, device_id: str, public_key: str, *, who: str, expires_at: datetime | None = None
) -> int:
    """The number of a key with which a device signs. Raises NoDevice, UnfitKey or TooManyKeys."""
    key = read_public_key(public_key)
    return await _done(
        settings, "devices keys add", lambda c, now_ms: add_signing_key(c, device_id, key, who, now_ms, expires_at)
    )


async def rotate_signing(
    settings: Settings, device_id: str, public_key: str, *, who: str, keep_until: datetime
) -> int:
    """The number of the next key; the one there is ends at `keep_until`. Raises NoDevice, UnfitKey or TooManyKeys."""
    key = read_public_key(public_key)
    return await _done(
        settings,
        "devices keys rotate",
        lambda c, now_ms: rotate_signing_key(c, device_id, key, who, now_ms, keep_until),
    )


async def replace_signing_keys(settings: Settings, public_keys: Mapping[str, str], *, who: str) -> None:
    """Of each device the one key with which it signs from now on. Raises NoDevice or UnfitKey."""

    async def replace(connection: asyncpg.Connection[Any], now_ms: int) -> None:
        for device_id, text in public_keys.items():
            await replace_signing_key(connection, device_id, read_public_key(text), who, now_ms)

    await _done(settings, "devices keys add", replace)


async def expire_keys(
    settings: Settings, device_id: str, *, who: str, expires_at: datetime | None, key_no: int | None = None
) -> int:
    """Until when the keys of a device are good, or the one that is named; how many there are."""
    return await _done(
        settings, "devices expire", lambda c, _: expire_device_keys(c, device_id, who, expires_at, key_no)
    )


async def set_device_identifier(
    settings: Settings, device_id: str, protocol: str, identifier: str, *, who: str
) -> None:
    """A device speaks a protocol, and is known there by this identifier. Raises UnfitIdentifier, NoDevice or IdentifierTaken."""
    await _done(
        settings,
        "devices identifiers add",
        lambda c, now_ms: set_identifier(c, device_id, protocol, identifier, who, now_ms),
    )


async def set_device_identifiers(settings: Settings, rows: Sequence[tuple[str, str, str]], *, who: str) -> None:
    """Of many devices (device id, protocol, identifier) at once, or of none. Raises UnfitIdentifier, NoDevice or IdentifierTaken."""

    async def set_all(connection: asyncpg.Connection[Any], now_ms: int) -> None:
        for device_id, protocol, identifier in rows:
            await set_identifier(connection, device_id, protocol, identifier, who, now_ms)

    await _done(settings, "devices identifiers import", set_all)


async def end_device_identifier(settings: Settings, device_id: str, protocol: str, *, who: str) -> None:
    """It speaks it no longer. Raises NoDevice."""
    await _done(
        settings,
        "devices identifiers end",
        lambda c, now_ms: end_identifier(c, device_id, protocol, who, now_ms),
    )


async def _done(
    settings: Settings, program: str, change: Callable[[asyncpg.Connection[Any], int], Awaitable[Result]]
) -> Result:
    """Change the record in one transaction, and wait a little for a running service to take it in."""
    async with opened_database(settings, program) as (connection, clock):
        async with connection.transaction():
            result = await change(connection, clock.now_ms())
        await wait_until_noticed(connection)
    return result


async def wait_until_noticed(
    connection: asyncpg.Connection[Any], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> bool:
    """Wait until the service, if one runs, has taken in all changes of orders; at most a few seconds. False: it has not."""
    for _ in range(round(NOTICE_S / LOOK_EVERY_S)):
        if not await connection.fetchval(SERVED, WORKER_LOCK) or await are_noticed(connection):
            return True
        await sleep(LOOK_EVERY_S)
    return False
