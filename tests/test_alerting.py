"""Findings become alerts in the turn that finds them (RULES.md section 8)."""

from __future__ import annotations

from typing import Any

from tests.service_world import World, event, position

NORTH = (-2.1753, 53.0057)
"""300 m from home."""
ALERTS = """
SELECT a.alert_no, a.kind, a.code, a.severity, a.requirement_id, a.closed_at, a.previous_alert_no,
       (extract(epoch FROM a.raised_at - a.known_at))::bigint AS late_s, count(o.finding_no) AS occurrences
FROM alerts a LEFT JOIN alert_occurrences o USING (alert_no) JOIN wearers w USING (wearer_no) WHERE w.wearer_id = 'W1'
GROUP BY a.alert_no ORDER BY a.raised_at, a.alert_no
"""
CLOSE = "UPDATE alerts SET closed_at = raised_at + interval '1 hour' WHERE closed_at IS NULL"


async def alerts(world: World, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in await world.connection.fetch(ALERTS)]


async def changes(world: World) -> list[str]:
    return [row["what"] for row in await world.connection.fetch("SELECT what FROM alert_changes ORDER BY change_no")]


async def out_at_seven(world: World) -> None:
    await world.send_at("18:55", "D1", position(1, "18:50", NORTH), position(2, "18:54", NORTH))
    await world.wait_until("19:00")


async def test_a_curfew_that_starts_while_away_is_an_alert_at_that_second(world: World) -> None:
    await out_at_seven(world)
    assert await alerts(world, "kind", "code", "severity", "late_s", "occurrences") == [("CURFEW", "AL08", 2, 0, 1)]
    assert await changes(world) == ["raised"]


async def test_an_alert_follows_its_finding_when_that_is_amended(world: World) -> None:
    await out_at_seven(world)
    await world.send_at("19:05", "D1", position(3, "19:02"), position(4, "19:04"))
    assert await alerts(world, "code", "occurrences") == [("AL09", 1)]
    assert await changes(world) == ["raised", "amended"]


async def test_a_second_violation_counts_on_the_open_alert_and_after_it_was_closed_makes_a_new_one_with_a_link(
    world: World,
) -> None:
    await out_at_seven(world)
    await world.send_at("19:05", "D1", position(3, "19:02"), position(4, "19:04"))
    await world.send_at("19:15", "D1", position(5, "19:12", NORTH), position(6, "19:14", NORTH))
    assert await alerts(world, "occurrences") == [(2,)]
    await world.connection.execute(CLOSE)
    await world.send_at("19:20", "D1", position(7, "19:17"), position(8, "19:19"))
    await world.send_at("19:30", "D1", position(9, "19:27", NORTH), position(10, "19:29", NORTH))
    (first, _, _), (_, previous, code) = await alerts(world, "alert_no", "previous_alert_no", "code")
    assert (previous, code) == (first, "AL10")


async def test_an_alert_whose_finding_is_withdrawn_stays_open_and_says_so(world: World) -> None:
    await out_at_seven(world)
    await world.send_at("19:20", "D1", position(3, "18:56"), position(4, "18:58"), position(5, "19:10"))
    assert [line for line in await world.findings() if "CURFEW" in line] == []
    assert await alerts(world, "closed_at", "occurrences") == [(None, 1)]
    assert await changes(world) == ["raised", "withdrawn"]


async def test_a_quick_clear_does_not_close_a_strap_tamper(world: World) -> None:
    await world.send_at("12:00", "D1", event(1, "12:00", "STRAP_TAMPER"))
    await world.send_at("12:01", "D1", event(2, "12:01", "STRAP_CLEAR"))
    assert await alerts(world, "kind", "severity", "closed_at") == [("TAMPER", 1, None)]


async def test_what_is_not_known_is_a_message_after_two_hours_and_not_before(world: World) -> None:
    await world.send_at("18:55", "D1", position(1, "18:50"), position(2, "18:54"))
    await world.wait_until("21:08:59")
    assert await alerts(world, "kind") == []
    await world.wait_until("21:09")
    assert await alerts(world, "kind", "severity") == [("UNVERIFIED", 4)]


async def test_it_survives_a_restart_that_something_waits(world: World) -> None:
    await world.send_at("18:55", "D1", position(1, "18:50"), position(2, "18:54"))
    await world.wait_until("19:45")
    await world.start()
    await world.wait_until("21:09")
    assert await alerts(world, "kind") == [("UNVERIFIED",)]
    await world.start()
    await world.wait_until("21:30")
    assert await alerts(world, "kind") == [("UNVERIFIED",)]
