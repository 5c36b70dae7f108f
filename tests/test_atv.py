"""The ledger of accumulated time violations: append-only, follows amendments, less what a person excuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.casework import act
from alerts.ledger import FindingTotals, LedgerLine, LineKind, NothingToExcuse, excuse, excusing, ledger_of, lines_for
from alerts.queue import AlertFilter, open_alerts
from emtrack.files.export import export
from geofence.words import format_instant
from tests.office import Office, at_home, away, open_office
from tests.service_world import AWAY, HOME, World, curfew, deployed, ms, orders, position


@given(st.lists(st.one_of(st.integers(0, 10_000), st.just("excuse")), max_size=20))
def test_a_finding_counts_what_it_is_now_or_nothing_if_it_is_excused(steps: list[Any]) -> None:
    standing, wanted, excused = FindingTotals(), 0, False
    for step in steps:
        if step == "excuse":
            line = excusing(standing)
            lines = [] if line is None else [line]
            excused = excused or bool(lines)
        else:
            lines, wanted = lines_for(standing, step), step
        for line in lines:
            assert line.amount_ms != 0
            counted, out = (0, line.amount_ms) if line.kind is LineKind.EXCUSED else (line.amount_ms, 0)
            standing = FindingTotals(standing.counted_ms + counted, standing.excused_ms + out, excused)
        assert standing.counted_ms == wanted
        assert standing.counted_ms + standing.excused_ms == (0 if excused else wanted)


def test_an_amendment_reverses_the_old_line_and_brings_a_new_one() -> None:
    assert lines_for(FindingTotals(600, 0), 900) == [
        LedgerLine(LineKind.REVERSED, -600),
        LedgerLine(LineKind.COUNTED, 900),
    ]
    assert lines_for(FindingTotals(600, 0), 0) == [LedgerLine(LineKind.REVERSED, -600)]
    assert lines_for(FindingTotals(600, 0), 600) == []
    assert lines_for(FindingTotals(600, -600, is_excused=True), 900) == [
        LedgerLine(LineKind.REVERSED, -600), LedgerLine(LineKind.COUNTED, 900), LedgerLine(LineKind.EXCUSED, -300),
    ]  # fmt: skip


def test_an_excuse_outlives_a_time_in_which_the_finding_counts_nothing() -> None:
    excused = FindingTotals(600, -600, is_excused=True)
    assert lines_for(excused, 0) == [LedgerLine(LineKind.REVERSED, -600), LedgerLine(LineKind.EXCUSED, 600)], (
        "it lasts again"
    )
    assert lines_for(FindingTotals(0, 0, is_excused=True), 900) == [
        LedgerLine(LineKind.COUNTED, 900),
        LedgerLine(LineKind.EXCUSED, -900),
    ]


# --------------------------------------------------------------------------------------------- in the service


def with_threshold(**settings: Any) -> dict[str, Any]:
    return orders(settings={"atv_threshold_s": 7200} | settings)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url, with_threshold(), at="18:00") as world:
        yield world


SEQ = iter(range(1, 100_000))


async def seen(world: World, at: str, place: tuple[float, float], received: str | None = None) -> None:
    """Two fixes in a minute, which are enough to know."""
    begin_ms = ms(at)
    fixes = [position(next(SEQ), format_instant(begin_ms + n * 60_000), place) for n in range(2)]
    await world.send_at(received or format_instant(begin_ms + 60_000), "D1", *fixes)


async def out_from_to(world: World, begin: str, end: str) -> None:
    """Out in the curfew, with a fix every ten minutes."""
    at_ms = ms(begin)
    while at_ms < ms(end):
        await seen(world, format_instant(at_ms), AWAY)
        at_ms += 600_000
    await seen(world, end, HOME)


async def told(world: World) -> list[str]:
    return [
        f"{e.what} {e.amount_ms // 1000} = {e.balance_ms // 1000}"
        for e in reversed(await ledger_of(world.connection, 1))
    ]


async def alerts(world: World, kind: str = "ATV") -> list[str]:
    found = await open_alerts(world.connection, AlertFilter(kind=kind), None, 10)
    return [f"{a.severity.name} {a.requirement_id} known {format_instant(a.known_ms)[11:19]}" for a in found]


async def test_minutes_add_up_over_an_order_when_violations_are_over(world: World) -> None:
    await seen(world, "18:50", HOME)
    await out_from_to(world, "19:10", "19:50")
    await out_from_to(world, "20:10", "20:30")
    assert await told(world) == ["counted 2400 = 2400", "counted 1200 = 3600"]
    assert await alerts(world) == []


async def test_the_threshold_raises_its_alert_while_the_violation_lasts(world: World) -> None:
    await seen(world, "18:50", HOME)
    await out_from_to(world, "19:10", "19:50")
    for minute in range(0, 80, 10):
        await seen(world, format_instant(ms("20:00") + minute * 60_000), AWAY)
    await world.wait_until("21:19:59")
    assert await alerts(world) == []
    await world.wait_until("21:20")
    assert await alerts(world) == ["SERIOUS C1 known 21:20:00"], "40 minutes, and 80 that last"
    await world.start()
    await world.wait_until("21:21")
    assert len(await alerts(world)) == 1


async def test_without_a_threshold_there_is_a_ledger_and_no_alert(world: World) -> None:
    await world.enter({"settings": {"atv_threshold_s": None}})
    await out_from_to(world, "19:10", "22:10")
    assert await told(world) == ["counted 10800 = 10800"]
    assert await alerts(world) == []


async def test_a_late_fact_reverses_the_line_and_an_absence_takes_it_out(world: World) -> None:
    await seen(world, "18:50", HOME)
    await out_from_to(world, "19:10", "19:50")
    await seen(world, "19:33", HOME, received="20:00")
    assert await told(world) == [
        "counted 2400 = 2400", "counted 600 = 3000", "reversed -2400 = 600", "counted 1380 = 1980",
    ], "home from 19:33 to 19:40: two findings now"  # fmt: skip
    await world.enter(
        {
            "absences": [
                {"wearer_id": "W1", "from": "2026-03-02T18:00:00Z", "to": "2026-03-02T23:00:00Z", "reason": "ward"}
            ]
        }
    )
    await world.wait_until("20:05")
    assert (await told(world))[-1].endswith("= 0")


async def test_what_a_person_excuses_does_not_count_and_stays_excused_when_it_is_amended(world: World) -> None:
    await seen(world, "18:50", HOME)
    await out_from_to(world, "19:10", "19:50")
    number = (await ledger_of(world.connection, 1))[0].finding_no
    async with world.connection.transaction():
        await excuse(world.connection, number, who="B. Ash", why="ambulance", now_ms=ms("20:00"))
    assert await told(world) == ["counted 2400 = 2400", "excused -2400 = 0"]
    with pytest.raises(NothingToExcuse, match="counts nothing"):
        await excuse(world.connection, number, who="B. Ash", why="again", now_ms=ms("20:00"))
    with pytest.raises(NothingToExcuse, match="no curfew finding 999"):
        await excuse(world.connection, 999, who="B. Ash", why="x", now_ms=ms("20:00"))
    await seen(world, "19:00", AWAY, received="20:10")  # late: they left ten minutes earlier
    assert (await told(world))[2:] == ["reversed -2400 = -2400", "counted 3000 = 600", "excused -600 = 0"]


@pytest.mark.parametrize(("counts", "lines"), [(False, []), (True, ["counted 240 = 240"])])
async def test_minutes_within_grace_count_only_if_set(world: World, counts: bool, lines: list[str]) -> None:
    form = with_threshold(atv_counts_grace=counts)
    await world.enter(form | {"requirements": [curfew(1, grace_s=300)]})
    await seen(world, "18:55", AWAY)
    await seen(world, "19:04", HOME)
    assert await told(world) == lines


async def test_a_closed_alert_comes_again_when_more_is_counted_and_links_to_it(world: World) -> None:
    await seen(world, "18:50", HOME)
    await out_from_to(world, "19:10", "21:30")
    (first,) = await open_alerts(world.connection, AlertFilter(kind="ATV"), None, 10)
    async with world.connection.transaction():
        await act(
            world.connection,
            first.alert_no,
            who="Ann",
            action="closed",
            outcome="VIOLATION",
            note="told the officer",
            now_ms=ms("21:40"),
        )
    await world.wait_until("21:45")
    assert await alerts(world) == []
    await out_from_to(world, "22:10", "22:20")
    (second,) = await open_alerts(world.connection, AlertFilter(kind="ATV"), None, 10)
    assert second.previous_alert_no == first.alert_no


async def test_settings_of_the_ledger_make_nobody_be_judged_again(world: World) -> None:
    await world.enter({"settings": {"atv_threshold_s": 3600}})
    what = await world.connection.fetchval("SELECT what FROM order_changes ORDER BY change_no DESC LIMIT 1")
    assert what == "settings of alerts entered"


async def test_an_export_carries_the_settings_of_the_ledger(world: World, tmp_path: Path) -> None:
    await world.enter(with_threshold(atv_counts_grace=True))
    await export(world.connection, tmp_path, world.clock.now_ms())
    settings = json.loads((tmp_path / "orders.json").read_text())["settings"]
    assert (settings["atv_threshold_s"], settings["atv_counts_grace"]) == (7200, True)


# --------------------------------------------------------------------------------------------- over HTTP


async def test_the_ledger_and_its_excuses_over_http(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir) as office:
        await office.two_are_out()
        await office.report("D1", at_home("19:58", 3), at_home("19:59", 4), away("19:20", 5), away("19:21", 6))
        await check_over_http(office)


async def check_over_http(office: Office) -> None:
    status, body = await office.get("/v1/wearers/W1/atv", "officer")
    assert status == 200
    (newest, *_) = body["lines"]
    assert newest["what"] == "counted"
    path = f"/v1/findings/{newest['finding_no']}/excuse"
    assert (await office.post(path, {"why": "ambulance"}, "operator"))[0] == 403
    assert (await office.post(path, {"why": " "}, "officer"))[0] == 422
    assert (await office.post(path, {"why": "ambulance"}, "officer"))[0] == 200
    assert (await office.post(path, {"why": "ambulance"}, "officer"))[0] == 409
    _, body = await office.get("/v1/wearers/W1/atv", "officer")
    assert (body["lines"][0]["entered_by"], body["lines"][0]["why"]) == ("the officer", "ambulance")
    assert (await office.get("/v1/wearers/W9/atv", "officer"))[0] == 404
