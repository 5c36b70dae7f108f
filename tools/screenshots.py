"""Pictures of the pages for the README and docs/pages.md: `make screenshots`.

Starts a small demo of its own, waits for its first live alerts, and looks at each page with the browser of the tests. Who the
pictures show, and what they did, follows from the seed; only the passwords and the time of day differ from run to run.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
DEMO = ("--wearers", "120", "--long", "4", "--hours", "36", "--days", "14")
PATIENCE_S = 600


async def main() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("No Chromium: `make browser` installs Debian's, CHROMIUM=/path/to/chromium names another.")
    folder = Path(tempfile.mkdtemp(prefix="emtrack-screenshots-"))
    folder.chmod(0o755)  # the database server may run as a user of its own
    demo = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("emtrack"), "demo", *DEMO,
        env=os.environ | {"EMTRACK_DATA_DIR": str(folder), "EMTRACK_LISTEN": "127.0.0.1:0"},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(PATIENCE_S):
            address, passwords = await started(demo)
            reading = asyncio.create_task(demo.stderr.read())  # type: ignore[union-attr]
            await take_all(chromium, address, passwords)
    finally:
        if demo.returncode is None:
            demo.send_signal(signal.SIGINT)
            await demo.wait()
        shutil.rmtree(folder, ignore_errors=True)
    await reading


async def started(demo: asyncio.subprocess.Process) -> tuple[str, dict[str, str]]:
    """The address and the passwords that the demo prints."""
    assert demo.stderr is not None
    address, passwords = "", {}
    async for line in demo.stderr:
        text = line.decode()
        if found := re.search(r"(http://\S+)/alerts", text):
            address = found[1]
        if found := re.match(r"\s+(demo-\w+)\s+(\S+)", text):
            passwords[found[1]] = found[2]
        if address and len(passwords) == 3:
            return address, passwords
    raise SystemExit("The demo ended before it said where it listens.")


async def take_all(chromium: str, address: str, passwords: dict[str, str]) -> None:
    IMAGES.mkdir(exist_ok=True)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=chromium, args=sandbox) as browser,
    ):
        page = await browser.new_page(viewport={"width": 1360, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(90_000)
        await page.goto(f"{address}/login")
        await picture(page, "login")
        await page.fill("#name", "demo-operator")
        await page.fill("#password", passwords["demo-operator"])
        await page.click("main button")
        await page.get_by_role("button", name="Start").click()  # the shift
        await page.locator("#show-new:not([hidden])").wait_for()  # alerts that came while the page was open
        await picture(page, "alerts")
        await page.goto(f"{address}/alerts?state=closed&kind=EXCLUSION")
        await page.locator("[data-alert] a").first.click()
        await page.locator("#map[data-ready='true']").wait_for()
        await page.locator("table[data-map] tr.em-row--within").first.click()
        await picture(page, "alert", full_page=True)
        wearer = await page.locator("main a[href^='/wearers/']").first.get_attribute("href")
        await page.goto(f"{address}/wearers")
        await picture(page, "people")
        await page.goto(address + str(wearer))
        await picture(page, "wearer", full_page=True)
        await page.goto(f"{address}/wearers/1/history")
        await page.get_by_label("To review how the person keeps to the order").check()
        await picture(page, "purpose", full_page=True)
        await page.get_by_role("button", name="Record and show").click()
        await page.locator("#map[data-ready='true']").wait_for()
        await page.locator("tr[data-n]").nth(20).click()
        await picture(page, "history")


async def picture(page: Page, name: str, **options: Any) -> None:
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=IMAGES / f"{name}.png", **options)
    print(f"docs/images/{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
