"""Planned maintenance is told beforehand to those who watch, and excuses nobody."""

from __future__ import annotations

import pytest

from emtrack.people.roles import Role
from emtrack.record.maintenance import announce, planned, shown, withdraw
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.service_world import activation, curfew, deployed, ms, position
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

NOW = ms(BEGINS)
HOUR = 3_600_000
PLAN = {"begin": "2026-03-02T20:00", "end": "2026-03-02T22:00", "what": "The carrier exchanges its gateway"}


async def enter(visitor: Visitor, **fields: str) -> tuple[int, str]:
    return await visitor.post("/maintenance/plans", form_key=await visitor.form_key(), **fields)


async def test_it_is_shown_on_queue_and_wall_while_it_holds_and_half_a_day_before(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    assert await enter(visitor, **PLAN) == (303, "/maintenance")
    for path in ("/alerts", "/wall", "/wall/parts"):
        _, page = await visitor.get(path)
        assert "Planned maintenance until 22:00:" in page, path
        assert "Silence is judged as always." in page
    connection = office.connection
    await announce(connection, NOW + 13 * HOUR, NOW + 14 * HOUR, "later", who="Eve", now_ms=NOW)
    assert [one.what for one in await shown(connection, NOW)] == [PLAN["what"]]
    assert [one.what for one in await shown(connection, NOW + HOUR)] == [PLAN["what"], "later"]
    assert [one.what for one in await planned(connection, NOW + 2 * HOUR)] == ["later"]


async def test_it_is_withdrawn_by_another_record(office: Office) -> None:
    connection = office.connection
    await announce(connection, NOW, NOW + HOUR, "x", who="Eve", now_ms=NOW)
    for _ in range(2):
        await withdraw(connection, 1, who="Bob", now_ms=NOW)
    assert await planned(connection, NOW) == []
    rows = await connection.fetch("SELECT withdraws, entered_by FROM planned_maintenance ORDER BY maintenance_no")
    assert [tuple(row) for row in rows] == [(None, "Eve"), (1, "Bob")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"what": " "}, "Enter what is done"),
        ({"end": "2026-03-02T20:00"}, "Choose a later end"),
        ({"begin": "2026-03-02T18:00", "end": "2026-03-02T19:00"}, "entered beforehand"),
        ({"end": "2026-03-06T20:00"}, "at most 3 days"),
        ({"begin": "2026-08-02T20:00", "end": "2026-08-02T21:00"}, "90 days ahead"),
        ({"begin": "tonight"}, "as a date and a time"),
        ({"begin": "2026-03-29T01:30", "end": "2026-03-29T04:00"}, "Choose a time before or after"),
    ],
)
async def test_what_is_no_plan_is_told(office: Office, visitor: Visitor, change: dict[str, str], told: str) -> None:
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    status, page = await enter(visitor, **PLAN | change)
    assert status == 422
    assert told in page
    assert await office.connection.fetchval("SELECT count(*) FROM planned_maintenance") == 0


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OFFICER])
async def test_others_read_it_and_announce_none(office: Office, visitor: Visitor, role: Role) -> None:
    await announce(office.connection, NOW, NOW + HOUR, "the gateway", who="Eve", now_ms=NOW)
    await visitor.log_in(await office.account(role))
    _, page = await visitor.get("/maintenance")
    assert "the gateway" in page
    assert "Announce maintenance" not in page
    assert (await enter(visitor, **PLAN))[0] == 403


async def test_nobody_may_be_silent_for_longer_because_of_it(database_url: str) -> None:
    """The same silence is found at the same instant, announced or not: only a time in which we could not receive is an outage."""
    form = {"activations": [activation(1, report_interval_s=60)], "requirements": [curfew(1)]}
    async with deployed(database_url, form) as world:
        before = await world.outages()
        await announce(world.connection, ms("12:05"), ms("14:00"), "the gateway", who="Eve", now_ms=ms("12:00"))
        await world.send_at("12:06", "D1", position(1, "12:06"))
        await world.wait_until("13:00")
        assert await world.findings() == ["12:16–… NO_COMMUNICATION"]
        assert await world.outages() == before


async def test_it_is_announced_with_the_keyboard_at_320_px(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/maintenance", Role.SUPERVISOR, width=320, height=700)
    assert await axe(page) == []
    await page.fill("#what", "The carrier exchanges its gateway")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".em-gap >> text=gateway")
    await page.focus("button:has-text('Withdraw it')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Nothing is planned")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    page.assert_clean(office.address)
