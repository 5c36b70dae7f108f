"""Stored facts of very many activations, with positions in columns: no object for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emtrack.record.binary_rows import ms_of, row_of, rows_of
from emtrack.record.facts import POSITIONS, load_events, spans_of
from emtrack.record.plans import Assignment
from geofence import ALWAYS_MS, DeviceEvent
from geofence.sweep import MECHANISMS, Known, Received

if TYPE_CHECKING:
    from asyncpg import Record

    from emtrack.db.connect import Connection

# In binary, straight into arrays: nothing in it is null, so each row has the same length.
POSITION_ROWS = """
SELECT w.place::int4, (CASE p.mechanism WHEN 'RF' THEN 0 WHEN 'GPS' THEN 1 WHEN 'WIFI' THEN 2 ELSE 3 END)::int4, p.fix_time,
       p.received_at, p.lat_deg, p.lon_deg, coalesce(p.precision_m, 'NaN'::float8), p.fact_id
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w (device_no, begin_at, end_at, place)
CROSS JOIN LATERAL (
    SELECT * FROM positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at
    UNION ALL
    SELECT * FROM future_positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at) p
"""
_ROW = row_of(
    ("place", ">i4"), ("mechanism", ">i4"), ("fix_us", ">i8"), ("received_us", ">i8"), ("lat_deg", ">f8"), ("lon_deg", ">f8"),
    ("precision_m", ">f8"), ("fact_id", ">i8"),
)  # fmt: skip
LITTLE_MS = 3 * 3_600_000
"""Of so short a time rows cost less than COPY, which the server plans anew each time."""


async def received_of(connection: Connection, assignments: Sequence[Assignment]) -> Received:
    """All positions of activations; `wearer` is the place of an activation among them."""
    return _received(await _rows(connection, [(assignment, ALWAYS_MS) for assignment in assignments]))


async def known_of(connection: Connection, assignment: Assignment, since_ms: int, now_ms: int) -> Known:
    """What is stored of an activation from an instant on (never before the activation) and was received by *now*."""
    wanted = [(assignment, since_ms)]
    told = (await load_events(connection, wanted))[assignment.activation_no]
    if now_ms - max(since_ms, assignment.plan.activation.from_ms) <= LITTLE_MS:
        few = await connection.fetch(POSITIONS, [assignment.activation_no], *spans_of(wanted))
        return Known.of(_received_of_few(few), np.array([row["fact_id"] for row in few], np.int64), told, now_ms)
    rows = await _rows(connection, wanted)
    return Known.of(_received(rows), rows["fact_id"].astype(np.int64), told, now_ms)


def _received_of_few(rows: Sequence[Record]) -> Received:
    def column(name: str, kind: Any) -> Any:
        return np.array([row[name] for row in rows], kind)

    return Received(
        np.zeros(len(rows), np.int32), np.array([MECHANISMS.index(row["mechanism"]) for row in rows], np.int8),
        column("own_ms", np.int64), column("received_ms", np.int64), column("lat_deg", np.float64), column("lon_deg", np.float64),
        np.array([np.nan if row["precision_m"] is None else row["precision_m"] for row in rows], np.float64),
    )  # fmt: skip


async def _rows(connection: Connection, wanted: Sequence[tuple[Assignment, int]]) -> Any:
    return await rows_of(connection, POSITION_ROWS, *spans_of(wanted), row=_ROW)


def _received(rows: Any) -> Received:
    def column(name: str, kind: Any) -> Any:
        return rows[name].astype(kind)

    return Received(
        column("place", np.int32) - 1, column("mechanism", np.int8),
        ms_of(column("fix_us", np.int64)), ms_of(column("received_us", np.int64)),
        column("lat_deg", np.float64), column("lon_deg", np.float64), column("precision_m", np.float64),
    )  # fmt: skip


async def said_of(connection: Connection, assignments: Sequence[Assignment]) -> dict[int, list[DeviceEvent]]:
    """What devices said, by activation number."""
    return await load_events(connection, [(assignment, ALWAYS_MS) for assignment in assignments])
