"""What people ask for, who decides, and what that does to orders and ledger."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from emtrack.orders.requests import requests_of
from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import Office, at_home, away
from tests.test_agencies import restricted
from tests.test_case_page import shown
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

ASKED = {"asked_by": "the person, by phone", "what": "Work", "evidence": "letter, seen"}
ABSENCE = {**ASKED, "kind": "absence", "begin": "2026-03-02T19:30", "end": "2026-03-02T21:00"}
WITHDRAWN = """
SELECT count(*) FROM finding_versions JOIN findings USING (finding_no) WHERE change = 'withdrawn' AND kind = 'CURFEW'
"""
GRANT = {"decision": "granted", "granted_by": "B. Ash, Probation Service", "why": "Work goes first"}


async def ask(visitor: Visitor, wearer_no: int = 1, **fields: Any) -> tuple[int, str]:
    return await visitor.post(f"/wearers/{wearer_no}/requests/new", form_key=await visitor.form_key(), **fields)


async def decide(visitor: Visitor, number: int = 1, **fields: Any) -> tuple[int, str]:
    return await visitor.post(f"/requests/{number}/decision", form_key=await visitor.form_key(), **fields)


async def officer(office: Office) -> Visitor:
    visitor = Visitor(office)
    await visitor.log_in(await office.account(Role.OFFICER, "Olive"), name="Olive")
    return visitor


async def settled(office: Office, statement: str, expected: object) -> None:
    """Wait until the record says so."""
    for _ in range(400):
        if await office.connection.fetchval(statement) == expected:
            return
        await asyncio.sleep(0.01)
    assert await office.connection.fetchval(statement) == expected


async def test_a_granted_absence_is_an_absence_and_findings_of_that_time_are_judged_again(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await office.report("D1", away("19:50", 1), away("19:52", 2))
    assert await office.connection.fetchval(WITHDRAWN) == 0
    assert await ask(visitor, **ABSENCE) == (303, "/wearers/1/requests")
    keeper = await officer(office)
    try:
        _, page = await keeper.get("/requests")
        assert "Absence from Mon 2 Mar 2026 19:30:00 GMT to Mon 2 Mar 2026 21:00:00 GMT" in shown(page)
        assert (await decide(keeper, **GRANT))[0] == 303
    finally:
        await keeper.http.close()
    absence = await office.connection.fetchrow("SELECT reason, entered_by FROM absences")
    assert tuple(absence) == ("request 1: Work", "Olive")
    await settled(office, WITHDRAWN, 1)
    decision = (await requests_of(office.connection, 1))[0].decision
    assert decision is not None
    assert decision.effect.startswith("The absence was entered.")
    assert (decision.granted_by, decision.decided_by) == ("B. Ash, Probation Service", "Olive")


async def test_a_granted_excuse_says_how_many_minutes_it_took_off_the_ledger(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    await office.report("D1", away("19:10", 1), away("19:12", 2), at_home("19:40", 3), at_home("19:42", 4))
    finding = await office.connection.fetchval("SELECT finding_no FROM atv_lines WHERE wearer_no = 1")
    assert finding is not None
    assert (await ask(visitor, **ASKED, kind="excuse", finding=str(finding)))[0] == 303
    assert (await decide(visitor, **GRANT))[0] == 303
    decision = (await requests_of(office.connection))[0].decision
    assert decision is not None
    minutes = await office.connection.fetchval("SELECT sum(amount_ms) FROM atv_lines WHERE wearer_no = 1")
    assert minutes == 0
    counted = await office.connection.fetchval("SELECT max(amount_ms) FROM atv_lines WHERE wearer_no = 1")
    assert decision.effect == f"{counted / 60_000:g} minutes were taken off the ledger of C1; the finding stands."


async def test_what_is_refused_changes_nothing_and_is_decided_once(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    await ask(visitor, **ABSENCE)
    assert (await decide(visitor, decision="refused", granted_by="B. Ash", why="No proof"))[0] == 303
    status, page = await decide(visitor, **GRANT)
    assert status == 422
    assert "Ann has decided this request already." in page
    assert await office.connection.fetchval("SELECT count(*) FROM absences") == 0
    assert await office.connection.fetchval("SELECT count(*) FROM request_decisions") == 1


async def test_what_cannot_be_carried_out_is_not_granted(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    for _ in range(2):
        await ask(visitor, **ABSENCE | {"end": f"2026-03-02T2{_}:00"})
    assert (await decide(visitor, 1, **GRANT))[0] == 303
    status, page = await decide(visitor, 2, **GRANT)
    assert status == 422
    assert "overlaps the absence" in page
    assert await office.connection.fetchval("SELECT count(*) FROM request_decisions") == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({**ABSENCE, "end": "2026-03-02T19:00"}, "Choose a later end"),
        ({**ABSENCE, "begin": "soon"}, "as a date and a time"),
        ({**ABSENCE, "end": "2026-09-02T19:00"}, "at most 92 days"),
        ({**ABSENCE, "asked_by": " "}, "Enter who asked, and how"),
        ({**ABSENCE, "what": "x" * 1001}, "at most 1,000 characters"),
        ({**ABSENCE, "kind": "party"}, "Select what is asked for"),
        ({**ASKED, "kind": "excuse"}, "Select a violation of this person"),
        ({**ASKED, "kind": "excuse", "finding": "999"}, "Select a violation of this person"),
    ],
)
async def test_what_is_no_request_is_told_and_what_was_typed_is_kept(
    office: Office, visitor: Visitor, fields: dict[str, str], told: str
) -> None:
    await visitor.log_in(await office.account())
    status, page = await ask(visitor, **fields)
    assert status == 422
    assert told in page
    assert "letter, seen" in page


async def test_operators_enter_requests_and_decide_none_and_agencies_see_their_own(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    await ask(visitor, **ABSENCE)
    await ask(visitor, 2, **ASKED, kind="variation")
    assert "Grant" not in (await visitor.get("/requests"))[1]
    assert (await decide(visitor, **GRANT))[0] == 403
    police = Visitor(office)
    try:
        await police.log_in(await office.account(Role.OFFICER, "Pat", "Police"), name="Pat")
        _, page = await police.get("/requests")
        assert "Ann Other" in page
        assert "W2" not in page
        assert (await police.get("/wearers/2/requests"))[0] == 404
        assert (await decide(police, 2, **GRANT))[0] == 422
    finally:
        await police.http.close()
    assert await office.connection.fetchval("SELECT count(*) FROM request_decisions") == 0


async def test_texts_of_a_restricted_record_are_hidden_from_who_may_not_open_it(
    office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    secret = {"asked_by": "her mother", "what": "moves to Low Road", "evidence": "a lease"}
    await ask(visitor, kind="variation", **secret)
    await ask(visitor, kind="variation", **secret)
    keeper = await officer(office)
    try:
        assert (await decide(keeper, 1, **GRANT | {"decision": "refused"}))[0] == 303
    finally:
        await keeper.http.close()
    await restricted(office)
    for path in ("/requests", "/wearers/1/requests"):
        status, page = await visitor.get(path)
        assert status == 200
        assert "Variation" in page
        assert "The record is restricted" in page
        for text in (*secret.values(), GRANT["granted_by"], GRANT["why"], "Nothing was changed"):
            assert text not in page, (path, text)
    assert (await ask(visitor, kind="variation", **secret))[0] == 303


async def test_requests_are_entered_with_the_keyboard_at_320_px(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/wearers/1/requests", width=320, height=700)
    assert await axe(page) == []
    await page.focus("#kind")
    await page.fill("#asked_by", "the person, by phone")
    await page.fill("#what", "Funeral")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".em-gap >> text=Funeral")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await page.goto(f"{office.address}/requests")
    assert await axe(page) == []
    page.assert_clean(office.address)
