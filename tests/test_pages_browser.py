"""The pages in a real browser: alive without a reload, maps that draw, nothing from elsewhere, usable by everybody."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from emtrack.people.roles import Role
from tests.browser import OpenPage, WatchedPage, axe
from tests.office import EXCLUSION, ORDERS, Office, at_home, away, open_office
from tests.service_world import event


async def logged_in(
    office: Office, open_page: OpenPage, path: str, role: Role = Role.OPERATOR, **page: Any
) -> WatchedPage:
    """A page behind a login, in which nothing was noted before it."""
    following = quote(f"/shift?next={quote(path, safe='')}", safe="")
    return await log_in(office, await open_page(f"{office.address}/login?next={following}", **page), path, role)


async def log_in(office: Office, opened: WatchedPage, path: str, role: Role = Role.OPERATOR) -> WatchedPage:
    """From the login page to the one that was wanted."""
    name = f"Ann {role} {time.monotonic_ns()}"
    password = await office.account(role, name)
    await opened.fill("#name", name)
    await opened.fill("#password", password)
    await opened.click("main button")
    await opened.wait_for_load_state()
    if role is Role.OFFICER:
        await opened.check("#purpose")
    await opened.click("main button")
    await opened.wait_for_url(f"**{path}")
    return opened


async def drawn(page: WatchedPage) -> tuple[int, int]:
    """Points and zones of the map, once it is drawn."""
    await page.wait_for_selector("#map[data-ready='true']")
    place = page.locator("#map")
    return int(await place.get_attribute("data-points")), int(await place.get_attribute("data-zones"))


async def test_an_alerts_page_draws_its_map_and_the_table_leads_to_the_points(
    office: Office, open_page: OpenPage
) -> None:
    await office.two_are_out()
    await office.report("D1", at_home("19:58", 3), at_home("19:59", 4), event(5, "19:57", "STRAP_TAMPER"))
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW' AND wearer_no = 1")
    page = await logged_in(office, open_page, f"/alerts/{number}")
    assert await drawn(page) == (4, 1)
    await page.locator("table[data-map='map'] tr[data-n='3']").click()
    await page.wait_for_selector("dd >> text=3 of 4")
    await page.get_by_role("button", name="Next").click()
    await page.wait_for_selector("dd >> text=4 of 4")
    assert await axe(page) == []
    page.assert_clean(office.address)


async def test_an_alert_is_worked_to_its_end_on_its_page(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts/1")
    await page.get_by_role("button", name="Acknowledge").click()
    await page.wait_for_selector("text=Acknowledged: you")
    await page.get_by_label("Authorised, or a reasonable excuse").check()
    await page.get_by_label("Note").fill("At hospital since 19:40; the ward confirms it.")
    await page.get_by_role("button", name="Close the alert").click()
    await page.get_by_label("It is still going on").check()
    assert await axe(page) == []
    await page.get_by_role("button", name="Close the alert").click()
    await page.wait_for_url("**/alerts")
    assert await page.locator("[data-alert]").count() == 1
    await page.get_by_role("link", name="Closed").click()
    await page.wait_for_selector("[data-alert='1'] >> text=the ward confirms it")
    assert await axe(page) == []


async def test_a_history_is_drawn_after_its_purpose_is_on_record(office: Office, open_page: OpenPage) -> None:
    fixes = [away(f"19:{minute:02}", minute, (-2.18 + minute * 1e-4, 53.004)) for minute in range(1, 51)]
    await office.report("D1", *fixes)
    page = await logged_in(office, open_page, "/wearers/1/history", Role.OFFICER)
    assert await axe(page) == []
    await page.get_by_role("button", name="Record and show").click()
    await page.wait_for_selector("text=Select a reason")
    assert await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'positions'") == 0
    await page.get_by_label("To review how the person keeps to the order").check()
    await page.get_by_role("button", name="Record and show").click()
    await page.wait_for_url("**/views/*")
    assert await drawn(page) == (50, 2)
    assert await page.locator("tr[data-n]").count() == 50
    assert await axe(page) == []
    page.console.clear()  # the browser noted the form that was refused above
    await page.reload()
    assert await drawn(page) == (50, 2)
    page.assert_clean(office.address)


@pytest.mark.parametrize("width", [1400, 360])
async def test_every_page_is_usable_and_asks_nobody_else_for_anything(
    office: Office, open_page: OpenPage, width: int
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/account", width=width)
    for path in (
        "/account",
        "/wearers",
        "/wearers/1",
        "/alerts/1",
        "/alerts?state=closed",
        "/wearers/1/history",
        "/alerts/99",
        "/alerts",
    ):
        expected = 404 if path == "/alerts/99" else 200
        assert (await page.goto(office.address + path)).status == expected
        await assert_usable(page)
    said = [line for line in page.console if "404" not in line]  # the browser notes the page that is not there
    assert (said, page.errors, page.policy_violations) == ([], [], [])
    assert page.requests_beyond(office.address) == []


@pytest.mark.parametrize("width", [1400, 360])
async def test_an_incident_and_an_order_over_its_threshold_have_usable_pages(
    database_url: str, data_dir: Path, open_page: OpenPage, width: int
) -> None:
    orders = ORDERS | {"settings": {"atv_threshold_s": 60}}
    async with open_office(database_url, data_dir, orders) as office:
        await office.two_are_out()
        await office.report("D1", at_home("19:58", 3), at_home("19:59", 4))
        alerts = (await office.get("/v1/alerts"))[1]["alerts"]
        (over,) = [one for one in alerts if (one["kind"], one["wearer_id"]) == ("ATV", "W1")]
        page = await logged_in(office, open_page, f"/alerts/{over['alert_no']}", width=width)
        ledger = page.get_by_role("region", name="Ledger of this order")
        assert "counted" in (await ledger.inner_text()).lower()
        await assert_usable(page)
        await page.get_by_role("button", name="Acknowledge").click()
        await page.wait_for_selector("text=Acknowledged: you")
        await office.falls_silent_with("carrier-a")
        await page.goto(f"{office.address}/alerts/900")
        assert await page.get_by_role("heading", name="Platform incident of carrier-a").is_visible()
        assert await page.get_by_role("link", name="Ann Other").first.is_visible()
        await assert_usable(page)
        page.assert_clean(office.address)


async def assert_usable(page: WatchedPage) -> None:
    """Axe finds nothing, and the page is no wider than the screen."""
    assert await axe(page) == []
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(beyond) <= 0, f"{page.url} is wider than the screen"


@pytest.mark.parametrize("width", [1400, 360])
async def test_who_is_not_logged_in_finds_a_usable_page(office: Office, open_page: OpenPage, width: int) -> None:
    page = await open_page(f"{office.address}/alerts", width=width)
    assert await page.get_by_label("Password").is_visible()
    assert await axe(page) == []
    page.assert_clean(office.address)


async def test_the_clock_of_the_service_is_on_every_page_and_moves(office: Office, open_page: OpenPage) -> None:
    page = await open_page(f"{office.address}/login")
    assert "Emulated clock" in await page.locator(".em-clock").inner_text()
    first = await page.locator("#service-clock").inner_text()
    assert "2 Mar 2026 20:0" in first
    moved = "new Promise(done => new MutationObserver(done).observe(document.getElementById('service-clock'), {childList: true}))"
    await page.evaluate(f"{moved}.then(() => null)")
    assert await page.locator("#service-clock").inner_text() != first


@pytest.mark.parametrize("width", [1366, 320])
async def test_a_possible_entry_has_a_page_with_its_position_and_a_map(
    office: Office, open_page: OpenPage, width: int
) -> None:
    always = EXCLUSION | {"timetable": None, "buffer_m": 0, "reason": "varied by the court"}
    async with office.http.put("/v1/requirements/X1", json=always, headers=office.bearer("officer")) as response:
        assert response.status == 200, await response.text()
    await office.report("D1", at_home("19:57", 1), at_home("19:58", 2), away("19:59", 3))
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'EXCLUSION'")
    page = await logged_in(office, open_page, f"/alerts/{number}", width=width)
    assert "Possible entry: one position in an exclusion zone, not confirmed" in await page.locator("h1").inner_text()
    told = await page.locator(".em-story__text").inner_text()
    assert "No second position has confirmed it yet. The newest position, at 19:59:00, is" in told
    points, zones = await drawn(page)
    assert (points, zones) == (3, 1)
    assert await axe(page) == []
    page.assert_clean(office.address)
