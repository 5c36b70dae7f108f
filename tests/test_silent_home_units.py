"""A home unit that does not call in is one alert, of the unit, that lists the people who depend on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts import HOME_UNIT_SILENT, AlertFilter, act, one_alert, open_alerts, people_listed
from alerts.queue import Alert
from emtrack.orders.importing import make_device_key
from emtrack.service.home_units import Waited, waited_for
from geofence import Interval
from tests.service_world import LONG_S, World, curfew, deployed, event, iso, ms, orders, settings_for
from tests.test_home_units import household, unit

HOURLY: dict[str, Any] = {"call_in_s": 3600}
QUIET = {"unknown_limit_s": LONG_S}
"""So that no wearer of whom nothing is known raises an alert of their own."""


def forms(*units: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return household(home_units=list(units) or [unit(1, **HOURLY), unit(2, **HOURLY)], settings=QUIET, **fields)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two people with one unit that calls in every hour; ready, and entered, at 12:00."""
    async with deployed(database_url, forms()) as world:
        yield world


async def silent(world: World) -> list[Alert]:
    found = await open_alerts(world.connection, AlertFilter(kind=HOME_UNIT_SILENT), None, 100)
    return sorted(found, key=lambda alert: alert.alert_no)


async def told(world: World) -> list[str]:
    """ "H1 WARNING lasts W1 W2", of each alert of a unit that is open."""
    lines = []
    for alert in await silent(world):
        people = [p.wearer_id for p in await people_listed(world.connection, alert.alert_no, 100)]
        assert alert.people == len(people)
        state = "lasts" if alert.lasts else "over"
        lines.append(" ".join([str(alert.home_unit), alert.severity.name, state, *people]))
    return lines


async def close(world: World, alert: Alert, at: str) -> None:
    async with world.connection.transaction():
        await act(
            world.connection,
            alert.alert_no,
            who="Ann",
            action="closed",
            outcome="EQUIPMENT",
            note="called",
            confirmed=True,
            now_ms=ms(at),
        )


async def test_it_is_found_by_the_clock_alone_when_its_time_and_the_buffer_are_over(world: World) -> None:
    await world.send_at("12:10", "H1", event(1, "12:10", "HEARTBEAT"))
    await world.wait_until("13:19")
    assert await told(world) == [], "an hour and nine minutes is no more than an hour and nine minutes"
    world.clock.at_ms += 1
    await world.turn()
    assert await told(world) == ["H1 WARNING lasts W1 W2"]
    (alert,) = await silent(world)
    assert (alert.known_ms, alert.begin_ms, alert.wearer_no) == (ms("13:19"), ms("13:19"), None)
    assert alert.late_ms == 1


async def test_one_that_was_never_heard_is_silent_since_it_was_entered(world: World) -> None:
    await world.wait_until("13:09")
    assert await told(world) == []
    await world.wait_until("13:10")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]


async def test_it_is_over_when_the_unit_calls_in_and_the_alert_stays_until_a_person_closes_it(world: World) -> None:
    await world.wait_until("13:10")
    await world.send_at("13:20", "H1", event(1, "13:20", "RF_IN", tag="D1"))
    assert await told(world) == ["H1 WARNING over W1 W2"]
    await world.wait_until("14:30")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]
    (alert,) = await silent(world)
    assert alert.occurrences == 2
    await world.send_at("14:31", "H1", event(2, "14:31", "HEARTBEAT"))
    await close(world, alert, "14:32")
    await world.wait_until("15:41")
    (again,) = await silent(world)
    assert (again.previous_alert_no, again.occurrences) == (alert.alert_no, 1)


async def test_whatever_can_be_read_is_a_call_even_if_it_is_refused_or_sent_again(world: World) -> None:
    await world.send_at("12:10", "H1", event(1, "12:10", "RF_IN", tag="D3"))
    await world.send_at("13:10", "H1", event(1, "12:10", "RF_IN", tag="D3"))
    await world.wait_until("14:19")
    assert await told(world) == []
    await world.send_at("14:19", "H1", {"seq": 2, "type": "nonsense"})
    await world.wait_until("14:20")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]


