"""Meetings: a huddle sheet in one step, agendas that stay as they were, decisions that become entries, from nomination to letter."""

from __future__ import annotations

import re

import pytest

from emtrack.iom.entries import Author, Draft, enter, load
from emtrack.iom.escalation import REMOVED_WHY, cancel_moot
from emtrack.iom.grades import GRADE
from emtrack.iom.meetings import LINE
from emtrack.iom.memberships import MEMBERSHIP, Membership
from emtrack.iom.notes import Visibility
from emtrack.iom.proposals import PROPOSAL
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.tasking import NewTask, enter_task
from emtrack.iom.tasks import TASK
from emtrack.people.roles import Role
from emtrack.web.pages.iom_meetings import read_attendance
from geofence import parse_instant
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.test_iom_pages import exclusion, number_of
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

NOW = parse_instant(BEGINS)
DAY = 86_400_000
ANN = Author("Ann", "Police")


async def meeting_made(visitor: Visitor, key: str, **form: str) -> str:
    """Where it is shown."""
    status, address = await visitor.post("/iom/meetings", form_key=key, **form)
    assert (status, address.startswith("/iom/meetings/")) == (303, True), address
    return address


async def test_the_huddle_sheet_is_one_step_and_says_why_and_since_when(office: Office, visitor: Visitor) -> None:
    await exclusion(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    address = await meeting_made(visitor, await visitor.form_key(), kind="HUDDLE")
    _, page = await visitor.get(address)
    assert "Ann Other" in page
    assert "entered an exclusion zone; red is proposed" in page
    assert "since" in page
    assert "The agenda is frozen" in page
    looks = await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'IOM record'")
    assert looks >= 1


async def test_what_only_some_may_read_stands_on_no_agenda(office: Office, visitor: Visitor) -> None:
    signal = Signal(kind=SignalKind.INTELLIGENCE, direction=Direction.UP, because="was seen with a van")
    async with office.connection.transaction():
        draft = Draft(SIGNAL, await number_of(office), signal, "LIVE", occurred_ms=NOW, due_ms=NOW + DAY,
                      visibility=Visibility.POLICE_INTEL)  # fmt: skip
        await enter(office.connection, ANN, [draft], NOW)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    address = await meeting_made(visitor, await visitor.form_key(), kind="HUDDLE")
    lines = await office.connection.fetch("SELECT content FROM iom_entries WHERE noun = 'line'")
    assert not any("van" in row["content"].get("because", "") for row in lines)
    assert (await visitor.get(address))[0] == 200


async def test_who_is_not_shared_is_on_no_agenda_that_another_agency_sees(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    key = await visitor.form_key()
    address = await meeting_made(visitor, key, kind="CASE_CONFERENCE", at="2026-03-03T10:00")
    for reference in ("W1", "W2"):
        assert await visitor.post(f"{address}/people", form_key=key, reference=reference, because="new address") == (
            303, address,
        )  # fmt: skip
    _, page = await visitor.get(address)
    assert "2 people" in page
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Probation Service"), "Eve")
        _, page = await other.get(address)
        assert ("1 person" in page, "Ann Other" in page, "W2" in page) == (True, True, False)
        _, page = await other.get(f"{address}/minutes?file=1")
        assert "W2" not in page
    finally:
        await other.http.close()


async def test_an_agenda_is_planned_frozen_decided_and_held(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    key, number = await visitor.form_key(), await number_of(office)
    address = await meeting_made(visitor, key, kind="CASE_CONFERENCE", at="2026-03-03T10:00", chair="C. Elm")
    status, page = await visitor.post(f"{address}/people", form_key=key, reference="W1", because="")
    assert (status, "Say why the person is on the agenda" in page) == (422, True)
    await visitor.post(f"{address}/people", form_key=key, reference="W1", because="lost his room")
    (line,) = await load(office.connection, [number], [LINE])
    status, page = await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, decision="NONE")
    assert (status, "when the agenda is frozen" in page) == (422, True)
    await visitor.post(f"{address}/freeze", form_key=key)
    status, page = await visitor.post(f"{address}/people", form_key=key, reference="W2", because="late")
    assert (status, "agenda is frozen" in page) == (422, True)
    task = {"decision": "TASK", "note": "Find a room", "agency": "Probation Service", "due": "2026-03-05T17:00"}
    assert (await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, **task))[0] == 303
    (entered,) = await load(office.connection, [number], [TASK])
    assert (entered.content.title, entered.content.origin) == ("Find a room", "MEETING")  # type: ignore[attr-defined]
    status, page = await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, decision="NONE")
    assert (status, "decided already" in page) == (409, True)
    who = {"attended": "Police: A. Oak, B. Ash\nProbation Service: D. Fir", "absent": "Housing"}
    await visitor.post(f"{address}/attendance", form_key=key, **who)
    await visitor.post(f"{address}/held", form_key=key)
    _, page = await visitor.get(f"{address}/minutes")
    assert all(
        words in page
        for words in ("C. Elm", "A. Oak, B. Ash", "Housing: nobody came", "lost his room", "Find a room")
    )
    async with visitor.http.get(f"{address}/minutes?file=1") as answer:
        disposition, text = answer.headers["Content-Disposition"], await answer.text()
    assert re.fullmatch(r'attachment; filename="minutes-2026-03-03-\d+\.html"', disposition)
    assert ("Find a room" in text, "<script" in text) == (True, False)
    status, page = await visitor.post(f"{address}/cancel", form_key=key)
    assert (status, "does not become CANCELLED" in page) == (422, True)


