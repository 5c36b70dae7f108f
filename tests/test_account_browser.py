"""The page of one's own account in a real browser: an authenticator app from its QR code to the next login."""

from __future__ import annotations

import pyotp

from tests.browser import OpenPage, WatchedPage, axe
from tests.office import Office

NEW = "lantern-oboe-cardigan"


async def log_in(page: WatchedPage, password: str, leads_to: str) -> None:
    await page.fill("#name", "Ann")
    await page.fill("#password", password)
    await page.click("main button")
    await page.wait_for_url(f"**{leads_to}")


async def test_a_person_changes_the_first_password_sets_up_an_app_and_logs_in_with_its_code(
    office: Office, open_page: OpenPage
) -> None:
    page = await open_page(f"{office.address}/login", width=320)
    first = await office.fresh_account()
    await log_in(page, first, "/account")
    for field, text in (("old", first), ("new", NEW), ("again", NEW)):
        await page.fill(f"#{field}", text)
    await page.click("text=Change password")
    await page.wait_for_url("**/login")
    await log_in(page, NEW, "/shift?next=%2Falerts")

    await page.goto(f"{office.address}/account")
    assert await axe(page) == []
    await page.click("text=Set up an authenticator app")
    await page.click("main button")
    await page.wait_for_selector("main svg")
    box = await page.locator("main svg").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 320, "the code to scan fits a telephone"
    assert await axe(page) == []
    secret = (await page.inner_text("#key")).replace(" ", "")
    await page.fill("#code", pyotp.TOTP(secret).now())
    await page.click("main button")
    assert await page.locator("#recovery-codes li").count() == 10

    await office.connection.execute("UPDATE second_factors SET last_step = 0")
    await page.click("text=Log out")
    await page.wait_for_url("**/login")
    await log_in(page, NEW, "/login/code?next=%2F")
    assert await axe(page) == []
    await page.fill("#code", pyotp.TOTP(secret).now())
    await page.click("text=Continue")
    await page.wait_for_url("**/shift?next=%2Falerts")
    assert (page.console, page.errors, page.policy_violations) == ([], [], [])
    assert page.requests_beyond(office.address) == []
