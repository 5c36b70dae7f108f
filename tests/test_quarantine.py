"""What was refused is kept, and can be examined again when somebody asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from emtrack.record.quarantine import ask_to_examine, refused_by_reason
from emtrack.service import worker as pipeline
from geofence import datetime_of
from ingest import store
from ingest.wire import received_in
from tests.command_line import emtrack_aside
from tests.service_world import AWAY, World, event, ms, position
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
    assert world.worker._examination is pipeline.ORDERS_CHANGED


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
    monkeypatch.setattr("ingest.store._examine_reports", _if_asked_for(failing))
    assert (await world.send("D2", position(1, "11:59"))).refused == []
    assert await world.count("quarantine_releases") == 0


def _if_asked_for(failing: Any) -> Any:
    whole = store._examine_reports

    async def examined(*arguments: Any) -> Any:
        return await (whole if arguments[-1] == store.WAITING_REASONS else failing)(*arguments)

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
