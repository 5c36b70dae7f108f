"""Advisory locks of alerts: who takes one has it until the end of the transaction."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alerts.store import Connection


class AlertLock(IntEnum):
    """Numbers that nothing else in the database uses ("emal" and "emat" as bytes)."""

    ALERTS = 0x656D_616C
    """The turn and a person change alerts one after the other, so that neither waits for the other's rows in a ring, and an alert
    is not closed over an occurrence that comes in the same moment."""
    LEDGER = 0x656D_6174
    """A line is worked out from those before it, so that two writers take turns."""


TAKE = "SELECT pg_advisory_xact_lock($1)"


async def take_lock(connection: Connection, lock: AlertLock) -> None:
    """Waits for whoever has it. Inside a transaction, which gives it back."""
    await connection.execute(TAKE, int(lock))
