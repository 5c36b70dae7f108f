"""How far the judgement of each activation has come: its newest checkpoint, older ones for late facts, and silence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from emtrack.db.connect import Connection
from geofence import ALWAYS_MS, datetime_of, instant_of
from geofence.judgement import Checkpoint, Silence

if TYPE_CHECKING:
    from datetime import datetime


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it was stored. `plan_version`: the orders that it was made under."""

    plan_version: str
    checkpoint: Checkpoint


CHECKPOINTS = (
    "SELECT activation_no, plan_version, checkpoint FROM checkpoints WHERE activation_no = ANY($1::bigint[])"
)
STORE_CHECKPOINTS = """
INSERT INTO checkpoints (activation_no, plan_version, fed_to, checkpoint)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bytea[])
ON CONFLICT (activation_no) DO UPDATE
SET plan_version = excluded.plan_version, fed_to = excluded.fed_to, checkpoint = excluded.checkpoint
"""


def _moment(instant_ms: int) -> datetime | None:
    """The instant, or None for the beginning of the time line."""
    return None if instant_ms <= ALWAYS_MS else datetime_of(instant_ms)


_decode = msgspec.msgpack.Decoder(Checkpoint).decode


async def load_checkpoints(connection: Connection, activation_nos: Sequence[int]) -> dict[int, StoredCheckpoint]:
    """StoredCheckpoint checkpoints; one that this version of the program cannot read is left out, and made again."""
    found = {}
    for row in await connection.fetch(CHECKPOINTS, list(activation_nos)):
        try:
            found[row["activation_no"]] = StoredCheckpoint(row["plan_version"], _decode(row["checkpoint"]))
        except msgspec.DecodeError:
            continue
    return found


async def store_checkpoints(connection: Connection, rows: Sequence[tuple[int, str, Checkpoint]]) -> None:
    if rows:
        await connection.execute(
            STORE_CHECKPOINTS,
            [number for number, _, _ in rows],
            [version for _, version, _ in rows],
            [_moment(checkpoint.fed_to[0]) for _, _, checkpoint in rows],
            [msgspec.msgpack.encode(checkpoint) for _, _, checkpoint in rows],
        )


# ---------------------------------------------------------------------------------------------- older checkpoints

KEEP_EVERY_MS = 3_600_000
"""A checkpoint is kept so often; of those that are kept one stays for each doubling of their age."""
KEPT_TO = """
SELECT activation_no, max(fed_to) AS fed_to FROM older_checkpoints WHERE activation_no = ANY($1::bigint[]) GROUP BY activation_no
"""
KEEP = """
INSERT INTO older_checkpoints (activation_no, fed_to, plan_version, checkpoint)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING
"""
# Of the checkpoints whose age lies between 2^k and 2^(k+1) hours the oldest stays, so that it can grow older.
THIN_OUT = """
DELETE FROM older_checkpoints o USING (
    SELECT activation_no, fed_to, row_number() OVER (PARTITION BY activation_no, doubling ORDER BY fed_to) AS place
    FROM (
        SELECT activation_no, fed_to,
               CASE WHEN age_h < 1 THEN -1 ELSE floor(log(2, age_h)) END AS doubling
        FROM (
            SELECT activation_no, fed_to,
                   extract(epoch FROM max(fed_to) OVER (PARTITION BY activation_no) - fed_to) / 3600 AS age_h
            FROM older_checkpoints WHERE activation_no = ANY($1::bigint[])) timed) aged) placed
WHERE o.activation_no = placed.activation_no AND o.fed_to = placed.fed_to AND placed.place > 1
"""
BEFORE = """
SELECT plan_version, checkpoint FROM older_checkpoints WHERE activation_no = $1 AND fed_to < $2 ORDER BY fed_to DESC LIMIT 1
"""
FORGET_FROM = "DELETE FROM older_checkpoints WHERE activation_no = $1 AND fed_to >= $2"
FORGET_ALL = "DELETE FROM older_checkpoints WHERE activation_no = ANY($1::bigint[])"


async def keep_checkpoints(connection: Connection, rows: Sequence[tuple[int, str, Checkpoint]]) -> None:
    """Keep checkpoints beside the newest one, and thin out those that were kept before."""
    if rows:
        numbers = [number for number, _, _ in rows]
        await connection.execute(
            KEEP,
            numbers,
            [datetime_of(checkpoint.fed_to[0]) for _, _, checkpoint in rows],
            [version for _, version, _ in rows],
            [msgspec.msgpack.encode(checkpoint) for _, _, checkpoint in rows],
        )
        await connection.execute(THIN_OUT, numbers)


