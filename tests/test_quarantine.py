"""What was refused is kept, and can be examined again when somebody asks for it."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emtrack.record.changes import are_noticed
from emtrack.record.quarantine import ask_to_examine, refused_by_reason
from emtrack.service import examining
from emtrack.service import worker as pipeline
from geofence import datetime_of
from ingest import NotCommitted, store
from ingest.wire import received_in
from tests.command_line import emtrack_aside
from tests.service_world import AWAY, HOME, World, activation, curfew, event, ms, orders, position
from tests.test_pipeline import _nul_in_hmu_id, judged_from_export

REFUSED = datetime_of(ms("18:59:30"))


async def refuse_as_an_older_version_did(world: World, *reports: dict[str, Any]) -> None:
    """Reports of D1 that can be used by the rules of today."""
    device_no = await world.device_no("D1")
    await world.connection.executemany(
        "INSERT INTO quarantine VALUES ($1, $2, $3, 1, $4, 'bad_time', 'as it was', $5)",
        [(900_000 + n, device_no, REFUSED, r["seq"], msgspec.msgpack.encode(r)) for n, r in enumerate(reports)],
    )
    await world.connection.execute(
        "INSERT INTO device_counts VALUES ($1, $2, 0, 0, $2) ON CONFLICT (device_no) DO UPDATE "
        "SET received = device_counts.received + $2, refused = device_counts.refused + $2",
        device_no,
        len(reports),
    )


async def examine(world: World) -> None:
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.turn()


async def test_what_can_be_used_by_now_is_stored_with_its_first_receipt_and_judged(world: World) -> None:
    await world.send_at("18:55", "D1", position(1, "18:50", AWAY), position(2, "18:54", AWAY))
    await world.wait_until("19:05")
    assert "19:00–… CURFEW OUT_AT_START" in await world.findings()
    await refuse_as_an_older_version_did(world, position(3, "18:59"), position(4, "18:58"))
    await examine(world)
    assert not any("OUT_AT_START" in line for line in await world.findings()), "they were home at 18:58"
    received = await world.connection.fetchval("SELECT max(received_at) FROM positions")
    assert received == REFUSED
    assert await world.lines() == await judged_from_export(world)
    (line,) = await refused_by_reason(world.connection)
    assert line == ("bad_time", 2, 2, 0)


async def test_what_still_cannot_be_used_stays_and_is_asked_for_only_once(world: World) -> None:
    await world.send("D1", position(1, "11:59", lat_deg=99), {"seq": "x"}, position(2, "07:00"))
    before = await world.connection.fetch("SELECT * FROM quarantine")
    await examine(world)
    assert await world.connection.fetch("SELECT * FROM quarantine") == before
    assert await world.count("quarantine_releases") == 0
    assert world.worker._examining.examination is pipeline.ORDERS_CHANGED


async def test_a_request_that_the_database_would_not_have_is_taken_apart_into_its_reports(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await world.submit(
        "D1", position(3, "11:59"), event(4, "11:59", "RF_IN", hmu_id="U"), position(5, "11:58", lat_deg=99), boot=7
    )
    monkeypatch.setattr("ingest.store._event_columns", _nul_in_hmu_id)
    await world.turn()
    assert [refused.reason for refused in bad.result().refused] == ["unreadable"]
    await examine(world)
    assert await world.count("quarantine_releases") == 0, "the database still would not have it"
    monkeypatch.undo()
    await examine(world)
    assert (await world.count("positions"), await world.count("device_events")) == (1, 1)
    assert await refused_by_reason(world.connection) == [("bad_coordinate", 1, 0, 1), ("unreadable", 1, 1, 0)]
    assert await world.connection.fetchval("SELECT array_agg(seq ORDER BY seq) FROM raw_reports WHERE boot = 7") == [
        3,
        4,
        5,
    ]


async def test_a_request_whose_reports_came_again_meanwhile_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = position(3, "11:59"), event(4, "11:59", "RF_IN", hmu_id="U")
    await world.submit("D1", *reports)
    with monkeypatch.context() as broken:
        broken.setattr("ingest.store._event_columns", _nul_in_hmu_id)
        await world.turn()
    await world.send("D1", *reports)
    await examine(world)
    assert (await world.count("positions"), await world.count("device_events")) == (1, 1)
    assert await world.connection.fetchval("SELECT outcome FROM quarantine_releases") == "duplicate"


async def test_it_is_examined_at_the_start_if_it_was_asked_for_while_the_service_was_down(world: World) -> None:
    await refuse_as_an_older_version_did(world, position(3, "11:58"))
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.start()
    await world.turn()
    assert await world.count("positions") == 1


async def test_an_examination_that_fails_stops_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await refuse_as_an_older_version_did(world, position(3, "11:58"))

    async def failing(*_: Any) -> Any:
        raise KeyError("in quarantine")

    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    monkeypatch.setattr("emtrack.service.worker.store_again", _if_asked_for(failing))
    assert (await world.send("D2", position(1, "11:59"))).refused == []
    assert await world.count("quarantine_releases") == 0


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_an_examination_that_fails_forgets_nothing_that_waited_for_orders(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nobodys(world, 35)
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    await world.turn()

    async def failing(*_: Any) -> Any:
        raise KeyError("in quarantine")

    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    with monkeypatch.context() as broken:
        broken.setattr("emtrack.service.worker.store_again", _if_asked_for(failing))
        await world.turn()
    assert not await are_noticed(world.connection)
    await world.start()
    await world.settle()
    assert await world.count("positions") == 35


def _if_asked_for(failing: Any) -> Any:
    whole = store.store_again

    async def examined(*arguments: Any) -> Any:
        return await (whole if arguments[-1] is store.ORDERS_CHANGED else failing)(*arguments)

    return examined


def test_a_body_that_is_no_request_has_no_reports() -> None:
    for body in (b"", b"{", b"\xc1", b"[1]", msgspec.msgpack.encode([b"\xc1"]), msgspec.msgpack.encode({"seq": 1})):
        assert received_in(body, 1) == []
    (one,) = received_in(msgspec.json.encode({"boot": 4, "reports": [position(1, "11:59")]}), 0)
    assert (one.boot, one.seq) == (4, 1)


async def test_the_commands_say_what_is_kept_and_ask_under_the_name_of_who_called(
    world: World, data_dir: Path
) -> None:
    settings = {"EMTRACK_DATABASE_URL": world.dsn, "EMTRACK_DATA_DIR": str(data_dir)}
    await world.send("D1", position(1, "11:59", lat_deg=99))
    listed = await emtrack_aside("quarantine", "list", **settings)
    assert listed.returncode == 0, listed.stderr
    assert [line.split() for line in listed.stdout.splitlines()][-1] == ["bad_coordinate", "1", "0", "1"]
    asked = await emtrack_aside("quarantine", "examine", **settings)
    assert "examines 1 refusals" in asked.stderr
    row = await world.connection.fetchrow("SELECT * FROM order_changes ORDER BY change_no DESC LIMIT 1")
    assert (row["what"], row["detail"]) == ("quarantine examined", {"kept": 1})
    assert row["changed_by"]


# ---------------------------------------------------------------------------------------------- more than a turn reads


@pytest.fixture
def ten_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_READ_AGAIN", 10)
    monkeypatch.setattr(store, "A_NEW_DAY", 5)


async def nobodys(world: World, count: int, device_id: str = "D9") -> None:
    """What a tag sent before it was entered, one each minute from 09:00."""
    await world.connection.execute("INSERT INTO devices (device_id, added_at) VALUES ($1, now())", device_id)
    await world.start()
    minutes = [f"{9 + n // 60:02}:{n % 60:02}" for n in range(count)]
    answer = await world.send(device_id, *(position(seq, at, AWAY) for seq, at in enumerate(minutes, 1)))
    assert len(answer.refused) == count


async def received_for_each(world: World) -> list[tuple[Any, ...]]:
    rows = await world.connection.fetch("SELECT fix_time, received_at FROM positions ORDER BY fix_time")
    return [tuple(row) for row in rows]


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_much_that_waited_for_orders_is_read_some_at_a_time_and_others_are_heard(
    world: World,
) -> None:
    """Who has more is told to send again meanwhile; nobody is told that the orders are taken in before it is done, and what was
    received first counts."""
    await nobodys(world, 35)
    first_ms = world.clock.at_ms
    world.clock.at_ms += 60_000
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    turns = 0
    while not await are_noticed(world.connection):
        again = await world.submit("D9", position(100 + turns, "09:34", AWAY))
        other = await world.submit("D1", position(100 + turns, f"11:{turns:02}"))
        stored = await world.count("positions")
        await world.turn()
        assert await world.count("positions") - stored <= 11
        assert other.result().refused == []
        if not await are_noticed(world.connection):
            assert isinstance(again.exception(), NotCommitted)
        turns += 1
    assert turns == 4
    assert again.result().refused == [], "a duplicate of what was received a minute before it"
    of_nine = [row for row in await received_for_each(world) if row[0] < datetime_of(ms("10:00"))]
    assert len(of_nine) == 35
    assert {received for _, received in of_nine} == {datetime_of(first_ms)}
    await world.settle()
    assert await world.lines() == await judged_from_export(world)


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_what_was_not_read_when_the_program_ended_is_read_after_it(world: World) -> None:
    await nobodys(world, 35)
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    await world.turn()
    await world.start()
    await world.settle()
    assert await world.count("positions") == 35
    assert await are_noticed(world.connection)


async def test_what_nothing_waits_for_is_not_read_again_at_each_start(world: World) -> None:
    """A stray tag fills the quarantine for months: nobody reads that before each start."""
    await nobodys(world, 35)
    await world.start()
    assert not world.worker._examining


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_days_that_are_new_are_made_a_few_in_a_turn(world: World) -> None:
    await world.connection.execute("INSERT INTO devices (device_id, added_at) VALUES ('D9', now())")
    await world.start()
    days = [f"2026-02-{day:02}T09:00:00Z" for day in range(1, 9)]
    await world.send("D9", *(position(seq, at, AWAY) for seq, at in enumerate(days, 1)))
    await world.enter({"activations": [activation(9, **{"from": "2026-02-01T00:00:00Z"})]})
    made = []
    while not await are_noticed(world.connection):
        before = len(await store.known_days(world.connection))
        await world.turn()
        made.append(len(await store.known_days(world.connection)) - before)
    assert (sum(made), max(made)) == (8, 2)
    assert await world.count("positions") == 8


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_one_with_much_keeps_no_other_device_behind_it(world: World) -> None:
    """Of two whose orders change one after the other, the second has little and does not wait for all of the first."""
    await nobodys(world, 55)
    await nobodys(world, 5, "D8")
    await world.enter({"activations": [activation(9)]})
    await world.turn()
    await world.enter({"activations": [activation(8, device_id="D8")]})
    for _ in range(2):
        await world.turn()
    device_no = await world.device_no("D8")
    assert await world.connection.fetchval("SELECT count(*) FROM positions WHERE device_no = $1", device_no) == 5
    await world.settle()
    assert await world.count("positions") == 60


async def test_in_parts_or_at_once_the_same_is_stored_and_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates and conflicts of two receipts, and a home unit's word beside the tag's own."""
    rng = random.Random(7)
    fixes = [(f"{9 + n // 60:02}:{n % 60:02}", rng.choice([HOME, AWAY])) for n in range(70)]
    await nobodys(world, 30)
    for seq, _ in enumerate(range(6)):
        world.clock.at_ms += 5_000
        some = [position(1_000 + 50 * seq + k, *rng.choice(fixes)) for k in range(40)]
        await world.send("D9", *some)
    form = {"activations": [activation(9)], "requirements": [curfew(9, timetable=None)]}
    async with world.connection.transaction():
        facts = []
        for most in (10_000, 7):
            await world.connection.execute("SAVEPOINT before")
            monkeypatch.setattr(store, "MOST_READ_AGAIN", most)
            await world.enter(form)
            await world.start()
            await world.settle()
            facts.append((await received_for_each(world), await world.lines()))
            await world.connection.execute("ROLLBACK TO SAVEPOINT before")
    assert facts[0] == facts[1]
    assert len(facts[0][0]) > 40


