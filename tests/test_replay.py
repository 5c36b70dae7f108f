"""A recording is sent as its devices would send it: in their order, none early, until it is answered or refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emtrack.cli.emulation import replay_files
from emtrack.cli.findings import stored_findings
from emtrack.client import Backoff, Persistence
from emtrack.emulator.schedule import iso_of
from emtrack.files import replay
from emtrack.files.evaluate import evaluate
from emtrack.files.export import export_to
from emtrack.files.replay import (
    Batch,
    RecordedReport,
    Recording,
    ReplayError,
    ReplayTotals,
    Strangers,
    batches_of,
    read_recording,
    said_of,
    send_recording,
    without_strangers,
)
from emtrack.forms.lines import finding_lines
from emtrack.forms.reading import read_orders
from emtrack.people.looks import commander
from emtrack.service.app import running_service
from emtrack.service.worker import Pace
from emtrack.settings import ClockSetting
from tests.service_world import AWAY, activation, deployed, event, iso, ms, position, settings_for
from tests.test_emulator_client import START_MS, Service, service_in_the_future, serving
from tests.test_home_units import evening, household

KEYS = {"D1": "first", "D2": "second"}

ANN = commander("Ann (command line)")


def recording(devices: int = 2, each: int = 25) -> Iterator[RecordedReport]:
    """A report a minute of each device; the third is recorded before the second."""
    for i in range(each):
        minute = {1: 2, 2: 1}.get(i, i)
        for device in range(1, devices + 1):
            fix_ms = START_MS + minute * 60_000
            yield RecordedReport(f"D{device}", fix_ms, {"type": "position", "fix_time": iso_of(fix_ms), "number": i})


async def replayed(url: str, said: list[str] | None = None) -> ReplayTotals:
    return await send_recording(recording(), base_url=url, keys=KEYS, say=[].append if said is None else said.append)


async def test_every_device_sends_in_its_own_order_and_every_report_is_counted() -> None:
    service = service_in_the_future()
    said: list[str] = []
    async with serving(service) as url:
        sent = await replayed(url, said)
    assert (sent.reports, sent.acknowledged, sent.refused) == (50, 50, {"no activation": 2})
    assert said == ["50 of 50 reports acknowledged"]
    assert service.keys == {"Bearer first", "Bearer second"}
    for device in KEYS:
        assert [seq for name, _, (seq,) in service.arrivals if name == device] == list(range(25))


async def test_nothing_is_sent_before_its_own_time_on_the_clock_of_the_service() -> None:
    service = Service()
    service.rate, service.emulated = 1_000.0, True
    began_s = time.monotonic()

    def punctual(_device: str, reports: list[dict[str, Any]]) -> str:
        return "ok" if max(r["fix_time"] for r in reports) <= iso_of(service.now_ms()) else "early"

    service.now_ms = lambda: START_MS + int((time.monotonic() - began_s) * 1000 * service.rate)
    service.mood = punctual
    async with serving(service) as url:
        await replayed(url)
    assert set(service.moods) == {"ok"}


async def test_a_busy_service_is_asked_again_and_a_cut_answer_is_no_acknowledgement() -> None:
    moods = iter(["busy", "full", "cut", "lost"])
    service = service_in_the_future(lambda _device, _reports: next(moods, "ok"))
    async with serving(service) as url:
        sent = await replayed(url)
    assert sent.acknowledged == len(service.stored) == 50
    assert service.clashes == []


@pytest.mark.parametrize("status", [400, 401, 413, 500])
async def test_what_the_service_does_not_take_ends_the_replay_with_its_answer(status: int) -> None:
    service = service_in_the_future(lambda _device, _reports: str(status))
    async with serving(service) as url:
        with pytest.raises(ExceptionGroup) as raised:
            await replayed(url)
    refused = raised.value.exceptions[0]
    assert isinstance(refused, ReplayError)
    assert str(refused).startswith(f'the service answered {status}: {{"error":')


async def test_patience_with_a_busy_service_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = Persistence(Backoff(0.001, 0.001), lambda status: status == 503, key_attempts=1, patience_s=0.05)
    monkeypatch.setattr(replay, "PERSISTENCE", soon)
    async with serving(service_in_the_future(lambda _device, _reports: "busy")) as url:
        with pytest.raises(ExceptionGroup) as raised:
            await replayed(url)
    assert isinstance(raised.value.exceptions[0], TimeoutError)
    assert "the last attempt: 503" in str(raised.value.exceptions[0])


# ---------------------------------------------------------------------------------------------- what home units sent


def heard(minute: float, kind: str, device: str = "D1", sent_by: str | None = "H1") -> dict[str, Any]:
    return {
        "device_id": device,
        "event_time": iso_of(START_MS + round(minute * 60_000)),
        "type": kind,
        "sent_by": sent_by,
    }


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[RecordedReport]:
    (tmp_path / "events.ndjson").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    reports, left_out = read_recording([tmp_path / "events.ndjson"], Recording())
    assert left_out == []
    return reports


def sent(batches: Iterable[Batch]) -> list[tuple[str, list[tuple[str, str | None]]]]:
    return [(b.device_id, [(r["event"], r.get("tag")) for r in b.reports]) for b in batches]


def test_what_a_home_unit_sent_goes_under_its_own_key_in_order_of_time_whichever_tag_it_is_of(tmp_path: Path) -> None:
    rows = [heard(0, "RF_IN"), heard(30, "RF_OUT"), heard(10, "STRAP_TAMPER", "D2"), heard(10.5, "HEARTBEAT", "D2")]
    rows += [heard(20, "BATTERY_LOW", "D2", None), heard(21, "BATTERY_OK", "D2", "")]
    assert sent(batches_of(read(tmp_path, *rows))) == [
        ("H1", [("RF_IN", "D1")]),
        ("H1", [("STRAP_TAMPER", "D2"), ("HEARTBEAT", "D2")]),
        ("D2", [("BATTERY_LOW", None), ("BATTERY_OK", None)]),
        ("H1", [("RF_OUT", "D1")]),
    ]


def test_what_a_home_unit_said_of_itself_is_said_once_for_everybody(tmp_path: Path) -> None:
    troubles = [
        heard(at, kind, device) for device in ("D1", "D2") for at, kind in ((0, "HMU_MOVED"), (1, "HMU_POWER_LOST"))
    ]
    batches = batches_of(read(tmp_path, *troubles, heard(0, "HMU_MOVED", sent_by="H2")))
    assert sent(batches) == [("H2", [("HMU_MOVED", None)]), ("H1", [("HMU_MOVED", None), ("HMU_POWER_LOST", None)])]
    assert [report["seq"] for report in batches[1].reports] == [0, 1]


def test_rows_of_a_home_unit_that_the_orders_do_not_enter_are_counted_and_stop_nothing(tmp_path: Path) -> None:
    reports = read(tmp_path, heard(0, "RF_IN"), heard(1, "RF_IN", sent_by="H2"), heard(2, "RF_IN", "D9"))
    kept, strangers = without_strangers(reports, ["D1"], ["H1"])
    assert [report.sender_id for report in kept] == ["H1"]
    assert strangers == Strangers({"D9": 1}, {"H2": 1})
    assert list(said_of([], strangers))[1] == (
        "1 rows were sent by home units that the orders do not enter, and are left out: 'H2' (1)"
    )


def test_a_row_whose_sender_or_event_is_no_name_stops_nothing(tmp_path: Path) -> None:
    rows = [heard(0, "RF_IN") | {"sent_by": 7}, heard(0, "RF_IN") | {"type": ["RF_IN"], "event_time": [1]}]
    (tmp_path / "events.ndjson").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    reports, left_out = read_recording([tmp_path / "events.ndjson"], Recording())
    assert [row.reason for row in left_out] == ["name no sender"]
    assert len(batches_of(reports)) == 1


async def test_an_export_that_is_replayed_into_an_empty_deployment_gives_the_findings_of_the_export(
    database_url: str, second_database_url: str, tmp_path: Path
) -> None:
    """Two people with one home unit: of the first nothing else is heard, the second has a tag with positions. A third beside them."""
    form = household(activations=[activation(1, evidence=["RF"]), activation(2), activation(3)])
    async with deployed(database_url, form) as world:
        for device, reports in evening():
            world.clock.at_ms = max(ms(report.get("event_time") or report["fix_time"]) for report in reports)
            await world.send(device, *reports)
        await world.send_at("20:45", "D2", position(50, "20:42", AWAY), event(51, "20:43", "RF_IN", hmu_id="H1"))
        await world.wait_until("20:50")
        assert {line["wearer_id"] for line in await world.lines()} == {"W1", "W2", "W3"}
    await export_to(settings_for(database_url), tmp_path, ANN)
    until_ms = ms("23:00")
    judged = evaluate(
        read_orders((tmp_path / "orders.json").read_text(), "orders.json"),
        tmp_path / "positions.csv", tmp_path / "events.csv", until_ms,
    )  # fmt: skip
    later = settings_for(second_database_url, clock=ClockSetting(ms("21:00"), 1.0))
    files = [tmp_path / "positions.csv", tmp_path / "events.csv"]
    async with running_service(later, asyncio.Event(), Pace(max_wait_s=0.05)) as service:
        there = msgspec.structs.replace(later, url=service.address)
        orders = read_orders((tmp_path / "orders.json").read_text(), "orders.json")
        replayed = await replay_files(there, files, orders, Recording(), who="test")
        assert replayed.refused == {}
    lines = await stored_findings(later, ANN, None, until_ms, None)
    assert lines == list(finding_lines(judged.findings))
    assert any(b'"HMU_POWER_LOST"' in line and b'"W2"' in line for line in lines)


async def test_a_tag_that_is_dead_while_its_home_unit_goes_on_is_silent_in_a_replay_too(
    database_url: str, second_database_url: str, tmp_path: Path
) -> None:
    """Of the first person only the unit is heard, and is enough; the second has a tag that sends once and never again."""
    people = [
        activation(1, report_interval_s=7200, evidence=["RF"]),
        activation(2, report_interval_s=7200),
        activation(3),
    ]
    async with deployed(database_url, household(activations=people), at="17:30") as world:
        await world.send_at("17:59", "D2", position(50, "17:59"))
        for device, reports in evening():
            world.clock.at_ms = max(ms(report.get("event_time") or report["fix_time"]) for report in reports)
            await world.send(device, *reports)
        await world.wait_until("22:00")
        found = await world.lines()
    silent = [(line["wearer_id"], line["begin"]) for line in found if line["kind"] == "NO_COMMUNICATION"]
    assert silent == [("W2", iso("20:08"))]
    await export_to(settings_for(database_url), tmp_path, ANN)
    reports, _ = read_recording([tmp_path / "positions.csv", tmp_path / "events.csv"], Recording())
    async with deployed(second_database_url, json.loads((tmp_path / "orders.json").read_text()), at="17:30") as world:
        for batch in batches_of(reports):
            world.clock.at_ms = max(world.clock.at_ms, batch.due_ms)
            await world.send(batch.device_id, *batch.reports)
        await world.wait_until("22:00")
        assert await world.lines() == found