async def test_an_alert_that_a_person_closed_is_not_raised_again_for_the_same_silence(world: World) -> None:
    await world.wait_until("13:10")
    (alert,) = await silent(world)
    await close(world, alert, "13:11")
    for at in ("13:12", "14:30", "20:00"):
        await world.wait_until(at)
    await world.start()
    await world.wait_until("21:00")
    assert await silent(world) == []
    closed = await one_alert(world.connection, alert.alert_no)
    assert closed is not None
    assert closed.severity.name == "WARNING"


async def test_it_is_serious_while_one_who_depends_on_it_must_be_at_home_and_never_less_after(world: World) -> None:
    await world.wait_until("18:00")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]
    await world.wait_until("19:00")
    await world.wait_until("19:01")
    assert await told(world) == ["H1 SERIOUS lasts W1 W2"]
    await world.wait_until("03T12:00")
    assert await told(world) == ["H1 SERIOUS lasts W1 W2"]


async def test_only_the_curfew_at_its_address_makes_it_serious(database_url: str) -> None:
    elsewhere = curfew(1) | {"requirement_id": "C9", "timetable": [{"day": "MON", "start": "13:00", "end": "14:00"}]}
    requirements = [curfew(1), curfew(2), elsewhere]
    async with deployed(database_url, forms(requirements=requirements)) as world:
        await world.wait_until("13:30")
        assert await told(world) == ["H1 WARNING lasts W1 W2"]


async def test_our_outages_do_not_count(world: World) -> None:
    await world.send_at("12:10", "H1", event(1, "12:10", "HEARTBEAT"))
    world.clock.at_ms = ms("15:10")
    await world.start()  # down since 12:10
    await world.wait_until("16:19")
    assert await told(world) == []
    await world.wait_until("16:20")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]
    await world.enter({"outages": [{"from": iso("16:00"), "to": iso("16:15")}]})
    await world.wait_until("16:22")
    assert await told(world) == ["H1 WARNING over W1 W2"], "it was our own silence"


async def test_after_a_restart_it_is_known_who_is_silent_and_when_each_was_heard(world: World) -> None:
    await world.send_at("12:30", "H1", event(1, "12:30", "HEARTBEAT"))
    await world.wait_until("13:00")
    await world.start()
    await world.wait_until("13:39")
    assert await told(world) == []
    await world.wait_until("13:40")
    await world.start()
    await world.wait_until("13:45")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]
    assert await world.count("unit_silences") == 1
    await world.send_at("13:46", "H1", event(2, "13:46", "HEARTBEAT"))
    assert await told(world) == ["H1 WARNING over W1 W2"]


async def test_a_turn_that_fails_leaves_no_unit_heard(world: World) -> None:
    await world.send_at("12:10", "H1", event(1, "12:10", "HEARTBEAT"))
    await world.connection.execute(
        "ALTER TABLE liveness ADD CONSTRAINT broken CHECK (alive_at < '2026-03-02 12:30Z')"
    )
    with pytest.raises(Exception, match="broken"):
        await world.send_at("12:40", "H1", event(2, "12:40", "HEARTBEAT"))
    await world.connection.execute("ALTER TABLE liveness DROP CONSTRAINT broken")
    await world.wait_until("13:20")
    assert await told(world) == ["H1 WARNING lasts W1 W2"]


async def test_whoever_comes_to_depend_on_it_is_listed_too_and_whoever_leaves_stays_listed(world: World) -> None:
    await world.wait_until("13:10")
    await world.enter({"home_units": [unit(1, **HOURLY), unit(3, **HOURLY)]})
    await world.wait_until("13:12")
    assert await told(world) == ["H1 WARNING lasts W1 W2 W3"]


