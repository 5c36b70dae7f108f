"""Possible entries (RULES.md section 8): one position inside an exclusion zone raises somebody, and is never a finding."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from alerts import Alert, AlertFilter, EntryFate, OwnShards, Severity, act, note_entries, open_alerts
from alerts.due import DueInTurn
from emtrack.db.connect import connect
from tests.service_world import AWAY, HOME, World, activation, ms, position

OTHER = (HOME[0], HOME[1] + 0.02)


def exclusion(**fields: Any) -> dict[str, Any]:
    return {
        "requirement_id": "X1", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z",
        "geometry": {"type": "Circle", "centre": list(HOME), "radius_m": 200}, **fields,
    }  # fmt: skip


@pytest.fixture
async def near(world: World) -> World:
    """Somebody who was outside the zone until 12:02."""
    await world.enter({"activations": [activation(1)], "requirements": [exclusion()]})
    await world.send_at("12:02", "D1", position(1, "12:01", AWAY), position(2, "12:02", AWAY))
    return world


async def open_now(world: World) -> list[Alert]:
    return await open_alerts(world.connection, AlertFilter(), None, 10)


async def told(world: World) -> list[str]:
    return await world.findings()


async def test_8_one_position_inside_is_a_critical_alert_and_no_finding(near: World) -> None:
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    (alert,) = await open_now(near)
    assert (alert.kind, alert.requirement_id, alert.severity) == ("EXCLUSION", "X1", Severity.CRITICAL)
    assert alert.possible is not None
    assert alert.possible.fate is EntryFate.POSSIBLE
    assert (alert.known_ms, alert.raised_ms, alert.occurrences) == (ms("12:03"), ms("12:04"), 0)
    assert await told(near) == []


async def test_8_the_exclusion_that_confirms_it_is_its_first_occurrence(near: World) -> None:
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    (first,) = await open_now(near)
    await near.send_at("12:05", "D1", position(4, "12:04", HOME))
    (alert,) = await open_now(near)
    assert (alert.alert_no, alert.severity, alert.occurrences) == (first.alert_no, Severity.CRITICAL, 1)
    assert alert.possible is None
    assert await told(near) == ["12:03–… EXCLUSION"]


async def test_8_with_the_opposite_verdict_it_is_a_warning_that_a_person_closes(near: World) -> None:
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    await near.send_at("12:05", "D1", position(4, "12:04", AWAY))
    (alert,) = await open_now(near)
    assert (alert.severity, alert.possible and alert.possible.fate) == (Severity.WARNING, EntryFate.NOT_CONFIRMED)
    await near.wait_until("15:00")
    assert [a.alert_no for a in await open_now(near)] == [alert.alert_no]


async def test_8_after_max_gap_it_is_not_confirmed_by_the_clock_alone(near: World) -> None:
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    await near.wait_until("12:17:59")
    assert [a.severity for a in await open_now(near)] == [Severity.CRITICAL]
    await near.wait_until("12:18")
    assert [a.severity for a in await open_now(near)] == [Severity.WARNING]


async def test_8_a_position_that_is_older_than_max_gap_raises_nobody(near: World) -> None:
    await near.send_at("12:40", "D1", position(3, "12:03", HOME))
    assert await open_now(near) == []


async def test_8_an_exclusion_alert_that_is_open_is_new_again_instead(near: World) -> None:
    await near.send_at("12:05", "D1", position(3, "12:03", HOME), position(4, "12:04", HOME))
    await near.send_at("12:08", "D1", position(5, "12:06", AWAY), position(6, "12:07", AWAY))
    (alert,) = await open_now(near)
    await act(near.connection, alert.alert_no, who="operator", action="acknowledged", now_ms=ms("12:08"))
    assert (await open_now(near))[0].acknowledged is not None
    await near.send_at("12:10", "D1", position(7, "12:09", HOME))
    (again,) = await open_now(near)
    assert (again.alert_no, again.acknowledged) == (alert.alert_no, None)
    assert [done.action for done in again.actions] == ["acknowledged", "unacknowledged"]
    assert await told(near) == ["12:03–12:06 EXCLUSION"]


async def test_8_outside_an_obligation_period_nothing_is_possible(world: World) -> None:
    night = [{"day": "MON", "start": "20:00", "end": "21:00"}]
    await world.enter({"activations": [activation(1)], "requirements": [exclusion(timetable=night)]})
    await world.send_at("12:04", "D1", position(1, "12:02", AWAY), position(2, "12:03", HOME))
    assert await open_now(world) == []


async def test_a_restart_changes_nothing(near: World) -> None:
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    await near.start()
    await near.turn()
    assert [a.severity for a in await open_now(near)] == [Severity.CRITICAL]
    await near.send_at("12:05", "D1", position(4, "12:04", OTHER))
    assert [a.severity for a in await open_now(near)] == [Severity.WARNING]


async def test_8_of_two_workers_that_settle_it_at_once_one_tells(near: World) -> None:
    """While a tag is corrected to somebody of another shard, both may judge it."""
    await near.send_at("12:04", "D1", position(3, "12:03", HOME))
    due = DueInTurn(timers=False, orders=False, entries=True, closed=False)

    async def settle(connection: Any, shard: int) -> tuple[int, int]:
        async with connection.transaction():
            own = OwnShards(2, frozenset({shard}))
            settled = await note_entries(
                connection, [], lambda *_: None, no_numbers, ms("12:05"), lambda _: True, due, own
            )
            await asyncio.sleep(0.1)  # the other waits for the row
            return settled

    async def no_numbers(*_: Any) -> list[int]:
        raise AssertionError("nothing is opened")

    other = await connect(near.dsn)
    try:
        one, two = await asyncio.gather(settle(near.connection, 0), settle(other, 1))
    finally:
        await other.close()
    assert sorted([one, two]) == [(0, 0), (0, 1)]
    assert await near.connection.fetchval("SELECT count(*) FROM alert_changes WHERE what = 'not confirmed'") == 1
