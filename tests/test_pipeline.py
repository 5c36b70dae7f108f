"""The pipeline, turn by turn, with a clock that stands until the test moves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from emtrack.cli.findings import stored_findings
from emtrack.db.connect import connect
from emtrack.emulator import build_world
from emtrack.files.evaluate import evaluate
from emtrack.files.export import export_to
from emtrack.forms.lines import finding_lines
from emtrack.forms.reading import read_orders
from emtrack.people.looks import commander
from emtrack.service import worker as pipeline
from emtrack.service.alerting import AlertsOfTurn
from emtrack.settings import Settings
from geofence.judgement.judge import ActivationJudge
from geofence.words import parse_instant
from ingest.inbox import NotCommitted
from tests.service_world import (
    AWAY,
    World,
    activation,
    assert_conserved,
    curfew,
    deployed,
    event,
    ms,
    orders,
    position,
)  # fmt: skip

NORTH = (-2.1753, 53.0057)
"""300 m from home."""

ANN = commander("Ann (command line)")


def of(lines: list[str], *, without: str = "UNVERIFIED") -> list[str]:
    return [line for line in lines if without not in line]


async def away_before_seven(world: World, first: int = 1) -> None:
    await world.send_at("18:55", "D1", position(first, "18:50", NORTH), position(first + 1, "18:54", NORTH))


# ---------------------------------------------------------------------------------------------- the clock is an event


async def test_a_curfew_that_starts_while_away_needs_no_new_fix(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("18:59:59")
    assert of(await world.findings()) == []
    await world.wait_until("19:05")
    assert of(await world.findings()) == ["19:00–… CURFEW OUT_AT_START"]


async def test_all_of_a_turn_runs_on_another_version_of_the_server_too(server_15_url: str) -> None:
    async with deployed(server_15_url, orders(1)) as world:
        await away_before_seven(world)
        await world.send("D1", position(1, "18:50", NORTH), event(3, "18:56", "STRAP_TAMPER"))
        await world.wait_until("19:05")
        await world.start()
        await world.send_at("19:10", "D1", position(4, "19:06"), position(5, "19:08"))
        found = of(await world.findings())
        assert [line for line in found if "CURFEW" in line] == ["19:00–19:06 CURFEW RETURNED_LATE"]
        assert any("TAMPER" in line for line in found)
        assert await world.count("alerts") == 2
        await assert_conserved(world.connection)


async def test_it_is_found_at_the_very_instant_and_not_before(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:00")
    assert await world.findings() == ["19:00–… CURFEW OUT_AT_START"]


async def test_a_presence_that_lapses_is_unverified_after_the_limit_by_the_clock_alone(world: World) -> None:
    await away_before_seven(world)
    for at in ("19:09", "19:30", "19:39"):
        await world.wait_until(at)
    found = [line for line in await world.lines() if line["wearer_id"] == "W1"]
    assert [(f["kind"], f["reason"], f["end"]) for f in found] == [("CURFEW", "OUT_AT_START", "2026-03-02T19:09:00Z")]
    await world.wait_until("19:39:01")
    kinds = [(f["kind"], f["begin"][11:16]) for f in await world.lines() if f["wearer_id"] == "W1"]
    assert kinds == [("CURFEW", "19:00"), ("UNVERIFIED", "19:09")]


async def test_one_who_comes_back_is_returned_late_and_each_change_is_a_version(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:01")
    await world.send_at("19:06", "D1", position(10, "19:04"), position(11, "19:05"))
    assert of(await world.findings()) == ["19:00–19:04 CURFEW RETURNED_LATE"]
    assert await world.versions() == ["CURFEW new OUT_AT_START", "CURFEW amended RETURNED_LATE"]


async def test_silence_is_found_by_the_clock_and_ends_with_the_next_receipt(database_url: str) -> None:
    quiet = orders(activations=[activation(report_interval_s=60)])
    async with deployed(database_url, quiet) as world:
        await world.send_at("12:05", "D1", event(1, "12:05", "HEARTBEAT"))
        await world.wait_until("12:15")
        assert await world.findings() == []
        await world.wait_until("12:15:01")
        assert await world.findings() == ["12:15–… NO_COMMUNICATION"]
        await world.send_at("12:17", "D1", position(2, "12:01", lat_deg=99))
        await world.wait_until("12:18")
        assert await world.findings() == ["12:15–… NO_COMMUNICATION"], "a refused report is no communication"
        await world.send_at("12:20", "D1", position(3, "12:01"))
        assert await world.findings() == ["12:15–12:20 NO_COMMUNICATION"]


# ---------------------------------------------------------------------------------------------- restarts


async def test_a_restart_goes_on_exactly_where_it_was(world: World) -> None:
    await away_before_seven(world)
    await world.send(
        "D2", event(1, "18:00", "STRAP_TAMPER"), position(2, "18:59", AWAY), position(3, "18:59:30", AWAY)
    )
    await world.wait_until("19:02")
    before, versions = await world.lines(), await world.versions()
    for _ in range(2):
        await world.start()
        await world.turn()
        assert await world.lines() == before
        assert await world.versions() == versions
    await world.send_at("19:06", "D1", position(10, "19:04"), position(11, "19:05"))
    assert "19:00–19:04 CURFEW RETURNED_LATE" in await world.findings()


async def test_restarted_after_every_turn_or_never_the_findings_are_the_same(database_url: str) -> None:
    world_of_tags = build_world(6, 3, ms("02T17:00"))
    uploads = list(world_of_tags.uploads(ms("02T17:00"), ms("02T21:00")))
    form = json.loads(json.dumps(world_of_tags.orders()))
    async with deployed(database_url, form, at="17:00") as world:
        for number, upload in enumerate(uploads):
            world.clock.at_ms = max(world.clock.at_ms, upload.send_ms)
            if number % 7 == 0:
                await world.start()
            await world.send(upload.device_id, *upload.reports, boot=upload.boot)
        await world.wait_until("21:00")
        restarted = await world.lines()
        assert restarted == await judged_from_export(world)
        assert restarted


async def test_orders_changed_while_the_service_is_down_are_taken_in_at_its_start(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:02")
    await world.enter({"requirements": [curfew(1, timetable=[{"day": "MON", "start": "20:00", "end": "07:00"}])]})
    await world.start()
    await world.turn()
    assert of(await world.findings()) == []
    assert await world.versions() == ["CURFEW new OUT_AT_START", "CURFEW withdrawn OUT_AT_START"]


async def test_orders_entered_before_the_machines_clock_stepped_back_are_taken_in_at_the_start(
    database_url: str,
) -> None:
    async with deployed(database_url, at="12:00") as world:
        world.clock.at_ms = ms("13:00")
        await world.enter(orders(1))
        world.clock.at_ms = ms("12:30")
        await world.start()
        await world.turn()
        answer = await world.send("D1", position(1, "12:10"))
        assert answer.refused == []


# ---------------------------------------------------------------------------------------------- late and corrected


async def immutable(world: World) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: [tuple(row) for row in await world.connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]  # noqa: S608
        for table in ("finding_versions", "findings", "positions", "raw_reports", "device_events", "quarantine")
    }


async def test_late_facts_amend_and_withdraw_and_rewrite_nothing(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:08")
    first = await immutable(world)
    await world.send_at("19:09", "D1", position(20, "18:56"), position(21, "18:58"))
    assert of(await world.findings()) == [], "they were home at 18:56"
    await world.send_at("19:10", "D1", *(position(30 + i, f"19:0{i}", NORTH) for i in range(3, 9)))
    assert of(await world.findings()) == ["19:03–… CURFEW LEFT_DURING"]
    await world.send_at("20:10", "D1", *(position(40 + i, f"19:{i}", NORTH) for i in range(10, 60, 5)))
    await world.send_at("20:11", "D1", position(60, "19:01", NORTH), position(61, "19:02", NORTH))
    assert of(await world.findings())[0].startswith("19:01–")
    changes = {version.split()[1] for version in await world.versions()}
    assert changes == {"new", "amended", "withdrawn"}
    for table, rows in (await immutable(world)).items():
        assert set(map(repr, first[table])) <= set(map(repr, rows)), table


async def test_what_people_were_shown_can_be_asked_for_at_any_instant(world: World, data_dir: Path) -> None:
    await away_before_seven(world)
    await world.wait_until("19:05")
    await world.send_at("19:09", "D1", position(20, "18:56"), position(21, "18:58"))

    async def known(at: str) -> list[str]:
        settings = Settings(data_dir=data_dir, database_url=world.dsn)
        lines = await stored_findings(settings, ANN, ms(at), None, "W1")
        return [f"{json.loads(line)['kind']} {json.loads(line)['reason']}" for line in lines]

    assert await known("18:59") == []
    assert await known("19:06") == ["CURFEW OUT_AT_START"]
    assert await known("19:09") == []


async def test_a_varied_order_judges_again_and_keeps_the_version_a_finding_was_decided_under(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:05")
    world.clock.at_ms = ms("19:06")
    await world.enter({"absences": [
        {"wearer_id": "W1", "from": "2026-03-02T18:00:00Z", "to": "2026-03-02T19:30:00Z", "reason": "hospital"}
    ]})  # fmt: skip
    await world.turn()
    assert of(await world.findings()) == []
    await world.enter({"requirements": [curfew(1, grace_s=3600)]})
    await world.turn()
    rows = await world.connection.fetch(
        "SELECT why, decided_under FROM finding_versions ORDER BY recorded_at, version"
    )
    assert [row["why"] for row in rows][-1] == "orders were entered or changed"
    assert {"rules", "settings", "requirement", "geometry"} <= {
        name.removesuffix("_version") for name in rows[0]["decided_under"]
    }


# ---------------------------------------------------------------------------------------------- failures


async def test_a_judgement_that_fails_loses_no_fact_stops_no_other_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.turn()  # from here on they are judged on, and not from their start
    whole = ActivationJudge.advance

    def broken(self: ActivationJudge, *args: Any) -> Any:
        if self.plan.activation.activation_id == "A1":
            raise ZeroDivisionError("in the middle")
        return whole(self, *args)

    monkeypatch.setattr(ActivationJudge, "advance", broken)
    world.clock.at_ms = ms("19:05")
    one = await world.submit("D1", position(1, "19:01", AWAY), position(2, "19:03", AWAY))
    two = await world.submit("D2", position(1, "19:01", AWAY), position(2, "19:03", AWAY))
    await world.turn()
    assert (one.result().ack, two.result().ack) == ([1, 2], [1, 2])
    assert await world.findings() == ["19:01–… CURFEW SEEN_OUT"], "of the other wearer"
    fault = await world.connection.fetchrow("SELECT * FROM judgement_faults")
    assert "ZeroDivisionError" in fault["error"]
    assert "in the middle" not in fault["error"]
    monkeypatch.setattr(ActivationJudge, "advance", whole)
    await world.wait_until("19:05:30")
    assert len(await world.findings()) == 1
    await world.wait_until("19:06:01")
    assert await world.findings() == ["19:01–… CURFEW SEEN_OUT"] * 2


async def test_facts_of_a_failed_judgement_are_judged_after_a_restart_however_late_they_were(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = [(hour, minute) for hour in (15, 16, 17, 18) for minute in range(0, 60, 4)]
    fixes = [position(i, f"{hour}:{minute:02d}") for i, (hour, minute) in enumerate(minutes)]
    await world.send_at("19:20", "D1", *fixes)
    await world.send("D1", position(200, "19:10"), position(201, "19:14"))
    whole = ActivationJudge.advance

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(ActivationJudge, "advance", broken)
    await world.send_at("19:21", "D1", event(300, "13:00", "STRAP_TAMPER"))
    monkeypatch.setattr(ActivationJudge, "advance", whole)
    await world.start()
    await world.turn()
    assert "13:00–… TAMPER STRAP_TAMPER" in await world.findings()


@pytest.mark.parametrize(
    "error",
    [KeyError("A1"), ValueError("a name"), ZeroDivisionError(), asyncpg.DataError("NUL"), AssertionError()],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_after_judgement_is_a_fault_of_that_activation_and_its_facts_stay_facts(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A1", error))
    world.clock.at_ms = ms("19:05")
    one = await world.submit("D1", position(1, "19:01", AWAY), position(2, "19:03", AWAY))
    two = await world.submit("D2", position(1, "19:01", AWAY), position(2, "19:03", AWAY))
    await world.turn()
    assert [(done.result().ack, done.result().refused) for done in (one, two)] == [([1, 2], []), ([1, 2], [])]
    assert (await world.count("quarantine"), await world.count("positions")) == (0, 4)
    assert await world.findings() == ["19:01–… CURFEW SEEN_OUT"], "of the other wearer"
    (fault,) = await world.connection.fetch("SELECT error FROM judgement_faults")
    assert fault["error"].startswith(type(error).__name__)
    monkeypatch.undo()
    await world.wait_until("19:06:01")
    assert await world.findings() == ["19:01–… CURFEW SEEN_OUT"] * 2


async def test_a_fault_of_somebody_does_not_hide_that_another_tags_clock_is_wrong(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A1", KeyError("A1")))
    form = orders(1, 2, activations=[activation(number, report_interval_s=600) for number in (1, 2)])
    async with deployed(database_url, form) as world:
        for minute in range(0, 75, 5):
            world.clock.at_ms = ms("12:00") + minute * 60_000
            await world.submit("D1", position(minute, _minutes_after("12:00", minute)))
            await world.submit("D2", position(minute, _minutes_after("09:00", minute)))
            await world.turn()
        assert await world.count("judgement_faults") >= 10
        assert await world.count("wrong_clocks") == 1


def _minutes_after(at: str, minutes: int) -> str:
    return f"{int(at[:2]) + minutes // 60:02d}:{minutes % 60:02d}"


async def test_an_error_at_what_the_clock_brings_is_a_fault_of_that_activation_and_the_others_go_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, orders(*range(1, 6))) as world:
        for number in range(1, 6):
            await world.send_at("18:55", f"D{number}", position(1, "18:50", NORTH), position(2, "18:54", NORTH))
        monkeypatch.setattr(AlertsOfTurn, "take", _failing_for("A3", KeyError("A3")))
        world.clock.at_ms = ms("19:01")
        for _ in range(5):
            await world.turn()
        assert of(await world.findings()) == ["19:00–… CURFEW OUT_AT_START"] * 4
        assert await world.count("judgement_faults") == 1
        assert (await world.send("D3", position(3, "19:00", NORTH))).refused == []
        monkeypatch.undo()
        await world.wait_until("19:02:30")
        assert of(await world.findings()) == ["19:00–… CURFEW OUT_AT_START"] * 5


async def test_an_error_of_nobody_in_particular_fails_the_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: Any) -> None:
        raise KeyError("of all")

    monkeypatch.setattr(pipeline, "record_alive", failing)
    waiting = await world.submit("D1", position(1, "11:59"))
    with pytest.raises(KeyError):
        await world.turn()
    assert isinstance(waiting.exception(), NotCommitted)
    assert await world.count("quarantine") == 0


def _failing_for(activation_id: str, error: Exception) -> Any:
    """What raises alerts, with an error in it that shows for one activation."""
    whole = AlertsOfTurn.take

    async def failing(self: AlertsOfTurn, updates: Any, *rest: Any) -> Any:
        named = {u.live.assignment.plan.activation.activation_id for u in updates if u.fault is None}
        if activation_id in named:
            raise error
        return await whole(self, updates, *rest)

    return failing


async def test_a_request_that_cannot_be_stored_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no check foresaw: the database will not have one of the values."""
    one = await world.submit("D1", position(1, "11:59"), position(2, "11:59:30"))
    bad = await world.submit("D1", position(3, "11:59"), event(4, "11:59", "RF_IN", hmu_id="U"))
    two = await world.submit("D2", position(1, "11:59"))
    monkeypatch.setattr("ingest.store._event_columns", _nul_in_hmu_id)
    await world.turn()
    assert one.result() == type(one.result())([1, 2], [])
    assert two.result() == type(two.result())([1], [])
    assert bad.result().ack == [3, 4]
    assert [refused.reason for refused in bad.result().refused] == ["unreadable"]
    assert await world.count("quarantine") == 1


