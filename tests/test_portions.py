"""A turn in portions, with COPY, beside the plain road: one portion, and INSERT. The same rows, and nothing ahead of the disk."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import alerts.store
from emtrack.service import portions, recording
from emtrack.service import worker as pipeline
from emtrack.service.portions import Patience, TurnWork, judge_in_portions
from emtrack.service.recording import RecordedPart
from geofence import datetime_of, format_instant
from geofence.judgement.judge import ActivationJudge
from tests.service_world import (
    AWAY,
    DAYS,
    HOME,
    World,
    activation,
    curfew,
    deployed,
    event,
    ms,
    orders,
    position,
)  # fmt: skip

PEOPLE = range(1, 12)
ROWS = {
    "findings": "finding_no, activation_no, entry_no, kind, device_reason, home_unit, period_start",
    "finding_versions": "finding_no, version, recorded_at, change, why, begin_at, end_at, known_at, reason, within_grace,"
    " requirement_id, evidence, facts_hash, decided_under::text, zone_id",
    "alerts": "alert_no, wearer_no, activation_no, kind, requirement_id, code, severity, raised_at, known_at, previous_alert_no,"
    " closed_at, network, incident_no, state, counts_from, home_unit",
    "alert_occurrences": "finding_no, alert_no, added_at",
    "alert_changes": "alert_no, what, changed_at",
    "alert_timers": "finding_no, due_at",
    "presence_notes": "finding_no, noted_at, unknown_since",
    "network_silences": "finding_no, network, activation_no, begin_at, incident_no",
    "atv_lines": "finding_no, requirement_id, recorded_at, what, amount_ms, why",
    "atv_timers": "wearer_no, requirement_id, due_at",
    "silence_progress": "activation_no, heard_at, gap_end_at",
    "checkpoints": "activation_no, plan_version, fed_to, checkpoint",
}


ALERT_NUMBERS = ("alert_no", "previous_alert_no", "incident_no")


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions, so that few people make several, and what is worth a COPY."""
    monkeypatch.setattr(portions, "FIRST", 2)
    monkeypatch.setattr(portions, "PORTION", 3)
    monkeypatch.setattr(portions, "A_BREATH", 2)
    monkeypatch.setattr(recording, "MANY", 1)
    monkeypatch.setattr(alerts.store, "MANY", 1)


def form(chance: random.Random) -> dict[str, Any]:
    """People with curfews that begin together, some with grace, some of one network that falls silent together."""
    return orders(
        activations=[
            activation(n, network="N" if n % 2 else None, report_interval_s=chance.choice([900, 10**6])) for n in PEOPLE
        ],
        requirements=[
            curfew(n, grace_s=chance.choice([0, 0, 300]), timetable=[{"day": d, "start": "19:00", "end": "19:45"} for d in DAYS])
            for n in PEOPLE
        ],
    )  # fmt: skip


CLOSE_SOME = "UPDATE alerts SET closed_at = $1 WHERE wearer_no % 3 = 0 AND closed_at IS NULL"


async def live_through(world: World, chance: random.Random) -> None:
    """Two evenings, the same for the same chance: fixes, tampers, silence, late facts, and mostly the clock alone."""
    seq = 0
    for evening_ms in (ms("02T18:00"), ms("03T18:00")):
        for minute in range(0, 120, 6):
            at_ms = evening_ms + minute * 60_000
            world.clock.at_ms = at_ms
            for n in PEOPLE:
                if chance.random() < (0.9 if minute < 58 else 0.25):
                    place = HOME if chance.random() < 0.25 else AWAY
                    seq += 1
                    when = format_instant(max(evening_ms, at_ms - chance.choice([0, 60_000, 1_800_000])))
                    report = (
                        event(seq, when, "STRAP_TAMPER") if chance.random() < 0.05 else position(seq, when, place)
                    )
                    await world.submit(f"D{n}", report)
            await world.turn()
            for step_s in (15, 60, 61):
                world.clock.at_ms = at_ms + step_s * 1000
                await world.turn()
        await world.connection.execute(CLOSE_SOME, datetime_of(world.clock.now_ms()))
    await world.settle()


