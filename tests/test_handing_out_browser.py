"""Files and reports as an officer gets them from a person's page: by keyboard, on a narrow screen."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.people.roles import Role
from tests.browser import OpenPage, WatchedPage, axe
from tests.office import Office, open_office
from tests.test_pages_browser import logged_in


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        yield office


async def test_a_file_and_a_report_are_made_from_a_persons_page_by_keyboard_alone(
    office: Office, open_page: OpenPage, tmp_path: Path
) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, "/wearers/1", Role.OFFICER, width=1280)
    for link, name in (("Export positions", "positions-1.csv"), ("Evidence report", "report-2.zip")):
        await page.goto(f"{office.address}/wearers/1")
        await page.get_by_role("button", name=link).focus()
        await page.keyboard.press("Enter")
        await page.wait_for_selector("#purpose")
        await page.focus("#purpose")
        await page.keyboard.press("Space")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") == "reference"
        await page.keyboard.type("T20267001")
        await page.fill("#begin", "2026-03-02T19:00")
        await page.fill("#end", "2026-03-02T20:00")
        await page.focus("#end")
        async with page.expect_download() as download:
            await page.keyboard.press("Enter")
        file = await download.value
        assert file.suggested_filename == name
        await file.save_as(tmp_path / name)
        await page.reload()
        hashed = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert await page.get_by_text(hashed).count() == 1, "what was handed out stands below the form"
        assert await axe(page) == []
        await page.set_viewport_size({"width": 320, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert await axe(page) == []
        await page.set_viewport_size({"width": 1280, "height": 768})
    assert (tmp_path / "positions-1.csv").read_text().count("GPS") == 2
    downloads = [f"{office.address}/wearers/1/{what}: net::ERR_ABORTED" for what in ("export", "report")]
    # A download leaves the page as it is, which a browser calls aborted; so is an icon when the next page is asked for.
    assert [one for one in page.failed_requests if one not in downloads and "/icon.svg" not in one] == []
    page.failed_requests.clear()
    page.assert_clean(office.address)
    await reads_by_itself(page, tmp_path)


async def reads_by_itself(page: WatchedPage, folder: Path) -> None:
    """The page of a report stands alone: in a browser without the service, narrow and wide."""
    with zipfile.ZipFile(folder / "report-2.zip") as archive:
        archive.extract("report.html", folder)

    await page.goto(f"file://{folder / 'report.html'}")
    assert await page.title() == "Evidence report: W1"
    for width in (1280, 320):
        await page.set_viewport_size({"width": width, "height": 768})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await axe(page) == []
