"""What one person's orders cost does not go by how many others there are, and what is read at the start stops nothing else."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any
from unittest import mock

import pytest

from emtrack.db.connect import connect
from emtrack.forms.reading import read_orders
from emtrack.orders.entry import enter_orders
from emtrack.record.changes import are_noticed
from emtrack.service import activations as module
from emtrack.service import worker as worker_module
from emtrack.service.activations import LiveActivation, LiveActivations
from emtrack.service.costs import BY_ITSELF, USUAL
from emtrack.service.worker import MOST_RELOADED
from geofence import ActivationIndex
from ingest import RefusalReason
from tests.service_world import (
    AWAY,
    World,
    activation,
    as_judged_again,
    as_shown,
    curfew,
    event,
    ms,
    orders,
    position,
)

MANY = 40
INSTANTS = [ms(at) for at in ("09:00", "11:00", "13:00", "15:00", "03T09:00")]


def found_in(activations: LiveActivations, devices: range, wearers: range) -> list[Any]:
    """All that is found, by whatever it is looked for."""
    at = [[_name(activations.at(number, at_ms)) for number in devices] for at_ms in INSTANTS]
    of_tags = [[_name(activations.of_tag_at(f"D{n}", at_ms)) for n in range(MANY + 2)] for at_ms in INSTANTS]
    of_wearers = [[_name(live) for live in activations.of_wearers_at(wearers, at_ms)] for at_ms in INSTANTS]
    divided = [activations.are_of_one_shard(number, INSTANTS) for number in devices]
    return [at, of_tags, of_wearers, divided, activations.wearers(), sorted(live.number for live in activations)]


def _name(live: LiveActivation | None) -> int | None:
    return None if live is None else live.number


async def test_orders_of_one_person_leave_all_others_where_they_are(world: World) -> None:
    await world.enter(orders(*range(3, MANY)))
    await world.settle()
    added: Counter[str] = Counter()
    add = ActivationIndex.add

    def counted(self: Any, device: Any, plan: Any, item: Any) -> None:
        added[item.assignment.plan.activation.wearer_id] += 1
        add(self, device, plan, item)

    with mock.patch.object(ActivationIndex, "add", counted):
        await world.enter({"requirements": [curfew(7, grace_s=300)]})
        await world.settle()
    assert added == {"W7": 2}, "by its device's number and by its id"


@pytest.mark.parametrize("at_once", [MOST_RELOADED, 1], ids=["few", "more than a turn takes in"])
async def test_what_is_found_after_many_changes_is_what_is_found_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Devices that pass from one person to another, an activation that moves to another device, one that ends."""
    monkeypatch.setattr(worker_module, "MOST_RELOADED", at_once)
    await world.enter(orders(*range(3, MANY)))
    await world.settle()
    for form in (
        {"activations": [activation(3, to="2026-03-02T12:00:00Z")]},
        {"activations": [activation(50, device_id="D3", wearer_id="W4", **{"from": "2026-03-02T12:00:00Z"})]},
        {"activations": [activation(5, device_id="D41")]},
        {"activations": [activation(51, device_id="D5", wearer_id="W6")]},
        {"activations": [activation(52, device_id="D40", wearer_id="W40")], "requirements": [curfew(40)]},
    ):
        await world.enter(form)
        await world.settle()
    devices = range(1, 1 + await world.count("devices"))
    wearers = range(1, 1 + await world.count("wearers"))
    changed = found_in(world.worker.activations, devices, wearers)
    await world.start()
    assert changed == found_in(world.worker.activations, devices, wearers)
    assert False in changed[3], "some device is of two shards"


