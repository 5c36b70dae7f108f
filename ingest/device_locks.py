"""Devices whose reports more than one worker stores: one after the other.

That a report is new is told by the highest number that is kept of its device and boot, which a worker remembers as long as nobody
else adds to it. Of a device that others add to, a turn takes the lock first and then asks the disk: whoever had the lock before has
committed or left nothing, so that no number is new twice.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import asyncpg

DEVICES = 0x656D_6476
"""The first half of these locks; the second is of the number of the device ("emdv" as bytes)."""
# In order, so that two turns never wait for each other in a ring.
TAKE = "SELECT pg_advisory_xact_lock($1, n) FROM unnest($2::int[]) AS t (n)"


async def lock_devices(connection: asyncpg.Connection[Any], device_nos: Collection[int]) -> None:
    """Until the end of the transaction. Waits for who has them."""
    if device_nos:
        await connection.execute(TAKE, DEVICES, sorted({number % 2**31 for number in device_nos}))
