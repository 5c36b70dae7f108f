"""Legal holds: nothing of whom one is on is deleted, whatever the rules say."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from emtrack.errors import MendableError

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

NUMBER = "SELECT wearer_no FROM wearers WHERE wearer_id = $1"
NEWEST = "SELECT is_held FROM retention_holds WHERE wearer_no = $1 ORDER BY hold_no DESC LIMIT 1"
ENTER = """
INSERT INTO retention_holds (wearer_no, is_held, reason, entered_at, entered_by) VALUES ($1, $2, $3, clock_timestamp(), $4)
"""
HELD = """
SELECT w.wearer_id, h.reason, h.entered_at, h.entered_by FROM wearers w
CROSS JOIN LATERAL (SELECT * FROM retention_holds WHERE wearer_no = w.wearer_no ORDER BY hold_no DESC LIMIT 1) h
WHERE h.is_held ORDER BY w.wearer_id
"""


class UnfitHold(MendableError, ValueError):
    """Nobody is called so, or there is no hold to release, or one already."""


class Hold(NamedTuple):
    """A hold that is on."""

    wearer_id: str
    reason: str
    entered_at: datetime
    entered_by: str


async def enter_hold(connection: Connection, wearer_id: str, *, is_held: bool, reason: str, who: str) -> None:
    """Put a hold on a person, or release it. Raises UnfitHold."""
    wearer_no = await connection.fetchval(NUMBER, wearer_id)
    if wearer_no is None:
        raise UnfitHold(f"there is no wearer {wearer_id!r}")
    if bool(await connection.fetchval(NEWEST, wearer_no)) == is_held:
        raise UnfitHold(f"{wearer_id!r} is {'held already' if is_held else 'not held'}; nothing was changed")
    await connection.execute(ENTER, wearer_no, is_held, reason, who)


async def holds(connection: Connection) -> list[Hold]:
    return [Hold(*row) for row in await connection.fetch(HELD)]
