"""New rules of judgement: what had ended before they came into force stays as it was told, until something new reaches it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from emtrack.reading.rejudging import rejudgement
from emtrack.record.findings import NewVersion, add_versions
from emtrack.record.rules import ask_to_judge_again
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.costs import USUAL, Budget
from geofence import EntryId, Kind, datetime_of, version_of
from geofence.judgement import Finding
from tests.service_world import AWAY, HOME, World, activation, curfew, ms, orders, position

TOLD = "19:00–19:07 CURFEW OUT_AT_START"
"""By the first rules. Nobody had been seen out after 18:52, so that by those of today it is none."""


@pytest.fixture(params=[USUAL, Budget(-1, 0)], ids=["in the turn", "beside the turns"])
async def upgraded(world: World, request: pytest.FixtureRequest) -> World:
    """A service that judged by the first rules until 20:00, and whose checkpoints are of that time. What is judged again is so in
    the turn, or beside the turns."""
    await world.enter(orders(requirements=[curfew(1, seen_within_s=120)]))
    await world.send_at("18:53", "D1", position(1, "18:50", AWAY), position(2, "18:52", AWAY))
    await world.send_at("19:40", "D1", position(3, "19:35", HOME), position(4, "19:39", HOME))
    assert [line for line in await world.findings() if "CURFEW" in line] == []
    live = next(live for live in world.worker.activations if live.assignment.plan.activation.device_id == "D1")
    (requirement,) = live.assignment.plan.requirements
    told = Finding(
        Kind.CURFEW, ms("19:00"), ms("19:07"), ms("19:00"), "OUT_AT_START", False, requirement.requirement_id,
        EntryId(requirement.entry_id), ms("19:00"), (1, 2), "x" * 32,
    )  # fmt: skip
    under = {"rules": "1", "settings": "s", "requirement": version_of(requirement), "geometry": "g"}
    await add_versions(
        world.connection, [NewVersion(live.number, 900_000, 1, "new", "more facts came", told, under)], ms("19:05")
    )
    await world.connection.execute("UPDATE checkpoints SET plan_version = 'of the first rules'")
    await world.connection.execute("UPDATE older_checkpoints SET plan_version = 'of the first rules'")
    await world.connection.execute("UPDATE rules_in_force SET rules = '1'")
    await world.wait_until("20:00")
    world.budget = request.param
    await world.start()
    await world.settle()
    return world


async def curfews(world: World) -> list[str]:
    await world.settle()
    return [line for line in await world.findings() if "CURFEW" in line]


async def test_what_had_ended_before_new_rules_stays_as_it_was_told(upgraded: World) -> None:
    assert await curfews(upgraded) == [TOLD]
    await upgraded.send_at("20:05", "D1", position(10, "20:01", HOME), position(11, "20:04", HOME))
    assert await curfews(upgraded) == [TOLD]
    await upgraded.start()
    await upgraded.wait_until("20:30")
    assert await curfews(upgraded) == [TOLD]
    since = await upgraded.connection.fetch("SELECT rules, since FROM rules_in_force ORDER BY rules")
    assert [(row["rules"], row["since"]) for row in since] == [("1", None), ("2", datetime_of(ms("20:00")))]


async def test_a_late_fact_of_another_time_leaves_it(upgraded: World) -> None:
    await upgraded.send_at("20:05", "D1", position(10, "12:01", HOME))
    assert await curfews(upgraded) == [TOLD]


async def test_a_late_fact_of_its_time_reaches_it_and_the_amendment_says_by_which_rules(upgraded: World) -> None:
    await upgraded.send_at("20:05", "D1", position(10, "18:58", HOME), position(11, "18:59", HOME))
    assert await curfews(upgraded) == []
    assert await newest(upgraded) == ("withdrawn", "2")


async def test_corrected_orders_reach_it(upgraded: World) -> None:
    absence = {"wearer_id": "W1", "from": "2026-03-02T18:00:00Z", "to": "2026-03-02T22:00:00Z", "reason": "hospital"}
    await upgraded.enter(orders(requirements=[curfew(1, seen_within_s=120)], absences=[absence]))
    await upgraded.turn()
    assert await curfews(upgraded) == []


async def test_orders_of_another_time_leave_it(upgraded: World) -> None:
    absence = {"wearer_id": "W1", "from": "2026-03-05T18:00:00Z", "to": "2026-03-05T22:00:00Z", "reason": "hospital"}
    await upgraded.enter(orders(requirements=[curfew(1, seen_within_s=120)], absences=[absence]))
    await upgraded.turn()
    assert await curfews(upgraded) == [TOLD]


@pytest.mark.parametrize("starts", ["goes on", "starts anew"])
async def test_where_the_tag_was_on_somebody_else_it_is_withdrawn(upgraded: World, starts: str) -> None:
    """Also where the program ends before that is judged: then what the orders were before is forgotten."""
    await upgraded.enter({"activations": [activation(1, wearer_id="W101")]})
    if starts == "starts anew":
        await upgraded.start()
    await upgraded.turn()
    assert await curfews(upgraded) == []


async def newest(world: World) -> tuple[str, Any]:
    row = await world.connection.fetchrow(
        "SELECT change, decided_under FROM finding_versions WHERE finding_no = 900000 ORDER BY version DESC LIMIT 1"
    )
    assert row is not None
    under = row["decided_under"]
    return row["change"], (msgspec.json.decode(under) if isinstance(under, str) else under)["rules"]


async def test_who_asks_for_it_gets_the_rules_of_today_from_an_instant_on(upgraded: World) -> None:
    told = await rejudgement(upgraded.connection, ms("18:00"), ms("20:01"), ZoneSetCache())
    assert (told.counts, told.changed) == ({"CURFEW withdrawn": 1}, 1)
    assert await curfews(upgraded) == [TOLD], "that was only said"
    await ask_to_judge_again(upgraded.connection, ms("19:30"), "officer", ms("20:01"))
    await upgraded.wait_until("20:01")
    await upgraded.turn()
    assert await curfews(upgraded) == [TOLD], "it had ended by then"
    await ask_to_judge_again(upgraded.connection, ms("18:00"), "officer", ms("20:02"))
    await upgraded.start()
    for at in ("20:02", "20:03", "20:04"):
        await upgraded.wait_until(at)
    assert await curfews(upgraded) == []
    assert await newest(upgraded) == ("withdrawn", "2")
    await upgraded.turn()  # which says so
    done = await upgraded.connection.fetch("SELECT done_at FROM rejudgements ORDER BY rejudgement_no")
    assert all(row["done_at"] is not None for row in done)


async def test_a_late_fact_that_was_put_off_reaches_it_after_a_restart(upgraded: World) -> None:
    await upgraded.send_at("20:05", "D1", position(10, "18:58", HOME), position(11, "18:59", HOME))
    await upgraded.start()
    assert await curfews(upgraded) == []
    assert await newest(upgraded) == ("withdrawn", "2")
