"""Retention deletes what a turn has just read: the turn does not fail, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from alerts import AlertFilter, act, open_alerts, store
from emtrack.db.connect import connect
from emtrack.record.changes import are_noticed
from emtrack.record.quarantine import refused_by_reason
from emtrack.retention.rules import DEFAULTS, Kind
from emtrack.retention.runs import Ended, Run, begin_run, planned
from emtrack.retention.targets import OF_A_PERSON
from emtrack.service import worker as pipeline
from geofence import datetime_of
from tests.service_world import AWAY, World, activation, curfew, deployed, orders, position
from tests.test_put_aside import NEWEST_IS_NONSENSE, its_own_zone
from tests.test_quarantine import nobodys


async def run_of(connection: Any, world: World) -> Run:
    plan = await planned(connection, DEFAULTS, world.clock.now_ms())
    return await begin_run(connection, plan, "Ann")


async def delete_alerts_of(dsn: str, world: World, wearer_no: int) -> Run:
    connection = await connect(dsn)
    try:
        run = await run_of(connection, world)
        for target in OF_A_PERSON:
            if target.kind is Kind.ALERTS:
                await run._rows(target, wearer_no)
        return run
    finally:
        await connection.close()


async def out_in_the_evening(world: World, day: str, seq: int) -> None:
    await world.send_at(
        f"{day}T18:55", "D1", position(seq, f"{day}T18:50", AWAY), position(seq + 1, f"{day}T18:54", AWAY)
    )
    await world.wait_until(f"{day}T19:01")


async def test_a_closed_alert_is_not_deleted_between_a_turns_look_at_it_and_the_alert_that_follows_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(1)) as world:
        await out_in_the_evening(world, "02", 1)
        (first,) = await open_alerts(world.connection, AlertFilter(), None, 10)
        await world.send_at("03T07:01", "D1", position(10, "03T07:00"), position(11, "03T07:01"))
        async with world.connection.transaction():
            await act(
                world.connection, first.alert_no, who="Ann", action="closed", outcome="NO_ACTION", note="Called.", confirmed=True,
                now_ms=world.clock.now_ms(),
            )  # fmt: skip
        wearer_no = await world.connection.fetchval("SELECT wearer_no FROM alerts")
        whole, deleting = store._alerts_of, []

        async def and_then_they_go(connection: Any, keys: Any) -> Any:
            found = await whole(connection, keys)
            if not deleting and any(key[1] == "CURFEW" for key in keys):
                assert found.newest, "it was closed"
                deleting.append(asyncio.create_task(delete_alerts_of(world.dsn, world, wearer_no)))
                await asyncio.wait(deleting, timeout=0.3)
            return found

        monkeypatch.setattr(store, "_alerts_of", and_then_they_go)
        await out_in_the_evening(world, "03", 20)
        assert world.metrics.failed_turns._value.get() == 0
        assert deleting
        await deleting[0]


async def test_a_run_leaves_to_the_next_what_a_turn_adds_to_while_it_deletes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert gets an occurrence after those that it had were deleted, and before itself is."""
    async with deployed(database_url, orders(1)) as world:
        await out_in_the_evening(world, "02", 1)
        whole, added = Run._rows, []

        async def and_another_occurrence(self: Run, target: Any, of: Any) -> None:
            if target.table == "alerts":
                row = await world.connection.fetchrow("SELECT finding_no, alert_no FROM findings CROSS JOIN alerts")
                assert row is not None
                added.append(
                    await world.connection.execute(
                        "INSERT INTO alert_occurrences (finding_no, alert_no, added_at) VALUES ($1, $2, now())", *row
                    )
                )
            await whole(self, target, of)

        wearer_no = await world.connection.fetchval("SELECT wearer_no FROM alerts")
        with monkeypatch.context() as patched:
            patched.setattr(Run, "_rows", and_another_occurrence)
            await delete_alerts_of(world.dsn, world, wearer_no)
        assert added
        assert await world.count("alerts") == 1
        await delete_alerts_of(world.dsn, world, wearer_no)
        assert await world.count("alerts") == 0


async def test_what_rests_on_rows_that_no_turn_adds_to_ends_a_run(database_url: str) -> None:
    """A table that was forgotten is not passed over run by run."""
    async with deployed(database_url, orders(1)) as world:
        await out_in_the_evening(world, "02", 1)
        await world.connection.execute("CREATE TABLE forgotten AS SELECT request_no FROM raw_requests")
        await world.connection.execute(
            "ALTER TABLE forgotten ADD FOREIGN KEY (request_no) REFERENCES raw_requests (request_no)"
        )
        (target,) = (one for one in OF_A_PERSON if one.table == "raw_requests")
        run = await run_of(world.connection, world)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await run._rows(target, await world.connection.fetchval("SELECT wearer_no FROM wearers"))


async def test_whose_judgement_ended_is_judged_no_more_though_the_orders_cannot_be_read(database_url: str) -> None:
    """A run deletes the facts as soon as the service has taken that in; judged without them, what was found would be withdrawn."""
    async with deployed(database_url, orders(1, 2)) as world:
        await world.send_at("19:10", "D1", position(1, "19:05", AWAY), position(2, "19:09", AWAY))
        await world.send_at("19:40", "D1", position(3, "19:38"), position(4, "19:39"))
        await its_own_zone(world, 1)
        await world.connection.execute(NEWEST_IS_NONSENSE)
        await world.turn()
        assert await world.count("judgement_faults") == 1
        found, now_ms = await world.versions(), world.clock.now_ms()
        wearer_no = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
        ended = Ended(wearer_no, "W1", datetime_of(0), datetime_of(0), is_held=False)
        plan = (await planned(world.connection, DEFAULTS, now_ms))._replace(people=[ended])
        run = await begin_run(world.connection, plan, "Ann")
        assert await run._end_judgement("Ann", now_ms)
        await world.turn()
        assert await are_noticed(world.connection)
        assert world.worker.activations.wearers() == [
            await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W2'")
        ]
        await world.connection.execute("DELETE FROM positions")
        (refused,) = (await world.send_at("19:55", "D1", position(5, "19:03:30"))).refused
        assert refused.reason == "no_activation"
        await world.wait_until("19:58")
        assert await world.versions() == found


async def test_a_report_that_retention_deletes_while_it_is_read_again_is_neither_stored_nor_a_fault(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(1)) as world:  # what retention deletes is counted on
        await nobodys(world, 35)
        await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
        whole = pipeline.store_again

        async def deleted_before(connection: Any, *rest: Any) -> Any:
            other = await connect(world.dsn)
            try:
                await other.execute("DELETE FROM quarantine WHERE seq % 7 = 0")
            finally:
                await other.close()
            return await whole(connection, *rest)

        monkeypatch.setattr(pipeline, "store_again", deleted_before)
        await world.turn()
        assert world.metrics.failed_turns._value.get() == 0
        assert world.metrics.put_aside._value.get() == 0
        assert await world.count("positions") == 30
        assert await refused_by_reason(world.connection) == [("no_activation", 30, 30, 0)]
        await world.settle()
        assert await are_noticed(world.connection)