def _nul_in_hmu_id(items: Any) -> list[list[Any]]:
    return [
        [item.fact_id for item in items], [item.device_no for item in items], [None for _ in items],
        [item.report.type for item in items], ["\x00" for _ in items], [None for _ in items], [None for _ in items],
    ]  # fmt: skip


async def test_a_turn_that_fails_leaves_nothing_behind_and_tells_senders_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: Any) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(pipeline, "record_alive", cut)
    waiting = await world.submit("D1", position(1, "11:59"), event(2, "11:59", "STRAP_TAMPER"))
    with pytest.raises(ConnectionResetError):
        await world.turn()
    assert isinstance(waiting.exception(), NotCommitted)
    assert (await world.count("raw_reports"), await world.count("findings")) == (0, 0)
    monkeypatch.undo()
    await world.start()
    assert (await world.send("D1", position(1, "11:59"), event(2, "11:59", "STRAP_TAMPER"))).ack == [1, 2]
    assert await world.versions() == ["TAMPER new STRAP_TAMPER"]


async def test_two_services_cannot_write_one_database(world: World) -> None:
    impatient = pipeline.Pace(lock_patience_s=0.0)
    await pipeline.take_worker_lock(world.connection, impatient)
    other = await connect(world.dsn)
    try:
        with pytest.raises(pipeline.AlreadyServed, match="another database"):
            await pipeline.take_worker_lock(other, impatient)
    finally:
        await other.close()


