"""Advisory locks of the program. Migrations have their own (migrate.py), and so do alerts (alerts/locks.py)."""

from __future__ import annotations

from emtrack.db.connect import Connection

ORDERS_LOCK = 0x656D_6F72
"""Orders change one at a time, so that change numbers follow commits."""
WORKER_LOCK = 0x656D_7472
"""Held by the connection that writes: who loses it cannot write."""

TAKE = "SELECT pg_advisory_xact_lock($1)"
TRY = "SELECT pg_try_advisory_lock($1)"


async def take_lock(connection: Connection, lock: int) -> None:
    """Until the end of the transaction. Waits for whoever has it."""
    await connection.execute(TAKE, lock)


async def try_lock(connection: Connection, lock: int) -> bool:
    """Until the connection ends. False if another has it."""
    taken: bool = await connection.fetchval(TRY, lock)
    return taken
