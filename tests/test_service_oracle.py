"""The running service against the plain oracle: random small worlds, any batching, re-deliveries, restarts.

A failure prints the world. In `make test` the same worlds come every time; in `make test-long` others, and the same ones again
with `SEED=…`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from emtrack.forms.errors import FormError
from emtrack.forms.from_core import orders_of
from emtrack.forms.reading import write_orders
from emtrack.record.facts import load_facts
from emtrack.record.findings import load_shown
from emtrack.record.plans import load_assignments
from emtrack.service.costs import USUAL, Budget
from geofence.facts import Fact, Position
from geofence.judgement import as_judged
from geofence.words import ALWAYS_MS, format_instant
from tests.db_fixtures import TEMPLATE, TestServer
from tests.scenarios.stage import empty_deployment
from tests.service_world import World as Service
from tests.test_oracle import HOUR_MS, LONG_WORLDS, MEMBERS_OF, World, by_the_rules, told, worlds

SEEDS = settings(
    max_examples=22, derandomize=True, deadline=None, print_blob=True,
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
FEW = settings(SEEDS, max_examples=4)
NOTHING = Budget(-1, 0)
"""Nothing is judged again in a turn."""
MANY = settings(SEEDS, max_examples=max(1, LONG_WORLDS // 25), derandomize=False)


@pytest.fixture(scope="module")
def stage() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def stage_url(stage: asyncio.Runner, embedded_test_server: TestServer) -> Iterator[str]:
    dsn = stage.run(embedded_test_server.create("worlds", TEMPLATE))
    yield dsn
    stage.run(embedded_test_server.drop("worlds"))


def report_of(seq: int, fact: Fact) -> dict[str, Any]:
    if isinstance(fact, Position):
        return {
            "seq": seq, "type": "position", "fix_time": format_instant(fact.fix_ms), "lat_deg": fact.lat_deg,
            "lon_deg": fact.lon_deg, "precision_m": fact.precision_m, "mechanism": str(fact.mechanism),
        }  # fmt: skip
    unit = {"hmu_id": fact.requirement_id} if fact.requirement_id else {}
    return {"seq": seq, "type": "event", "event": str(fact.type), "event_time": format_instant(fact.event_ms), **unit}


async def play(service: Service, world: World, rng: random.Random) -> None:
    """Facts in the order of their receipt, in portions, some again, with restarts in between."""
    reports = [(fact.received_ms, report_of(seq, fact)) for seq, fact in enumerate(world.facts, 1)]
    reports = sorted((r for r in reports if r[0] <= world.now_ms), key=lambda r: r[0])
    sent: list[dict[str, Any]] = []
    while reports:
        count = rng.choice([1, 1, 2, 5, 20])
        batch, reports = reports[:count], reports[count:]
        service.clock.at_ms = max(service.clock.at_ms, batch[-1][0])
        fresh = [report for _, report in batch]
        again = rng.sample(sent, min(len(sent), rng.choice([0, 0, 2])))
        await service.send("D", *fresh, *again)
        sent += fresh
        if rng.random() < 0.15:
            await service.start()
    service.clock.at_ms = max(service.clock.at_ms, world.now_ms)
    await service.turn()


async def check(dsn: str, world: World, seed: int, budget: Budget = USUAL) -> None:
    begin_ms = min(world.plan.activation.from_ms, *(f.received_ms for f in world.facts), world.now_ms) - HOUR_MS
    form = json.loads(write_orders(orders_of([world.plan], MEMBERS_OF)))
    async with empty_deployment(dsn, {}, begin_ms) as service:
        service.budget = budget
        await service.start()
        try:
            await service.enter(form)
        except FormError as error:
            if error.overlaps is None:  # nothing else is wrong with the orders of a world
                raise
            reject()
        await play(service, world, random.Random(seed))
        await service.settle()
        now_ms = service.clock.at_ms
        (assignment,) = (await load_assignments(service.connection, service.worker._now_ms)).values()
        stored = (await load_facts(service.connection, [(assignment, ALWAYS_MS)]))[assignment.activation_no]
        shown = [as_judged(s.finding) for s in await shown_of(service)]
        assert told(shown) == by_the_rules(assignment.plan, stored, now_ms)
        assert await service.count("judgement_faults") == 0


async def shown_of(service: Service) -> list[Any]:
    assignments = await load_assignments(service.connection, service.worker._now_ms)
    found = await load_shown(service.connection, dict.fromkeys(assignments, None))
    return [item for items in found.values() for item in items]


@given(worlds(), st.integers(0, 2**32))
@SEEDS
def test_the_service_shows_what_the_rules_say(stage: asyncio.Runner, stage_url: str, world: World, seed: int) -> None:
    stage.run(check(stage_url, world, seed))


@given(worlds(), st.integers(0, 2**32))
@FEW
def test_the_service_shows_the_same_if_all_that_is_judged_again_is_put_off(
    stage: asyncio.Runner, stage_url: str, world: World, seed: int
) -> None:
    stage.run(check(stage_url, world, seed, NOTHING))


@pytest.mark.long
@pytest.mark.parametrize("budget", [USUAL, NOTHING], ids=["in the turn", "all is put off"])
@given(worlds(), st.integers(0, 2**32))
@MANY
def test_the_service_shows_what_the_rules_say_of_many_worlds(
    stage: asyncio.Runner, stage_url: str, budget: Budget, world: World, seed: int
) -> None:
    stage.run(check(stage_url, world, seed, budget))