# ---------------------------------------------------------------------------------------------- our own outages


async def test_the_time_before_the_first_start_is_an_outage_and_an_ordinary_run_has_none(world: World) -> None:
    first = ["–12:00 before the first start"]
    assert await world.outages() == first
    for at in ("12:00:01", "12:00:02", "12:00:03"):
        await world.wait_until(at)
    assert await world.outages() == first
    await world.start()
    assert await world.outages() == first, "not a moment passed"


async def test_the_time_in_which_the_service_did_not_run_is_an_outage_and_no_silence_of_a_device(
    database_url: str,
) -> None:
    async with deployed(database_url, orders(activations=[activation(report_interval_s=60)])) as world:
        await world.send_at("12:05", "D1", event(1, "12:05", "HEARTBEAT"))
        world.clock.at_ms = ms("13:00")
        await world.start()
        await world.turn()
        assert await world.outages() == [
            "–12:00 before the first start",
            "12:05–13:00 not running, or no commit was possible",
        ]
        await world.wait_until("13:10")
        assert await world.findings() == []
        await world.wait_until("13:10:01")
        assert await world.findings() == ["13:10–… NO_COMMUNICATION"]


async def test_a_time_without_a_commit_is_an_outage(world: World) -> None:
    world.stopwatch.stop()
    await world.wait_until("12:30")
    world.stopwatch.advance(4.9)
    await world.wait_until("12:30:05")
    assert len(await world.outages()) == 1
    world.stopwatch.advance(60)
    await world.wait_until("12:31:05")
    assert (await world.outages())[1:] == ["12:30:05–12:31:05 no commit for more than 5 s"]