async def rows(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Alerts by their place among all: numbers that are taken and not used are lost."""
    fetch = world.connection.fetch
    numbers = [row["alert_no"] for row in await fetch("SELECT alert_no FROM alerts ORDER BY alert_no")]
    place = {number: at for at, number in enumerate(numbers)} | {None: None}
    found = {}
    for table, columns in ROWS.items():
        of_table = [dict(row) for row in await fetch(f"SELECT {columns} FROM {table}")]  # noqa: S608
        for row in of_table:
            row.update({name: place[row[name]] for name in ALERT_NUMBERS if name in row})
        found[table] = sorted((tuple(row.values()) for row in of_table), key=repr)
    return found


@pytest.mark.parametrize("seed", range(4))
async def test_portions_and_copy_leave_the_rows_of_the_plain_road(
    database_url: str, second_database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async with deployed(database_url, form(random.Random(seed))) as plain:
        plain.worker._can_copy_findings = False
        monkeypatch.setattr(portions, "FIRST", 10**6)
        await live_through(plain, random.Random(seed))
        expected = await rows(plain)
    make_small(monkeypatch)
    async with deployed(second_database_url, form(random.Random(seed))) as world:
        await live_through(world, random.Random(seed))
        found = await rows(world)
    assert min(len(expected[table]) for table in ("findings", "alerts", "atv_lines", "network_silences")) > 3
    assert any(row[9] is not None for row in expected["alerts"]), "some follow others"
    for table in ROWS:
        assert found[table] == expected[table], table


async def out_before_the_night(world: World) -> None:
    await world.enter(orders(*PEOPLE))
    await world.turn()
    for n in PEOPLE:
        await world.submit(f"D{n}", position(1, "18:54", AWAY), position(2, "18:59", AWAY))
    world.clock.at_ms = ms("18:59:30")
    await world.turn()
    world.clock.at_ms = ms("19:00")


@pytest.mark.usefixtures("small_portions")
async def test_a_write_that_fails_leaves_nothing_in_memory_or_on_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await out_before_the_night(world)
    before = {live.number: (live.state, live.shown, live.due_ms) for live in world.worker.activations}
    whole, written = RecordedPart.write, []

    async def cut(self: RecordedPart) -> None:
        written.append(len(self._updates))
        await whole(self)
        if len(written) == 3:
            raise ConnectionResetError

    monkeypatch.setattr(RecordedPart, "write", cut)
    with pytest.raises(ConnectionResetError):
        await world.turn()
    assert written == [2, 3, 3], "in portions, and the last was not begun"
    assert {live.number: (live.state, live.shown, live.due_ms) for live in world.worker.activations} == before
    assert (await world.count("findings"), await world.count("alerts")) == (0, 0)
    monkeypatch.setattr(RecordedPart, "write", whole)
    await world.turn()
    assert (await world.count("findings"), await world.count("alerts")) == (len(PEOPLE), len(PEOPLE))


@pytest.mark.usefixtures("small_portions")
async def test_a_judgement_that_fails_meanwhile_is_a_fault_of_that_activation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await out_before_the_night(world)
    whole = ActivationJudge.advance

    def broken(self: ActivationJudge, *rest: Any) -> Any:
        if self.plan.activation.activation_id == "A7":
            raise ZeroDivisionError
        return whole(self, *rest)

    monkeypatch.setattr(ActivationJudge, "advance", broken)
    await world.turn()
    assert await world.count("judgement_faults") == 1
    assert await world.count("alerts") == len(PEOPLE) - 1


@pytest.mark.usefixtures("small_portions")
async def test_a_turn_ends_early_when_a_report_waits_and_the_rest_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "LEAST_DUE", 3)
    await out_before_the_night(world)
    whole = RecordedPart.write

    async def somebody_reports(self: RecordedPart) -> None:
        await whole(self)
        if not world.inbox.filled:
            await world.submit("D1", event(9, "18:59:59", "STRAP_TAMPER"))

    monkeypatch.setattr(RecordedPart, "write", somebody_reports)
    await world.turn()
    monkeypatch.setattr(RecordedPart, "write", whole)
    assert await world.count("findings") == 5, "two, and the three that must be"
    await world.turn()
    found = await world.findings()
    assert (len(found), sum("TAMPER" in line for line in found)) == (len(PEOPLE) + 1, 1)


class Pieces:
    """Portions whose writing and adding a test has in hand."""

    def __init__(self, write: Callable[[], Awaitable[None]], add: Callable[[int], None]) -> None:
        self._write, self._add, self.made = write, add, 0

    def new(self) -> Pieces:
        self.made += 1
        return self

    def add(self, _: Any) -> None:
        self._add(self.made)

    async def write(self) -> None:
        await self._write()


class NoJudgement:
    async def judge_all(self, *_: Any) -> list[Any]:
        return []

    async def hold_numbers(self, _: int) -> None:
        pass

    def judge_by_clock(self, _: Any) -> None:
        pass


async def in_portions(pieces: Pieces) -> None:
    due: Any = range(10)
    work = TurnWork({}, [], due, [])
    await judge_in_portions(NoJudgement(), work, pieces.new, Patience(100, lambda: False))  # type: ignore[arg-type]


@pytest.mark.usefixtures("small_portions")
async def test_of_a_judgement_and_a_write_that_both_fail_neither_is_lost_in_the_background() -> None:
    async def cut() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    def failing(made: int) -> None:
        if made > 1:
            raise ZeroDivisionError

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with pytest.raises(ZeroDivisionError):
        await in_portions(Pieces(cut, failing))
    gc.collect()
    assert told == []


@pytest.mark.usefixtures("small_portions")
async def test_who_is_cancelled_twice_leaves_no_write_on_the_connection() -> None:
    begun, may_end, over = asyncio.Event(), asyncio.Event(), []

    async def slow() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await may_end.wait()
            over.append(True)

    turn = asyncio.create_task(in_portions(Pieces(slow, lambda _: None)))
    await begun.wait()
    for _ in range(2):
        turn.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not turn.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert over == [True]