async def test_only_a_panel_takes_people_in_and_lets_them_go(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    key, number = await visitor.form_key(), await number_of(office)
    address = await meeting_made(visitor, key, kind="CASE_CONFERENCE", at="2026-03-03T10:00")
    await visitor.post(f"{address}/people", form_key=key, reference="W1", because="18 months without an offence")
    await visitor.post(f"{address}/freeze", form_key=key)
    (line,) = await load(office.connection, [number], [LINE])
    form = {"decision": "REMOVAL", "end_reason": "RISK_REDUCED"}
    status, page = await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, **form)
    assert (status, "Only a selection panel" in page) == (422, True)


async def test_who_is_removed_is_in_no_list_any_more(office: Office, visitor: Visitor) -> None:
    await exclusion(office)
    number = await number_of(office)
    async with office.connection.transaction():
        await enter_task(office.connection, ANN, number, NewTask("Call on them", NOW + DAY, "Police"), NOW)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    address = await meeting_made(visitor, key, kind="SELECTION_PANEL", at="2026-03-03T10:00")
    await visitor.post(f"{address}/people", form_key=key, reference="W1", because="18 months without an offence")
    await visitor.post(f"{address}/freeze", form_key=key)
    (line,) = await load(office.connection, [number], [LINE])
    status, page = await visitor.post(
        f"/iom/lines/{line.item_no}", form_key=key, decision="REMOVAL", end_reason="BORED"
    )
    assert (status, "listed reasons" in page) == (422, True)
    form = {"decision": "REMOVAL", "end_reason": "RISK_REDUCED", "note": "agreed by all"}
    assert (await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, **form))[0] == 303
    async with office.connection.transaction():
        await cancel_moot(office.connection, NOW + DAY)
    ended = {e.noun.name: e for e in await load(office.connection, [number], [PROPOSAL, TASK, MEMBERSHIP])}
    assert {name: e.state for name, e in ended.items()} == {
        "proposal": "WITHDRAWN", "task": "CANCELLED", "membership": "ENDED",
    }  # fmt: skip
    assert getattr(ended["task"].content, "reason", None) == REMOVED_WHY
    for page in ("/iom", "/iom/tasks?show=all", "/iom/nominations"):
        assert "Ann Other" not in (await visitor.get(page))[1]
    huddle = await meeting_made(visitor, key, kind="HUDDLE")
    assert "Ann Other" not in (await visitor.get(huddle))[1]
    _, letter = await visitor.get("/iom/people/W1/letter")
    assert "The risk that you offend again has become lower." in letter
    assert "B. Ash" in letter
    assert (await visitor.get("/iom/people/W2/letter"))[0] == 404


