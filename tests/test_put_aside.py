"""What cannot be processed is put aside, is seen, and can be tried again; everybody else is watched over meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emtrack.db.connect import connect
from emtrack.record.changes import are_noticed
from emtrack.record.quarantine import ask_to_examine, refused_by_reason
from emtrack.service.alerting import AlertsOfTurn
from emtrack.service.answers import read_body
from emtrack.service.beside import in_ever_smaller_slices
from emtrack.service.clocks import ClockWatch
from emtrack.service.deadline_clock import DeadlineClock
from geofence import datetime_of
from ingest import NotCommitted, Submission, store
from tests.service_world import AWAY, World, activation, curfew, deployed, event, ms, orders, position
from tests.test_pipeline import _failing_for, judged_from_export
from tests.test_quarantine import nobodys, unit

NOT_AT_TEN_PAST = "ALTER TABLE positions ADD CONSTRAINT poison CHECK (extract(minute FROM fix_time) <> 10)"
NO_POISON = "ALTER TABLE positions DROP CONSTRAINT poison"


async def test_one_report_in_quarantine_that_the_database_would_not_have_stops_nobody(world: World) -> None:
    await nobodys(world, 35)
    await world.connection.execute(NOT_AT_TEN_PAST)
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    assert (await world.send("D2", position(1, "11:59"))).refused == []
    await world.settle()
    assert await are_noticed(world.connection)
    assert await world.count("positions") == 34 + 1
    assert await refused_by_reason(world.connection) == [("no_activation", 35, 34, 1)]
    assert world.metrics.put_aside._value.get() == 1
    await world.start()
    await world.settle()
    assert world.metrics.put_aside._value.get() == 0, "it is not tried again by itself"
    await world.connection.execute(NO_POISON)
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.settle()
    assert await refused_by_reason(world.connection) == [("no_activation", 35, 35, 0)]


async def test_a_finding_of_what_was_in_quarantine_that_cannot_be_recorded_stops_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nobodys(world, 35)
    world.clock.at_ms = ms("12:10")
    monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A9", KeyError("A9")))
    everywhere = curfew(9, timetable=None)
    await world.enter({"activations": [activation(9)], "requirements": [everywhere]})
    for minute in range(5):
        assert (await world.send("D1", position(minute, f"12:0{minute}"))).refused == []
    await world.settle()
    assert await are_noticed(world.connection)
    assert await world.count("positions") == 35 + 5
    assert await world.count("judgement_faults") == 1
    monkeypatch.undo()
    await world.wait_until("12:12")
    assert [line for line in await world.findings() if "CURFEW" in line]


async def test_a_fault_at_what_the_clock_brings_is_found_though_reports_come_in_every_turn(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(*range(1, 6))) as world:
        for number in range(1, 6):
            await world.send_at("18:55", f"D{number}", position(1, "18:50", AWAY), position(2, "18:54", AWAY))
        monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A3", KeyError("A3")))
        for second in range(6):
            at = f"19:01:0{second}"
            assert (await world.send_at(at, "D1", position(10 + second, at, AWAY))).refused == []
        assert len([line for line in await world.findings() if "OUT_AT_START" in line]) == 4
        assert await world.count("judgement_faults") == 1


def fails_beyond_judgement_of(activation_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is set aside."""
    whole = ClockWatch.look

    def failing(self: ClockWatch, activations: Any, facts: Any, *rest: Any) -> Any:
        if any(activations.by_number(no).assignment.plan.activation.activation_id == activation_id for no in facts):
            raise KeyError(activation_id)
        return whole(self, activations, facts, *rest)

    monkeypatch.setattr(ClockWatch, "look", failing)


async def test_a_request_at_which_a_turn_fails_even_where_nobody_judges_it_is_kept_whole_and_stops_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_beyond_judgement_of("A1", monkeypatch)
    one, two = await world.submit("D1", position(1, "11:59")), await world.submit("D2", position(1, "11:59"))
    await world.turn()
    assert two.result().refused == []
    assert (one.result().ack, [refused.reason for refused in one.result().refused]) == ([1], ["unreadable"])
    monkeypatch.undo()
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.settle()
    assert await world.count("positions") == 2


