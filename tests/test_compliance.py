"""A person's compliance over time: nights, weeks and their own normal, out of what was found."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import Author, Draft, enter, following
from emtrack.people.roles import Role
from emtrack.reading.compliance import NIGHTS, Compliance, compliance_of, noons_before, progress_of, within
from geofence import Interval, parse_instant
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.service_world import AWAY, HOME, World, ms, position
from tests.test_pages_browser import logged_in

LONDON = ZoneInfo("Europe/London")
HOUR, MINUTE = 3_600_000, 60_000
ELSEWHERE = (-2.2753, 53.0427)


async def as_seen(world: World, at: str) -> Compliance:
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    found = await compliance_of(world.connection, number, ms(at))
    assert found is not None
    return found


async def out_for_half_an_hour(world: World) -> None:
    """W1 is seen out from 19:30 to 20:00, and at home before and after, every quarter of an hour until the morning."""
    trail = [
        ("18:55", HOME),
        ("19:15", HOME),
        *((f"19:{at}", AWAY) for at in (30, 32, 45, 59)),
        ("20:00", HOME),
        ("20:01", HOME),
    ]
    trail += [
        (f"{'02T' if at >= 20 else '03T'}{at:02}:{quarter:02}", HOME)
        for at in (20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6)
        for quarter in (5, 20, 35, 50)
    ]
    for seq, (at, place) in enumerate(trail, 1):
        await world.send_at(at, "D1", position(seq, at, place))
    await world.wait_until("03T07:30")


def test_a_night_begins_at_noon_and_has_23_or_25_hours_where_the_clock_changes() -> None:
    spring, autumn = (
        noons_before(parse_instant(at), 2, LONDON) for at in ("2026-03-29T20:00:00Z", "2026-10-25T20:00:00Z")
    )
    assert [(end - begin) // HOUR for begin, end in pairwise(spring)] == [23, 24]
    assert [(end - begin) // HOUR for begin, end in pairwise(autumn)] == [25, 24]
    assert noons_before(parse_instant("2026-03-02T12:00:00Z"), 1, LONDON)[0] == parse_instant("2026-03-02T12:00:00Z")
    assert noons_before(parse_instant("2026-03-02T11:59:59Z"), 1, LONDON)[0] == parse_instant("2026-03-01T12:00:00Z")


def test_what_lies_in_both_is_the_intersection() -> None:
    spans, others = [Interval(0, 10), Interval(20, 30)], [Interval(5, 22), Interval(29, 40)]
    assert within(spans, others) == [Interval(5, 10), Interval(20, 22), Interval(29, 30)]
    assert within(spans, []) == []


async def test_a_night_is_home_not_home_and_not_known_and_the_three_make_its_curfew(world: World) -> None:
    await out_for_half_an_hour(world)
    found = await as_seen(world, "03T12:30")
    assert len(found.nights) == NIGHTS
    night = found.nights[-2]
    assert (night.begin_ms, night.end_ms) == (ms("12:00"), ms("03T12:00"))
    lengths = {presence: night.length_ms(presence) for presence in ("in", "out", "unknown")}
    assert lengths["out"] == 30 * MINUTE
    assert sum(lengths.values()) == 12 * HOUR
    out = [part for part in night.parts if part.presence == "out"]
    assert [(part.begin_ms, part.end_ms) for part in out] == [(ms("19:30"), ms("20:00"))]
    assert night.alerts == 1
    assert found.nights[-1].parts == [], "the night that lasts has no hour under curfew yet"


async def test_the_hours_of_tonight_that_are_to_come_are_in_no_night(world: World) -> None:
    await out_for_half_an_hour(world)
    tonight = (await as_seen(world, "03T19:30")).nights[-1]
    assert max(part.end_ms for part in tonight.parts) == ms("03T19:30")


async def test_a_page_as_known_before_knows_nothing_of_what_came_after(world: World) -> None:
    await out_for_half_an_hour(world)
    before = (await as_seen(world, "19:20")).nights[-1]
    assert (before.length_ms("out"), before.alerts) == (0, 0)


async def test_a_persons_normal_is_of_the_weeks_before_and_only_while_a_tag_was_worn(world: World) -> None:
    await out_for_half_an_hour(world)
    beside = (await as_seen(world, "03T12:30")).beside
    assert (beside.lately.out_ms, beside.lately.nights_out, beside.normal) == (30 * MINUTE, 1, None)
    later = (await as_seen(world, "10T12:30")).beside
    assert later.lately.out_ms == 0
    assert later.normal is not None
    assert later.normal.out_ms == 7 * 30 * MINUTE, "of one night that the tag was worn before, for seven"


async def test_contacts_that_were_missed_count_and_withdrawn_ones_do_not(world: World) -> None:
    await out_for_half_an_hour(world)
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    missed = Contact(kind="appointment", outcome=Outcome.UNACCEPTABLE_ABSENCE)
    kept = Contact(kind="appointment", outcome=Outcome.KEPT)
    drafts = [
        Draft(CONTACT, number, content, "RECORDED", occurred_ms=ms("14:00")) for content in (missed, missed, kept)
    ]
    async with world.connection.transaction():
        one, *_ = await enter(world.connection, Author("Ann"), drafts, ms("15:00"))
        await enter(world.connection, Author("Ann"), [following(one, state="WITHDRAWN")], ms("15:01"))
    found = await as_seen(world, "03T12:30")
    assert found.beside.lately.missed == 1
    assert found.weeks[-1].sums.missed == 1


@pytest.mark.parametrize(("minutes", "new"), [(12, 1), (5, 0)])
async def test_a_place_is_new_after_ten_minutes_where_the_weeks_before_did_not_know_it(
    world: World, minutes: int, new: int
) -> None:
    seq = 0
    for day in (3, 12):
        for minute in range(20):
            at, seq = f"{day:02}T14:{minute:02}", seq + 1
            await world.send_at(at, "D1", position(seq, at, HOME))
    for minute in range(minutes):
        at, seq = f"12T15:{minute:02}", seq + 1
        await world.send_at(at, "D1", position(seq, at, ELSEWHERE))
    assert (await as_seen(world, "12T16:00")).beside.places == new
    assert (await as_seen(world, "04T16:00")).beside.places is None, "there is nothing to set it beside"


@pytest.mark.parametrize("width", [320, 1280])
async def test_the_page_shows_nights_contacts_and_tag_without_a_fault(
    office: Office, open_page: OpenPage, width: int
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/iom/people/W1", Role.OFFICER, width=width, height=768)
    text = await page.inner_text("main")
    assert "Compliance over time" in text
    assert await page.locator("table tr:has(svg.em-band--night)").count() == NIGHTS
    assert "Contacts, order and tag" in text
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_curfews_of_a_week_are_one_line_of_the_daily_view(world: World) -> None:
    await out_for_half_an_hour(world)
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    progress = (await progress_of(world.connection, {number: number}, ms("03T12:30")))[number]
    assert (progress.nights[-1], progress.out_ms) == ("out", 30 * MINUTE)
    assert set(progress.nights[:-1]) == {"none"}, "no tag was worn before"
    assert await progress_of(world.connection, {number: number}, ms("11:00")) == {}, "nothing is over yet"


async def test_who_wore_no_tag_has_no_compliance(office: Office) -> None:
    assert await compliance_of(office.connection, 10**6, parse_instant(BEGINS)) is None
