"""Deadlines, calls, messages and the rota in a real browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alerts import NewChannel, add_channel
from alerts.channels import ChannelKind
from emtrack.people.roles import Role
from geofence import parse_instant
from tests.browser import OpenPage, WatchedPage, axe
from tests.office import BEGINS, Office, strap
from tests.test_pages_browser import logged_in

SHOWN = os.environ.get("SHOW_PAGES")
"""A folder for pictures of what this test sees."""


async def shown(page: WatchedPage, name: str) -> None:
    if SHOWN:
        await page.screenshot(path=str(Path(SHOWN) / f"{name}.png"))


@pytest.mark.parametrize("width", [1366, 320])
async def test_a_supervisor_sees_what_did_not_arrive_and_puts_somebody_on_call(
    office: Office, open_page: OpenPage, width: int
) -> None:
    duty = NewChannel("duty", ChannelKind.EMAIL, "duty@centre.example", severity_from=1, is_outside=True)
    await add_channel(office.connection, duty, "test", parse_instant(BEGINS))
    await office.report("D1", strap("19:50", 1))
    page = await logged_in(office, open_page, "/deliveries", Role.SUPERVISOR, width=width, height=768)
    late = "UPDATE deliveries SET made_at = made_at - interval '2 minutes'"
    while await office.connection.execute(late) == "UPDATE 0":
        await page.wait_for_timeout(100)
    await page.wait_for_timeout(1500)
    await page.reload()
    await page.wait_for_selector("text=No mail server is set up")
    await shown(page, f"deliveries-{width}")
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="Dealt with").first.press("Enter")
    await page.wait_for_selector("text=Everything arrived")
    await page.click("text=Who is on call")
    await page.select_option("#account", index=0)
    for field, value in [
        ("begin_date", "2026-03-02"),
        ("begin_time", "18:00"),
        ("end_date", "2026-03-03"),
        ("end_time", "06:00"),
    ]:
        await page.fill(f"#{field}", value)
    await page.get_by_role("button", name="Enter the shift").press("Enter")
    await page.wait_for_selector("text=Mon 2 Mar 2026 18:00:00 GMT")
    await shown(page, f"rota-{width}")
    assert await axe(page) == []
    await page.get_by_role("button", name="Take back").press("Enter")
    await page.wait_for_selector("text=Nobody is on call")
    page.assert_clean(office.address)


async def test_a_shift_that_cannot_be_is_said_beside_what_was_typed(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/rota", Role.SUPERVISOR)
    await page.fill("#begin_date", "2026-03-02")
    await page.get_by_role("button", name="Enter the shift").click()
    await page.wait_for_selector(".govuk-error-summary >> text=a date and a time")
    assert await page.input_value("#begin_date") == "2026-03-02"


async def test_an_operator_sees_what_is_due_and_logs_the_call_and_the_police(
    office: Office, open_page: OpenPage
) -> None:
    await office.report("D1", strap("19:50", 1))
    page = await logged_in(office, open_page, "/alerts", width=1366, height=768)
    await page.wait_for_selector("text=/acknowledge: .* left/")
    await shown(page, "queue-due")
    await page.click("[data-alert] a")
    await page.wait_for_selector(".em-deadlines >> text=/Tell the authority: by/")
    await page.get_by_role("button", name="Acknowledge").press("Enter")
    await page.wait_for_selector(".em-deadlines >> text=/Acknowledge: done/")
    await page.click("text=Calls, messages, authorities")
    await shown(page, "alert-due")
    await page.fill("#note", "rang twice")
    await page.select_option("#call_result", "no answer")
    await page.get_by_role("button", name="Log the call").press("Enter")
    await page.wait_for_selector("text=The person: did not answer. rang twice")
    await page.click("text=Calls, messages, authorities")
    await page.get_by_role("button", name="Log that it was told").press("Enter")
    await page.wait_for_selector(".govuk-error-summary >> text=log number")
    await page.fill("#log_number", "881 of 2 March")
    await page.get_by_role("button", name="Log that it was told").press("Enter")
    await page.wait_for_selector("text=Police, log number 881 of 2 March.")
    await page.wait_for_selector(".em-deadlines >> text=/Tell the authority: done/")
    assert await axe(page) == []