async def test_a_report_in_quarantine_at_which_a_turn_fails_even_where_nobody_judges_it_is_passed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nobodys(world, 5)
    fails_beyond_judgement_of("A9", monkeypatch)
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    assert (await world.send("D2", position(1, "11:59"))).refused == []
    await world.settle()
    await world.turn()  # which says so
    assert await are_noticed(world.connection)
    assert world.metrics.put_aside._value.get() == 5
    assert await world.count("judgement_faults") == 1
    assert await refused_by_reason(world.connection) == [("no_activation", 5, 0, 5)]
    monkeypatch.undo()
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.settle()
    assert await refused_by_reason(world.connection) == [("no_activation", 5, 5, 0)]


# ---------------------------------------------------------------------------------------------- what home units said of themselves


async def three_with_a_unit(world: World, **of_third: Any) -> None:
    """Of whom the third is entered late: the unit said something each minute since 12:01."""
    await world.enter({"home_units": [unit(1), unit(2)]})
    world.clock.at_ms = ms("13:00")
    said = [event(n, f"12:{n:02}", "HMU_POWER_LOST" if n % 2 else "HMU_POWER_RESTORED") for n in range(1, 36)]
    await world.send("H1", *said)
    world.clock.at_ms = ms("13:10")
    await world.enter({"home_units": [unit(1), unit(2), unit(3, **of_third)]})


async def of_third(world: World) -> list[Any]:
    rows = await world.connection.fetch(
        "SELECT event_time, type, received_at FROM device_events WHERE device_no = $1 ORDER BY event_time",
        await world.device_no("D3"),
    )
    return [tuple(row) for row in rows]


@pytest.fixture
def ten_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_READ_AGAIN", 10)


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_what_a_unit_said_for_long_is_told_of_somebody_some_at_a_time(database_url: str) -> None:
    """Nobody is told that the orders are taken in before all of it is, and what was received first counts."""
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await three_with_a_unit(world)
        told, turns = 0, 0
        while not await are_noticed(world.connection):
            other = await world.submit("D1", position(turns, f"13:0{turns}"))
            again = await world.submit("D3", event(turns, "12:35", "HMU_POWER_LOST", hmu_id="H1"))
            await world.turn()
            assert other.result().refused == []
            assert len(await of_third(world)) - told <= 10
            told, turns = len(await of_third(world)), turns + 1
            if not await are_noticed(world.connection):
                assert isinstance(again.exception(), NotCommitted)
        assert turns == 4
        assert again.result().refused == [], "a duplicate of what the unit said before it"
        found = await of_third(world)
        assert len(found) == 35
        assert {received for *_, received in found} == {datetime_of(ms("13:00"))}
        assert await world.lines() == await judged_from_export(world)


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_a_unit_with_a_request_that_waits_to_be_heard_is_told_whole_however_often_it_is_sent_again(
    database_url: str,
) -> None:
    """Another shard stored it; each time that it is sent again it begins from the beginning."""
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await three_with_a_unit(world)
        await world.settle()
        number = await world.device_no("H1")
        since_ms, worker = ms("12:00"), world.worker
        again = Submission(number, [], asyncio.get_running_loop().create_future(), hear_since_ms=since_ms)
        units = [store.ToldTo(number, since_ms)]
        in_parts = await store.hear_again(world.connection, units, read_body, worker._tell)
        assert in_parts.unfinished == {number}
        worker._units_to_hear.add({number: since_ms}, 0)
        whole = await worker._hear_units(world.connection, [again])
        assert whole.unfinished == set()
        assert len({fact.fact_id for fact in whole.usable}) == 35


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_what_of_it_was_not_told_when_the_program_ended_is_told_after_it(database_url: str) -> None:
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await three_with_a_unit(world)
        await world.turn()
        await world.start()
        await world.settle()
        assert len(await of_third(world)) == 35
        assert await are_noticed(world.connection)