async def test_while_everybody_is_read_the_program_does_other_things(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ends the program, or looks at a page, waits for some of them and not for all."""
    await world.enter(orders(*range(3, MANY)))
    monkeypatch.setattr(module, "LOADED_AT_ONCE", 5)
    read = most = 0
    made = LiveActivations._lives

    def counted(self: LiveActivations, assignments: Any, sets: Any) -> dict[int, LiveActivation]:
        nonlocal read, most
        read += len(assignments)
        most = max(most, read)
        return made(self, assignments, sets)

    async def others() -> None:
        nonlocal read
        while True:
            read = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(LiveActivations, "_lives", counted)
    meanwhile = asyncio.create_task(others())
    await world.start()
    meanwhile.cancel()
    assert len(world.worker.activations) == MANY - 1
    assert most <= 5


ROWS_READ = """
SELECT relname, n_live_tup AS rows, seq_tup_read + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables
WHERE relname = ANY ($1)
"""
OF_PEOPLE = (
    "wearers", "devices", "activations", "activation_versions", "requirement_versions", "zones", "absences", "home_units",
    "checkpoints", "silence_progress", "older_checkpoints", "late_judgements", "findings", "finding_versions",
)  # fmt: skip


async def test_the_start_reads_what_is_on_record_of_everybody_once_however_many_there_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads some people after others, and for these none of what belongs to the others."""
    many = range(1, 241)
    absences = [
        {"wearer_id": f"W{n}", "from": "2026-03-02T20:00:00Z", "to": "2026-03-02T21:00:00Z", "reason": "work"}
        for n in many
    ]
    units = [
        {
            "hmu_id": f"H{n}",
            "wearer_id": f"W{n}",
            "requirement_id": f"C{n}",
            "from": "2026-03-02T08:00:00Z",
            "to": None,
        }
        for n in many
    ]
    await world.enter(orders(*many, absences=absences, home_units=units))
    await world.settle()
    for n in many:
        await world.submit(f"D{n}", event(1, "12:00", "STRAP_TAMPER"))
    await world.turn()
    await world.connection.execute("INSERT INTO late_judgements SELECT activation_no, '2026-03-02Z' FROM activations")
    await world.connection.execute("ANALYZE")
    monkeypatch.setattr(module, "LOADED_AT_ONCE", 10)
    before = await _rows_read(world)
    await world.start()
    after = await _rows_read(world)
    assert len(world.worker.activations) == len(many)
    for table in OF_PEOPLE:
        rows, read = after[table][0], after[table][1] - before[table][1]
        assert read <= 6 * max(rows, len(many)), (table, rows, read)


async def _rows_read(world: World) -> dict[str, tuple[int, int]]:
    await world.connection.execute("SELECT pg_stat_force_next_flush()")
    rows = await world.connection.fetch(ROWS_READ, list(OF_PEOPLE))
    return {row["relname"]: (row["rows"], row["read"]) for row in rows}


async def test_who_is_ended_while_everybody_is_read_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, stop = asyncio.Event(), asyncio.Event()

    async def endless(*_: Any) -> None:
        reading.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(LiveActivations, "_load_some", endless)
    await world.worker.close()
    world.begin_anew()
    working = asyncio.create_task(world.worker.run(stop))
    async with asyncio.timeout(20):
        await reading.wait()
        stop.set()
        await working
    assert not world.worker.ready.is_set()


async def test_an_activation_that_passes_to_another_person_while_everybody_is_read_is_there_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who enters orders began before everybody was read, and commits when some are."""
    await world.enter(orders(*range(3, MANY)))
    await world.settle()
    monkeypatch.setattr(module, "LOADED_AT_ONCE", 3)
    read, some, other = 0, LiveActivations._load_some, await connect(world.dsn)
    entering = other.transaction()
    await entering.start()
    form = json.dumps({"activations": [activation(1, wearer_id="W9")]})
    await enter_orders(other, read_orders(form, "orders.json"), who="officer", now_ms=world.clock.now_ms())

    async def committed_after_the_first(*arguments: Any) -> None:
        nonlocal read
        await some(*arguments)
        read += 1
        if read == 1:
            await entering.commit()

    monkeypatch.setattr(LiveActivations, "_load_some", committed_after_the_first)
    await world.start()
    await other.close()
    device_no = await world.device_no("D1")
    activations = world.worker.activations
    assert len(activations._by_device.of(device_no)) == 1
    await world.settle()
    await world.enter({"requirements": [curfew(1, grace_s=300)]})
    await world.settle()
    live = activations.at(device_no, ms("12:00"))
    assert live is not None
    assert live is activations.find(live.number)
    await world.send_at("12:05", "D1", position(1, "12:04"))


async def test_many_who_are_entered_at_once_are_taken_in_some_at_a_time_and_others_are_heard(world: World) -> None:
    """What their tags send meanwhile is kept, and judged when they are taken in. Nobody is told that all is taken in before it is."""
    many = range(3, 3 + 3 * MOST_RELOADED)
    last = f"D{many[-1]}"
    await world.enter(orders(*many))
    await world.send_at("19:30", "D1", position(1, "19:20", AWAY), position(2, "19:25", AWAY))
    assert [line["wearer_id"] for line in await world.lines() if line["kind"] == "CURFEW"] == ["W1"]
    assert len(world.worker.activations) == 2 + MOST_RELOADED
    answer = await world.send(last, position(1, "19:20", AWAY), position(2, "19:25", AWAY))
    assert [refused.reason for refused in answer.refused] == [RefusalReason.NO_ACTIVATION] * 2
    assert not await are_noticed(world.connection)
    await world.enter({"requirements": [curfew(1, grace_s=300)]})
    await world.turn()
    entry = world.worker.activations.by_number(1).assignment.plan.requirements[0]
    assert entry.grace_ms == 300_000, "one person's orders wait for nobody's"
    await world.settle()
    assert await are_noticed(world.connection)
    assert len(world.worker.activations) == 2 + len(many)
    found = {line["wearer_id"] for line in await world.lines() if line["kind"] == "CURFEW"}
    assert found == {"W1", f"W{many[-1]}"}


async def test_many_who_are_judged_for_the_first_time_keep_nobody_waiting(world: World) -> None:
    """As many in a turn as it can afford; who is due by the clock is judged at once."""
    await world.send_at("18:59", "D1", position(1, "18:50", AWAY), position(2, "18:58", AWAY))
    many = range(3, 3 + USUAL.turn // BY_ITSELF * 2)
    await world.enter(orders(*many))
    await world.start()  # they were judged never before
    await world.wait_until("19:01")
    assert [line["wearer_id"] for line in await world.lines() if line["kind"] == "CURFEW"] == ["W1"]
    waits = world.worker.activations.to_judge_again_count
    assert waits >= len(many) - USUAL.turn // BY_ITSELF
    await world.turn()
    assert waits - world.worker.activations.to_judge_again_count <= USUAL.turn // BY_ITSELF
    await world.settle()
    assert await as_shown(world) == await as_judged_again(world)
