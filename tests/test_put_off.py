"""What costs too much for a turn is judged beside the turns: nobody else waits for it, and nothing of it is lost or told twice.

Here more than fifty facts are too much.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import emtrack.service.worker
from alerts import ChannelKind, NewChannel, add_channel
from emtrack.record.rules import ask_to_judge_again
from emtrack.service.costs import BY_ITSELF, Budget
from emtrack.service.slices import MOST_CHANGES
from geofence.words import format_instant
from tests.service_world import (
    AWAY,
    HOME,
    World,
    activation,
    as_judged_again,
    as_shown,
    curfew,
    deployed,
    ms,
    orders,
    position,
)

SEQ = iter(range(1, 100_000))
FEW = Budget(BY_ITSELF + 50, 2 * (BY_ITSELF + 50))
ALL_DAY = curfew(1, timetable=None)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url, orders(1, 2), at="08:00") as world:
        world.budget = FEW
        await world.start()
        yield world


async def out_in_the_night(world: World) -> None:
    """A day of W1: at home, a fix every ten minutes, out from 21:00 to 22:00."""
    for minute in range(0, 15 * 60, 10):
        at_ms = ms("09:00") + minute * 60_000
        place = AWAY if ms("21:00") <= at_ms < ms("22:00") else HOME
        await world.send_at(format_instant(at_ms), "D1", position(next(SEQ), format_instant(at_ms), place))


async def curfews(world: World, wearer_id: str = "W1") -> list[tuple[str, str | None]]:
    found = [line for line in await as_shown(world) if line["kind"] == "CURFEW" and line["wearer_id"] == wearer_id]
    return [(line["begin"][11:16], None if line["end"] is None else line["end"][11:16]) for line in found]


async def test_others_are_judged_in_the_turn_in_which_somebodys_orders_changed(world: World) -> None:
    await out_in_the_night(world)
    assert await curfews(world) == [("21:00", "22:00")]
    elsewhere = {"type": "Circle", "centre": list(AWAY), "radius_m": 60}
    await world.enter({"requirements": [curfew(1, geometry=elsewhere)]})
    world.clock.at_ms = ms("03T00:10")
    await world.send("D2", *(position(next(SEQ), f"03T00:0{n}", AWAY) for n in (5, 6)))
    assert await curfews(world, "W2") == [("00:05", None)]
    assert await curfews(world) == [("21:00", "22:00")], "not judged again yet"
    await world.settle()
    assert await curfews(world) != [("21:00", "22:00")]
    assert await as_shown(world) == await as_judged_again(world)


async def test_what_comes_while_somebody_waits_is_judged_when_it_is_taken_over(world: World) -> None:
    await out_in_the_night(world)
    await world.enter({"requirements": [ALL_DAY]})
    await world.turn()
    (live,) = world.worker.activations.waiting()
    waiting = live.waiting
    assert waiting is not None
    while waiting.rebuilt is None:  # noqa: ASYNC110  another process: there is nothing to wait on but its answer
        await asyncio.sleep(0.01)
    rebuilt, waiting.rebuilt = waiting.rebuilt, None  # as if it took longer
    await world.send_at("03T00:10", "D1", *(position(next(SEQ), f"03T00:0{n}", AWAY) for n in (5, 6)))
    assert len(waiting.arrived) == 2
    waiting.rebuilt = rebuilt
    await world.settle()
    assert ("00:05", None) in await curfews(world)
    assert await as_shown(world) == await as_judged_again(world)


async def _cut(*_: object) -> None:
    raise ConnectionResetError


async def test_that_something_waits_is_said_after_a_minute_and_people_on_call_are_told_once_after_ten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await out_in_the_night(world)
    await world.wait_until("03T00:00")
    desk = NewChannel("desk", ChannelKind.EMAIL, "desk@centre.example", is_fallback=True)
    await add_channel(world.connection, desk, "test", world.clock.at_ms)
    await world.enter({"requirements": [ALL_DAY]})
    await world.turn()
    (live,) = world.worker.activations.waiting()
    waiting = live.waiting
    assert waiting is not None
    while waiting.rebuilt is None:  # noqa: ASYNC110  another process: there is nothing to wait on but its answer
        await asyncio.sleep(0.01)
    rebuilt, waiting.rebuilt = waiting.rebuilt, None  # as if it took longer
    watch = world.worker.watch
    await world.wait_until("03T00:00:50")
    assert (watch.late(), watch.trouble()) == (None, None)
    await world.wait_until("03T00:02")
    assert watch.late() == (
        "New reports or changed orders of 1 tag have been waiting to be judged for up to 2 min. Alerts about them may come late."
    )
    assert await world.count("messages") == 0
    await world.wait_until("03T00:10:15")  # from now on it is known to be overdue
    with monkeypatch.context() as patched:
        patched.setattr(emtrack.service.worker, "record_alive", _cut)
        with pytest.raises(ConnectionResetError):
            await world.wait_until("03T00:10:20")
    assert await world.count("messages") == 0, "the turn that told them was rolled back"
    for at in ("03T00:10:30", "03T00:10:40", "03T00:20"):
        await world.wait_until(at)
    (told,) = await world.connection.fetch("SELECT fields FROM messages")
    assert (told["fields"]["subject"], told["fields"]["topic"]) == ("emtrack is behind", "service")
    assert "W1" not in str(told["fields"])
    waiting.rebuilt = rebuilt
    await world.settle()
    assert watch.late() is None


async def test_while_somebody_waits_they_are_judged_as_before(world: World) -> None:
    await out_in_the_night(world)
    await world.enter({"requirements": [ALL_DAY]})
    await world.send_at("03T00:10", "D1", *(position(next(SEQ), f"03T00:0{n}", AWAY) for n in (5, 6)))
    assert await curfews(world) == [("21:00", "22:00"), ("00:05", None)]
    await world.settle()
    assert await as_shown(world) == await as_judged_again(world)
    assert await world.count("judgement_faults") == 0


async def late_by_hours(world: World) -> None:
    """At 23:50 it turns out that W1 was at home at 21:20."""
    home = [position(next(SEQ), at, HOME) for at in ("21:21", "21:22")]
    await world.send_at("23:50", "D1", *home)


async def test_facts_that_are_late_by_hours_are_stored_and_judged_beside_the_turns(world: World) -> None:
    await out_in_the_night(world)
    await world.wait_until("23:55")
    before = await world.count("finding_versions")
    await world.send_at("23:56", "D1", *(position(next(SEQ), f"09:{n:02}:30", AWAY) for n in range(1, 59)))
    assert await world.count("late_judgements") == 1
    assert await world.count("finding_versions") == before
    await world.settle()
    assert await world.count("late_judgements") == 0
    assert await as_shown(world) == await as_judged_again(world)


async def test_what_was_put_off_is_judged_after_a_restart(world: World) -> None:
    await out_in_the_night(world)
    await world.send_at("23:56", "D1", *(position(next(SEQ), f"21:{n:02}:30", HOME) for n in range(1, 59)))
    if await world.count("late_judgements"):
        assert await curfews(world) == [("21:00", "22:00")]
    await world.start()
    await world.settle()
    assert await world.count("late_judgements") == 0
    assert await as_shown(world) == await as_judged_again(world)
    assert await curfews(world) != [("21:00", "22:00")]


async def test_a_process_that_is_killed_is_started_again(world: World) -> None:
    await out_in_the_night(world)
    await world.enter({"requirements": [ALL_DAY]})
    await world.turn()
    rebuilder = world.worker._rebuilder
    (await rebuilder._started()).kill()
    await world.settle()
    assert await as_shown(world) == await as_judged_again(world)
    assert await world.count("judgement_faults") == 0


async def test_a_device_whose_backlog_waits_is_not_silent(world: World) -> None:
    """It is told so every ten minutes: a report is communication, whenever it is judged."""
    quick = activation(1, report_interval_s=600)
    await world.enter({"activations": [quick]})
    await out_in_the_night(world)
    for minute in (5, 15, 25, 35, 45):
        old = [position(next(SEQ), f"12:{minute + n:02}:30", AWAY) for n in range(5)]
        await world.send_at(f"03T00:{minute:02}", "D1", *old)
    assert [
        line
        for line in await as_shown(world)
        if line["kind"] == "NO_COMMUNICATION" and line["begin"] > "2026-03-02T10"
    ] == []
    await world.settle()
    assert await as_shown(world) == await as_judged_again(world)


async def test_everybody_is_judged_again_beside_the_turns_and_it_is_told_when_that_is_done(world: World) -> None:
    await out_in_the_night(world)
    await ask_to_judge_again(world.connection, ms("09:00"), "officer", world.clock.now_ms())
    await world.turn()
    asked = "SELECT count(*) FROM rejudgements WHERE done_at IS NULL"
    assert await world.connection.fetchval(asked) == 1
    await world.settle()
    await world.turn()
    assert await world.connection.fetchval(asked) == 0
    assert await as_shown(world) == await as_judged_again(world)


@pytest.mark.parametrize("year", [2001, pytest.param(1926, marks=pytest.mark.long)])
async def test_orders_that_begin_long_ago_are_taken_in_some_findings_at_a_time(world: World, year: int) -> None:
    """A typo: 1926 for 2026. Everybody else is judged in each of the turns, none of which records more than so many findings."""
    since = {"from": f"{year}-03-02T00:00:00Z"}
    await world.enter({"activations": [activation(3, **since)], "requirements": [curfew(3, **since)]})
    most, before, seq = 0, await world.count("finding_versions"), iter(range(1, 10_000))
    for minute in range(1_000):
        now_ms = ms("20:00") + minute * 60_000
        world.clock.at_ms = now_ms
        await world.send("D2", position(next(seq), format_instant(now_ms), AWAY))
        after = await world.count("finding_versions")
        most, before = max(most, after - before), after
        if not world.worker.activations.to_judge_again_count:
            break
        await asyncio.sleep(0.05)  # another process: there is nothing to wait on but its answer
    assert before > (2026 - year) * 365
    assert most <= MOST_CHANGES + 10
    assert await curfews(world, "W2") == [("20:00", None)]
    assert await as_shown(world) == await as_judged_again(world)


async def test_settings_for_everybody_are_taken_in_some_people_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in a turn here; the other is judged as before until then."""
    monkeypatch.setattr(emtrack.service.worker, "MOST_RELOADED", 1)
    for device in ("D1", "D2"):
        await world.send_at("19:10", device, *(position(next(SEQ), f"19:{n:02}", AWAY) for n in (5, 6)))
    await world.enter({"settings": {"max_gap_s": 300}})
    await world.turn()
    assert world.worker.activations.by_number(1).assignment.plan.settings.max_gap_ms == 300_000
    assert world.worker.activations.by_number(2).assignment.plan.settings.max_gap_ms == 900_000
    await world.turn()
    assert world.worker.activations.by_number(2).assignment.plan.settings.max_gap_ms == 300_000
    await world.wait_until("19:40")
    await world.settle()
    assert await as_shown(world) == await as_judged_again(world)
