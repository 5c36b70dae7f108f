"""A record of very many positions for benchmarks, put straight into the tables: invented people of 30 towns, a fix each minute.

Half of a day people are at home, half of it on a way of up to some kilometres and back; one fix in five is by mobile network. One
person in seven lives in one town of 4 by 4 km, denser than any programme is. A day's partition is filled before it has indexes, by
binary COPY, and then gets those that the migrations give it: the same tables in a fraction of the time. Seals are left out, because
nothing here is proved.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import numpy as np

from emtrack.record.packed_positions import enter_hours, hours_to_enter, hours_to_pack, pack_devices
from ingest.binary_copy import COLUMNS

FIRST_DAY = datetime(2026, 3, 2, tzinfo=UTC)
STOKE = (-2.18, 53.01)
TOWNS = [(-3.6 + 7 * k % 29 * 0.16, 50.6 + k % 29 * 0.15) for k in range(29)]
MINUTES = 1440
_2000_MS = 946_684_800_000
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_SIZES = {"fact_id": 8, "device_no": 8, "fix_time": 8, "mechanism": 3, "lat_deg": 8, "lon_deg": 8, "precision_m": 8,
          "received_at": 8, "salt": 16}  # fmt: skip
_FORMS = {"mechanism": "S3", "salt": "V16", "lat_deg": ">f8", "lon_deg": ">f8", "precision_m": ">f8"}
_ROW = np.dtype(
    [("fields", ">i2")]
    + [part for name in COLUMNS for part in ((f"{name} size", ">i4"), (name, _FORMS.get(name, ">i8")))]
)

TAGS = (
    "INSERT INTO wearers (wearer_id, name) SELECT 'B' || n, 'Person ' || n FROM generate_series(1, $1::bigint) n",
    "INSERT INTO devices (device_id, added_at) SELECT 'T' || n, now() FROM generate_series(1, $1::bigint) n",
    "INSERT INTO activations (activation_id, entered_at) SELECT 'A' || n, now() FROM generate_series(1, $1::bigint) n",
    """INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by,
              evidence)
       SELECT activation_no, device_no, wearer_no, tstzrange('2026-03-01', NULL), 60000, tstzrange('2026-03-01', NULL), 'benchmark',
              '{POSITION,RF}'
       FROM wearers JOIN activations ON activation_id = 'A' || substr(wearer_id, 2)
       JOIN devices ON device_id = 'T' || substr(wearer_id, 2) WHERE $1 > 0""",
)
QUICK_SERVER = """\
wal_level = minimal
max_wal_senders = 0
max_wal_size = '8GB'
checkpoint_timeout = '1h'
maintenance_work_mem = '1GB'
"""
"""For the embedded server while it is filled: rows of tables that are made in the same transaction need no log."""


class Homes(NamedTuple):
    """Where people live, how far they go and which way: arrays of one length, by device number from 1 on."""

    lat_deg: np.ndarray[Any, Any]
    lon_deg: np.ndarray[Any, Any]
    reach_deg: np.ndarray[Any, Any]
    way: np.ndarray[Any, Any]


def homes_of(people: int) -> Homes:
    chance = np.random.default_rng(5)
    number = np.arange(1, people + 1)
    in_stoke = number % 7 == 0
    lat = np.where(in_stoke, STOKE[1], 50.6 + number % 29 * 0.15) + 0.04 * (chance.random(people) - 0.5)
    lon = np.where(in_stoke, STOKE[0], -3.6 + number * 7 % 29 * 0.16) + 0.06 * (chance.random(people) - 0.5)
    return Homes(lat, lon, 0.001 + 0.05 * chance.random(people) ** 3, chance.random(people) * 2 * math.pi)


async def add_people(connection: asyncpg.Connection[Any], people: int) -> None:
    for statement in TAGS:
        await connection.execute(statement, people)


async def add_day(
    connection: asyncpg.Connection[Any],
    day: date,
    homes: Homes,
    minutes: range = range(MINUTES),
    number_from: int = 0,
) -> int:
    """A day of everybody of `homes`, whose device numbers follow `number_from`. How many positions. The day's partition must not be
    there."""
    part = f"positions_{day:%Y_%m_%d}"
    first_ms = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    async with connection.transaction():
        await connection.execute(f"CREATE TABLE {part} (LIKE positions INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        count = 0
        for minute in minutes:
            rows = _minute(homes, first_ms, minute, number_from)
            await connection.copy_to_table(part, source=io.BytesIO(rows), columns=COLUMNS, format="binary")
            count += len(homes.lat_deg)
        await connection.execute(
            f"ALTER TABLE positions ATTACH PARTITION {part} FOR VALUES FROM ('{day}T00:00Z') TO ('{day + timedelta(1)}T00:00Z')"
        )
    return count


def _minute(homes: Homes, first_ms: int, minute: int, number_from: int) -> bytes:
    people = len(homes.lat_deg)
    number = np.arange(1, people + 1)
    chance = np.random.default_rng([first_ms // 1000, minute])
    is_cell = (number * 31 + minute * 17) % 5 == 0
    precision = np.where(is_cell, 300 + 700 * chance.random(people), 3 + 14 * chance.random(people)).round(1)
    away = homes.reach_deg * max(0.0, math.sin(minute / 229.0))
    turn = homes.way + minute / 230.0
    table = np.empty(people, _ROW)
    table["fields"] = len(COLUMNS)
    for name in COLUMNS:
        table[f"{name} size"] = _SIZES[name]
    at_ms = first_ms - _2000_MS + minute * 60_000
    table["fact_id"] = first_ms * 1_000 + minute * 100_000 + number
    table["device_no"] = number_from + number
    table["fix_time"] = (at_ms + number % 60 * 1_000) * 1_000
    table["mechanism"] = np.where(is_cell, b"LBS", b"GPS")
    # Seven digits of a degree, as receivers say it.
    lat_deg = homes.lat_deg + away * np.sin(turn) + precision / 3e5 * (chance.random(people) - 0.5)
    lon_deg = homes.lon_deg + away * np.cos(turn) + precision / 2e5 * (chance.random(people) - 0.5)
    table["lat_deg"], table["lon_deg"] = lat_deg.round(7), lon_deg.round(7)
    table["precision_m"] = precision
    table["received_at"] = (at_ms + 90_000) * 1_000
    table["salt"] = np.frombuffer(chance.bytes(16 * people), "V16")
    return b"".join([_HEAD, table.tobytes(), b"\xff\xff"])


async def pack_all(connection: asyncpg.Connection[Any], end_ms: int) -> int:
    """What the service does beside its turns, of all hours that are over by an instant, without its rests. How many hours."""
    while hours := await hours_to_enter(connection, end_ms, 24):
        await enter_hours(connection, hours)
    waiting = await hours_to_pack(connection)
    for hour_ms in waiting:
        after: int | None = 0
        while after is not None:
            after = await pack_devices(connection, hour_ms, after)
    return len(waiting)


def be_quick(folder: Path) -> None:
    """How the server of a data directory is started to be filled; from its next start on. It must have been started once."""
    file = folder / "postgres" / "local.conf"
    file.write_text(QUICK_SERVER)
    above = file.parent.stat()
    os.chown(file, above.st_uid, above.st_gid)


def be_usual(folder: Path) -> None:
    """As the service would start it, from the next start on."""
    (folder / "postgres" / "local.conf").unlink(missing_ok=True)


def days_from(first: date, count: int) -> Iterator[date]:
    return (first + timedelta(day) for day in range(count))
