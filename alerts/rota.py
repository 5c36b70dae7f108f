"""Who is on call: first (level 1) and second (level 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

    from alerts.store import Connection

LONGEST_MS = 14 * 24 * 3_600_000
AHEAD_MS = 400 * 24 * 3_600_000
MOST_SHOWN = 500


class UnfitShift(ValueError):
    """A shift that cannot be entered. The message says what to change."""


class RotaShift(NamedTuple):
    shift_no: int
    account: str
    level: int
    begins_at: datetime
    ends_at: datetime
    entered_by: str


ON_CALL = """
SELECT DISTINCT r.account FROM rota_shifts r JOIN users u ON u.name = r.account
WHERE r.ended_at IS NULL AND r.level = $1 AND r.during @> $2::timestamptz AND u.disabled_at IS NULL
  AND (u.expires_at IS NULL OR u.expires_at > clock_timestamp())
"""
ADD = """
INSERT INTO rota_shifts (account, level, during, entered_at, entered_by) VALUES ($1, $2, tstzrange($3, $4), $5, $6) RETURNING shift_no
"""
END = (
    "UPDATE rota_shifts SET ended_at = $2, ended_by = $3 WHERE shift_no = $1 AND ended_at IS NULL RETURNING shift_no"
)
COMING = """
SELECT shift_no, account, level, lower(during) AS begins_at, upper(during) AS ends_at, entered_by FROM rota_shifts
WHERE ended_at IS NULL AND upper(during) > $1 ORDER BY lower(during), level, shift_no LIMIT $2
"""
HAS_ACCOUNT = "SELECT EXISTS (SELECT FROM users WHERE name = $1 AND disabled_at IS NULL)"


async def on_call(connection: Connection, level: int, now_ms: int) -> frozenset[str]:
    """The accounts that are; one that was disabled is not."""
    return frozenset(row["account"] for row in await connection.fetch(ON_CALL, level, datetime_of(now_ms)))


async def add_shift(
    connection: Connection, account: str, level: int, begin_ms: int, end_ms: int, *, who: str, now_ms: int
) -> int:
    """Its number. Raises UnfitShift."""
    if level not in (1, 2):
        raise UnfitShift("the level is 1 (told first) or 2")
    if not begin_ms < end_ms <= begin_ms + LONGEST_MS:
        raise UnfitShift("a shift ends after it begins, and lasts at most 14 days")
    if end_ms <= now_ms or begin_ms > now_ms + AHEAD_MS:
        raise UnfitShift("a shift ends in the future, and begins within 400 days")
    if not await connection.fetchval(HAS_ACCOUNT, account):
        raise UnfitShift(f"there is no account {account!r} that can be used")
    number: int = await connection.fetchval(
        ADD, account, level, datetime_of(begin_ms), datetime_of(end_ms), datetime_of(now_ms), who
    )
    return number


async def end_shift(connection: Connection, shift_no: int, who: str, now_ms: int) -> bool:
    """Take it back. False: there is no such shift, or it was taken back before."""
    return await connection.fetchval(END, shift_no, datetime_of(now_ms), who) is not None


async def shifts_from(connection: Connection, now_ms: int) -> list[RotaShift]:
    """Those of now and to come, the first first."""
    return [RotaShift(**row) for row in await connection.fetch(COMING, datetime_of(now_ms), MOST_SHOWN)]
