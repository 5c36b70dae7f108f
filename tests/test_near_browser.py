"""*Who was near here?* as an investigator works it: by keyboard, on a narrow screen, without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import Office, open_office
from tests.service_world import AWAY
from tests.test_pages_browser import logged_in


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


async def test_a_question_is_asked_and_assessed_by_keyboard_alone(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/near", Role.OFFICER)
    assert await axe(page) == []
    await page.focus("#purpose")
    await page.keyboard.press("Space")
    for field, text in (
        ("reference", "crime 7"),
        ("label", "a burglary"),
        ("lat", str(AWAY[1])),
        ("lon", str(AWAY[0])),
    ):
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == field
        await page.keyboard.type(text)
    await page.fill("#begin", "2026-03-02T19:45")
    await page.fill("#end", "2026-03-02T19:59")
    await page.focus("#end")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/near/1")
    assert await page.locator("tbody th").all_inner_texts() == ["Ann Other W1", "W2"]
    assert await axe(page) == []
    await page.locator("summary").first.focus()
    await page.keyboard.press("Enter")
    await page.locator("[name='why']").first.focus()
    await page.keyboard.type("seen on CCTV")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=seen on CCTV")
    assert await axe(page) == []
    page.assert_clean(office.address)


@pytest.mark.parametrize("path", ["/near", "/near/together"])
async def test_the_pages_fit_a_narrow_screen_and_need_no_script(
    office: Office, open_page: OpenPage, path: str
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, path, Role.OFFICER, width=320, height=640, java_script_enabled=False)
    await page.check("#purpose")
    if path == "/near":
        await page.fill("#lat", str(AWAY[1]))
        await page.fill("#lon", str(AWAY[0]))
    await page.fill("#begin", "2026-03-02T19:45")
    await page.fill("#end", "2026-03-02T19:59")
    await page.click("main button")
    await page.wait_for_url("**/near/1")
    heading = await page.locator("h1").bounding_box()
    assert heading is not None
    assert heading["x"] + heading["width"] <= 320
    region = await page.locator("[aria-label='Results']").bounding_box()
    assert region is not None
    assert region["width"] <= 320, "the table moves within its region, and the page does not"