async def kept_to_ms(connection: Connection, activation_nos: Sequence[int]) -> dict[int, int]:
    """Up to which fact the newest kept checkpoint of each activation is fed."""
    rows = await connection.fetch(KEPT_TO, list(activation_nos))
    return {row["activation_no"]: instant_of(row["fed_to"]) for row in rows}


async def checkpoint_before(connection: Connection, activation_no: int, own_ms: int) -> StoredCheckpoint | None:
    """The newest kept checkpoint to which only facts from before an instant were fed."""
    row = await connection.fetchrow(BEFORE, activation_no, datetime_of(own_ms))
    try:
        return None if row is None else StoredCheckpoint(row["plan_version"], _decode(row["checkpoint"]))
    except msgspec.DecodeError:
        return None


async def forget_checkpoints_from(connection: Connection, activation_no: int, own_ms: int) -> None:
    """Those that should have been fed a fact of this instant, and were not."""
    await connection.execute(FORGET_FROM, activation_no, datetime_of(own_ms))


async def forget_checkpoints(connection: Connection, activation_nos: Sequence[int]) -> None:
    """All that were kept of activations: they are judged under other orders now, or were not judged well."""
    if activation_nos:
        await connection.execute(FORGET_ALL, list(activation_nos))


SILENCES = "SELECT activation_no, heard_at, gap_end_at FROM silence_progress WHERE activation_no = ANY($1::bigint[])"
STORE_SILENCES = """
INSERT INTO silence_progress (activation_no, heard_at, gap_end_at)
SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])
ON CONFLICT (activation_no) DO UPDATE SET heard_at = excluded.heard_at, gap_end_at = excluded.gap_end_at
"""


async def load_silences(connection: Connection, activation_nos: Sequence[int]) -> dict[int, Silence]:
    found = {}
    for row in await connection.fetch(SILENCES, list(activation_nos)):
        gap_end = row["gap_end_at"]
        gap_end_ms = ALWAYS_MS if gap_end is None else instant_of(gap_end)
        found[row["activation_no"]] = Silence(instant_of(row["heard_at"]), gap_end_ms)
    return found


async def store_silences(connection: Connection, rows: Sequence[tuple[int, Silence]]) -> None:
    if rows:
        await connection.execute(
            STORE_SILENCES,
            [number for number, _ in rows],
            [datetime_of(silence.heard_ms) for _, silence in rows],
            [_moment(silence.gap_end_ms) for _, silence in rows],
        )


# Facts that are older than what an activation has settled, and are to be judged beside the turns. Who is not there waits for nothing.
LATE = "SELECT activation_no, late_at FROM late_judgements WHERE activation_no = ANY($1::bigint[])"
NOTE_LATE = """
INSERT INTO late_judgements (activation_no, late_at) SELECT * FROM unnest($1::bigint[], $2::timestamptz[])
ON CONFLICT (activation_no) DO UPDATE SET late_at = CASE
    WHEN late_judgements.late_at IS NOT NULL AND excluded.late_at IS NOT NULL
    THEN least(late_judgements.late_at, excluded.late_at) END
"""
FORGET_LATE = "DELETE FROM late_judgements WHERE activation_no = ANY($1::bigint[])"


async def late_since_ms(connection: Connection, activation_nos: Sequence[int]) -> dict[int, int | None]:
    """Own time of the earliest fact that is stored and not judged, by activation; None: all are to be judged from the start."""
    rows = await connection.fetch(LATE, list(activation_nos))
    return {row["activation_no"]: None if row["late_at"] is None else instant_of(row["late_at"]) for row in rows}


async def note_late(connection: Connection, rows: Sequence[tuple[int, int | None]]) -> None:
    """In the transaction that stores the facts: they are judged after a restart, too."""
    if rows:
        late_at = [None if late_ms is None else datetime_of(late_ms) for _, late_ms in rows]
        await connection.execute(NOTE_LATE, [number for number, _ in rows], late_at)


async def forget_late(connection: Connection, activation_nos: Sequence[int]) -> None:
    """They are judged."""
    if activation_nos:
        await connection.execute(FORGET_LATE, list(activation_nos))
