"""Orders in the database: versions with who and when, and what contradicts what is entered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from emtrack.cli.devices import listed_devices
from emtrack.db.connect import connect
from emtrack.db.locks import WORKER_LOCK
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from emtrack.orders import importing
from emtrack.orders.importing import import_orders, make_device_key, wait_until_noticed
from emtrack.record.entering import OrdersConflict
from tests.service_world import (
    HOME,
    World,
    activation,
    curfew,
    deployed,
    ms,
    orders,
    position,
    serving,
    settings_for,
)  # fmt: skip

ABSENCE = {"wearer_id": "W1", "from": "2026-03-05T18:00:00Z", "to": "2026-03-05T22:00:00Z", "reason": "hospital"}
UNIT = {"hmu_id": "U1", "wearer_id": "W1", "requirement_id": "C1", "from": "2026-03-01T00:00:00Z"}
EVERYTHING = orders(
    1, 2, absences=[ABSENCE], home_units=[UNIT], outages=[{"from": "2026-03-01T02:00:00Z", "to": "2026-03-01T02:20:00Z"}],
    settings={"max_gap_s": 600}, wearers=[{"wearer_id": "W1", "name": "Ann", "iom": {"rag": "RED"}}],
)  # fmt: skip


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url) as world:
        yield world


TABLES = (
    "wearers", "iom_versions", "rag_grades", "devices", "device_keys", "activations", "activation_versions", "requirement_entries",
    "requirement_versions", "zones", "home_units", "absences", "settings_versions", "order_changes", "outages",
)  # fmt: skip


async def everything(world: World) -> dict[str, list[Any]]:
    return {t: [tuple(r) for r in await world.connection.fetch(f"SELECT * FROM {t} ORDER BY 1")] for t in TABLES}  # noqa: S608


async def test_orders_imported_twice_change_nothing(world: World) -> None:
    first = await world.enter(EVERYTHING)
    assert sorted(first.keys) == ["D1", "D2", "U1"]
    before = await everything(world)
    world.clock.at_ms = ms("12:30")
    again = await world.enter(EVERYTHING)
    assert (again.changes, again.keys) == ([], {})
    assert await everything(world) == before


async def test_a_changed_requirement_is_a_new_version_and_the_old_one_keeps_who_and_when(world: World) -> None:
    await world.enter(orders(1), who="Ann")
    world.clock.at_ms = ms("13:00")
    changed = await world.enter({"requirements": [curfew(1, grace_s=300)]}, who="Bob")
    assert [change.what for change in changed.changes] == ["requirement entry ended", "requirement entered"]
    old, new = await world.connection.fetch(
        "SELECT entered_by, grace_ms, lower(recorded)::time::text AS since, upper(recorded)::time::text AS until, entry_no "
        "FROM requirement_versions ORDER BY version_no"
    )
    assert (old["entered_by"], old["grace_ms"], old["since"], old["until"]) == ("Ann", 0, "12:00:00", "13:00:00")
    assert (new["entered_by"], new["grace_ms"], new["since"], new["until"]) == ("Bob", 300_000, "13:00:00", None)
    assert old["entry_no"] == new["entry_no"], "it is the same entry"


async def test_every_change_is_logged_with_who_and_when_and_about_whom(world: World) -> None:
    await world.enter(EVERYTHING, who="Ann")
    rows = await world.connection.fetch("SELECT * FROM order_changes ORDER BY change_no")
    assert {row["what"] for row in rows} == {
        "wearer entered", "device entered", "settings entered", "activation entered", "requirement entered",
        "home unit entered", "absence entered", "IOM record entered",
    }  # fmt: skip
    assert {row["changed_by"] for row in rows} == {"Ann"}
    assert {row["changed_at"].hour for row in rows} == {12}
    assert all(row["wearer_no"] for row in rows if row["what"] in ("activation entered", "absence entered"))


@pytest.mark.parametrize(
    ("contradiction", "says"),
    [
        ({"activations": [activation(9, device_id="D1")]}, "overlaps activation 'A1' of the same device"),
        ({"absences": [{**ABSENCE, "from": "2026-03-05T20:00:00Z", "to": "2026-03-05T23:00:00Z"}]}, "absences"),
        ({"absences": [{**ABSENCE, "reason": "funeral"}]}, "absences"),
    ],
    ids=["activation", "absence", "absence for another reason"],
)
async def test_what_contradicts_is_refused_with_a_clear_message_and_nothing_is_entered(
    world: World, contradiction: dict[str, Any], says: str
) -> None:
    await world.enter(EVERYTHING)
    before = await everything(world)
    with pytest.raises(OrdersConflict, match=says) as refused:
        await world.enter({**contradiction, "wearers": [{"wearer_id": "W77"}]})
    assert "The orders were not entered, because" in str(refused.value)
    assert await everything(world) == before


async def test_two_activations_of_one_device_in_one_file_are_named_with_their_line(world: World) -> None:
    with pytest.raises(FormError, match=r"line 1: activations\[1\]\.from: device 'D1' is activated twice"):
        await world.enter({"activations": [activation(1), activation(2, device_id="D1")]})


@pytest.mark.parametrize(
    ("contradiction", "says"),
    [
        (
            {"requirements": [curfew(2), curfew(2, **{"from": "2026-03-02T00:00:00Z"})]},
            "'C2' of wearer 'W2' has two entries",
        ),
        ({"home_units": [UNIT, {**UNIT, "requirement_id": "C9"}]}, "home unit '.*' has two entries at one time"),
    ],
    ids=["requirement", "home unit"],
)
async def test_what_contradicts_itself_is_refused_before_it_is_entered(
    world: World, contradiction: dict[str, Any], says: str
) -> None:
    before = await everything(world)
    with pytest.raises(FormError, match=says):
        await world.enter(contradiction)
    assert await everything(world) == before


async def test_activations_that_touch_do_not_overlap(world: World) -> None:
    await world.enter({"activations": [
        activation(1, to="2026-03-02T12:00:00Z"),
        activation(2, device_id="D1", **{"from": "2026-03-02T12:00:00Z"}),
    ]})  # fmt: skip
    assert await world.count("activation_versions") == 2


async def test_two_tags_can_be_swapped_in_one_import(world: World) -> None:
    await world.enter(orders(1, 2))
    world.clock.at_ms = ms("13:00")
    await world.enter({"activations": [activation(1, device_id="D2"), activation(2, device_id="D1")]})
    await world.turn()
    rows = await world.connection.fetch(
        "SELECT activation_id, device_id FROM activation_versions JOIN activations USING (activation_no) "
        "JOIN devices USING (device_no) WHERE upper_inf(recorded) ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("A1", "D2"), ("A2", "D1")]
    await world.send_at("19:05", "D1", position(1, "19:01", (0.0, 50.0)), position(2, "19:02", (0.0, 50.0)))
    assert [line["wearer_id"] for line in await world.lines()] == ["W2"]


async def test_what_orders_do_not_name_stays(world: World) -> None:
    await world.enter(EVERYTHING)
    await world.enter({"activations": [activation(3)]})
    row = await world.connection.fetchrow("SELECT max_gap_ms, upper_inf(recorded) AS held FROM settings_versions")
    assert (row["max_gap_ms"], row["held"]) == (600_000, True)
    assert await world.connection.fetchval("SELECT name FROM wearers WHERE wearer_id = 'W1'") == "Ann"


async def test_orders_that_name_no_time_zone_leave_it_as_it_is(world: World) -> None:
    await world.enter({"timezone": "Europe/Paris", "activations": [activation(1)]})
    world.clock.at_ms = ms("12:30")
    await world.enter({"activations": [activation(2)]})
    zones = await world.connection.fetch("SELECT timezone FROM settings_versions WHERE upper_inf(recorded)")
    assert [row["timezone"] for row in zones] == ["Europe/Paris"]


async def test_orders_can_be_changed_after_the_machines_clock_stepped_back(world: World) -> None:
    world.clock.at_ms = ms("13:00")
    await world.enter(orders(1))
    world.clock.at_ms = ms("12:30")
    await world.enter(
        {"activations": [activation(1, to="2026-04-01T00:00:00Z")], "requirements": [curfew(1, grace_s=60)]}
    )
    await world.turn()
    assert await world.count("activation_versions") == 2


async def test_keys_are_kept_only_as_hashes(world: World) -> None:
    entered = await world.enter(orders(1))
    key = entered.keys["D1"]
    assert len(key) >= 40
    row = await world.connection.fetchrow("SELECT * FROM device_keys")
    assert row["key_hash"] == hashlib.sha256(key.encode()).digest()
    for table in TABLES:
        assert key not in str(await world.connection.fetch(f"SELECT * FROM {table}"))  # noqa: S608


async def test_a_dry_run_says_what_would_change_and_changes_nothing(world: World) -> None:
    form = read_orders('{"activations": [], "wearers": [{"wearer_id": "W5"}]}', "orders.json")
    settings = settings_for(world.dsn, clock=None)
    before = await everything(world)
    told = await import_orders(settings, form, who="Ann", dry_run=True)
    assert told.counts == {"settings entered": 1, "wearer entered": 1}
    assert await everything(world) == before


async def test_a_new_key_opens_the_door_at_once_and_the_old_one_stays_valid(database_url: str) -> None:
    async with serving(database_url, orders(1)) as door:
        key = await make_device_key(settings_for(database_url), "D1", who="Ann")
        body = {"boot": 1, "reports": [position(1, "11:59", HOME)]}
        assert (await door.post(body, key=key))[0] == 200
        assert (await door.post(body))[0] == 200
        fresh = await make_device_key(settings_for(database_url), "D7", who="Ann")
        status, answer, _ = await door.post(body, device="D7", key=fresh)
        assert (status, answer["refused"][0]["reason"]) == (200, "no_activation")
        table = await listed_devices(settings_for(database_url), None)
        assert table == [("D1", 2, 2, 1, 1, 0), ("D7", 1, 1, 0, 0, 1)]


async def test_a_service_of_another_database_keeps_no_import_waiting(
    database_url: str, embedded_test_server: Any
) -> None:
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    other = await asyncpg.connect(embedded_test_server.admin)
    connection = await connect(database_url)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", WORKER_LOCK)
        await wait_until_noticed(connection, pause)
        assert pauses == []
    finally:
        await connection.close()
        await other.close()


async def test_who_enters_orders_is_told_that_the_service_has_not_taken_them_in_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that holds the worker's lock and is slow."""
    settings = settings_for(database_url, clock=None)
    worker = await connect(database_url)
    monkeypatch.setattr(importing, "NOTICE_S", 0.2)
    try:
        for number, is_slow in enumerate((False, True), 1):
            if is_slow:
                await worker.execute("SELECT pg_advisory_lock($1)", WORKER_LOCK)
            form = read_orders(json.dumps({"activations": [activation(number)]}), "orders")
            told = await import_orders(settings, form, who="Ann", dry_run=False)
            assert told.is_being_taken_in is is_slow
    finally:
        await worker.close()
