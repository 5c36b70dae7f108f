"""The page that guides through a shift."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emtrack.demo.guide import write_guide
from emtrack.demo.history import Demo
from emtrack.demo.scenes import cast
from emtrack.people.roles import Role
from emtrack.settings import SettingsError
from emtrack.web.guide import read_guide
from geofence import parse_instant
from tests.browser import OpenPage, axe
from tests.office import Office, open_office
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

END_MS = parse_instant("2026-03-02T19:58:00Z")


@pytest.fixture
async def guided(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    town = Demo(wearers=140, long=0, hours=1.0, days=0.1, seed=3, end_ms=END_MS)
    data_dir.mkdir(parents=True, exist_ok=True)
    path = write_guide(data_dir, cast(town.worlds(), END_MS))
    async with open_office(database_url, data_dir, guide=path) as office:
        yield office


@pytest.mark.parametrize("width", [1366, 320])
async def test_a_shift_is_led_step_by_step(guided: Office, open_page: OpenPage, width: int) -> None:
    page = await logged_in(guided, open_page, "/guide", width=width, height=768)
    steps = await page.locator(".em-guide__step h2").all_inner_texts()
    assert len(steps) == 7
    assert [step for step in steps if "Now" in step] == [steps[1]], (
        "the clock shows 20:00, two minutes after the beginning"
    )
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.click("text=/Open the page/ >> nth=0")
    await page.wait_for_url("**/alerts")
    page.assert_clean(guided.address)


async def test_without_a_script_there_is_no_such_page(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OPERATOR))
    assert (await visitor.get("/guide"))[0] == 404
    assert "/guide" not in (await visitor.get("/alerts"))[1]


STEP = {"at": "2026-03-02T19:00:00Z", "title": "a", "text": "b"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"title": "x", "steps": []}, "0 steps"),
        ({"title": "x", "steps": [STEP | {"look_at": "//evil.example"}]}, "a page such as"),
        ({"title": "x", "steps": [STEP | {"look_at": "https://evil.example"}]}, "a page such as"),
        ({"title": "x", "steps": [STEP | {"at": "soon"}]}, "cannot be used"),
        ({"title": "x", "steps": [STEP] * 101}, "101 steps"),
        ({"title": "x" * 300_000, "steps": [STEP]}, "larger than"),
        ([], "cannot be used"),
    ],
)
def test_a_script_that_cannot_be_used_says_why(tmp_path: Path, content: Any, why: str) -> None:
    path = tmp_path / "guide.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=why):
        read_guide(path)
    with pytest.raises(SettingsError, match="cannot be used"):
        read_guide(tmp_path / "nowhere")
