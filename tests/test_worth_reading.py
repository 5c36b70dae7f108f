"""The facts of the measures out of the record: as known, under the rights of who asks, those removed still in."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from emtrack.iom.entries import enter, following, load
from emtrack.iom.offences import OFFENCE
from emtrack.iom.standing import merge
from emtrack.iom.statuses import StatusKind
from emtrack.reading.curfews_kept import HOUR_MS, _before, _calendar, months_under_tags
from emtrack.reading.worth import Asked, career_of, facts_of, lives_of, performance, whole_period
from emtrack.worth.figures import Figure
from geofence import Interval
from tests.office import Office
from tests.programme_years import ANN, at, membership, offence, person, programme_years, release, removed, status
from tests.service_world import World

TODAY = date(2026, 3, 2)
SELECTED = date(2024, 1, 10)


def asked(today: date = TODAY) -> Asked:
    return Asked(None, *whole_period(today), today, at(today, 0), "Europe/London")


async def test_a_life_holds_what_the_measures_ask(world: World) -> None:
    out = date(2024, 3, 1)
    number = await person(
        world.connection, "P1",
        lambda no: [membership(no, SELECTED), offence(no, date(2024, 5, 1)), release(no, out),
                    status(no, StatusKind.SENTENCED, SELECTED, out), status(no, StatusKind.COMMUNITY, out)],
        when=date(2025, 1, 10), date_of_birth=date(1990, 5, 1), sex="F",
    )  # fmt: skip
    await removed(world.connection, number, date(2025, 1, 10), when=date(2025, 1, 10))
    (life,) = await lives_of(world.connection, asked())
    assert (life.person, life.born, life.sex, life.ethnicity) == (number, date(1990, 5, 1), "F", None)
    assert [(one.spell.begin, one.spell.end) for one in life.selected] == [(SELECTED, date(2025, 1, 10))]
    assert life.releases == (out,), "the release and the end of custody are one"
    assert [(deed.committed, deed.proven_on, deed.harm_days) for deed in life.deeds] == [
        (date(2024, 5, 1), date(2024, 5, 31), 5.0)
    ]
    assert life.days_free(SELECTED, SELECTED + timedelta(days=365)) == 365 - (out - SELECTED).days
    assert [year.offences for year in await career_of(world.connection, number, asked()) if year.age == 33] == [0]


async def test_what_was_not_known_yet_is_in_no_figure_of_that_day(world: World) -> None:
    number = await person(world.connection, "P1", lambda no: [membership(no, SELECTED)], when=date(2025, 1, 1))
    async with world.connection.transaction():
        (late,) = await enter(world.connection, ANN, [offence(number, date(2024, 5, 1))], at(date(2025, 6, 1)))
    assert (await lives_of(world.connection, asked(date(2025, 6, 1))))[0].deeds == ()
    assert len((await lives_of(world.connection, asked()))[0].deeds) == 1
    async with world.connection.transaction():
        await enter(world.connection, ANN, [following(late, state="WITHDRAWN")], at(date(2025, 7, 1)))
    assert (await lives_of(world.connection, asked()))[0].deeds == ()
    (known,) = await load(world.connection, [number], [OFFENCE])
    assert known.state == "WITHDRAWN"


async def test_who_was_removed_stays_in_and_merged_records_are_one_person(world: World) -> None:
    one = await person(world.connection, "P1", lambda no: [membership(no, SELECTED)], when=SELECTED)
    two = await person(world.connection, "P2", lambda no: [offence(no, date(2024, 5, 1))], when=SELECTED)
    async with world.connection.transaction():
        await merge(world.connection, ANN, two, one, "the same", at(SELECTED))
    await removed(world.connection, one, date(2024, 9, 1), when=date(2024, 9, 1))
    (life,) = (await facts_of(world.connection, asked())).everybody
    assert (life.person, len(life.deeds), life.selected[0].spell.end) == (one, 1, date(2024, 9, 1))


async def test_the_measures_come_out_of_the_record(world: World) -> None:
    numbers = await programme_years(world.connection, TODAY, 40, 40)
    found = await performance(world.connection, None, asked())  # type: ignore[arg-type]
    assert (found.chosen, found.pool) == (40, 80)
    figures: dict[str, Figure] = {one.key: one for measure in found.measures for one in measure.figures}
    assert figures["proven.rate"].of == 40
    assert figures["proven.rate"].value is not None
    assert figures["before_after.expected"].value is not None
    assert set(figures["before_after.expected"].people) == set(numbers)
    assert figures["process.tasks"].count == 0
    assert figures["process.tasks.late"].count == 40
    assert figures["needs.housed on the night of release.UNKNOWN"].count == sum(no % 5 == 0 for no in numbers)
    assert figures["fairness.was removed.sex.F.share"].few, "ten women are too few for a rate"
    assert figures["career.age"].value == pytest.approx(32, abs=6)


async def test_the_same_people_give_the_same_figures(world: World) -> None:
    await programme_years(world.connection, TODAY, 35, 35)
    assert await performance(world.connection, None, asked()) == await performance(world.connection, None, asked())  # type: ignore[arg-type]


async def test_hours_of_curfews_are_those_obliged_out_and_not_known(office: Office) -> None:
    """W1 keeps a curfew from 19:00; 19:50 to 20:00 he was seen out, and nobody heard of W2."""
    await office.two_are_out()
    numbers = {
        row["wearer_id"]: row["wearer_no"]
        for row in await office.connection.fetch("SELECT wearer_id, wearer_no FROM wearers")
    }
    tagged = {no: no for no in numbers.values()}
    cohorts = dict.fromkeys(tagged, "FIXED")
    later = at(date(2026, 3, 3), 0)
    months = await months_under_tags(office.connection, tagged, cohorts, later)
    by_person = {one.person: one for one in months if one.month == "2026-03"}
    one = by_person[numbers["W1"]]
    rows = await office.connection.fetch(
        "SELECT f.kind, v.begin_at, v.end_at FROM findings f CROSS JOIN LATERAL newest_version(f.finding_no) v "
        "JOIN activation_versions a USING (activation_no) WHERE a.wearer_no = $1", numbers["W1"],
    )  # fmt: skip
    assert {row["kind"] for row in rows} >= {"CURFEW"}
    assert one.obliged > 0
    assert 0 < one.out <= one.obliged
    assert one.out + one.untold <= one.obliged + 1e-6
    assert (one.bad_nights, one.findings) == (1, len(rows))


def test_time_is_counted_to_the_month_in_which_the_night_begins() -> None:
    zone = ZoneInfo("Europe/London")
    span = Interval(at(date(2026, 2, 20), 12), at(date(2026, 4, 5), 12))
    calendar = _calendar(span, zone)
    assert calendar.names == ["2026-02", "2026-03", "2026-04"]
    hours = np.diff(calendar.edges) / HOUR_MS
    assert hours.tolist() == [28 * 24, 31 * 24 - 1, 30 * 24], "the clocks go forward in March"
    spans = [Interval(10, 20), Interval(30, 50)]
    assert _before(spans, np.array([0, 10, 15, 20, 25, 40, 99])).tolist() == [0, 0, 5, 10, 10, 20, 30]
