"""Messages that must arrive, and their deliveries. Nothing here sends anything.

    posted       a message stands in the transaction of what it is about
    gathered     those of a channel that wait go together: a flood of alerts is one e-mail, not a thousand
    tried        before each attempt the next one is written down, so that a crash costs time and loses nothing
    delivered    the other end took it; what else waits for that channel is tried at once
    given up     a day of attempts did not bring it there, and somebody must see to it

A delivery keeps its id over all attempts: it may arrive twice, and who gets it can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from alerts.channels import Channel, channel_of
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from alerts.store import Connection

MOST_TOGETHER = 500
MOST_PENDING = 5
"""Deliveries of one channel that wait for another attempt; what comes then waits for one of them to arrive."""
WAITS_S = (5, 10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600)
"""Between attempts; then again each hour."""
GIVEN_UP_AFTER_MS = 24 * 3_600_000
LATE_MS = 60_000
"""What has not arrived after so long stands on the page of what is undelivered."""
NOBODY = "Nobody is on call, and no channel is entered for that"
CHANNEL_ENDED = "The channel was ended"
LONGEST_ERROR = 300


class NewMessage(NamedTuple):
    """`key`: what it is about; a second message of one key to one channel is none. `channel_no` None: there was nobody to tell.
    `fields`: numbers, words and times; never a name, a place or a coordinate."""

    channel_no: int | None
    key: str
    fields: dict[str, Any]


class Attempt(NamedTuple):
    """A delivery that is to be tried now. `messages`: the fields of each, the oldest first. `tries`: this one included."""

    delivery_no: int
    delivery_id: UUID
    channel: Channel
    made_ms: int
    tries: int
    messages: list[dict[str, Any]]


class Undelivered(NamedTuple):
    """What has not arrived. `channel` None: there was nobody to tell. `next_try_ms` None: nothing is tried any more."""

    delivery_no: int
    channel: str | None
    target: str | None
    made_ms: int
    tries: int
    next_try_ms: int | None
    given_up_ms: int | None
    last_error: str | None
    messages: list[dict[str, Any]]


POST = """
INSERT INTO messages (channel_no, key, fields, made_at)
SELECT channel_no, key, fields, $4 FROM unnest($1::bigint[], $2::text[], $3::jsonb[]) AS t (channel_no, key, fields)
ON CONFLICT DO NOTHING
"""
# One delivery for each channel of which messages wait, with the oldest of them; none for a channel of which so many do not arrive.
GATHER = """
WITH full_channels AS (
    SELECT channel_no FROM deliveries WHERE next_try_at IS NOT NULL GROUP BY channel_no HAVING count(*) >= $4),
waiting AS (
    SELECT message_no, channel_no, row_number() OVER (PARTITION BY channel_no ORDER BY message_no) AS place
    FROM messages WHERE delivery_no IS NULL AND (channel_no IS NULL OR channel_no NOT IN (SELECT channel_no FROM full_channels))),
made AS (
    INSERT INTO deliveries (channel_no, made_at, next_try_at, given_up_at, last_error)
    SELECT DISTINCT channel_no, $1::timestamptz, CASE WHEN channel_no IS NOT NULL THEN $1::timestamptz END,
           CASE WHEN channel_no IS NULL THEN $1::timestamptz END, CASE WHEN channel_no IS NULL THEN $3::text END
    FROM waiting RETURNING delivery_no, channel_no)
UPDATE messages m SET delivery_no = made.delivery_no FROM waiting, made
WHERE m.message_no = waiting.message_no AND waiting.place <= $2 AND made.channel_no IS NOT DISTINCT FROM waiting.channel_no
"""
# One of each channel, so that one that is slow keeps no other waiting.
NEXT_DUE = """
SELECT delivery_no, delivery_id, channel_no, made_at, tries FROM deliveries
WHERE delivery_no IN (
    SELECT DISTINCT ON (channel_no) delivery_no FROM deliveries
    WHERE next_try_at <= $1 AND channel_no <> ALL($3::bigint[]) ORDER BY channel_no, next_try_at, delivery_no)
ORDER BY tries > 1, next_try_at, delivery_no LIMIT $2 FOR UPDATE
"""
TRYING = "UPDATE deliveries SET tries = tries + 1, next_try_at = $2 WHERE delivery_no = $1"
FIELDS = "SELECT delivery_no, fields FROM messages WHERE delivery_no = ANY($1::bigint[]) ORDER BY message_no"
DELIVERED = """
UPDATE deliveries SET delivered_at = $2, next_try_at = NULL, last_error = NULL WHERE delivery_no = $1 AND delivered_at IS NULL
"""
CHANNEL_IS_BACK = """
UPDATE deliveries SET next_try_at = $2 WHERE next_try_at > $2
    AND channel_no = (SELECT channel_no FROM deliveries d WHERE d.delivery_no = $1)
"""
FAILED = "UPDATE deliveries SET last_error = $2 WHERE delivery_no = $1 AND delivered_at IS NULL"
GIVE_UP = "UPDATE deliveries SET given_up_at = $2, next_try_at = NULL, last_error = $3 WHERE delivery_no = $1"
UNDELIVERED = """
SELECT d.delivery_no, c.name, c.target, d.made_at, d.tries, d.next_try_at, d.given_up_at, d.last_error
FROM deliveries d LEFT JOIN channels c USING (channel_no)
WHERE d.delivered_at IS NULL AND d.seen_at IS NULL AND (d.made_at <= $1 OR d.given_up_at IS NOT NULL)
    AND (d.channel_no IS NULL OR d.channel_no NOT IN (SELECT canary_channels()))
