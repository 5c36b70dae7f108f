"""The queue in a real browser, as an operator works it: what is new is in view, nothing moves under the hand, a colleague is seen."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Route

from tests.browser import OpenPage, WatchedPage, axe
from tests.office import ORDERS, Office, away, open_office, strap
from tests.service_world import activation, curfew
from tests.test_pages_browser import log_in, logged_in

COMMIT_TO_PAGE_S = 2.0
BEFORE_THE_INTERVAL_MS = 15_000
"""The page asks every 20 s in any case: what it does for another reason, it does before."""
MANY = 24


@pytest.fixture
async def busy_office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """So many people are on a curfew."""
    people = range(3, MANY + 3)
    form = ORDERS | {
        "activations": [*ORDERS["activations"], *map(activation, people)],
        "requirements": [*ORDERS["requirements"], *map(curfew, people)],
    }
    async with open_office(database_url, data_dir, form) as office:
        yield office


async def many_are_out(office: Office) -> None:
    """Each at a minute of their own, so that they are no burst."""
    for n in range(3, MANY + 3):
        await office.report(f"D{n}", away(f"19:{n:02}", 1), away(f"19:{n + 2:02}", 2))


async def in_view(page: WatchedPage, selector: str) -> bool:
    seen: bool = await page.evaluate(
        "s => { const r = document.querySelector(s).getBoundingClientRect(); return r.top >= 0 && r.bottom <= innerHeight }",
        selector,
    )
    return seen


async def test_an_alert_arrives_on_an_empty_page_by_itself(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/alerts")
    await page.wait_for_selector("text=No alert is open")
    mark = await page.evaluate("window.mark = Math.random()")
    await office.two_are_out()
    committed_s = time.monotonic()
    await page.wait_for_selector("[data-alert] >> text=was seen away from home", timeout=10_000)
    assert time.monotonic() - committed_s < COMMIT_TO_PAGE_S
    assert await page.evaluate("window.mark") == mark, "the page was not loaded anew"
    await page.wait_for_selector("#live >> text=/Live, \\d\\d:\\d\\d:\\d\\d/")
    page.assert_clean(office.address)


async def test_a_new_critical_alert_is_in_view_wherever_the_list_is_and_moves_nothing(
    busy_office: Office, open_page: OpenPage
) -> None:
    await many_are_out(busy_office)
    page = await logged_in(busy_office, open_page, "/alerts", width=1366, height=768)
    assert await page.locator("[data-alert]").count() == MANY
    whole = await page.evaluate(
        "() => [...document.querySelectorAll('[data-alert]')].filter(r => r.getBoundingClientRect().bottom <= innerHeight).length"
    )
    assert whole >= 12, "rows that an operator sees at once"
    held = page.locator("[data-alert] a").nth(17)
    await held.focus()
    await page.evaluate("scrollTo(0, 600)")
    top = "id => Math.round(document.getElementById(id).getBoundingClientRect().top)"
    name = await held.get_attribute("id")
    place = await page.evaluate(top, name)
    await busy_office.report("D1", strap("19:56", 9))
    committed_s = time.monotonic()
    await page.wait_for_selector("#show-new:not([hidden]) >> text=1 new critical", timeout=10_000)
    assert time.monotonic() - committed_s < COMMIT_TO_PAGE_S
    assert await in_view(page, "#show-new")
    assert "strap of Ann Other's tag was opened" in await page.locator("#show-new").inner_text()
    assert await page.evaluate(top, name) == place, "nothing moves"
    assert await page.evaluate("document.activeElement.id") == name
    assert await page.locator("[data-alert]").count() == MANY, "nothing is put in above"
    await page.click("#show-new")
    assert await page.evaluate("document.activeElement.textContent.includes('Ann Other')")
    assert await page.evaluate("scrollY") == 0
    assert await page.locator("#show-new").is_hidden()
    assert await axe(page) == []
    page.assert_clean(busy_office.address)


async def test_what_a_colleague_does_is_seen_in_its_place(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    first, second = [await logged_in(office, open_page, "/alerts") for _ in range(2)]
    open_alert = await logged_in(office, open_page, "/alerts/2")
    await open_alert.fill("#note", "half a sentence")
    number = await first.locator("[data-alert]").nth(1).get_attribute("data-alert")
    button = first.locator(f"[data-alert='{number}'] .em-row__do button")
    await button.click()
    await second.wait_for_selector(f"[data-alert='{number}'] >> text=/Acknowledged: Ann operator/")
    assert await second.locator(f"[data-alert='{number}'] .em-row__do").count() == 0
    assert (await second.locator("[data-alert]").nth(1).get_attribute("data-alert")) == number, (
        "it stays where it was"
    )
    await office.post("/v1/alerts/2/actions", {"action": "noted", "note": "the officer knows"})
    await open_alert.wait_for_selector("#colleague:not([hidden]) >> text=added a note")
    assert await open_alert.input_value("#note") == "half a sentence"


async def test_who_is_second_is_told_who_was_first_and_keeps_what_was_typed(
    office: Office, open_page: OpenPage
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts/1")
    await page.get_by_label("No further action").check()
    await page.fill("#note", "spoke to him on the phone")
    closing = {"action": "closed", "outcome": "VIOLATION", "note": "seen by the police"}
    assert (await office.post("/v1/alerts/1/actions", closing))[0] == 200
    await page.get_by_role("button", name="Close the alert").click()
    await page.wait_for_selector("#faster >> text=the operator closed it at")
    assert await page.input_value("#kept") == "spoke to him on the phone"
    assert await axe(page) == []
    await page.get_by_role("button", name="Save note").first.click()
    await page.wait_for_selector(".moj-timeline >> text=spoke to him on the phone")


async def test_a_list_that_is_not_live_says_since_when_and_why(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/alerts")
    await page.wait_for_selector("#live >> text=/^Live, /")
    await office.connection.execute("DELETE FROM sessions")
    await office.two_are_out()
    await page.wait_for_selector("#live >> text=/Not live since .*You are logged out/")
    assert await in_view(page, "#live")


async def test_a_list_of_a_service_that_went_away_says_so_and_recovers_with_nothing_lost(
    office: Office, open_page: OpenPage
) -> None:
    page = await open_page(f"{office.address}/login?next=/alerts")
    is_away = True

    async def fail_while_away(route: Route) -> None:
        await (route.abort("connectionrefused") if is_away else route.continue_())

    await page.route(re.compile("/v1/alerts/stream|/alerts/rows"), fail_while_away)
    await log_in(office, page, "/alerts")
    await page.wait_for_selector("#live >> text=The service does not answer. Trying again.")
    await office.two_are_out()
    is_away = False
    await page.locator("[data-alert]").nth(1).wait_for(timeout=BEFORE_THE_INTERVAL_MS)
    await page.wait_for_selector("#live >> text=/^Live, /", timeout=BEFORE_THE_INTERVAL_MS)
    assert await page.locator("[data-alert]").count() == 2


async def test_a_paused_list_stands_still_and_goes_on(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts")
    await page.click("#pause")
    await page.wait_for_selector("#live >> text=Paused")
    await office.post("/v1/alerts/1/actions", {"action": "acknowledged"})
    await office.report("D1", strap("19:56", 9))
    async with page.expect_response("**/alerts/rows**"):
        pass
    assert await page.locator("[data-state='acknowledged']").count() == 0
    assert await page.locator("#show-new").is_hidden()
    await page.click("#pause")
    await page.wait_for_selector("[data-state='acknowledged']")
    await page.wait_for_selector("#show-new:not([hidden])")


async def test_from_arrival_to_close_with_the_keyboard_alone(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts")
    await office.report("D1", strap("19:56", 9))
    await page.wait_for_selector("#show-new:not([hidden])")
    keys = page.keyboard
    await keys.press("n")
    assert "strap" in await page.evaluate("document.activeElement.textContent")
    async with page.expect_response("**/actions"):
        await keys.press("a")
    await page.wait_for_selector("[data-state='acknowledged']")
    await keys.press("j")
    await keys.press("k")
    assert "strap" in await page.evaluate("document.activeElement.textContent")
    await keys.press("Enter")
    await page.wait_for_url("**/alerts/*")
    await keys.press("o")
    await keys.press("Space")
    await keys.press("t")
    await keys.type("strap was cut; police informed, log 123")
    await page.focus("button[value='closed']")
    await keys.press("Enter")
    await page.wait_for_selector("#confirmed")  # it goes on
    await page.focus("#confirmed")
    await keys.press("Space")
    await page.focus("button[value='closed']")
    await keys.press("Enter")
    await page.wait_for_url("**/alerts")
    assert await page.locator("[data-alert]").count() == 2


async def test_letters_can_be_switched_off(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts")
    await page.keyboard.press("?")
    assert await page.locator("#keys-help").is_visible()
    assert await axe(page) == []
    await page.uncheck("#keys-on")
    await page.click("#keys-close")
    await page.keyboard.press("j")
    assert not await page.evaluate("document.activeElement.matches('[data-alert] a')")


async def test_without_scripts_the_queue_works_and_says_that_it_stands_still(
    office: Office, open_page: OpenPage
) -> None:
    await office.two_are_out()
    page = await open_page(f"{office.address}/login?next=/alerts", java_script_enabled=False)
    await log_in(office, page, "/alerts")
    assert "does not update by itself" in await page.locator("#live-bar").inner_text()
    await page.locator(".em-row__do button").first.click()
    await page.wait_for_url("**/alerts#row-*")
    assert await page.locator("[data-state='acknowledged']").count() == 1
    await page.locator("[data-state='new'] a").click()
    await page.get_by_label("No further action").check()
    await page.fill("#note", "home again")
    await page.get_by_role("button", name="Close the alert").click()
    await page.check("#confirmed")
    await page.get_by_role("button", name="Close the alert").click()
    await page.wait_for_url("**/alerts")
    assert await page.locator("[data-alert]").count() == 1


async def test_a_burst_is_one_line_that_opens_and_is_acknowledged_at_once(
    busy_office: Office, open_page: OpenPage
) -> None:
    for n in range(3, 9):
        await busy_office.report(f"D{n}", away("19:50", 1), away("19:52", 2))
    page = await logged_in(busy_office, open_page, "/alerts")
    assert "6 people: Curfew" in await page.locator(".em-burst summary").inner_text()
    await page.click(".em-burst summary")
    assert await page.locator(".em-burst [data-alert]").count() == 6
    assert await axe(page) == []
    await page.get_by_role("button", name="Acknowledge all 6").click()
    await page.wait_for_selector("[data-state='acknowledged']")
    assert await page.locator("[data-state='acknowledged']").count() == 6


@pytest.mark.parametrize("width", [1366, 320])
async def test_the_queue_and_the_handover_sheet_are_usable(office: Office, open_page: OpenPage, width: int) -> None:
    await office.two_are_out()
    await office.post("/v1/alerts/1/actions", {"action": "acknowledged", "note": "calling him"})
    page = await logged_in(office, open_page, "/alerts", width=width, height=768)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no sideways scrolling"
    assert await axe(page, impacts=("moderate", "serious", "critical")) == []
    await page.goto(f"{office.address}/alerts/handover")
    await page.wait_for_selector("text=calling him")
    assert await axe(page) == []


async def test_a_person_is_found_by_name_or_part_and_nobody_is_no_all_clear(
    office: Office, open_page: OpenPage
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/alerts")
    for sought in ("w1", "ANN", "ann  oth", "other"):
        await page.goto(f"{office.address}/alerts?person={sought}")
        assert await page.locator("[data-alert]").count() == 1, sought
    await page.goto(f"{office.address}/alerts?person=Zebedee")
    assert "No such person" in await page.locator("#nothing").inner_text()
    await page.goto(f"{office.address}/alerts?person=ann&severity=critical")
    assert "2 are open without it" in await page.locator("#nothing").inner_text()


async def test_two_people_at_once_and_a_stream_cut_in_between_lose_and_double_nothing(
    busy_office: Office, open_page: OpenPage
) -> None:
    page = await logged_in(busy_office, open_page, "/alerts")
    cut = asyncio.Event()

    async def while_cut(route: Route) -> None:
        await (route.abort("connectionfailed") if not cut.is_set() else route.continue_())

    await page.route(re.compile("/v1/alerts/stream|/alerts/rows"), while_cut)
    await many_are_out(busy_office)
    cut.set()
    await page.reload()
    await page.wait_for_selector("#live >> text=/^Live, /", timeout=BEFORE_THE_INTERVAL_MS)
    numbers = await page.evaluate("[...document.querySelectorAll('[data-alert]')].map(r => r.dataset.alert)")
    assert (len(numbers), len(set(numbers))) == (MANY, MANY)
