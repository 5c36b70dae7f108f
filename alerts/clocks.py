"""Tags whose clock is wrong: an equipment alert, which changes no finding.

A request that says when it was sent (`sent_at`) tells exactly how far its sender's clock is off: nothing but the way lies between.
Of one that does not, the newest fact is as old as that way, whatever was buffered before it: a tag that comes back into coverage
sends old facts first and new ones last. Where the newest facts of an hour are all equally old, it is the clock. The first part is
pure; the second raises and ends the alerts in the turn's own transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from alerts.grading import Severity
from alerts.locks import take_own
from alerts.store import NewAlert, OwnShards, TakeNumbers, note_changes, open_or_join
from geofence import datetime_of

if TYPE_CHECKING:
    from alerts.store import Connection

CLOCK = "CLOCK"
"""The kind of its alert; it is no kind of finding."""
WINDOW_MS = 60 * 60_000
LEAST_UPLOADS = 3
LEAST_SPAN_MS = 20 * 60_000
BEHIND_MS, AHEAD_MS = 10 * 60_000, 2 * 60_000
SPREAD_MS = 15 * 60_000
"""Uploads of a buffer grow younger from one to the next; a wrong clock does not."""


class Upload(NamedTuple):
    """When an upload came, and how far behind its sender's clock seemed to be (negative: ahead). `is_exact`: by the time at which it
    said that it was sent; otherwise by the age of its newest fact, which may have waited for as long as a report interval."""

    received_ms: int
    behind_ms: int
    is_exact: bool = False


class Skew(NamedTuple):
    """How far a clock is behind, over the uploads of an hour; negative: ahead."""

    least_ms: int
    most_ms: int


def within_window(uploads: Sequence[Upload], now_ms: int) -> list[Upload]:
    """Those of the last hour."""
    return [upload for upload in uploads if now_ms - upload.received_ms <= WINDOW_MS]


def telling(uploads: Sequence[Upload]) -> Sequence[Upload]:
    """Those that count: the exact ones where there are any, because what is known needs no guess beside it."""
    return [upload for upload in uploads if upload.is_exact] or uploads


def skew_of(uploads: Sequence[Upload], report_interval_ms: int) -> Skew | None:
    """What the uploads of an hour say of the clock; None: nothing is wrong that can be seen. report_interval_ms: between uploads."""
    counted = telling(uploads)
    if len(counted) < LEAST_UPLOADS or _span_ms(counted) < LEAST_SPAN_MS:
        return None
    found = Skew(min(u.behind_ms for u in counted), max(u.behind_ms for u in counted))
    slack_ms = _slack_ms(counted[0], report_interval_ms)
    is_steady = counted[0].is_exact or found.most_ms - found.least_ms <= SPREAD_MS + slack_ms
    is_wrong = found.least_ms >= BEHIND_MS + slack_ms or found.most_ms <= -AHEAD_MS
    return found if is_steady and is_wrong else None


def is_right_again(uploads: Sequence[Upload], report_interval_ms: int) -> bool:
    """Whether the uploads of an hour are right."""
    if not uploads or _span_ms(uploads) < WINDOW_MS - LEAST_SPAN_MS:
        return False
    return all(is_right(upload, report_interval_ms) for upload in telling(uploads))


def is_right(upload: Upload, report_interval_ms: int) -> bool:
    """Whether an upload alone shows that the clock is not wrong by so much: with one that does in the hour, nothing is."""
    return -AHEAD_MS < upload.behind_ms < BEHIND_MS + _slack_ms(upload, report_interval_ms)


def _span_ms(uploads: Sequence[Upload]) -> int:
    return uploads[-1].received_ms - uploads[0].received_ms


def _slack_ms(upload: Upload, report_interval_ms: int) -> int:
    """How old the newest fact of an upload may be by the plan of its sender alone."""
    return 0 if upload.is_exact else report_interval_ms


# ---------------------------------------------------------------------------------------------- in the database


class ClockChange(NamedTuple):
    """The clock of an activation's tag was found to be wrong, or (`skew` None) is right again."""

    wearer_no: int
    activation_no: int
    skew: Skew | None


