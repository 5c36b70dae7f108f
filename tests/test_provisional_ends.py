"""An end that only the clock brought is no version while a report in time can still turn it: what people are shown lasts, "not known
since ...". The rules, `evaluate` and `findings --until` go by the end.

The device of these stories keeps a fix of each minute and uploads every ten; presence is held for five minutes. It is silent after
19 minutes.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alerts.ledger import ledger_of
from alerts.queue import AlertFilter, open_alerts
from emtrack.reading.findings import findings_as_lines
from emtrack.record.zone_sets import ZoneSetCache
from geofence.words import format_instant
from tests.office import Office, open_office
from tests.service_world import AWAY, HOME, World, activation, curfew, deployed, event, ms, orders, position
from tests.visitor import Visitor

SEQ = iter(range(1, 100_000))
IN_TENS = activation(report_interval_s=600)
SETTINGS = {"max_gap_s": 300, "atv_threshold_s": 1_800}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    form = orders(activations=[IN_TENS], settings=SETTINGS)
    async with deployed(database_url, form, at="18:00") as world:
        yield world


async def upload(world: World, at: str, place: tuple[float, float], minutes: int = 10) -> None:
    """The fixes of the last minutes, the newest of the instant itself."""
    end_ms = ms(at)
    fixes = [position(next(SEQ), format_instant(end_ms - back * 60_000), place) for back in reversed(range(minutes))]
    await world.wait_until(at)
    await world.send_at(at, "D1", *fixes)


async def versions(world: World, kind: str = "CURFEW") -> list[tuple[str, str | None, str]]:
    """Of the findings of a kind: change, end, why."""
    rows = await world.connection.fetch(
        "SELECT v.change, v.end_at, v.why FROM finding_versions v JOIN findings f USING (finding_no) "
        "WHERE f.kind = $1 ORDER BY finding_no, version",
        kind,
    )
    return [(r["change"], None if r["end_at"] is None else f"{r['end_at']:%H:%M}", r["why"]) for r in rows]


async def told(world: World, until: str | None = None) -> list[tuple[str | None, str | None]]:
    """End, and since when it is not known, of curfew findings as `emtrack findings` has them."""
    until_ms = None if until is None else ms(until)
    lines = await findings_as_lines(world.connection, world.clock.now_ms(), None, until_ms, None, ZoneSetCache())
    found = [line for line in map(json.loads, lines) if line["kind"] == "CURFEW"]
    return [(_time(line["end"]), _time(line.get("unknown_since"))) for line in found]


def _time(instant: str | None) -> str | None:
    return None if instant is None else instant[11:16]


async def out_for_forty_minutes(world: World) -> None:
    for at in ("19:20", "19:30", "19:40", "19:50"):
        await upload(world, at, AWAY)


async def test_a_finding_of_a_device_that_uploads_in_tens_has_one_version_while_it_lasts(world: World) -> None:
    await out_for_forty_minutes(world)
    assert await versions(world) == [("new", None, "more facts came")]
    await upload(world, "20:00", HOME)
    assert await versions(world) == [("new", None, "more facts came"), ("amended", "19:51", "more facts came")]


async def test_between_two_uploads_it_is_told_as_ongoing_and_not_known(world: World) -> None:
    await upload(world, "19:20", AWAY)
    assert await told(world) == [(None, None)]
    await world.wait_until("19:24:59")
    assert await told(world) == [(None, None)]
    await world.wait_until("19:25")
    assert await told(world) == [(None, "19:25")]
    assert await told(world, "19:25") == [("19:25", None)], "the rules end it there"
    await upload(world, "19:30", AWAY)
    assert await told(world) == [(None, None)]


async def test_an_end_becomes_a_version_when_no_report_would_be_in_time_any_more(world: World) -> None:
    await upload(world, "19:20", AWAY)
    await world.wait_until("19:38:59")
    assert len(await versions(world)) == 1
    await world.wait_until("19:39")
    assert await versions(world) == [
        ("new", None, "more facts came"),
        ("amended", "19:25", "no report came in time that says it went on"),
    ]
    assert await told(world) == [("19:25", None)]


async def test_what_is_sent_at_once_does_not_put_it_off(world: World) -> None:
    await upload(world, "19:20", AWAY)
    for minute in (22, 27, 32, 37):
        await world.send_at(f"19:{minute}", "D1", event(next(SEQ), f"19:{minute}", "HEARTBEAT"))
    await world.wait_until("19:38:59")
    assert len(await versions(world)) == 1
    await world.wait_until("19:39")
    assert [version[:2] for version in await versions(world)] == [("new", None), ("amended", "19:25")]


async def test_an_end_is_settled_when_its_device_has_gone_on_for_a_quarter_of_an_hour(world: World) -> None:
    await upload(world, "19:20", AWAY)
    for minute in (22, 24, 26, 28, 30, 32, 34, 36, 38):
        await world.send_at(f"19:{minute}", "D1", position(next(SEQ), f"19:{minute}", HOME, precision_m=2_000))
    await world.wait_until("19:39:59")
    assert len(await versions(world)) == 1
    await world.send_at("19:40", "D1", position(next(SEQ), "19:40", HOME, precision_m=2_000))
    assert [version[:2] for version in await versions(world)] == [("new", None), ("amended", "19:25")]


async def test_an_end_on_which_another_finding_rests_is_a_version(world: World) -> None:
    """That nobody knows where the person is, is found after ten minutes here."""
    await world.enter({"settings": SETTINGS | {"unknown_limit_s": 600}})
    await upload(world, "19:20", AWAY)
    await world.wait_until("19:35")
    assert len(await versions(world)) == 1
    await world.wait_until("19:35:01")
    assert [version[:2] for version in await versions(world)] == [("new", None), ("amended", "19:25")]
    why = "where the person was had not been known for longer than is allowed"
    assert (await versions(world, "UNVERIFIED"))[-1] == ("new", None, why)


async def test_a_tag_whose_clock_is_behind_does_not_move_the_end_with_each_upload(world: World) -> None:
    """An hour behind: what it sends at 19:19 it dates 18:10 to 18:19."""
    zone = {"type": "Circle", "centre": list(AWAY), "radius_m": 60}
    exclusion = {
        "requirement_id": "X1",
        "wearer_id": "W1",
        "kind": "EXCLUSION",
        "from": "2026-03-02T00:00:00Z",
        "geometry": zone,
    }
    await world.enter({"requirements": [exclusion]})
    for minute in (10, 20, 30, 40):
        fixes = [position(next(SEQ), f"18:{minute + n}", AWAY) for n in range(10)]
        await world.send_at(f"19:{minute + 9}", "D1", *fixes)
        assert [version[:2] for version in await versions(world, "EXCLUSION")] == [("new", None)]
    await world.wait_until("20:08")
    assert [version[:2] for version in await versions(world, "EXCLUSION")] == [("new", None), ("amended", "18:54")]


async def test_what_is_provisional_is_known_again_after_a_restart(world: World) -> None:
    await upload(world, "19:20", AWAY)
    await world.wait_until("19:27")
    await world.start()
    await world.wait_until("19:28")
    assert await told(world) == [(None, "19:25")]
    assert await world.count("presence_notes") == 1
    await upload(world, "19:30", AWAY)
    assert len(await versions(world)) == 1
    await world.start()
    await world.wait_until("19:50")
    assert [version[:2] for version in await versions(world)] == [("new", None), ("amended", "19:35")]


async def test_within_grace_stays_what_the_rules_say_while_an_end_is_provisional(world: World) -> None:
    """Somebody who was seen out for the last time three minutes after the start is within grace of fifteen."""
    await world.enter({"requirements": [curfew(grace_s=900)]})
    await upload(world, "19:03", AWAY, minutes=10)
    await world.wait_until("19:16")
    assert await told(world) == [(None, "19:08")]
    rows = await world.connection.fetch(
        "SELECT within_grace FROM finding_versions JOIN findings USING (finding_no) WHERE kind = 'CURFEW'"
    )
    assert {row["within_grace"] for row in rows} == {True}
    assert await open_alerts(world.connection, AlertFilter(kind="CURFEW"), None, 10) == []


async def ledger(world: World) -> list[str]:
    return [f"{e.what} {e.amount_ms // 60_000}" for e in reversed(await ledger_of(world.connection, 1))]


async def atv_alerts(world: World) -> int:
    return len(await open_alerts(world.connection, AlertFilter(kind="ATV"), None, 10))


async def test_the_ledger_counts_what_is_settled_only(world: World) -> None:
    await out_for_forty_minutes(world)
    assert await ledger(world) == []
    await upload(world, "20:00", HOME)
    assert await ledger(world) == ["counted 40"]


async def test_no_threshold_is_crossed_by_what_is_not_known(world: World) -> None:
    """From 19:11 on 30 minutes are reached at 19:41. The last that is known is 19:30, and it is held until 19:35."""
    await upload(world, "19:20", AWAY)
    await upload(world, "19:30", AWAY)
    await world.wait_until("19:48")
    assert await atv_alerts(world) == 0
    await upload(world, "19:48:30", AWAY, minutes=19)
    await world.wait_until("19:49:30")
    assert await atv_alerts(world) == 1, "it lasted after all"


async def test_a_threshold_that_was_crossed_while_it_was_known_is_told_at_once(world: World) -> None:
    for at in ("19:20", "19:30", "19:40"):
        await upload(world, at, AWAY)
    await world.wait_until("19:41")
    assert await atv_alerts(world) == 1


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    requirement = curfew()
    form = {"activations": [IN_TENS], "requirements": [requirement], "settings": SETTINGS}
    async with open_office(database_url, data_dir, form) as office:
        yield office


async def test_pages_and_the_ledger_say_that_it_is_not_known(office: Office, visitor: Visitor) -> None:
    """It is 20:00; the newest fix was at 19:50, which holds until 19:55."""
    await office.report("D1", *(position(n, f"19:{40 + n}", AWAY) for n in range(11)))
    await visitor.log_in(await office.account())
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW'")
    _, text = await visitor.get(f"/alerts/{number}")
    assert "Since then it is not known whether it goes on: the next report may still say so." in text
    assert "not known since 2 Mar 19:55:00" in text
    assert "not known since 19:55" in (await visitor.get("/alerts"))[1]
    _, person = await visitor.get("/wearers/1")
    assert "ongoing, not known since 2 Mar 19:55:00" in person
    assert re.search(r"Provisional</strong> C1: finding \d+ since 2 Mar 19:40:00, 15 min so far", person)
    _, body = await office.get("/v1/wearers/W1/atv")
    assert body["lines"] == []
    assert [(line["so_far_s"], line["unknown_since"]) for line in body["provisional"]] == [
        (900.0, "2026-03-02T19:55:00Z")
    ]
    assert _noted(await office.connection.fetch("SELECT unknown_since FROM presence_notes")) == ["19:55"]


def _noted(rows: list[Any]) -> list[str]:
    return [f"{row['unknown_since']:%H:%M}" for row in rows]