async def test_a_unit_on_which_nobody_depends_any_longer_is_not_silent(world: World) -> None:
    await world.enter({"home_units": [unit(1, to=iso("13:30"), **HOURLY)]})
    await world.wait_until("13:10")
    assert await told(world) == ["H1 WARNING lasts W1"]
    await world.wait_until("13:30")
    assert await told(world) == ["H1 WARNING over W1"]


async def test_nobody_is_told_of_a_unit_of_which_nobody_said_how_often_it_calls_in(database_url: str) -> None:
    async with deployed(database_url, forms(unit(1))) as world:
        await world.wait_until("05T12:00")
        assert await told(world) == []


async def test_each_unit_is_an_alert_of_its_own_and_the_shortest_time_of_one_counts(database_url: str) -> None:
    units = [unit(1, call_in_s=600), unit(2, **HOURLY), unit(3, "H3", **HOURLY)]
    async with deployed(database_url, forms(*units)) as world:
        await world.wait_until("12:20")
        assert await told(world) == ["H1 WARNING lasts W1 W2"]
        await world.wait_until("13:10")
        assert await told(world) == ["H1 WARNING lasts W1 W2", "H3 WARNING lasts W3"]


async def test_an_entry_that_begins_later_is_waited_for_from_then_on(database_url: str) -> None:
    async with deployed(database_url, forms(unit(1, **HOURLY, **{"from": iso("14:00")}))) as world:
        await world.wait_until("15:09")
        assert await told(world) == []
        await world.wait_until("15:10")
        assert await told(world) == ["H1 WARNING lasts W1"]


async def test_a_key_made_before_the_unit_was_entered_is_no_reason_to_miss_it(database_url: str) -> None:
    async with deployed(database_url, orders(1)) as world:
        await make_device_key(settings_for(world.dsn), "H1", who="test")
        await world.wait_until("15:00")
        await world.enter({"home_units": [unit(1, **HOURLY)]})
        await world.wait_until("16:09")
        assert await told(world) == []
        await world.wait_until("16:10")
        assert await told(world) == ["H1 WARNING lasts W1"]


async def test_a_filter_by_wearer_finds_the_alert_of_their_unit(world: World) -> None:
    await world.wait_until("13:10")
    for wearer, count in (("W1", 1), ("W2", 1), ("W3", 0)):
        wanted = AlertFilter(wearer_id=wearer, kind=HOME_UNIT_SILENT)
        assert len(await open_alerts(world.connection, wanted, None, 10)) == count


async def test_a_turn_asks_the_database_nothing_for_units_that_are_not_due(database_url: str) -> None:
    units = [unit(n, f"U{n}", **HOURLY) for n in range(1, 201)]
    async with deployed(database_url, orders(1, home_units=units)) as world:
        await world.wait_until("12:05")
        asked: list[str] = []
        world.connection.add_query_logger(lambda record: asked.append(record.query))
        await world.wait_until("12:06")
        tables = ("home_units", "unit_calls", "unit_silences", "alert_people")
        assert not [query for query in asked if any(table in query for table in tables)]


@pytest.mark.parametrize(
    ("now", "outages", "expected"),
    [
        (60, [], Waited(None, 0)),
        (61, [], Waited(60, 0)),
        (50, [], Waited(None, 10)),
        (200, [(0, 150)], Waited(None, 10)),
        (220, [(0, 150)], Waited(210, 0)),
        (100, [(60, 90)], Waited(90, 0)),
        (90, [(60, 90)], Waited(None, 0)),
        (100, [(20, 30), (40, 50)], Waited(80, 0)),
    ],
)
def test_more_than_the_limit_has_passed_without_our_outages(
    now: int, outages: list[tuple[int, int]], expected: Waited
) -> None:
    assert waited_for(60, 0, now, [Interval(*o) for o in outages]) == expected