async def test_a_turn_that_takes_longer_than_five_seconds_is_an_outage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stopwatch.stop()
    record_alive = pipeline.record_alive

    async def slow(*arguments: Any) -> None:
        world.stopwatch.advance(8)
        await record_alive(*arguments)

    await world.wait_until("12:30")
    monkeypatch.setattr(pipeline, "record_alive", slow)
    await world.wait_until("12:30:01")
    monkeypatch.setattr(pipeline, "record_alive", record_alive)
    await world.wait_until("12:30:09")
    assert (await world.outages())[1:] == ["12:30:01–12:30:09 no commit for more than 5 s"]


async def test_when_the_machines_clock_steps_back_ours_stands_still(world: World) -> None:
    await away_before_seven(world)
    await world.wait_until("19:05")
    before = await world.lines()
    await world.wait_until("18:00")
    assert await world.lines() == before
    await world.send("D1", position(10, "19:04:30", NORTH))
    received = await world.connection.fetchval("SELECT max(received_at) FROM positions")
    assert received.isoformat() == "2026-03-02T19:05:00+00:00"
    world.clock.at_ms = ms("18:30")
    await world.start()
    await world.turn()
    assert [line["begin"] for line in await world.lines()] == [line["begin"] for line in before]


# ---------------------------------------------------------------------------------------------- the same as evaluate


