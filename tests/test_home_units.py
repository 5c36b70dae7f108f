"""Home units report for themselves: of tags that they are there to hear, of themselves, and of nobody else."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alerts import AlertFilter, open_alerts
from emtrack.files.evaluate import evaluate
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders, make_device_key, revoke_keys
from emtrack.record.entering import OrdersConflict
from emtrack.service.worker import USUAL_PACE
from geofence import Kind
from tests.command_line import emtrack
from tests.service_world import (
    AWAY,
    World,
    activation,
    assert_conserved,
    curfew,
    deployed,
    event,
    iso,
    ms,
    position,
    serving,
    settings_for,
    told,
)
from tests.test_pipeline import judged_from_export

RF_ONLY: dict[str, Any] = {"evidence": ["RF"]}


def unit(number: int = 1, hmu_id: str = "H1", **fields: Any) -> dict[str, Any]:
    """A home unit at the curfew address of a wearer."""
    return {
        "hmu_id": hmu_id, "wearer_id": f"W{number}", "requirement_id": f"C{number}", "from": "2026-03-01T00:00:00Z",
        "rf_gap_s": 14_400, **fields,
    }  # fmt: skip


def household(**fields: Any) -> dict[str, Any]:
    """Two people who live together with one home unit, and a third elsewhere."""
    people = {
        "activations": [activation(1, **RF_ONLY), activation(2, **RF_ONLY), activation(3)],
        "requirements": [curfew(1), curfew(2), curfew(3)],
        "home_units": [unit(1), unit(2)],
    }
    return people | fields


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url, household()) as world:
        yield world


async def events(world: World) -> list[str]:
    """Stored events: whose, when, what, of which unit and who sent it."""
    rows = await world.connection.fetch(
        "SELECT d.device_id, to_char(e.event_time AT TIME ZONE 'UTC', 'HH24:MI') AS at, e.type, e.hmu_id, e.sent_by "
        "FROM device_events e JOIN devices d USING (device_no) ORDER BY 2, 1, 3"
    )
    return [" ".join(value or "-" for value in row) for row in rows]


async def waiting(world: World) -> list[str]:
    rows = await world.connection.fetch("SELECT reason FROM quarantine ORDER BY fact_id")
    return [row["reason"] for row in rows]


# --------------------------------------------------------------------------------------------- what a unit may say


async def test_what_a_unit_hears_of_a_tag_is_a_fact_of_the_tag_and_names_the_unit_that_sent_it(world: World) -> None:
    answer = await world.send_at(
        "12:05",
        "H1",
        event(1, "12:00", "RF_IN", tag="D1"),
        event(2, "12:01", "STRAP_TAMPER", tag="D2"),
        event(3, "12:02", "BATTERY_LOW", tag="D2"),
        event(4, "12:03", "HEARTBEAT", tag="D1"),
    )
    assert (answer.ack, answer.refused) == ([1, 2, 3, 4], [])
    assert await events(world) == [
        "D1 12:00 RF_IN H1 H1",
        "D2 12:01 STRAP_TAMPER - H1",
        "D2 12:02 BATTERY_LOW - H1",
        "D1 12:03 HEARTBEAT H1 H1",
    ]
    assert await world.findings() == ["12:01–… TAMPER STRAP_TAMPER", "12:02–… BATTERY BATTERY_LOW"]
    assert await assert_conserved(world.connection) == {"H1": 4}


async def test_what_a_unit_says_of_itself_concerns_every_tag_that_it_is_there_to_hear_and_counts_once(
    world: World,
) -> None:
    answer = await world.send("H1", event(1, "12:00", "HMU_POWER_LOST"))
    assert (answer.ack, answer.refused) == ([1], [])
    assert await events(world) == ["D1 12:00 HMU_POWER_LOST H1 H1", "D2 12:00 HMU_POWER_LOST H1 H1"]
    assert await world.findings() == ["12:00–… HMU HMU_POWER_LOST"] * 2
    assert await assert_conserved(world.connection) == {"H1": 1}


async def test_a_unit_is_not_believed_about_a_tag_of_somebody_else(world: World) -> None:
    answer = await world.send(
        "H1",
        event(1, "12:00", "RF_OUT", tag="D3"),
        event(2, "12:00", "RF_OUT", tag="D9"),
        event(3, "12:00", "RF_IN", tag="H1"),
    )
    assert answer.ack == [1, 2, 3]
    assert [r.reason for r in answer.refused] == ["no_home_unit_entry"] * 3
    assert "no home unit of the wearer of 'D3'" in answer.refused[0].action
    assert "examined again" in answer.refused[0].action
    assert await events(world) == []
    assert await assert_conserved(world.connection) == {"H1": 3}


async def test_a_tag_speaks_for_no_other_and_cannot_say_who_sent_a_report(world: World) -> None:
    answer = await world.send(
        "D1",
        event(1, "12:00", "STRAP_TAMPER", tag="D2"),
        event(2, "12:00", "STRAP_CLEAR", tag="D1"),
        event(3, "12:01", "HEARTBEAT", sent_by="H1"),
        position(4, "12:01", tag="D2"),
        event(5, "12:02", "HEARTBEAT", tag=17),
    )
    assert [(r.seq, r.reason) for r in answer.refused] == [
        (1, "no_home_unit_entry"), (2, "no_home_unit_entry"), (4, "not_of_a_home_unit"), (5, "unreadable"),
    ]  # fmt: skip
    assert await events(world) == ["D1 12:01 HEARTBEAT - -"]


async def test_a_unit_sends_no_positions_and_says_of_which_tag_it_speaks(world: World) -> None:
    answer = await world.send(
        "H1",
        position(1, "12:00"),
        position(2, "12:00", tag="D1"),
        event(3, "12:00", "RF_IN"),
        event(4, "12:00", "HMU_MOVED", tag="D1"),
    )
    assert [(r.seq, r.reason) for r in answer.refused] == [(seq, "not_of_a_home_unit") for seq in (1, 2, 3, 4)]
    assert '"tag"' in answer.refused[2].action
    assert await world.count("device_events") == await world.count("positions") == 0


async def test_a_unit_that_names_another_unit_still_speaks_for_itself(world: World) -> None:
    await world.send("H1", event(1, "12:00", "RF_IN", tag="D1", hmu_id="H7", sent_by="H7"))
    assert await events(world) == ["D1 12:00 RF_IN H1 H1"]


async def test_a_report_that_is_sent_again_is_counted_and_changes_nothing(world: World) -> None:
    reports = [event(1, "12:00", "HMU_MOVED"), event(2, "12:01", "RF_IN", tag="D1")]
    await world.send("H1", *reports)
    again = await world.send("H1", *reports, event(3, "12:01", "RF_IN", tag="D1"))
    assert (again.ack, again.refused) == ([1, 2, 3], [])
    assert await world.count("device_events") == 3
    row = await world.connection.fetchrow("SELECT received, stored, duplicates, refused FROM device_counts")
    assert tuple(row) == (5, 2, 3, 0)
    await assert_conserved(world.connection)


async def test_of_one_turn_what_the_tag_sent_itself_counts_and_not_what_the_unit_heard(world: World) -> None:
    first = await world.submit("H1", event(1, "12:00", "BATTERY_LOW", tag="D1"))
    second = await world.submit("D1", event(1, "12:00", "BATTERY_LOW"))
    await world.turn()
    assert (first.result().refused, second.result().refused) == ([], [])
    assert await events(world) == ["D1 12:00 BATTERY_LOW - -"]


# --------------------------------------------------------------------------------------------- entries that change


async def test_a_unit_is_good_until_its_entry_ends_and_not_a_second_longer(world: World) -> None:
    await world.enter({"home_units": [unit(1, to="2026-03-02T13:00:00Z"), unit(2)]})
    answer = await world.send_at(
        "14:00",
        "H1",
        event(1, "12:59:59", "RF_IN", tag="D1"),
        event(2, "13:00", "RF_IN", tag="D1"),
        event(3, "13:00", "HEARTBEAT"),
    )
    assert [r.seq for r in answer.refused] == [2]
    assert await events(world) == ["D1 12:59 RF_IN H1 H1", "D2 13:00 HEARTBEAT H1 H1"]


async def test_what_was_refused_of_a_tag_that_is_entered_afterwards_is_taken_with_its_first_receipt(
    world: World,
) -> None:
    await world.send_at(
        "12:05", "H1", event(1, "12:00", "STRAP_TAMPER", tag="D3"), event(2, "12:01", "RF_IN", tag="D3")
    )
    assert await waiting(world) == ["no_home_unit_entry"] * 2
    world.clock.at_ms = ms("13:00")
    await world.enter({"home_units": [unit(1), unit(2), unit(3)]})
    await world.turn()
    assert await events(world) == ["D3 12:00 STRAP_TAMPER - H1", "D3 12:01 RF_IN H1 H1"]
    received = await world.connection.fetch("SELECT DISTINCT received_at FROM device_events")
    assert [row["received_at"].timestamp() * 1000 for row in received] == [ms("12:05")]
    assert await world.findings() == ["12:00–… TAMPER STRAP_TAMPER"]
    assert await assert_conserved(world.connection) == {"H1": 2}


async def test_what_a_unit_said_before_anybody_was_entered_waits_for_them(world: World) -> None:
    await make_device_key(settings_for(world.dsn), "H2", who="test")
    await world.turn()
    await world.send("H2", event(1, "12:00", "HMU_POWER_LOST"), event(2, "12:00", "RF_IN", tag="D3"))
    assert await waiting(world) == ["no_activation", "no_home_unit_entry"]
    await world.enter({"home_units": [unit(3, "H2")]})
    await world.turn()
    assert await events(world) == ["D3 12:00 HMU_POWER_LOST H2 H2", "D3 12:00 RF_IN H2 H2"]
    assert await assert_conserved(world.connection) == {"H2": 2}


@pytest.mark.parametrize("restarted", [False, True], ids=["while it runs", "while it is down"])
async def test_what_a_unit_said_of_itself_concerns_a_tag_that_is_entered_for_that_time_afterwards(
    world: World, restarted: bool
) -> None:
    await world.send_at("12:05", "H1", event(1, "12:01", "HMU_POWER_LOST"), event(2, "12:02", "HEARTBEAT", tag="D1"))
    await world.send_at("12:10", "H1", event(3, "12:09", "HMU_POWER_RESTORED"))
    world.clock.at_ms = ms("13:00")
    await world.enter({"home_units": [unit(1), unit(2), unit(3, **{"from": "2026-03-02T12:05:00Z"})]})
    if restarted:
        await world.start()
    await world.turn()
    assert [line for line in await events(world) if line.startswith("D3")] == ["D3 12:09 HMU_POWER_RESTORED H1 H1"]
    await world.enter({"home_units": [unit(1), unit(2), unit(3)]})
    await world.turn()
    of_the_third = [line for line in await events(world) if line.startswith("D3")]
    assert of_the_third == ["D3 12:01 HMU_POWER_LOST H1 H1", "D3 12:09 HMU_POWER_RESTORED H1 H1"]
    assert await world.findings() == ["12:01–12:09 HMU HMU_POWER_LOST"] * 3
    assert await assert_conserved(world.connection) == {"H1": 3}


async def test_a_tag_that_is_fitted_afterwards_gets_what_its_unit_said(world: World) -> None:
    await world.enter({"requirements": [curfew(4)], "home_units": [unit(4, "H4")]})
    await world.turn()
    await world.send("H4", event(1, "12:00", "HMU_MOVED"), event(2, "12:00", "RF_OUT", tag="D4"))
    assert await waiting(world) == ["no_home_unit_entry"] * 2
    await world.enter({"activations": [activation(4)]})
    await world.turn()
    assert await events(world) == ["D4 12:00 HMU_MOVED H4 H4", "D4 12:00 RF_OUT H4 H4"]


# --------------------------------------------------------------------------------------------- the order of arrival


def evening() -> list[tuple[str, list[dict[str, Any]]]]:
    """What a unit and two tags send from 18:00 on, each in batches as they might be delivered."""
    return [
        ("H1", [event(1, "18:00", "RF_IN", tag="D1"), event(2, "18:01", "RF_OUT", tag="D2")]),
        ("H1", [event(3, "19:20", "RF_OUT", tag="D1"), event(4, "19:30", "RF_IN", tag="D2")]),
        ("H1", [event(5, "19:40", "HMU_POWER_LOST")]),
        ("H1", [event(6, "20:10", "HMU_POWER_RESTORED"), event(7, "20:11", "RF_IN", tag="D1")]),
        ("H1", [event(8, "20:30", "STRAP_TAMPER", tag="D2"), event(9, "20:40", "HEARTBEAT")]),
        ("D3", [position(1, "19:00", AWAY), position(2, "19:05", AWAY)]),
    ]


EVENING = [
    "19:00–19:20 CURFEW OUT_AT_START",
    "19:00–19:30 CURFEW RETURNED_LATE",
    "19:20–19:55 CURFEW LEFT_DURING",
    "19:20–… UNVERIFIED",
    "19:40–20:10 HMU HMU_POWER_LOST",
    "19:40–20:10 HMU HMU_POWER_LOST",
    "19:55–… UNVERIFIED",
    "20:30–… TAMPER STRAP_TAMPER",
]
"""Whoever was seen in or out is so no longer 15 minutes after the unit lost its power."""
OF_THE_THIRD = {"19:00–19:20 CURFEW OUT_AT_START", "19:20–… UNVERIFIED"}


@pytest.mark.parametrize("seed", range(6))
async def test_findings_do_not_depend_on_the_order_in_which_reports_arrive(world: World, seed: int) -> None:
    """Received in one hour, in any order, in one turn or in several, some of it twice."""
    rng = random.Random(seed)
    batches = evening() + rng.sample(evening(), 2)
    rng.shuffle(batches)
    world.clock.at_ms = ms("20:45")
    for device, reports in batches:
        await world.submit(device, *reports)
        if rng.random() < 0.5:
            world.clock.at_ms += 1
            await world.turn()
    await world.turn()
    assert sorted(await world.findings()) == EVENING
    assert await world.lines() == await judged_from_export(world)
    await assert_conserved(world.connection)


@pytest.mark.parametrize("seed", range(8))
async def test_findings_do_not_depend_on_whether_orders_or_reports_came_first(database_url: str, seed: int) -> None:
    """Entries and activations are entered in any order between the reports, all of one instant; then all is as if orders had been
    there first."""
    rng = random.Random(seed)
    whole = household()
    steps: list[Any] = [("orders", {"activations": [row]}) for row in whole["activations"]]
    steps += [("orders", {"requirements": [row]}) for row in whole["requirements"]]
    steps += [("orders", {"home_units": [unit(3, "H3")]}), ("units", [unit(1)]), ("units", [unit(1), unit(2)])]
    steps += [("reports", batch) for batch in evening() if batch[0] == "H1"]
    rng.shuffle(steps)
    async with deployed(database_url) as world:
        await make_device_key(settings_for(world.dsn), "H1", who="test")
        world.clock.at_ms = ms("20:45")
        entered: list[dict[str, Any]] = []
        for what, step in steps:
            if what == "reports":
                await world.submit(step[0], *step[1])
            elif what == "units":
                entered = step if len(step) > len(entered) else entered
                await world.enter({"home_units": entered})
            else:
                await world.enter(step)
            if rng.random() < 0.5:
                await world.turn()
            if rng.random() < 0.1:
                await world.turn()
                await world.start()
        await world.turn()
        of_units = [
            line for line in await world.lines() if line["wearer_id"] != "W3" and line["kind"] != "NO_COMMUNICATION"
        ]
        assert sorted(map(told, of_units)) == [line for line in EVENING if line not in OF_THE_THIRD]
        assert await world.lines() == await judged_from_export(world)
        await assert_conserved(world.connection)


async def test_what_a_unit_sent_is_a_sign_of_life_of_a_tag_that_has_no_other_channel_and_of_no_other(
    database_url: str,
) -> None:
    both = [activation(1, report_interval_s=3600, **RF_ONLY), activation(2, report_interval_s=3600)]
    async with deployed(database_url, household(activations=both)) as world:
        await world.send_at("13:00", "H1", event(1, "13:00", "HEARTBEAT"))
        await world.send_at("14:00", "H1", event(2, "14:00", "RF_IN", tag="D1"), event(3, "14:00", "RF_IN", tag="D2"))
        silent = [
            (line["wearer_id"], line["begin"]) for line in await world.lines() if line["kind"] == "NO_COMMUNICATION"
        ]
        assert silent == [("W2", iso("13:09"))]
        assert await world.lines() == await judged_from_export(world)


# --------------------------------------------------------------------------------------------- an alcohol tag beside the other


ALCOHOL_TAG = activation(1, activation_id="A1b", device_id="S1", evidence=[])
ONCE = ["12:00–12:30 HMU HMU_POWER_LOST", "12:40–12:41 HMU HMU_MOVED"]


async def troubles(world: World) -> None:
    """The unit of the first two people loses its power, and is moved."""
    await world.send_at("12:30", "H1", event(1, "12:00", "HMU_POWER_LOST"), event(2, "12:30", "HMU_POWER_RESTORED"))
    await world.send_at("12:41", "H1", event(3, "12:40", "HMU_MOVED"), event(4, "12:41", "RF_IN", tag="D1"))


async def of_units(world: World) -> list[str]:
    return [f"{line['activation_id']} {told(line)}" for line in await world.lines() if line["kind"] == "HMU"]


async def test_a_trouble_of_a_home_unit_is_one_finding_of_a_person_who_wears_an_alcohol_tag_too(
    database_url: str,
) -> None:
    form = household(activations=[activation(1), ALCOHOL_TAG], home_units=[unit(1)])
    async with deployed(database_url, form) as world:
        await troubles(world)
        assert await of_units(world) == [f"A1 {line}" for line in ONCE]
        alerts = await open_alerts(world.connection, AlertFilter(), None, 10)
        assert [(alert.kind, alert.occurrences) for alert in alerts] == [("HMU", 2)]
        assert await world.lines() == await judged_from_export(world)


@pytest.mark.parametrize("first", ["the alcohol tag", "the reports", "the other tag"])
async def test_it_is_one_finding_whatever_was_entered_first(database_url: str, first: str) -> None:
    steps: dict[str, Any] = {
        "the alcohol tag": {"activations": [ALCOHOL_TAG]}, "the other tag": {"activations": [activation(1)]}, "the reports": None,
    }  # fmt: skip
    form = household(activations=[], home_units=[unit(1)])
    async with deployed(database_url, form) as world:
        for step in (first, *steps):
            if step == "the reports":
                await troubles(world)
            else:
                await world.enter(steps[step])
                await world.turn()
        assert await of_units(world) == [f"A1 {line}" for line in ONCE]
        assert await world.lines() == await judged_from_export(world)
        await assert_conserved(world.connection)


async def test_a_unit_that_stands_with_nobody_but_an_alcohol_tag_speaks_for_nobody_yet(database_url: str) -> None:
    form = household(activations=[ALCOHOL_TAG], home_units=[unit(1)])
    async with deployed(database_url, form) as world:
        answer = await world.send_at("12:01", "H1", event(1, "12:00", "HMU_MOVED"))
        (refused,) = answer.refused
        assert refused.reason == "no_home_unit_entry"
        assert "nobody with this home unit wore a tag that it speaks for" in refused.action
        await world.enter({"activations": [activation(1)]})
        await world.turn()
        assert await of_units(world) == ["A1 12:00–… HMU HMU_MOVED"]


async def test_a_trouble_that_is_said_of_the_alcohol_tag_itself_is_its_own_finding(
    database_url: str, tmp_path: Path
) -> None:
    """Whoever names the device means it, under its key as in a file."""
    form = household(activations=[activation(1), ALCOHOL_TAG], home_units=[unit(1)])
    async with deployed(database_url, form) as world:
        await world.send_at("12:01", "S1", event(1, "12:00", "HMU_POWER_LOST", hmu_id="H1"))
        assert await of_units(world) == ["A1b 12:00–… HMU HMU_POWER_LOST"]
    positions, events = tmp_path / "positions.csv", tmp_path / "events.csv"
    positions.write_text("device_id,fix_time,lat_deg,lon_deg,precision_m,mechanism\n")
    for sent_by in ("", "H1"):
        events.write_text(
            f"device_id,event_time,type,requirement_id,sent_by\nS1,{iso('12:00')},HMU_POWER_LOST,C1,{sent_by}\n"
        )
        found = evaluate(read_orders(json.dumps(form), "orders.json"), positions, events, ms("12:01")).findings
        assert [(a.activation_id, f.reason) for a, f in found if f.kind is Kind.HMU] == [("A1b", "HMU_POWER_LOST")]


# --------------------------------------------------------------------------------------------- what is entered


@pytest.mark.parametrize(
    "form",
    [
        {"activations": [activation(5, device_id="H1")]},
        {"home_units": [unit(3, "D3")]},
    ],
    ids=["a tag that is a unit", "a unit that is a tag"],
)
async def test_one_id_is_not_both_a_tag_and_a_home_unit(world: World, form: dict[str, Any]) -> None:
    with pytest.raises(OrdersConflict, match="would be a tag on somebody and a home unit"):
        await world.enter(form)


def shared_house(people: int, **fields: Any) -> dict[str, Any]:
    """So many people with one home unit; `fields` of the last entry."""
    units = [unit(n) for n in range(1, people + 1)]
    units[-1] |= fields
    numbers = range(1, people + 1)
    return {
        "activations": [activation(n) for n in numbers],
        "requirements": [curfew(n) for n in numbers],
        "home_units": units,
    }


TOO_MANY = (
    r"home_units\[20\]\.from: home unit 'H1' stands with 21 people from 2026-03-01T00:00:00Z on; expected at most 20"
)


async def test_a_unit_stands_with_at_most_twenty_people_at_one_time(database_url: str) -> None:
    async with deployed(database_url) as world:
        await world.enter(shared_house(20))
        with pytest.raises(FormError, match=TOO_MANY):
            await world.enter(shared_house(21))
        moved_in = "2026-03-02T12:00:00Z"
        moving = shared_house(21, **{"from": moved_in})
        moving["home_units"][0]["to"] = moved_in  # one leaves as the other comes
        await world.enter(moving)
        answer = await world.send_at("12:05", "H1", event(1, "12:00", "HMU_POWER_LOST"))
        assert (answer.refused, len(await events(world))) == ([], 20)


def test_every_door_refuses_a_unit_of_too_many_people(tmp_path: Path) -> None:
    orders, positions = tmp_path / "orders.json", tmp_path / "positions.csv"
    orders.write_text(json.dumps(shared_house(21), indent=1))
    positions.write_text("device_id,fix_time,lat_deg,lon_deg,precision_m,mechanism\n")
    nowhere = {"EMTRACK_DATA_DIR": str(tmp_path / "none")}
    for call in (
        ["evaluate", "--orders", orders, "--positions", positions, "--until", "2026-03-03T00:00:00Z"],
        ["orders", "import", orders],
        ["replay", positions, "--orders", orders],
    ):
        ran = emtrack(*call, **nowhere)
        assert ran.returncode == 2
        assert re.search(TOO_MANY, ran.stderr), ran.stderr
        assert re.search(r"orders.json: line \d{3,}", ran.stderr), "it says where in the file"
    assert not (tmp_path / "none").exists()


async def test_a_new_unit_gets_a_key_as_a_new_tag_does(database_url: str) -> None:
    async with deployed(database_url) as world:
        entered = await world.enter(household())
        assert sorted(entered.keys) == ["D1", "D2", "D3", "H1"]
        assert (await world.enter(household())).keys == {}


# --------------------------------------------------------------------------------------------- over sockets


async def test_a_unit_posts_under_its_own_key_and_a_key_that_is_revoked_is_good_no_longer(database_url: str) -> None:
    async with serving(database_url, household()) as door:
        status, answer = await door.reports(
            event(1, "11:58", "RF_IN", tag="D1"),
            event(2, "11:59", "HEARTBEAT"),
            event(3, "11:59", "RF_IN", tag="D3"),
            device="H1",
        )
        assert (status, answer["ack"]) == (200, [1, 2, 3])
        assert [(r["seq"], r["reason"]) for r in answer["refused"]] == [(3, "no_home_unit_entry")]
        assert (await door.post({"boot": 1, "reports": []}, device="H1", key=door.keys["D1"]))[0] == 401
        assert await revoke_keys(settings_for(database_url), "H1", who="test") == 1
        assert (await door.reports(event(4, "11:59", "HEARTBEAT"), device="H1"))[0] == 401
        assert (await door.reports(event(1, "11:59", "HEARTBEAT"), device="D1"))[0] == 200


async def test_a_service_that_has_nothing_to_do_hears_of_a_revoked_key_within_a_second(database_url: str) -> None:
    async with serving(database_url, household(), wait_s=USUAL_PACE.max_wait_s) as door:
        began_s = time.monotonic()
        await revoke_keys(settings_for(database_url), "H1", who="test")
        assert (await door.reports(event(1, "11:59", "HEARTBEAT"), device="H1"))[0] == 401
        assert time.monotonic() - began_s < USUAL_PACE.max_wait_s + 0.5


async def test_an_entry_that_is_taken_back_is_good_no_longer_for_what_comes_then(database_url: str) -> None:
    async with serving(database_url, household()) as door:
        gone = household(home_units=[unit(1)])
        await import_orders(
            settings_for(database_url), read_orders(json.dumps(gone), "orders"), who="test", dry_run=False
        )
        _, answer = await door.reports(
            event(1, "11:58", "RF_IN", tag="D2"), event(2, "11:58", "RF_IN", tag="D1"), device="H1"
        )
        assert [(r["seq"], r["reason"]) for r in answer["refused"]] == [(1, "no_home_unit_entry")]


async def test_keys_that_are_not_there_cannot_be_revoked(database_url: str) -> None:
    async with serving(database_url, household()):
        assert await revoke_keys(settings_for(database_url), "H9", who="test") == 0
