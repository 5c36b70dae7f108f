"""Stored positions of some devices in columns: by binary COPY, a tenth of what rows of Python objects cost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from emtrack.db.connect import Connection
from emtrack.record.binary_rows import ms_of, row_of, rows_of
from geofence import DEFAULT_RADIUS_M, Interval, Mechanism, datetime_of
from geofence.nearness import Unpacked

_ROW = row_of(("device", ">i8"), ("fix_us", ">i8"), ("lon", ">f8"), ("lat", ">f8"), ("radius", ">f8"))
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
    rows = await rows_of(
        connection, POSITIONS, numbers, datetime_of(span.begin_ms), datetime_of(span.end_ms), *USUAL_RADII_M, row=_ROW
    )
    device, fix_us = rows["device"].astype(np.int64), rows["fix_us"].astype(np.int64)
    order = np.lexsort((fix_us, device))
    lon, lat, radius = (rows[name].astype(np.float64)[order] for name in ("lon", "lat", "radius"))
    return Unpacked(device[order], ms_of(fix_us[order]), lon, lat, radius)


def nothing() -> Unpacked:
    whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
    return Unpacked(whole, whole, real, real, real)


def in_order(parts: Sequence[Unpacked]) -> Unpacked:
    """One of many, by device and time."""
    if len(parts) <= 1:
        return parts[0] if parts else nothing()
    whole = Unpacked(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return whole.taken(np.lexsort((whole.fix_ms, whole.device)))