async def judged_from_export(world: World) -> list[dict[str, Any]]:
    """What `emtrack evaluate` says of the export of the database."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        folder = Path(name)
        await export_to(Settings(data_dir=folder, database_url=world.dsn), folder, ANN)
        form = read_orders((folder / "orders.json").read_text(), "orders.json", folder=folder)
        until_ms = parse_instant((folder / "until.txt").read_text().strip())
        evaluation = evaluate(form, folder / "positions.csv", folder / "events.csv", until_ms)
        assert evaluation.refused == []
        return [json.loads(line) for line in finding_lines(evaluation.findings)]


async def test_eight_hours_of_fifteen_wearers_are_judged_online_as_the_export_is_judged_at_once(
    database_url: str,
) -> None:
    """The emulator's standard world with all its faults: bursts, late uploads, copies, jumps, skewed clocks."""
    start_ms, end_ms = ms("02T15:00"), ms("02T23:00")
    tags = build_world(15, 3, start_ms)
    form = json.loads(json.dumps(tags.orders()))
    uploads = list(tags.uploads(start_ms, end_ms))
    async with deployed(database_url, form, at="15:00") as world:
        chunk: list[Any] = []
        for upload in uploads:
            if chunk and upload.send_ms - chunk[0].send_ms > 20_000:
                await take(world, chunk)
                chunk = []
            chunk.append(upload)
        await take(world, chunk)
        await world.wait_until("02T23:00:00")
        online = await world.lines()
        assert len({line["kind"] for line in online}) >= 4
        assert online == await judged_from_export(world)
        await assert_conserved(world.connection)
        assert await world.count("judgement_faults") == 0
        before = await world.versions()
        await world.start()
        await world.turn()
        assert (await world.lines(), await world.versions()) == (online, before)