async def test_one_word_of_a_unit_that_the_database_would_not_have_of_somebody_stops_nobody(
    database_url: str,
) -> None:
    async with deployed(database_url, orders(1, 2, 3)) as world:
        poison = "ALTER TABLE device_events ADD CONSTRAINT poison CHECK (event_time < '2026-03-02T12:10Z') NOT VALID"
        await world.enter({"home_units": [unit(1), unit(2)]})
        await world.turn()
        await three_with_a_unit(world)
        await world.connection.execute(poison)
        await world.settle()
        assert await are_noticed(world.connection)
        assert len(await of_third(world)) == 9
        assert world.metrics.put_aside._value.get() == 26


async def test_a_finding_of_what_a_unit_said_that_cannot_be_recorded_stops_nobody(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await three_with_a_unit(world)
        monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A3", KeyError("A3")))
        await world.settle()
        assert await are_noticed(world.connection)
        assert len(await of_third(world)) == 35
        monkeypatch.undo()
        await world.wait_until("13:12")
        assert await world.lines() == await judged_from_export(world)


async def test_a_word_of_a_unit_at_which_a_turn_fails_even_where_nobody_judges_it_is_passed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(1, 2, 3)) as world:
        await three_with_a_unit(world)
        fails_beyond_judgement_of("A3", monkeypatch)
        await world.settle()
        await world.turn()  # which says so
        assert await are_noticed(world.connection)
        assert await world.count("judgement_faults") == 3, "each of whom the unit speaks, once"
        assert await of_third(world) == []
        assert world.metrics.put_aside._value.get() == 35


# ---------------------------------------------------------------------------------------------- orders of one person


NEWEST_IS_NONSENSE = """
UPDATE zones SET geometry = '{"type": "Nonsense"}' WHERE zone_no = (SELECT max(zone_no) FROM zones)
"""


async def its_own_zone(world: World, number: int) -> None:
    await world.enter(
        {"requirements": [curfew(number, geometry={"type": "Circle", "centre": list(AWAY), "radius_m": 61})]}
    )


async def test_orders_of_one_person_that_cannot_be_read_stop_the_watch_over_nobody_else(world: World) -> None:
    await its_own_zone(world, 2)
    await world.turn()
    whole = await world.connection.fetchval("SELECT geometry FROM zones ORDER BY zone_no DESC LIMIT 1")
    await world.connection.execute(NEWEST_IS_NONSENSE)
    await world.start()
    assert (await world.send("D1", position(1, "11:59"))).refused == []
    (refused,) = (await world.send("D2", position(1, "11:59"))).refused
    assert refused.reason == "no_activation"
    (fault,) = await world.connection.fetch(
        "SELECT activation_id, error FROM judgement_faults JOIN activations USING (activation_no)"
    )
    assert fault["activation_id"] == "A2"
    assert "Nonsense" not in fault["error"]
    await world.wait_until("12:00:30")
    assert await world.count("judgement_faults") == 1
    await world.connection.execute("UPDATE zones SET geometry = $1 WHERE geometry ->> 'type' = 'Nonsense'", whole)
    await world.wait_until("12:02")
    assert await world.count("quarantine_releases") == 1, "it was read again when they could be read"
    assert (await world.send("D2", position(2, "12:01"))).refused == []


async def test_while_changed_orders_cannot_be_read_somebody_is_judged_by_the_former_ones(world: World) -> None:
    await its_own_zone(world, 2)
    await world.turn()
    await its_own_zone(world, 1)
    await world.connection.execute(NEWEST_IS_NONSENSE)
    world.clock.at_ms = ms("19:05")
    assert (await world.send("D1", position(1, "19:01", AWAY), position(2, "19:03", AWAY))).refused == []
    assert await world.count("judgement_faults") == 1
    assert await world.versions() == ["CURFEW new SEEN_OUT"]


