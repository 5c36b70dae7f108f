"""Views of the queue that an account keeps."""

from __future__ import annotations

import pytest

from emtrack.people.roles import Role
from emtrack.people.saved_views import MOST, UnfitView, save_view, saved_views
from tests.browser import OpenPage, axe
from tests.office import Office
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor


async def names(office: Office, account: str = "Ann") -> list[tuple[str, str]]:
    return [(view.name, view.query) for view in await saved_views(office.connection, account)]


async def test_a_filter_is_kept_under_a_name_and_listed_above_the_queue(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    query = "state=open&severity=critical&agency=Police&after=1-2&next=//evil"
    kept = await visitor.post("/alerts/views", form_key=key, name=" Police, critical ", query=query)
    assert kept == (303, "/alerts?state=open&severity=critical&agency=Police")
    _, page = await visitor.get("/alerts")
    assert 'href="/alerts?state=open&amp;severity=critical&amp;agency=Police"' in page
    await visitor.post("/alerts/views", form_key=key, name="Police, critical", query="severity=serious")
    assert await names(office) == [("Police, critical", "severity=serious")], "the same name is the same view"


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("", "severity=critical", 422), ("x" * 41, "severity=critical", 422), ("a\u202eb", "severity=critical", 422),
        ("a", "severity=x", 400), ("a", "state=x", 400), ("a", "person=" + "x" * 1000, 422),
    ],
)  # fmt: skip
async def test_what_is_no_view_is_not_kept(
    office: Office, visitor: Visitor, name: str, query: str, status: int
) -> None:
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    assert (await visitor.post("/alerts/views", form_key=key, name=name, query=query))[0] == status
    assert await names(office) == []


async def test_nobody_sees_or_deletes_the_views_of_another_and_there_is_a_bound(
    office: Office, visitor: Visitor
) -> None:
    for number in range(MOST):
        await save_view(office.connection, "Bob", f"view {number}", "severity=critical", 0)
    with pytest.raises(UnfitView, match="Delete one first"):
        await save_view(office.connection, "Bob", "one more", "severity=critical", 0)
    await save_view(office.connection, "Bob", "view 3", "severity=serious", 0)
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    _, page = await visitor.get("/alerts")
    assert "view 3" not in page
    number = await office.connection.fetchval("SELECT view_no FROM saved_views WHERE name = 'view 3'")
    await visitor.post("/alerts/views/delete", form_key=await visitor.form_key(), view=str(number))
    assert len(await names(office, "Bob")) == MOST


async def test_a_view_is_saved_opened_and_deleted_with_the_keyboard(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/alerts?state=open&severity=critical", width=320, height=700)
    await page.fill("#view-name", "Critical")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("nav[aria-label='Saved views'] >> text=Critical")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await axe(page) == []
    await page.goto(f"{office.address}/alerts")
    await page.focus("nav[aria-label='Saved views'] a")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/alerts?*severity=critical*")
    await page.focus("button:has-text('Delete the view')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("nav[aria-label='Saved views']", state="detached")
    assert await office.connection.fetchval("SELECT count(*) FROM saved_views") == 0
    page.assert_clean(office.address)
