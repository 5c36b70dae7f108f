"""Stored facts of very many activations, with positions in columns: no object for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emtrack.record.facts import EVENTS
from emtrack.record.plans import Assignment
from geofence import DeviceEvent, EventType, datetime_of
from geofence.sweep import Received
from ingest import NAME_A_UNIT

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

# In binary, straight into arrays: nothing in it is null, so each row has the same length.
POSITION_ROWS = """
SELECT w.place::int4, (CASE p.mechanism WHEN 'RF' THEN 0 WHEN 'GPS' THEN 1 WHEN 'WIFI' THEN 2 ELSE 3 END)::int4, epoch_ms(p.fix_time),
       epoch_ms(p.received_at), p.lat_deg, p.lon_deg, coalesce(p.precision_m, 'NaN'::float8)
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS w (device_no, begin_at, end_at, place)
CROSS JOIN LATERAL (
    SELECT * FROM positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at
    UNION ALL
    SELECT * FROM future_positions WHERE device_no = w.device_no AND fix_time >= w.begin_at AND fix_time < w.end_at) p
"""
_ROW = np.dtype([
    ("columns", ">i2"), ("b0", ">i4"), ("place", ">i4"), ("b1", ">i4"), ("mechanism", ">i4"), ("b2", ">i4"), ("fix_ms", ">i8"),
    ("b3", ">i4"), ("received_ms", ">i8"), ("b4", ">i4"), ("lat_deg", ">f8"), ("b5", ">i4"), ("lon_deg", ">f8"), ("b6", ">i4"),
    ("precision_m", ">f8"),
])  # fmt: skip
"""A row of COPY in binary: how many columns, and before each how many bytes it has."""
_HEAD, _TAIL = 19, 2
"""Bytes of COPY before the first row and after the last."""


async def received_of(connection: Connection, assignments: Sequence[Assignment]) -> Received:
    """All positions of activations; `wearer` is the place of an activation among them."""
    worn = [a.plan.activation for a in assignments]
    body = bytearray()
    begins, ends = [datetime_of(a.from_ms) for a in worn], [datetime_of(a.to_ms) for a in worn]
    await connection.copy_from_query(
        POSITION_ROWS, [a.device_no for a in assignments], begins, ends, output=_into(body), format="binary"
    )
    rows = np.frombuffer(body, _ROW, offset=_HEAD, count=(len(body) - _HEAD - _TAIL) // _ROW.itemsize)

    def column(name: str, kind: Any) -> Any:
        return rows[name].astype(kind)

    return Received(
        column("place", np.int32) - 1, column("mechanism", np.int8), column("fix_ms", np.int64), column("received_ms", np.int64),
        column("lat_deg", np.float64), column("lon_deg", np.float64), column("precision_m", np.float64),
    )  # fmt: skip


def _into(body: bytearray) -> Any:
    async def take(data: bytes) -> None:
        body.extend(data)

    return take


async def said_of(connection: Connection, assignments: Sequence[Assignment]) -> dict[int, list[DeviceEvent]]:
    """What devices said, by activation number."""
    by_number = {a.activation_no: a for a in assignments}
    worn = [a.plan.activation for a in assignments]
    found: dict[int, list[DeviceEvent]] = defaultdict(list)
    for row in await connection.fetch(
        EVENTS, [a.activation_no for a in assignments], [a.device_no for a in assignments], [datetime_of(a.from_ms) for a in worn],
        [datetime_of(a.to_ms) for a in worn],
    ):  # fmt: skip
        named = row["hmu_id"] if row["type"] in NAME_A_UNIT else None
        unit = by_number[row["activation_no"]].requirement_of_unit(named, row["own_ms"])
        event = DeviceEvent(
            row["own_ms"], EventType(row["type"]), unit, row["received_ms"], row["fact_id"], row["sent_by"]
        )
        found[row["activation_no"]].append(event)
    return found