async def of_third_that_cannot_be_read(world: World) -> Any:
    """What a unit said is stored, of two; then a tag is entered for the third. Gives the zone as it should be."""
    earlier = activation(4, wearer_id="W3", **{"to": "2026-03-02T08:30:00Z"})
    await world.enter({"requirements": [curfew(3)], "activations": [earlier]})
    await three_with_a_unit(world)
    await world.settle()
    await world.enter({"activations": [activation(3)]})
    await its_own_zone(world, 3)
    whole = await world.connection.fetchval("SELECT geometry FROM zones ORDER BY zone_no DESC LIMIT 1")
    await world.connection.execute(NEWEST_IS_NONSENSE)
    return whole


@pytest.mark.parametrize("starts", ["goes on", "starts anew"])
async def test_what_a_unit_said_is_told_of_somebody_when_their_orders_can_be_read(
    database_url: str, starts: str
) -> None:
    async with deployed(database_url, orders(1, 2)) as world:
        whole = await of_third_that_cannot_be_read(world)
        if starts == "starts anew":
            await world.start()
        await world.settle()
        assert await of_third(world) == []
        await world.connection.execute("UPDATE zones SET geometry = $1 WHERE geometry ->> 'type' = 'Nonsense'", whole)
        await world.wait_until("13:12")
        await world.settle()
        assert len(await of_third(world)) == 35
        assert await are_noticed(world.connection)


async def test_where_nobodys_orders_can_be_read_the_service_does_not_begin(database_url: str) -> None:
    """Everybody's reports would be refused."""
    async with deployed(database_url, orders(*range(1, 31))) as world:
        await world.connection.execute("UPDATE zones SET geometry = '{}'")
        with pytest.raises(KeyError):
            await world.start()


# ---------------------------------------------------------------------------------------------- beside the turns


async def test_an_alert_that_cannot_be_looked_at_keeps_no_deadline_of_another(database_url: str) -> None:
    async with deployed(database_url, orders(*range(1, 6))) as world:
        for number in range(1, 6):
            await world.send_at("18:55", f"D{number}", position(1, "18:50", AWAY), position(2, "18:54", AWAY))
        await world.wait_until("19:01")
        worst = await world.connection.fetchval("SELECT min(alert_no) FROM alerts")
        await world.connection.execute(
            f"ALTER TABLE alert_occasions ADD CONSTRAINT poison CHECK (alert_no <> {worst})"
        )
        clock = DeadlineClock(world.dsn, world.clock, world.metrics, asyncio.Condition(), asyncio.Event())
        connection = await connect(world.dsn)
        try:
            while (await clock.look(connection)).more:
                pass
            assert await world.connection.fetchval("SELECT count(DISTINCT alert_no) FROM alert_occasions") == 4
            assert world.metrics.not_looked_at.labels("alert")._value.get() == 1
            await world.connection.execute("ALTER TABLE alert_occasions DROP CONSTRAINT poison")
            world.clock.at_ms += 61_000
            await clock.look(connection)
            assert await world.connection.fetchval("SELECT count(DISTINCT alert_no) FROM alert_occasions") == 5
        finally:
            await connection.close()


async def test_what_fails_with_the_database_is_no_fault_of_what_waits() -> None:
    async def cut(_: int) -> None:
        raise ConnectionResetError

    async def put_off() -> None:
        raise AssertionError("nothing is put off")

    with pytest.raises(ConnectionResetError):
        await in_ever_smaller_slices(200, cut, put_off)


async def test_of_a_whole_request_no_day_is_taken_for_made_of_which_a_position_was_too_far_ahead(
    world: World,
) -> None:
    await world.connection.execute(NOT_AT_TEN_PAST)
    await world.send("D1", position(1, "11:10"), position(2, "03T12:00"))
    await world.connection.execute(NO_POISON)
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.settle()
    assert (await world.count("positions"), await world.count("future_positions")) == (1, 1)
    world.clock.at_ms = ms("03T12:00")
    assert (await world.send("D2", position(1, "03T11:59"))).refused == []
