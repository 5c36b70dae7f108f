"""Advisory locks of the program. Migrations have their own (migrate.py), and so do alerts (alerts/locks.py)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from emtrack.db.connect import Connection

ORDERS_LOCK = 0x656D_6F72
"""Orders change one at a time, so that change numbers follow commits."""
WORKER_LOCK = 0x656D_7472
"""Held by the connection that writes: who loses it cannot write."""
KEEPER_LOCK = 0x656D_6B70
"""Held by the process that does what is of the whole service once, where pages are apart from workers."""
SEALING_LOCK = 0x656D_736C
"""Held by the connection that puts rows into the log: there is one tree."""
PACKING_LOCK = 0x656D_706B
"""Held by the connection that packs positions."""
UNPACKING_LOCK = 0x656D_7570
"""Shared while a slice of positions is packed; whoever deletes positions has it alone (migration 42)."""

TAKE = "SELECT pg_advisory_xact_lock($1)"
SHARE, UNSHARE = "SELECT pg_advisory_lock_shared($1)", "SELECT pg_advisory_unlock_shared($1)"
TRY = "SELECT pg_try_advisory_lock($1)"
# Ours, and those of the owner's login. A name of one process is no other's, so that nobody else's session is ended.
END_FORMER_SESSIONS = "SELECT end_former_sessions($1, $2) + end_former_sessions_as_owner($1, $2)"
END_HOLDERS_STANDING_STILL = "SELECT end_holders_standing_still($1, $2) + end_holders_standing_still_as_owner($1, $2)"


async def take_lock(connection: Connection, lock: int) -> None:
    """Until the end of the transaction. Waits for whoever has it."""
    await connection.execute(TAKE, lock)


@asynccontextmanager
async def shared_lock(connection: Connection, lock: int) -> AsyncIterator[None]:
    """With others who share it. Not of the transaction: it can be taken before one begins."""
    await connection.execute(SHARE, lock)
    try:
        yield
    finally:
        await connection.execute(UNSHARE, lock)


def name_of_process(what: str) -> str:
    """A name for the sessions of one part of this process, which no other process has."""
    return f"emtrack {what} {secrets.token_hex(8)}"


async def end_former_sessions(connection: Connection, lock: int, name: str) -> int:
    """How many sessions of a name of this process hold a lock although we gave them up: the server does not know that yet. They are
    ended, and waited for 5 s each."""
    ended: int = await connection.fetchval(END_FORMER_SESSIONS, lock, name)
    return ended


async def end_holders_standing_still(connection: Connection, lock: int, still_s: float) -> int:
    """How many sessions of others hold a lock although their program has said nothing for so long. They are ended, and waited for 2 s
    each."""
    ended: int = await connection.fetchval(END_HOLDERS_STANDING_STILL, lock, still_s)
    return ended


async def try_lock(connection: Connection, lock: int) -> bool:
    """Until the connection ends. False if another has it."""
    taken: bool = await connection.fetchval(TRY, lock)
    return taken