def test_who_came_is_read_a_line_an_agency() -> None:
    assert read_attendance("Police: A. Oak,  B. Ash\n\nHousing\n: nobody") == {
        "Police": ["A. Oak", "B. Ash"],
        "Housing": [],
    }


# ------------------------------------------------------------------ in a browser


@pytest.mark.parametrize("width", [1366, 320])
async def test_a_panel_from_nomination_to_letter(office: Office, open_page: OpenPage, width: int) -> None:
    """W2 is nominated, screened, selected by a panel, graded by a conference, and removed by another panel with a letter."""
    page = await logged_in(office, open_page, "/iom/people/W2", Role.OFFICER, width=width, height=768)

    async def is_fit() -> None:
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, page.url
        assert await axe(page) == [], page.url

    async def panel(on: str, reference: str | None = None) -> None:
        await page.goto(f"{office.address}/iom/meetings")
        await page.click("summary")
        await is_fit()
        await page.select_option("#kind", "SELECTION_PANEL")
        await page.fill("#at", on)
        await page.click("button:has-text('Plan it')")
        await page.wait_for_url("**/iom/meetings/*")
        if reference:
            await page.fill("#reference", reference)
            await page.fill("#because", "18 months without an offence")
            await page.click("button:has-text('Put on the agenda')")
        await page.wait_for_selector("text=W2")
        await is_fit()
        await page.click("button:has-text('Freeze the agenda')")
        await page.click("li summary")
        await is_fit()

    await page.fill("#reason", "six burglaries since June")
    await page.fill("#offence_kind", "burglary")
    await page.click("button:has-text('Nominate')")
    await page.wait_for_url("**/iom/nominations")
    await page.fill("input[name=why]", "fits the cohort")
    await is_fit()
    await page.click("button:has-text('A panel is to hear it')")
    await page.wait_for_selector("text=Waits for a panel")
    await panel("2026-03-03T10:00")
    answer = "form[aria-label='Nomination of W2']"
    await page.fill(f"{answer} [name=lead_agency]", "Police")
    await page.fill(f"{answer} [name=lead_officer]", "B. Ash")
    await page.fill(f"{answer} [name=note]", "agreed by all agencies")
    await page.click(f"{answer} button")
    await page.wait_for_selector("text=The nomination is answered")
    number = await number_of(office, "W2")
    (membership,) = await load(office.connection, [number], [MEMBERSHIP])
    assert membership.content == Membership(cohort="FIXED", lead_agency="Police", lead_officer="B. Ash")  # type: ignore[arg-type]
    await page.goto(f"{office.address}/iom")
    await page.wait_for_selector("a:has-text('W2')")
    await panel("2026-03-04T10:00", "W2")
    removal = "form[aria-label='Removal of W2']"
    await page.select_option(f"{removal} [name=end_reason]", "RISK_REDUCED")
    await page.fill(f"{removal} [name=note]", "work and a room")
    await page.click(f"{removal} button")
    await page.click("a:has-text('The letter to W2')")
    await page.wait_for_selector("text=The risk that you offend again has become lower.")
    await is_fit()
    printed = await page.pdf()
    assert printed.startswith(b"%PDF")
    (membership,) = await load(office.connection, [number], [MEMBERSHIP])
    assert membership.state == "ENDED"
    page.assert_clean(office.address)


async def test_a_decision_is_entered_by_keyboard_and_without_scripts(office: Office, open_page: OpenPage) -> None:
    await exclusion(office)
    page = await logged_in(office, open_page, "/iom/meetings", Role.OFFICER, java_script_enabled=False)
    await page.focus("button:has-text('Make the huddle sheet')")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/iom/meetings/*")
    await page.focus("li summary")
    await page.keyboard.press("Enter")
    await page.select_option("form[aria-label='Grade of Ann Other'] [name=grade]", "RED")
    await page.focus("form[aria-label='Grade of Ann Other'] [name=note]")
    await page.keyboard.type("entered a zone")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=A grade is given")
    grades = await load(office.connection, [await number_of(office)], [GRADE])
    assert getattr(grades[-1].content, "reason", None) == "entered a zone"
