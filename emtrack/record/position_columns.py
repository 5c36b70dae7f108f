"""Stored positions of some devices in columns: by binary COPY, a tenth of what rows of Python objects cost on the way."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np

from emtrack.db.connect import Connection
from geofence import DEFAULT_RADIUS_M, Interval, Mechanism, datetime_of
from geofence.nearness import Unpacked

_SINCE_2000_MS = 946_684_800_000
_HEAD_BYTES, _END_BYTES = 19, 2
_ROW = np.dtype(
    [("fields", ">i2")]
    + [
        part
        for name, form in (("device", ">i8"), ("fix_us", ">i8"), ("lon", ">f8"), ("lat", ">f8"), ("radius", ">f8"))
        for part in ((f"{name} size", ">i4"), (name, form))
    ]
)
# Every field of a row is eight bytes and none is null, so that a row has always the same length.
POSITIONS = """
SELECT device_no, fix_time, lon_deg, lat_deg,
       CASE WHEN precision_m > 0 THEN precision_m WHEN mechanism = 'GPS' THEN $4::float8
            WHEN mechanism = 'LBS' THEN $5::float8 WHEN mechanism = 'WIFI' THEN $6::float8 ELSE $7::float8 END
FROM positions WHERE device_no = ANY ($1::bigint[]) AND fix_time >= $2::timestamptz AND fix_time < $3::timestamptz
"""
USUAL_RADII_M = [DEFAULT_RADIUS_M[kind] for kind in (Mechanism.GPS, Mechanism.LBS, Mechanism.WIFI, Mechanism.RF)]


async def positions_of(connection: Connection, devices: Iterable[int], span: Interval) -> Unpacked:
    """All positions of devices in a time, by device and time."""
    numbers = sorted(devices)
    if not numbers or span.end_ms <= span.begin_ms:
        return nothing()
    sent = io.BytesIO()
    await connection.copy_from_query(
        POSITIONS, numbers, datetime_of(span.begin_ms), datetime_of(span.end_ms), *USUAL_RADII_M,
        output=sent, format="binary",
    )  # fmt: skip
    rows = np.frombuffer(sent.getbuffer()[_HEAD_BYTES:-_END_BYTES], _ROW)
    device, fix_us = rows["device"].astype(np.int64), rows["fix_us"].astype(np.int64)
    order = np.lexsort((fix_us, device))
    lon, lat, radius = (rows[name].astype(np.float64)[order] for name in ("lon", "lat", "radius"))
    return Unpacked(device[order], fix_us[order] // 1_000 + _SINCE_2000_MS, lon, lat, radius)


def nothing() -> Unpacked:
    whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
    return Unpacked(whole, whole, real, real, real)


def in_order(parts: Sequence[Unpacked]) -> Unpacked:
    """One of many, by device and time."""
    if len(parts) <= 1:
        return parts[0] if parts else nothing()
    whole = Unpacked(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return whole.taken(np.lexsort((whole.fix_ms, whole.device)))
