"""A fact that is late costs its window, not the history; and the findings are those of the whole history."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

import emtrack.record.fact_columns
import emtrack.service.rebuilding
from emtrack.record.fact_columns import LITTLE_MS, known_of
from emtrack.record.facts import load_facts
from geofence.judgement.judge import Checkpoint
from geofence.sweep import Known
from geofence.words import ALWAYS_MS
from tests.checkpoints_by_facts import checkpoints_by_facts
from tests.service_world import (
    AWAY,
    HOME,
    World,
    as_judged_again,
    as_shown,
    curfew,
    deployed,
    event,
    orders,
    position,
)

DAYS = 12


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    form = orders(requirements=[curfew(1), curfew(1, requirement_id="C2", timetable=None)])
    async with deployed(database_url, form, at="08:00") as world:
        yield world


def at(hours: float) -> str:
    """So many hours after 2 March 08:00."""
    whole = round(hours * 3600)
    day, rest = divmod(8 * 3600 + whole, 86_400)
    return f"2026-03-{2 + day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


async def live(world: World, hours: int, *, begin: int = 0) -> int:
    """A fix every 10 minutes: at home, and away for two hours of every nine. How many there were."""
    sent = 0
    for hour in range(begin, hours):
        place = AWAY if hour % 9 in (3, 4) else HOME
        fixes = [position(hour * 6 + n + 1, at(hour + n / 6), place) for n in range(6)]
        await world.send_at(at(hour + 5.5 / 6), "D1", *fixes)
        sent += len(fixes)
    return sent


class Cost:
    """How many facts were read from the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts = 0

        async def counted(*args: Any) -> Known:
            found = await known_of(*args)
            self.facts += len(found.fact_id) + len(found.events)
            return found

        monkeypatch.setattr(emtrack.service.rebuilding, "known_of", counted)


@pytest.mark.parametrize("late_h", [1, 5, 30, 100])
async def test_the_cost_of_a_late_fact_follows_its_window(
    world: World, monkeypatch: pytest.MonkeyPatch, late_h: int
) -> None:
    hours = DAYS * 24
    sent = await live(world, hours)
    cost = Cost(monkeypatch)
    late = [position(50_000 + n, at(hours - late_h + n / 60), AWAY) for n in range(2)]
    await world.send_at(at(hours), "D1", *late)
    assert cost.facts <= min(sent + 2, 6 * (4 * late_h + 2) + 2)
    assert cost.facts < sent / 2 or late_h > 50
    assert await as_shown(world) == await as_judged_again(world)


