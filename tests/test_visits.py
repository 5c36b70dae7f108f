"""Visits to people, what comes of them, and where tags are."""

from __future__ import annotations

from typing import Any

import pytest

from emtrack.people.roles import Role
from emtrack.record.visits import Place, not_worn, stock
from tests.browser import OpenPage, axe
from tests.office import Office
from tests.test_agencies import restricted
from tests.test_case_page import shown
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

SWAP = {"kind": "swap", "due": "2026-03-03T09:00", "why": "The strap is worn"}


async def book(visitor: Visitor, wearer_no: int = 1, **fields: str) -> tuple[int, str]:
    return await visitor.post(f"/wearers/{wearer_no}/visits/new", form_key=await visitor.form_key(), **fields)


async def report(visitor: Visitor, number: int = 1, **fields: str) -> tuple[int, str]:
    return await visitor.post(f"/visits/{number}/result", form_key=await visitor.form_key(), **fields)


async def places(office: Office) -> dict[Place, int]:
    return {place: count for place, count in (await stock(office.connection)).items() if count}


async def test_a_visit_is_booked_and_reported_and_tags_go_where_it_took_them(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    key = await visitor.form_key()
    await visitor.post("/visits/stock", form_key=key, device="D9", place="in stock", note="box 4")
    assert await places(office) == {Place.IN_STOCK: 1}
    assert await book(visitor, **SWAP) == (303, "/wearers/1/visits")
    _, page = await visitor.get("/visits")
    assert "3 Mar 09:00 : swap at Ann Other . The strap is worn booked by Ann" in shown(page)
    assert await report(visitor, result="done", fitted="D9", taken="D1", note="no trouble") == (303, "/visits")
    assert await places(office) == {Place.FITTED: 1, Place.RETURNED: 1}
    assert [tag.device_id for tag in await not_worn(office.connection)] == ["D1"]
    assert "Done : swap at Ann Other , D9 fitted, D1 taken. no trouble" in shown((await visitor.get("/visits"))[1])
    activations = await office.connection.fetchval("SELECT count(*) FROM activation_versions")
    assert activations == 2, "who wears which tag is entered with orders"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"result": "done", "note": "x", "taken": "D1"}, "Enter the tag that was fitted"),
        ({"result": "done", "note": "x", "fitted": "D9"}, "Enter the tag that was taken"),
        ({"result": "done", "note": "x", "fitted": "D1", "taken": "D1"}, "are the same"),
        ({"result": "failed", "note": "x", "fitted": "D9"}, "fitted and took no tag"),
        ({"result": "done", "fitted": "D9", "taken": "D1"}, "Enter a note"),
        ({"result": "party", "note": "x"}, "Select what came of the visit"),
        ({"result": "done", "note": "x", "fitted": "a/b", "taken": "D1"}, "no id of a tag"),
    ],
)
async def test_what_does_not_fit_is_told_and_nothing_is_moved(
    office: Office, visitor: Visitor, fields: dict[str, str], told: str
) -> None:
    await visitor.log_in(await office.account())
    await book(visitor, **SWAP)
    status, page = await report(visitor, **fields)
    assert status == 422
    assert told in page
    assert await places(office) == {}


async def test_a_visit_is_reported_once(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await book(visitor, **SWAP)
    assert (await report(visitor, result="failed", note="nobody opened"))[0] == 303
    status, page = await report(visitor, result="done", fitted="D9", taken="D1", note="x")
    assert status == 422
    assert "Ann has reported this visit already." in page


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"due": "2025-01-01T09:00"}, "from today on"),
        ({"due": "2029-01-01T09:00"}, "within a year"),
        ({"due": "soon"}, "as a date and a time"),
        ({"why": ""}, "Enter why"),
        ({"kind": "tea"}, "Select what is to be done"),
    ],
)
async def test_what_is_no_visit_is_told(office: Office, visitor: Visitor, change: dict[str, Any], told: str) -> None:
    await visitor.log_in(await office.account())
    status, page = await book(visitor, **SWAP | change)
    assert status == 422
    assert told in page


async def test_officers_see_visits_of_their_agency_and_book_none(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await book(visitor, **SWAP)
    await book(visitor, 2, **SWAP)
    officer = Visitor(office)
    try:
        await officer.log_in(await office.account(Role.OFFICER, "Pat", "Police"), name="Pat")
        _, page = await officer.get("/visits")
        assert "Ann Other" in page
        assert "W2" not in page
        assert 'id="stock"' not in page
        assert (await book(officer, **SWAP))[0] == 403
    finally:
        await officer.http.close()


async def test_texts_of_a_restricted_record_are_hidden_and_its_visits_are_worked(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await book(visitor, **SWAP)
    await book(visitor, **SWAP)
    await report(visitor, result="failed", note="the brother opened")
    await restricted(office)
    for path in ("/visits", "/wearers/1/visits"):
        status, page = await visitor.get(path)
        assert status == 200
        assert "swap" in page
        assert "The strap is worn" not in page, path
        assert "the brother opened" not in page, path
        assert "The record is restricted" in page
    assert (await report(visitor, 2, result="done", fitted="D9", taken="D1", note="no trouble"))[0] == 303


async def test_past_visits_are_looks_too(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    await book(visitor, **SWAP)
    await report(visitor, result="failed", note="nobody opened")
    await office.connection.execute("DELETE FROM looks")
    await visitor.get("/visits")
    looked = "SELECT DISTINCT wearer_no FROM looks WHERE what = 'details'"
    assert [row["wearer_no"] for row in await office.connection.fetch(looked)] == [1]


async def test_visits_are_worked_with_the_keyboard_at_320_px(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/wearers/1/visits", width=320, height=700)
    assert await axe(page) == []
    await page.fill("#why", "The strap is worn")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Report it")
    await page.click("text=Report it")
    assert await axe(page) == []
    await page.fill("#note-1", "nothing is wrong")
    await page.focus("button:has-text('Done')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=The last ones")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    page.assert_clean(office.address)