# ---------------------------------------------------------------------------------------------- of duplicates the first receipt


@pytest.mark.parametrize("is_one_workers", [True, False])
async def test_what_was_received_first_comes_first_whoever_gave_it_its_number(
    world: World, is_one_workers: bool
) -> None:
    """Workers hand out ids in blocks: a home unit's word that another worker kept earlier may have the higher one."""
    await nobodys_devices(world, "H1", "D9")
    ids = world.worker._fact_ids
    own = await ids.take(world.connection, 10)
    await world.send("H1", event(1, "11:00", "STRAP_TAMPER", tag="D9"))
    first = await a_minute_later(world)
    if not is_one_workers:
        ids._left = deque(own)
    await world.send("D9", event(1, "11:00", "STRAP_TAMPER"))
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)], "home_units": [unit(9)]})
    await world.settle()
    assert await receipt_of(world, "STRAP_TAMPER") == (first, "H1")


async def test_a_tag_and_its_home_unit_are_read_together_though_there_are_many_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than are looked at in a turn."""
    monkeypatch.setattr(examining, "MOST_DEVICES", 1)
    await nobodys_devices(world, "D9", "H1")
    await world.send("H1", event(1, "11:00", "STRAP_TAMPER", tag="D9"))
    first = await a_minute_later(world)
    await world.send("D9", event(1, "11:00", "STRAP_TAMPER"))
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)], "home_units": [unit(9)]})
    await world.settle()
    assert await receipt_of(world, "STRAP_TAMPER") == (first, "H1")


async def test_a_request_that_is_taken_apart_was_received_before_what_was_refused_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.submit("D1", position(3, "11:59"), event(4, "11:59", "RF_IN", hmu_id="U"))
    with monkeypatch.context() as broken:
        broken.setattr("ingest.store._event_columns", _nul_in_hmu_id)
        await world.turn()
    await refuse_as_an_older_version_did(world, position(5, "11:59"))
    await examine(world)
    assert [received for _, received in await received_for_each(world)] == [datetime_of(ms("12:00"))]
    assert await refused_by_reason(world.connection) == [("bad_time", 1, 1, 0), ("unreadable", 1, 1, 0)]


def unit(number: int, hmu_id: str = "H1") -> dict[str, Any]:
    return {
        "hmu_id": hmu_id, "wearer_id": f"W{number}", "requirement_id": f"C{number}", "from": "2026-03-01T00:00:00Z",
        "rf_gap_s": 14_400,
    }  # fmt: skip


async def nobodys_devices(world: World, *device_ids: str) -> None:
    await world.connection.executemany(
        "INSERT INTO devices (device_id, added_at) VALUES ($1, now())", [(device_id,) for device_id in device_ids]
    )
    await world.start()


async def receipt_of(world: World, what: str) -> tuple[Any, ...]:
    (row,) = await world.connection.fetch("SELECT received_at, sent_by FROM device_events WHERE type = $1", what)
    return tuple(row)


async def a_minute_later(world: World) -> Any:
    """The instant before it."""
    first = datetime_of(world.clock.at_ms)
    world.clock.at_ms += 60_000
    return first


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_who_is_not_read_yet_is_told_to_send_again_too(world: World) -> None:
    """Its orders changed while another has much."""
    await nobodys(world, 55)
    await nobodys(world, 5, "D8")
    first = await a_minute_later(world)
    await world.enter({"activations": [activation(9)]})
    await world.turn()
    await world.enter({"activations": [activation(8, device_id="D8")]})
    again = await world.submit("D8", position(100, "09:04", AWAY))
    await world.turn()
    assert isinstance(again.exception(), NotCommitted)
    await world.settle()
    assert {received for _, received in await received_for_each(world)} == {first}


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_a_home_unit_waits_for_the_tag_that_it_speaks_of(world: World) -> None:
    await nobodys(world, 35)
    await world.send("D9", event(200, "11:00", "STRAP_TAMPER"))
    await world.enter({"requirements": [curfew(9)], "home_units": [unit(9)]})
    await world.settle()
    first = await a_minute_later(world)
    await world.enter({"activations": [activation(9)]})
    again = await world.submit("H1", event(1, "11:00", "STRAP_TAMPER", tag="D9"))
    await world.turn()
    assert isinstance(again.exception(), NotCommitted)
    await world.settle()
    assert await receipt_of(world, "STRAP_TAMPER") == (first, None)


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_a_tag_waits_for_the_home_unit_that_speaks_of_it(world: World) -> None:
    """With its events: where it is no home unit says."""
    await nobodys_devices(world, "H1", "D9")
    await world.send("H1", *(event(n, f"10:{n:02}", "RF_IN", tag="D9") for n in range(1, 36)))
    await world.send("H1", event(100, "11:00", "STRAP_TAMPER", tag="D9"))
    first = await a_minute_later(world)
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)], "home_units": [unit(9)]})
    again = await world.submit("D9", event(1, "11:00", "STRAP_TAMPER"))
    place = await world.submit("D9", position(2, "11:01"))
    await world.turn()
    assert isinstance(again.exception(), NotCommitted)
    assert place.result().refused == []
    await world.settle()
    assert await receipt_of(world, "STRAP_TAMPER") == (first, "H1")


@pytest.mark.usefixtures("ten_in_a_turn")
async def test_a_tag_and_its_home_unit_are_read_together_though_they_were_entered_one_after_the_other(
    world: World,
) -> None:
    await nobodys(world, 35)
    await world.connection.execute("INSERT INTO devices (device_id, added_at) VALUES ('H1', now())")
    await world.start()
    await world.send("D9", event(200, "11:00", "STRAP_TAMPER"))
    first = await a_minute_later(world)
    await world.send("H1", event(1, "11:00", "STRAP_TAMPER", tag="D9"))
    await world.enter({"activations": [activation(9)], "requirements": [curfew(9)]})
    await world.turn()
    await world.enter({"home_units": [unit(9)]})
    await world.settle()
    assert await receipt_of(world, "STRAP_TAMPER") == (first, None)


# ---------------------------------------------------------------------------------------------- home units of many people


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MOST_RELOADED", 2)


def entered_with_units(*units: dict[str, Any]) -> dict[str, Any]:
    return orders(*range(3, 10), home_units=list(units))


@pytest.mark.usefixtures("two_at_once")
async def test_what_home_units_said_of_many_who_are_entered_at_once_does_not_stay_in_quarantine(world: World) -> None:
    """Of tags, and of themselves: it is read when who wears the tag is taken in."""
    await nobodys_devices(world, "H1", "H2")
    await world.send("H1", event(1, "11:50", "RF_IN", tag="D9"))
    await world.send("H2", event(1, "11:50", "HMU_POWER_LOST"))
    await world.enter(entered_with_units(unit(9), unit(9, "H2")))
    await world.settle()
    assert await are_noticed(world.connection)
    assert await world.count("device_events") == await world.count("quarantine_releases") == 2


@pytest.mark.usefixtures("two_at_once")
async def test_what_a_home_unit_said_of_itself_is_told_of_all_who_are_entered_at_once(world: World) -> None:
    await world.enter({"home_units": [unit(1)]})
    await world.settle()
    await world.send("H1", event(1, "11:50", "HMU_POWER_LOST"))
    await world.enter(entered_with_units(unit(9)))
    await world.settle()
    assert await world.count("device_events") == 2
    assert await world.lines() == await judged_from_export(world)


@pytest.mark.usefixtures("two_at_once")
async def test_the_first_receipt_counts_of_a_tag_whose_home_unit_is_entered_with_many(world: World) -> None:
    """The entry of the unit holds at once, and who wears the tag is taken in later."""
    await world.enter(orders(*range(3, 10)))
    await nobodys_devices(world, "H1")
    await world.send("H1", event(1, "11:50", "RF_IN", tag="D9"))
    first = await a_minute_later(world)
    await world.enter({
        "requirements": [curfew(n, grace_s=60) for n in range(3, 10)], "home_units": [unit(9)],
    })  # fmt: skip
    await world.submit("H1", event(2, "11:50", "RF_IN", tag="D9"))
    await world.settle()
    assert await receipt_of(world, "RF_IN") == (first, "H1")