BEGIN = """
INSERT INTO wrong_clocks (alert_no, activation_no, begin_at, least_ms, most_ms) VALUES ($1, $2, $3, $4, $5)
"""
END = "UPDATE wrong_clocks SET ended_at = $2 WHERE activation_no = $1 AND ended_at IS NULL RETURNING alert_no"
STORE_UPLOADS = """
INSERT INTO clock_uploads (activation_no, newest_at, uploads) SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::bytea[])
ON CONFLICT (activation_no) DO UPDATE SET newest_at = excluded.newest_at, uploads = excluded.uploads
"""
UPLOADS = "SELECT activation_no, uploads FROM clock_uploads"
FORGET_UPLOADS = "DELETE FROM clock_uploads WHERE newest_at < $1"
IS_WRONG = "SELECT EXISTS (SELECT FROM wrong_clocks WHERE activation_no = $1 AND ended_at IS NULL)"
WRONG_NOW = "SELECT activation_no FROM wrong_clocks WHERE ended_at IS NULL"
OF_ALERTS = """
SELECT DISTINCT ON (alert_no) alert_no, least_ms, most_ms, ended_at IS NULL AS lasts FROM wrong_clocks
WHERE alert_no = ANY($1::bigint[]) ORDER BY alert_no, begin_at DESC
"""


async def note_clocks(
    connection: Connection,
    changes: Sequence[ClockChange],
    take_numbers: TakeNumbers,
    now_ms: int,
    own: OwnShards | None = None,
) -> int:
    """Raise and end the alerts. How many were opened. `own`: the shards of whose wearers these are some; None: all."""
    opened = 0
    if changes:
        await take_own(connection, own)
    for change in changes:
        if change.skew is None:
            ended = await connection.fetchval(END, change.activation_no, datetime_of(now_ms))
            if ended is not None:
                await note_changes(connection, [(ended, "amended")], now_ms)
        else:
            opened += await _raise(connection, change, change.skew, take_numbers, now_ms)
    return opened


async def _raise(
    connection: Connection, change: ClockChange, skew: Skew, take_numbers: TakeNumbers, now_ms: int
) -> int:
    """Another worker may have told of it, before the tag was corrected to somebody of a shard of ours."""
    if await connection.fetchval(IS_WRONG, change.activation_no):
        return 0
    alert = NewAlert(0, CLOCK, Severity.WARNING, now_ms, change.wearer_no, change.activation_no)
    alert_no, is_new = await open_or_join(connection, alert, take_numbers, now_ms)
    await connection.execute(BEGIN, alert_no, change.activation_no, datetime_of(now_ms), *skew)
    await note_changes(connection, [(alert_no, "raised" if is_new else "amended")], now_ms)
    return int(is_new)


_read_uploads = msgspec.msgpack.Decoder(list[Upload]).decode


async def store_uploads(connection: Connection, uploads: Mapping[int, Sequence[Upload]]) -> None:
    """Those of the last hour, by activation, for the next start of the service. None of them is without one."""
    if uploads:
        await connection.execute(
            STORE_UPLOADS,
            list(uploads),
            [datetime_of(some[-1].received_ms) for some in uploads.values()],
            [msgspec.msgpack.encode(some) for some in uploads.values()],
        )


async def load_uploads(connection: Connection, now_ms: int) -> dict[int, list[Upload]]:
    """Those of the last hour, by activation; what is older is forgotten. What this version of the program cannot read is left out,
    and made again by what comes."""
    await connection.execute(FORGET_UPLOADS, datetime_of(now_ms - WINDOW_MS))
    found = {}
    for row in await connection.fetch(UPLOADS):
        with suppress(msgspec.DecodeError):
            found[row["activation_no"]] = _read_uploads(row["uploads"])
    return found


async def wrong_now(connection: Connection) -> set[int]:
    """The activations whose clocks are known to be wrong."""
    return {row["activation_no"] for row in await connection.fetch(WRONG_NOW)}


class WrongClock(NamedTuple):
    """What an alert of this kind says. `lasts`: as far as it is known."""

    skew: Skew
    lasts: bool


async def wrong_clocks_of(connection: Connection, alert_nos: Sequence[int]) -> dict[int, WrongClock]:
    """The newest of each alert that has one."""
    return {
        row["alert_no"]: WrongClock(Skew(row["least_ms"], row["most_ms"]), row["lasts"])
        for row in await connection.fetch(OF_ALERTS, list(alert_nos))
    }
