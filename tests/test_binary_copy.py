"""Positions as bytes of a binary COPY: what the database reads is what asyncpg would have sent."""

from __future__ import annotations

import io
import struct
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofence import Mechanism, datetime_of
from ingest.binary_copy import COLUMNS, positions_as_bytes, says_more
from ingest.incoming import Accepted
from ingest.reports import PositionReport
from tests.service_world import World, ms

NOW = ms("12:00")
REPORTS = st.builds(
    PositionReport,
    fix_ms=st.integers(ms("2026-03-02T00:00:00Z"), NOW),
    lat_deg=st.floats(-90, 90),
    lon_deg=st.floats(-180, 180),
    precision_m=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    mechanism=st.sampled_from(Mechanism),
)


def accepted(reports: list[PositionReport]) -> list[Accepted]:
    return [Accepted(2**40 + place, place, report, NOW, place) for place, report in enumerate(reports)]


def told(item: Accepted) -> tuple[Any, ...]:
    report = item.report
    assert isinstance(report, PositionReport)
    return (
        item.fact_id, item.device_no, datetime_of(report.fix_ms), str(report.mechanism), report.lat_deg, report.lon_deg,
        report.precision_m, datetime_of(item.received_ms),
    )  # fmt: skip


@given(st.lists(REPORTS, max_size=12))
@settings(max_examples=60)
def test_each_row_says_how_many_fields_it_has_and_how_long_each_is(reports: list[PositionReport]) -> None:
    stream = io.BytesIO(positions_as_bytes(accepted(reports)))
    assert stream.read(19) == b"PGCOPY\n\xff\r\n\x00" + bytes(8)
    for _ in reports:
        assert struct.unpack(">h", stream.read(2)) == (len(COLUMNS),)
        for _ in COLUMNS:
            (size,) = struct.unpack(">i", stream.read(4))
            assert len(stream.read(max(0, size))) == max(0, size)
    assert stream.read() == b"\xff\xff"


async def test_the_database_reads_every_mechanism_and_what_is_not_known(world: World) -> None:
    reports = [
        PositionReport(NOW - 1_000 * place - place, 53.5 - place, -2.25 + place / 3, precision, mechanism)
        for place, (mechanism, precision) in enumerate(
            (m, p) for m in Mechanism for p in (None, 6.0, 0.0, -1.5, 1e300)
        )
    ]
    items = accepted(reports)
    await world.connection.execute("SELECT make_positions_day($1::date)", datetime_of(NOW).date())
    rows = io.BytesIO(positions_as_bytes(items))
    await world.connection.copy_to_table("positions", source=rows, columns=COLUMNS, format="binary")
    stored = await world.connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM positions ORDER BY fact_id")  # noqa: S608
    assert [tuple(row)[:-1] for row in stored] == [told(item) for item in items]
    assert len({row["salt"] for row in stored}) == len(items), "each has a salt of its own"
    assert {len(row["salt"]) for row in stored} == {16}


@pytest.mark.parametrize("field", ["recorded_ms", "uploaded_ms", "speed_kmh", "direction_deg", "satellites", "hdop"])
def test_whatever_else_a_position_says_is_noticed(field: str) -> None:
    usual = PositionReport(NOW, 53.0, -2.0, 6.0, Mechanism.GPS)
    assert not says_more(usual)
    assert says_more(PositionReport(NOW, 53.0, -2.0, 6.0, Mechanism.GPS, **{field: 0}))


async def test_a_time_out_of_the_table_is_an_error_of_the_database_and_not_another_time(world: World) -> None:
    items = accepted([PositionReport(ms("2030-01-01T00:00:00Z"), 53.0, -2.0, 6.0, Mechanism.GPS)])
    with pytest.raises(asyncpg.CheckViolationError):
        await world.connection.copy_to_table(
            "positions", source=io.BytesIO(positions_as_bytes(items)), columns=COLUMNS, format="binary"
        )
