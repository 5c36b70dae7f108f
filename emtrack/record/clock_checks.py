"""What others said of the machine's clock, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import asyncpg

    from emtrack.db.connect import Connection

ADD = "INSERT INTO clock_checks (asked_at, asked, offset_s, within_s, trouble) VALUES ($1, $2, $3, $4, $5)"
LAST = """
SELECT asked_at, asked, offset_s, within_s, trouble FROM clock_checks
WHERE asked_at = (SELECT max(asked_at) FROM clock_checks) ORDER BY check_no
"""
Line = tuple[str, float | None, float | None, str | None]
"""Who was asked, the offset and by how much it may be wrong in seconds, why there is none."""


async def keep_clock_checks(connection: Connection, asked_at: datetime, lines: Sequence[Line]) -> None:
    """All that were asked at one instant."""
    await connection.executemany(ADD, [(asked_at, *line) for line in lines])


async def last_clock_checks(connection: Connection) -> list[asyncpg.Record]:
    """What was said when the service asked last; empty: it never has."""
    return list(await connection.fetch(LAST))