async def test_late_facts_one_by_one_each_cost_their_window(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = 6 * 24
    await live(world, hours)
    cost = Cost(monkeypatch)
    for n in range(12):  # a backlog of 10 hours that comes backwards
        await world.send_at(at(hours + n / 60), "D1", position(50_000 + n, at(hours - n - 0.05), AWAY))
    assert cost.facts <= 12 * 6 * (4 * 12 + 2)
    assert await as_shown(world) == await as_judged_again(world)


async def test_where_no_position_came_for_days_a_late_fact_costs_its_window_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = 5 * 24
    await world.send_at(at(0), "D1", position(1, at(0)))
    for hour in range(hours):
        sightings = [event(hour * 6 + n + 2, at(hour + n / 6), "RF_IN", hmu_id="C1") for n in range(6)]
        await world.send_at(at(hour + 5.5 / 6), "D1", *sightings)
    cost = Cost(monkeypatch)
    await world.send_at(at(hours), "D1", event(50_000, at(hours - 3), "RF_OUT", hmu_id="C1"))
    assert 0 < cost.facts <= 6 * (4 * 3 + 2)
    assert await as_shown(world) == await as_judged_again(world)


async def test_after_a_restart_and_after_varied_orders_there_is_a_checkpoint_to_begin_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = 5 * 24
    await live(world, hours)
    await world.enter(orders(requirements=[curfew(1, grace_s=600)]))
    await world.wait_until(at(hours + 0.01))
    await world.start()
    cost = Cost(monkeypatch)
    await world.send_at(at(hours + 0.1), "D1", position(50_001, at(hours - 3), AWAY))
    assert 0 < cost.facts <= 6 * (4 * 3 + 2)
    assert await as_shown(world) == await as_judged_again(world)


async def test_few_checkpoints_are_kept_however_long_the_history(world: World) -> None:
    await live(world, DAYS * 24)
    assert 6 <= await world.count("older_checkpoints") <= 14


async def known_to_checkpoints(world: World) -> list[Any]:
    """What the kept checkpoints say, and what the facts before them say."""
    (live,) = world.worker.activations
    rows = await world.connection.fetch("SELECT checkpoint FROM older_checkpoints ORDER BY fed_to")
    kept = [msgspec.msgpack.decode(row["checkpoint"], type=Checkpoint) for row in rows]
    facts = (await load_facts(world.connection, [(live.assignment, ALWAYS_MS)]))[live.assignment.activation_no]
    now_ms = world.clock.now_ms()
    return [
        (said(checkpoint), said(checkpoints_by_facts(live.judge, facts, [fed_ms + 1], now_ms)[-1]))
        for checkpoint in kept
        for fed_ms in [checkpoint.fed_to[0]]
    ]


def said(checkpoint: Checkpoint) -> Any:
    zones = [entry.zone for entry in checkpoint.entries.values()]
    runs = [(z.value, z.last_ms, z.run, z.last_holds_to_ms, z.sighted_to_ms, z.unit, z.last_out_ms) for z in zones]
    return checkpoint.fed_to, checkpoint.track, runs


async def test_kept_checkpoints_know_every_fact_before_them(world: World) -> None:
    hours = 4 * 24
    await live(world, hours)
    for n, late_h in enumerate([40, 9, 3, 20]):
        await world.send_at(at(hours + n / 60), "D1", position(50_000 + n, at(hours - late_h - 0.05), AWAY))
        pairs = await known_to_checkpoints(world)
        assert len(pairs) > 4
        for kept, by_the_facts in pairs:
            assert kept == by_the_facts


@pytest.mark.parametrize("seed", range(4))
async def test_facts_late_by_any_time_lead_to_the_findings_of_the_whole_history(world: World, seed: int) -> None:
    rng = random.Random(seed)
    now_h, late = 0.0, 0.0
    waiting: list[tuple[float, dict[str, Any]]] = []
    for step in range(1, 241):
        now_h += rng.choice([0.1, 0.2, 0.5])
        fix = position(step, at(now_h - rng.choice([0.01, 0.02])), rng.choice([HOME, HOME, AWAY]))
        waiting.append((now_h + rng.choice([0, 0, 0, 0.2, 1, 6, 20, 40]), fix))
        due = [fix for due_h, fix in waiting if due_h <= now_h]
        waiting = [item for item in waiting if item[0] > now_h]
        await world.send_at(at(now_h), "D1", *due)
        if step % 60 == 0:
            late += world.metrics.rejudged.labels("late")._value.get()
            await world.start()
            assert await as_shown(world) == await as_judged_again(world), f"seed {seed}, step {step}"
    await world.send_at(at(now_h + 0.1), "D1", *(fix for _, fix in waiting))
    assert await as_shown(world) == await as_judged_again(world), f"seed {seed}"
    assert late > 20, "most of them were judged from a checkpoint"


async def test_what_is_known_does_not_depend_on_how_it_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await live(world, 3)
    odd = position(50_000, at(2.9), AWAY) | {"precision_m": None, "mechanism": "LBS"}
    await world.send_at(at(3), "D1", odd, event(50_001, at(2.95), "STRAP_TAMPER"))
    (one,) = world.worker.activations
    ways = []
    for little_ms in (LITTLE_MS, 0):
        monkeypatch.setattr(emtrack.record.fact_columns, "LITTLE_MS", little_ms)
        known = await known_of(world.connection, one.assignment, ALWAYS_MS, world.clock.now_ms())
        ways.append((known.facts_after((ALWAYS_MS, 0)), [str(column.dtype) for column in known.received]))
    assert ways[0] == ways[1]
    assert len(ways[0][0]) == 20
