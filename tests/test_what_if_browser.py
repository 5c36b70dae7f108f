"""*What if?* as an officer works it: by keyboard, on a narrow screen, without scripts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shapely import Point, Polygon

from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import Office, open_office
from tests.service_world import AWAY
from tests.test_pages_browser import logged_in


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


async def test_a_zone_is_tried_on_a_person_by_keyboard_alone(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/wearers/1", Role.OFFICER, width=1280)
    await page.get_by_role("button", name="What if?").focus()
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#purpose")
    assert await page.input_value("#wearer") == "W1", "from a person's page it is about that person"
    assert await axe(page) == []
    await page.focus("#purpose")
    await page.keyboard.press("Space")
    await page.keyboard.press("Tab")
    await page.keyboard.type("review 4")
    await page.fill("#begin", "2026-03-02T18:00")
    await page.fill("#end", "2026-03-02T20:00")
    await page.focus("#lat")
    for text in (str(AWAY[1]), str(AWAY[0]), "100"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.focus("#radius")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Findings beside today", timeout=10_000)
    assert await page.get_by_role("rowheader", name="Gained").count() == 1
    assert await page.get_by_text("not in the zone").count() == 1
    for width in (1280, 320):
        await page.set_viewport_size({"width": width, "height": 768})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await axe(page) == []
    page.assert_clean(office.address)


async def test_a_zone_is_drawn_on_a_map_by_keyboard_and_by_clicks(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/what-if", Role.OFFICER, width=1280)
    await page.fill("#lat", str(AWAY[1]))
    await page.fill("#lon", str(AWAY[0]))
    await page.focus("#zone-drawing summary")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#zone-map[data-ready=true]")
    assert await axe(page) == []
    viewport = page.get_by_role("application")
    await viewport.focus()
    assert "No corner yet" in await page.inner_text("#zone-map-told")
    for keys in (("ArrowLeft", "ArrowUp"), ("ArrowRight", "ArrowRight"), ("ArrowDown", "ArrowDown")):
        for key in (*keys, "Enter"):
            await page.keyboard.press(key)
    await page.wait_for_selector("#zone-map[data-corners='3']")
    box = await viewport.bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + box["width"] / 2 - 250, box["y"] + box["height"] / 2)
    await page.wait_for_selector("#zone-map[data-corners='4']")
    drawn = json.loads(await page.input_value("#geojson"))
    zone = Polygon(drawn["coordinates"][0])
    assert zone.contains(Point(AWAY)), "round the place where the map began"
    assert len(drawn["coordinates"][0]) == 5
    assert await page.input_value("#lat") == "", "a circle or a polygon, not both"
    await viewport.focus()
    await page.keyboard.press("Backspace")
    await page.wait_for_selector("#zone-map[data-corners='3']")
    assert "3 corners, about" in await page.inner_text("#zone-map-told")
    await page.get_by_role("button", name="Take the cross as the middle of a circle").click()
    assert await page.input_value("#geojson") == ""
    assert float(await page.input_value("#lat")) == pytest.approx(AWAY[1], abs=0.02)
    await page.get_by_role("button", name="Begin anew").click()
    assert await page.get_attribute("#zone-map", "data-corners") == "0"
    await page.set_viewport_size({"width": 320, "height": 768})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await axe(page) == []
    page.assert_clean(office.address)


async def test_the_page_fits_a_narrow_screen_and_needs_no_script(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(
        office, open_page, "/what-if", Role.OFFICER, width=320, height=640, java_script_enabled=False
    )
    heading = await page.locator("h1").bounding_box()
    assert heading is not None
    assert heading["x"] + heading["width"] <= 320
    await page.check("#purpose")
    await page.fill("#wearer", "W1")
    await page.fill("#begin", "2026-03-02T18:00")
    await page.fill("#end", "2026-03-02T20:00")
    await page.fill("#timetable", "SUN 01:00-02:00")
    await page.click("main form button")
    await page.wait_for_url("**/what-if/1")
    for _ in range(100):
        if await page.get_by_text("Findings beside today").count():
            break
        await page.get_by_role("link", name="See how far it is").click()
    assert await page.get_by_role("rowheader", name="Lost").count() >= 1
