"""A page of a location history shows what the whole history shows there, and reads no more than it needs."""

from __future__ import annotations

import pytest

from emtrack.people.looks import Door, Looker
from emtrack.reading import casefile
from emtrack.reading.casefile import history_of, history_page, page_by_mechanism
from emtrack.reading.history import View, record_view
from emtrack.web.packed import DrawnPoint, packed
from geofence import Mechanism, format_instant
from tests.packed import unpacked
from tests.service_world import AWAY, HOME, World, ms, position

COUNT = 700
MINUTE_MS = 60_000


async def looked_at(world: World) -> View:
    """The last hours of somebody with a fix a minute, two of each tenth minute, a jump now and then; and the look at them."""
    begin_ms = ms("08:00")
    world.clock.at_ms = begin_ms + COUNT * MINUTE_MS + 1000
    reports = []
    for minute in range(COUNT):
        at = format_instant(begin_ms + minute * MINUTE_MS)
        place = (0.0, 51.0) if minute % 97 == 50 else AWAY if minute % 3 else HOME
        reports.append(position(len(reports) + 1, at, place))
        if minute % 10 == 0:
            reports.append(position(len(reports) + 1, at, place, mechanism="LBS", precision_m=300))
    for begin in range(0, len(reports), 500):
        await world.send("D1", *reports[begin : begin + 500])
    end_ms = begin_ms + (COUNT - 20) * MINUTE_MS
    who = Looker("Ann", "officer", Door.PAGE, "COMPLIANCE")
    return await record_view(world.connection, who, 1, begin_ms + 30 * MINUTE_MS, end_ms, now_ms=world.clock.at_ms)


async def test_pages_of_a_history_are_parts_of_the_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    view = await looked_at(world)
    whole = await history_of(world.connection, view, world.clock.at_ms)
    assert len(whole) > 600
    assert len({seen.status for seen in whole}) > 1, "something is a jump"
    for first, most in [(1, 250), (251, 250), (501, 250), (12, 1), (13, 1), (len(whole), 5), (len(whole) + 1, 5)]:
        page = await history_page(world.connection, view, world.clock.at_ms, first, most)
        assert page.rows == whole[first - 1 : first - 1 + most], first
        assert (page.size, page.is_cut) == (len(whole), False)
    monkeypatch.setattr(casefile, "MOST_FIXES", 400)
    page = await history_page(world.connection, view, world.clock.at_ms, 1, 3)
    assert (page.size, page.is_cut) == (400, True)
    assert [seen.fix for seen in page.rows] == [seen.fix for seen in whole[-400:-397]]
    assert [seen.n for seen in page.rows] == [1, 2, 3]


async def test_positions_of_one_signal_type_keep_their_numbers_and_what_they_are(world: World) -> None:
    view = await looked_at(world)
    known_ms = world.clock.at_ms
    wanted = [
        row
        for row in await history_of(world.connection, view, known_ms)
        if row.fix.position.mechanism is Mechanism.LBS
    ]
    assert len(wanted) > 40
    part = await page_by_mechanism(world.connection, view, known_ms, Mechanism.LBS, 11, None, 10)
    assert (part.page.rows, part.page.size, part.first) == (wanted[10:20], len(wanted), 11)
    at_ms = wanted[25].fix.position.fix_ms - 1
    part = await page_by_mechanism(world.connection, view, known_ms, Mechanism.LBS, 1, at_ms, 10)
    assert (part.page.rows, part.first) == (wanted[20:30], 21)
    nothing = await page_by_mechanism(world.connection, view, known_ms, Mechanism.WIFI, 1, at_ms, 10)
    assert (nothing.page.rows, nothing.page.size, nothing.first) == ([], 0, 1)


async def test_a_page_reads_its_rows_and_what_weighs_the_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    view = await looked_at(world)
    monkeypatch.setattr(casefile, "LEAD_MS", 10 * MINUTE_MS)
    read, whole = [], casefile.fixes_of

    async def counted(*arguments: object, **more: object) -> object:
        found = await whole(*arguments, **more)  # type: ignore[arg-type]
        read.append(len(found))
        return found

    monkeypatch.setattr(casefile, "fixes_of", counted)
    page = await history_page(world.connection, view, world.clock.at_ms, 251, 50)
    assert len(page.rows) == 50
    assert read == [pytest.approx(62, abs=4)]


def test_what_is_packed_is_read_back_as_it_was() -> None:
    points = [
        DrawnPoint(
            1, 1_772_485_260_123, 53.0027, -2.1753, 6.5, "GPS", 4.5, 90.0, "INSIDE", -12.25, "evidence", True, False
        ),
        DrawnPoint(
            2, 1_772_485_320_000, -0.0, 179.9999999, None, "LBS", None, None, None, None, "a jump", False, True
        ),
    ]
    head = {"timezone": "Europe/London", "gap_s": 900.0, "zones": [{"label": "Ünder (1)"}]}
    for some in ([], points[:1], points, points * 40):
        found = unpacked(packed(head, some))
        assert found == head | {"points": [point._asdict() for point in some]}