ORDER BY d.made_at, d.delivery_no LIMIT $2
"""
COUNT_UNDELIVERED = """
SELECT count(*) FROM deliveries
WHERE delivered_at IS NULL AND seen_at IS NULL AND (made_at <= $1 OR given_up_at IS NOT NULL)
    AND (channel_no IS NULL OR channel_no NOT IN (SELECT canary_channels()))
"""
TRY_NOW = """
UPDATE deliveries SET next_try_at = $2, given_up_at = NULL, tries = 0,
    made_at = greatest(made_at, $2::timestamptz - interval '1 hour')
WHERE delivery_no = $1 AND delivered_at IS NULL AND channel_no IS NOT NULL RETURNING delivery_no
"""
SEEN = """
UPDATE deliveries SET seen_at = $2, seen_by = $3, next_try_at = NULL WHERE delivery_no = $1 AND delivered_at IS NULL
AND seen_at IS NULL RETURNING delivery_no
"""


async def post(connection: Connection, messages: Sequence[NewMessage], now_ms: int) -> int:
    """Inside the transaction of what they are about. How many are new."""
    if not messages:
        return 0
    columns = [m.channel_no for m in messages], [m.key for m in messages]
    fields = [m.fields for m in messages]
    done: str = await connection.execute(POST, *columns, fields, datetime_of(now_ms))
    return int(done.split()[-1])


async def gather(connection: Connection, now_ms: int) -> None:
    """What waits becomes deliveries, inside a transaction. More than one of a channel: the rest with the next."""
    await connection.execute(GATHER, datetime_of(now_ms), MOST_TOGETHER, NOBODY, MOST_PENDING)


async def attempts_due(
    connection: Connection, now_ms: int, most: int, busy: Sequence[int] = (), most_again: int = 1_000
) -> list[Attempt]:
    """Deliveries to try now, one of a channel, none of the channels that are `busy`, and at most `most_again` that
    failed before; the attempt after each is
    written down first. What has been tried for too long, and what goes to a channel that was ended, is given up. Inside a
    transaction, after whose commit they are tried."""
    rows = await connection.fetch(NEXT_DUE, datetime_of(now_ms), most, list(busy))
    found: list[Attempt] = []
    for row in rows:
        if row["tries"] > 1 and sum(attempt.tries > 2 for attempt in found) >= most_again:
            continue
        made_ms, tries = instant_of(row["made_at"]), row["tries"] + 1
        channel = await channel_of(connection, row["channel_no"])
        trouble = CHANNEL_ENDED if channel is None else None
        if now_ms - made_ms > GIVEN_UP_AFTER_MS and row["tries"] > len(WAITS_S):
            trouble = "It was tried for a day"
        if channel is None or trouble is not None:
            await connection.execute(GIVE_UP, row["delivery_no"], datetime_of(now_ms), trouble)
            continue
        wait_s = WAITS_S[min(row["tries"], len(WAITS_S) - 1)]
        await connection.execute(TRYING, row["delivery_no"], datetime_of(now_ms + wait_s * 1_000))
        found.append(Attempt(row["delivery_no"], row["delivery_id"], channel, made_ms, tries, []))
    fields = await _fields(connection, [attempt.delivery_no for attempt in found])
    return [attempt._replace(messages=fields.get(attempt.delivery_no, [])) for attempt in found]


async def _fields(connection: Connection, delivery_nos: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in await connection.fetch(FIELDS, list(delivery_nos)) if delivery_nos else []:
        found.setdefault(row["delivery_no"], []).append(row["fields"])
    return found


async def was_delivered(connection: Connection, delivery_no: int, now_ms: int) -> None:
    await connection.execute(DELIVERED, delivery_no, datetime_of(now_ms))
    await connection.execute(CHANNEL_IS_BACK, delivery_no, datetime_of(now_ms))


async def was_not_delivered(connection: Connection, delivery_no: int, error: str) -> None:
    """It is tried again when its time has come."""
    await connection.execute(FAILED, delivery_no, error[:LONGEST_ERROR])


async def undelivered(connection: Connection, now_ms: int, most: int) -> list[Undelivered]:
    """What should have arrived by now and did not, and what was given up; the oldest first."""
    rows: list[asyncpg.Record] = await connection.fetch(UNDELIVERED, datetime_of(now_ms - LATE_MS), most)
    fields = await _fields(connection, [row["delivery_no"] for row in rows])
    return [
        Undelivered(
            row["delivery_no"], row["name"], row["target"], instant_of(row["made_at"]), row["tries"],
            None if row["next_try_at"] is None else instant_of(row["next_try_at"]),
            None if row["given_up_at"] is None else instant_of(row["given_up_at"]), row["last_error"],
            fields.get(row["delivery_no"], []),
        )
        for row in rows
    ]  # fmt: skip


async def count_undelivered(connection: Connection, now_ms: int) -> int:
    count: int = await connection.fetchval(COUNT_UNDELIVERED, datetime_of(now_ms - LATE_MS))
    return count


async def try_now(connection: Connection, delivery_no: int, now_ms: int) -> bool:
    """Try it at once, one that was given up too. False: it arrived, or there is no such delivery, or nobody to bring it to."""
    return await connection.fetchval(TRY_NOW, delivery_no, datetime_of(now_ms)) is not None


async def see_to(connection: Connection, delivery_no: int, who: str, now_ms: int) -> bool:
    """Somebody knows that it did not arrive, and has seen to it; it is tried no more. False: there is nothing to see to."""
    return await connection.fetchval(SEEN, delivery_no, datetime_of(now_ms), who) is not None
