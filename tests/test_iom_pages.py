"""The daily view and a person's page, without a browser and in one."""

from __future__ import annotations

import html
import re

from emtrack.forms.iom import Pathway
from emtrack.iom.assessments import ASSESSMENT, Assessment, Rosh
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import Author, Draft, enter, load
from emtrack.iom.grading import OURS, SERVICE, propose
from emtrack.iom.notes import NOTE, Note, Visibility
from emtrack.iom.plans import PLAN, Goal, Plan, Step, Strand
from emtrack.iom.proposals import PROPOSAL
from emtrack.iom.record import load_iom
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.people.roles import Role
from emtrack.reading.iom import MOST_LINES
from geofence import parse_instant
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.test_pages_browser import log_in
from tests.visitor import Visitor

NOW = parse_instant(BEGINS)
DAY = 86_400_000


async def number_of(office: Office, reference: str = "W1") -> int:
    number: int = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", reference)
    return number


async def exclusion(office: Office) -> int:
    """A signal of W1 and the proposal that comes of it; its number."""
    number = await number_of(office)
    signal = Signal(kind=SignalKind.EXCLUSION, direction=Direction.UP, because="entered an exclusion zone")
    async with office.connection.transaction():
        drafts = [Draft(SIGNAL, number, signal, "LIVE", occurred_ms=NOW, due_ms=NOW + DAY)]
        await enter(office.connection, Author("Ann"), drafts, NOW)
        await propose(office.connection, None, NOW)
    (proposal,) = [entry for entry in await load(office.connection, [number], [PROPOSAL]) if entry.state == "OPEN"]
    return proposal.item_no