async def test_a_zone_set_is_judged_online_as_its_export_is_judged_at_once(database_url: str) -> None:
    """The emulator's people, none of whom may go near the curfew addresses of the others."""
    start_ms, end_ms = ms("02T15:00"), ms("02T19:00")
    tags = build_world(10, 3, start_ms)
    form = json.loads(json.dumps(tags.orders()))
    homes = {r["wearer_id"]: r["geometry"]["centre"] for r in form["requirements"] if r["kind"] == "CURFEW"}
    form["zone_sets"] = [{"set_id": "homes", "version": "1", "features": squares(homes)}]
    form["requirements"] += [
        {
            "requirement_id": f"{wearer}-homes", "wearer_id": wearer, "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z",
            "geometry": {"type": "ZoneSet", "set_id": "homes"}, "widen_m": 10, "buffer_m": 30,
        }
        for wearer in homes
    ]  # fmt: skip
    async with deployed(database_url, form, at="15:00") as world:
        for upload in tags.uploads(start_ms, end_ms):
            await take(world, [upload])
        await world.wait_until("02T19:00:00")
        online = await world.lines()
        assert len({line["zone_id"] for line in online if line["kind"] == "EXCLUSION"}) >= 5
        assert online == await judged_from_export(world)
        assert await world.count("judgement_faults") == 0


def squares(homes: dict[str, Any]) -> dict[str, Any]:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    rings = {who: [[lon + x * 0.001, lat + y * 0.0006] for x, y in corners] for who, (lon, lat) in homes.items()}
    features = [
        {"type": "Feature", "id": who, "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for who, ring in rings.items()
    ]
    return {"type": "FeatureCollection", "features": features}


async def take(world: World, chunk: list[Any]) -> None:
    world.clock.at_ms = max(world.clock.at_ms, chunk[-1].send_ms)
    waiting = [await world.submit(u.device_id, *u.reports, boot=u.boot) for u in chunk]
    await world.turn()
    for done, upload in zip(waiting, chunk, strict=True):
        assert done.result().ack == [report["seq"] for report in upload.reports]
