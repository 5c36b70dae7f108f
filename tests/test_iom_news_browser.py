"""A finding moves what officers look at, in a browser: the page that is open says so, then queue, proposal, person and huddle."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import ORDERS, Office, away, open_office
from tests.test_pages_browser import logged_in

WITHIN_S = 60.0
RED = {"wearer_id": "W2", "name": "Bo Other", "iom": {"rag": "RED", "cohort": "FIXED", "agencies": ["Police"]}}


@pytest.fixture
async def programme(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """Two members: W1 is green, W2 is red."""
    form = ORDERS | {"wearers": [ORDERS["wearers"][0], RED]}
    async with open_office(database_url, data_dir, form) as office:
        yield office


async def test_a_finding_moves_the_queue_the_proposal_the_person_and_the_huddle_within_a_minute(
    programme: Office, open_page: OpenPage
) -> None:
    page = await logged_in(programme, open_page, "/iom", Role.OFFICER, width=1366, height=768)
    same_session = await page.context.storage_state()
    person = await open_page(f"{programme.address}/iom/people/W1", storage_state=same_session)
    names = page.locator(".em-cohort__name")
    assert "W2" in await names.nth(0).inner_text(), "who is red stands before who is green"
    assert await page.locator(".em-cohort__proposal").count() == 0
    place = "() => document.querySelector('.em-cohort__name').getBoundingClientRect().top"
    top = await page.evaluate(place)
    began_s = time.monotonic()
    await programme.report("D1", away("19:50", 1), away("19:52", 2))
    await page.wait_for_selector("#iom-news:visible >> text=Something changed about one person", timeout=60_000)
    await person.wait_for_selector("#iom-news:visible >> text=Something changed since", timeout=60_000)
    assert await page.evaluate(place) == top, "nothing moves under the hand"
    assert await axe(page) == []
    await page.get_by_role("link", name="Show it").click()
    await page.wait_for_selector("li:has-text('Ann Other') >> text=Proposed: amber.")
    assert "Ann Other" in await names.nth(0).inner_text(), "who has an open alert stands first"
    await person.get_by_role("link", name="Show it").click()
    await person.wait_for_selector("text=violated the curfew")
    await page.goto(f"{programme.address}/iom/meetings")
    await page.get_by_role("button", name="Make the huddle sheet").click()
    await page.wait_for_url("**/iom/meetings/*")
    await page.wait_for_selector("li:has-text('Ann Other') >> text=violated the curfew")
    assert time.monotonic() - began_s < WITHIN_S
    page.assert_clean(programme.address)