async def test_a_new_officer_learns_in_two_clicks_who_needs_them_and_why(office: Office, visitor: Visitor) -> None:
    await exclusion(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    _, home = await visitor.get("/account")
    assert 'href="/iom"' in home
    status, page = await visitor.get("/iom")
    assert status == 200
    assert "Ann Other" in page
    assert "entered an exclusion zone" in page
    assert "<strong>Proposed: red.</strong> Entered an exclusion zone in the last 7 days" in page
    assert 'href="/iom/people/W1"' in page
    looks = [row["what"] for row in await office.connection.fetch("SELECT what FROM looks ORDER BY look_no")]
    assert "IOM record" in looks


async def test_the_cohort_is_asked_by_area_and_never_by_house(office: Office, visitor: Visitor) -> None:
    await office.connection.execute(
        "INSERT INTO wearer_details (wearer_no, address, phones, contacts, recorded, entered_by) "
        "VALUES ($1, '12 Kiln Lane, Rookton', '{}', '[]', tstzrange(now(), NULL), 'test')", await number_of(office),
    )  # fmt: skip
    await visitor.log_in(await office.account(Role.OFFICER))
    assert "Ann Other" in (await visitor.get("/iom?area=rookton"))[1]
    assert "details" in {row["what"] for row in await office.connection.fetch("SELECT what FROM looks")}
    _, page = await visitor.get("/iom?area=Stoke")
    assert ("Ann Other" in page, "Nobody fits the filter" in page) == (False, True)
    assert (await visitor.get("/iom?area=12+Kiln"))[0] == 400


async def test_a_chronology_and_a_person_speak_no_programmers_words(office: Office, visitor: Visitor) -> None:
    """No kind of finding as code calls it, and no time in the form that machines exchange, whatever the page shows."""
    await office.two_are_out()
    await exclusion(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    while "Curfew: seen out" not in (page := (await visitor.get("/iom/people/W1"))[1]):
        pass
    shown = re.sub(r"<[^>]*>", " ", page)
    assert re.findall(r"[A-Z]+_[A-Z_]+|\d{4}-\d\d-\d\dT|more facts came|time passed", shown) == []
    _, page = await visitor.get("/wearers/1")
    assert re.findall(r"more facts came|time passed|with its zone", page) == []


async def test_what_was_known_is_asked_in_local_time_without_a_zone(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    _, page = await visitor.get("/iom/people/W1?known_at=2026-03-01T12:30")
    assert "As it was known at Sun 1 Mar 2026 12:30:00 GMT" in page
    _, page = await visitor.get("/iom/people/W1?known_at=2025-10-26T01:30")
    assert "As it was known at Sun 26 Oct 2025 01:30:00 GMT" in page, "the later of the two"
    assert (await visitor.get("/iom/people/W1?known_at=2026-03-29T01:30"))[0] == 400, "there is no such time"
    assert (await visitor.get("/iom/people/W1?known_at=noon"))[0] == 400


async def test_a_proposal_is_answered_in_its_row(office: Office, visitor: Visitor) -> None:
    item_no = await exclusion(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    address = f"/iom/proposals/{item_no}"
    status, page = await visitor.post(address, form_key=key, answer="against")
    assert (status, "say why you decide against" in page) == (422, True)
    assert await visitor.post(address, form_key=key, answer="accept") == (303, "/iom")
    number = await number_of(office)
    grade = (await load_iom(office.connection, [number]))[number].grades[0]
    assert (grade.grade, grade.reason, grade.graded_by) == (
        "RED",
        "Entered an exclusion zone in the last 7 days",
        "Ann",
    )
    status, page = await visitor.post(address, form_key=key, answer="accept")
    assert (status, "is accepted already" in page) == (422, True)


async def test_filters_narrow_and_can_be_taken_back(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    _, page = await visitor.get("/iom?grade=RED")
    assert "Nobody fits the filter." in page
    _, page = await visitor.get("/iom?officer=B.+Ash&cohort=FIXED")
    assert "Ann Other" in page


async def test_two_agencies_see_different_notes_of_one_person(office: Office, visitor: Visitor) -> None:
    number = await number_of(office)
    notes = {
        "ours alone": (Visibility.OWN, "Police"),
        "for all": (Visibility.ALL, "Police"),
        "theirs": (Visibility.OWN, "Probation Service"),
    }
    for text, (visibility, agency) in notes.items():
        async with office.connection.transaction():
            draft = Draft(NOTE, number, Note(text=text), occurred_ms=NOW, visibility=visibility)
            await enter(office.connection, Author("Somebody", agency), [draft], NOW)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, page = await visitor.get("/iom/people/W1")
    assert ("ours alone" in page, "for all" in page, "theirs" in page) == (True, True, False)
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Probation Service"), "Eve")
        _, page = await other.get("/iom/people/W1?noun=note")
        assert ("ours alone" in page, "for all" in page, "theirs" in page) == (False, True, True)
        _, page = await other.get("/iom/people/W1?known_at=2026-03-01T00:00:00Z")
        assert "for all" not in page
        assert (await other.get("/iom/people/W2"))[0] == 404
    finally:
        await other.http.close()


async def test_an_officer_writes_a_note_for_whom_they_choose(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    key, address = await visitor.form_key(), "/iom/people/W1/note"
    assert "Write a note" in (await visitor.get("/iom/people/W1"))[1]
    for text, form in (
        ("ours alone", {"visibility": "OWN"}),
        ("for probation", {"visibility": "NAMED", "named": "Probation Service; Eve "}),
        ("intelligence", {"visibility": "POLICE_INTEL", "kind": "intelligence", "occurred": "2026-03-02T10:00"}),
    ):
        status, where = await visitor.post(address, form_key=key, text=text, **form)
        assert (status, where) == (303, "/iom/people/W1#chronology")
    for form, why in (
        ({"text": "x", "visibility": "NAMED"}, "Name the agencies"),
        ({"text": "x", "visibility": "everybody"}, "Choose who may read"),
        ({"text": " ", "visibility": "ALL"}, "Write the note"),
        ({"text": "x" * 10_001, "visibility": "ALL"}, "in at most 10,000 characters"),
        ({"text": "x", "visibility": "ALL", "occurred": "2026-04-01T10:00"}, "not of a time to come"),
        ({"text": "x", "visibility": "ALL", "named": "Housing"}, "or choose who else may"),
    ):
        status, page = await visitor.post(address, form_key=key, **form)
        assert (status, why in page) == (422, True), why
    notes = await load(office.connection, [await number_of(office)], [NOTE])
    assert [(n.agency, str(n.visibility), n.named) for n in notes] == [
        ("Police", "OWN", ()), ("Police", "NAMED", ("Probation Service", "Eve")), ("Police", "POLICE_INTEL", ()),
    ]  # fmt: skip
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Probation Service"), "Eve")
        _, page = await other.get("/iom/people/W1?noun=note")
        assert ("ours alone" in page, "for probation" in page, "intelligence" in page) == (False, True, False)
        status, _ = await other.post(
            "/iom/people/W2/note", form_key=await other.form_key(), text="x", visibility="ALL"
        )
        assert status == 404, "who is not shared is not written about"
    finally:
        await other.http.close()


async def test_a_contact_that_nobody_decided_is_decided_in_its_line_and_once(
    office: Office, visitor: Visitor
) -> None:
    number = await number_of(office)
    contact = Contact(kind="attendance by order", finding_no=1)
    async with office.connection.transaction():
        drafts = [
            Draft(CONTACT, number, contact, "RECORDED", occurred_ms=NOW, system=OURS, record="finding 1"),
            Draft(CONTACT, number, Contact(kind="office"), "RECORDED", occurred_ms=NOW),
        ]
        await enter(office.connection, Author("Zed", "Housing"), drafts[1:], NOW)
        (ours,) = await enter(office.connection, SERVICE, drafts[:1], NOW)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, page = await visitor.get("/iom/people/W1")
    assert f'action="/iom/contacts/{ours.item_no}"' in page
    key, address = await visitor.form_key(), f"/iom/contacts/{ours.item_no}"
    assert (await visitor.post(address, form_key=key, outcome="maybe"))[0] == 422
    assert (await visitor.post(address, form_key=key, outcome="UNACCEPTABLE_ABSENCE"))[0] == 303
    status, page = await visitor.post(address, form_key=key, outcome="KEPT")
    assert (status, "The contact is decided" in page) == (409, True)
    (theirs,) = [e for e in await load(office.connection, [number], [CONTACT]) if e.system != OURS]
    status, page = await visitor.post(f"/iom/contacts/{theirs.item_no}", form_key=key, outcome="KEPT")
    assert (status, "Housing recorded the contact" in page) == (422, True)
    decided = next(e for e in await load(office.connection, [number], [CONTACT]) if e.system == OURS)
    assert isinstance(decided.content, Contact)
    assert (decided.content.outcome, decided.recorded_by) == (Outcome.UNACCEPTABLE_ABSENCE, "Ann")


async def test_a_persons_page_has_the_plan_by_strand_and_needs_without_a_goal_as_known_then(
    office: Office, visitor: Visitor
) -> None:
    number = await number_of(office)
    step = Step(step="s1", what="Apply to the council", agency="Housing", state="IN_PROGRESS")
    goal = Goal(what="A room of his own", strand=Strand.CHANGE, pathway=Pathway.ACCOMMODATION, steps=[step])
    needs = Assessment(
        source="OASys", needs=[Pathway.ACCOMMODATION, Pathway.FINANCE], rosh=Rosh.HIGH, domestic_abuse=True
    )
    async with office.connection.transaction():
        drafts = [
            Draft(PLAN, number, Plan(goals=[goal], agreed=True), due_ms=NOW - DAY),
            Draft(ASSESSMENT, number, needs, occurred_ms=NOW + DAY),  # after what the orders say
        ]
        await enter(office.connection, Author("Ann", "Police"), drafts, NOW + 60_000)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, page = await visitor.get("/iom/people/W1")
    for words in ("The person agreed", "A room of his own", "Apply to the council: <strong>in progress", "Overdue",
                  "Accommodation: A room of his own", "Finance: <strong>no goal in the plan",
                  "integrated offender management <span class=\"em-quiet\">IIOM", "high risk of serious harm <span",
                  "perpetrator of domestic abuse <span class=\"em-quiet\">ADVP"):  # fmt: skip
        assert words in page, words
    _, page = await visitor.get("/iom/people/W1?known_at=2026-03-01T00:00:00Z")
    assert ("A room of his own" in page, "No plan is on record." in page, "ADVP" in page) == (False, True, False)


async def test_what_was_known_is_told_by_itself_and_to_the_end(office: Office, visitor: Visitor) -> None:
    await exclusion(office)
    number = await number_of(office)
    async with office.connection.transaction():
        drafts = [Draft(NOTE, number, Note(text=f"note {i}"), occurred_ms=NOW - i) for i in range(MOST_LINES + 1)]
        await enter(office.connection, Author("Ann"), drafts, NOW)
    await visitor.log_in(await office.account(Role.OFFICER))
    _, page = await visitor.get("/iom/people/W1")
    assert "green since" in page
    asked = "2026-03-02T20:00:00Z"
    _, page = await visitor.get(f"/iom/people/W1?known_at={asked}")
    assert "As it was known at" in page
    assert "green since" not in page, "reasons are of now"
    assert "em-panels" not in page, "so are the panels"
    assert f'value="{asked.removesuffix("Z")}"' in page
    (before,) = re.findall(r'href="([^"]+)">What lies before', page)
    assert "known_at=2026-03-02T20%3A00%3A00Z" in before
    _, page = await visitor.get(html.unescape(before))
    assert "As it was known at" in page


async def test_in_two_clicks_from_the_login_a_new_officer_sees_who_needs_them_and_why(
    office: Office, open_page: OpenPage
) -> None:
    """A walk by somebody who was never told where anything is. Other screens: tests/test_iom_small_screens.py."""
    await exclusion(office)
    page = await log_in(office, await open_page(office.address, width=1366, height=768), "/alerts", Role.OFFICER)
    await page.click("nav >> text=IOM")
    who = page.locator(".em-cohort__row").first
    told = await who.inner_text()
    for words in (
        "Ann Other",
        "entered an exclusion zone",
        "Proposed: red. Entered an exclusion zone in the last 7 days",
    ):
        assert words in told, words
    assert await axe(page) == []
    await who.locator("h2 a").click()
    await page.wait_for_selector("h2:has-text('Chronology')")
    assert "entered an exclusion zone" in await page.locator(".em-chronology").inner_text()
    assert await axe(page) == []
    page.assert_clean(office.address)
