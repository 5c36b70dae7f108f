"""What a person is handed about themselves, a challenge, the plan as it is changed, and the files of a breach."""

from __future__ import annotations

import html

from emtrack.iom.entries import Author, Draft, enter, load
from emtrack.iom.grades import GRADE, Grade
from emtrack.iom.meetings import LINE
from emtrack.iom.notes import NOTE, Note, Visibility
from emtrack.iom.plans import PLAN, Plan
from emtrack.iom.shares import SHARE, Share
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.tasks import TASK, Task
from emtrack.people.roles import Role
from geofence import parse_instant
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.test_iom_meetings import meeting_made
from tests.test_iom_pages import number_of
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

NOW = parse_instant(BEGINS)
DAY = 86_400_000
ANN = Author("Ann", "Police")


def signal(kind: SignalKind, because: str) -> Signal:
    return Signal(kind=kind, direction=Direction.UP, because=because)


async def a_record(office: Office) -> int:
    """Of W1: what may be handed over, and what may not."""
    number = await number_of(office)
    live = {"state": "LIVE", "occurred_ms": NOW, "due_ms": NOW + DAY}
    drafts = [
        Draft(SIGNAL, number, signal(SignalKind.EXCLUSION, "entered an exclusion zone"), **live),
        Draft(SIGNAL, number, signal(SignalKind.INTELLIGENCE, "seen with a van"), **live),
        Draft(SIGNAL, number, signal(SignalKind.SAFEGUARDING, "worry about his child"), **live),
        Draft(SIGNAL, number, signal(SignalKind.JOB_LOST, "told to police only"), visibility=Visibility.POLICE_INTEL, **live),
        Draft(NOTE, number, Note(text="his sister told us"), occurred_ms=NOW),
    ]  # fmt: skip
    given_ms = 1 + await office.connection.fetchval(
        "SELECT epoch_ms(max(occurred_at)) FROM iom_entries WHERE noun = 'grade'"
    )
    async with office.connection.transaction():
        grade = Grade(grade="AMBER", reason="seen with Bob Smith")  # type: ignore[arg-type]
        await enter(office.connection, ANN, [*drafts, Draft(GRADE, number, grade, occurred_ms=given_ms)], NOW)
    return number


SECRETS = ("van", "child", "police only", "sister", "Bob Smith", "Hanley", "-2.17")


async def test_the_page_that_is_handed_leaves_out_others_intelligence_and_places(
    office: Office, visitor: Visitor
) -> None:
    await a_record(office)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    status, page = await visitor.get("/iom/people/W1/handed")
    assert status == 200
    assert "Not released yet" in page
    assert "entered an exclusion zone" in page
    assert "amber" in page
    assert "Stay out of a zone that your order describes" in page
    assert [secret for secret in SECRETS if secret in page] == []


async def test_it_is_released_by_a_named_person_and_recorded_as_a_disclosure_before_it_is_shown(
    office: Office, visitor: Visitor
) -> None:
    number = await a_record(office)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    key = await visitor.form_key()
    status, page = await visitor.post("/iom/people/W1/handed", form_key=key, released_by=" ")
    assert (status, "Enter the name" in page) == (422, True)
    assert await load(office.connection, [number], [SHARE]) == []
    status, where = await visitor.post("/iom/people/W1/handed", form_key=key, released_by="Det Sgt A. Oak")
    assert status == 303
    (share,) = await load(office.connection, [number], [SHARE])
    assert isinstance(share.content, Share)
    assert (share.content.released_by, share.content.recipient) == ("Det Sgt A. Oak", "the person")
    _, page = await visitor.get(where)
    assert "Released by Det Sgt A. Oak" in page
    assert "Not released yet" not in page
    assert (await visitor.get(where.replace("/W1/", "/W2/")))[0] == 404
    assert (await visitor.get("/iom/people/W1/handed/999999"))[0] == 404


async def test_what_was_released_stays_as_it_was_known_then(office: Office, visitor: Visitor) -> None:
    number = await a_record(office)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, where = await visitor.post("/iom/people/W1/handed", form_key=await visitor.form_key(), released_by="A. Oak")
    later = await office.connection.fetchval("SELECT epoch_ms(max(recorded_at)) + 1 FROM iom_entries")
    async with office.connection.transaction():
        grade = Grade(grade="GREEN")  # type: ignore[arg-type]
        await enter(office.connection, ANN, [Draft(GRADE, number, grade, occurred_ms=later)], later)
    _, page = await visitor.get(where)
    assert "Your grade is <strong>amber</strong>" in page
    _, page = await visitor.get("/iom/people/W1/handed")
    assert "Your grade is <strong>green</strong>" in page


async def test_another_agency_and_whoever_may_not_write_release_nothing(office: Office, visitor: Visitor) -> None:
    await a_record(office)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Housing"))
    assert (await visitor.get("/iom/people/W1/handed"))[0] == 404
    key = await visitor.form_key()
    assert (await visitor.post("/iom/people/W1/handed", form_key=key, released_by="Eve"))[0] == 404
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OPERATOR, "Olga"), "Olga")
        assert (await other.get("/iom/people/W1/handed"))[0] == 200
        assert (await other.post("/iom/people/W1/handed", form_key=await other.form_key(), released_by="O"))[0] == 403
    finally:
        await other.http.close()


async def test_a_challenge_stands_in_the_record_and_somebody_has_to_answer_it(
    office: Office, visitor: Visitor
) -> None:
    number = await number_of(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    assert (await visitor.post("/iom/people/W1/challenge", form_key=key, challenge=""))[0] == 422
    text = "I was at work on Monday"
    assert (await visitor.post("/iom/people/W1/challenge", form_key=key, challenge=text))[0] == 303
    entries = {e.noun.name: e for e in await load(office.connection, [number], [NOTE, TASK])}
    note, task = entries["note"], entries["task"]
    assert isinstance(note.content, Note)
    assert isinstance(task.content, Task)
    assert (note.content.kind, note.content.text) == ("challenge", text)
    assert text in task.content.title
    assert task.due_ms is not None
    assert 27 * DAY < task.due_ms - NOW < 29 * DAY


async def test_the_record_of_how_the_order_comes_about_has_every_rule_in_force(
    visitor: Visitor, office: Office
) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    _, page = await visitor.get("/iom/how")
    assert "Entered an exclusion zone in the last 7 days" in page
    assert "Algorithmic Transparency Recording Standard" in page


async def test_a_plan_grows_by_goals_and_its_steps_go_on_with_evidence(office: Office, visitor: Visitor) -> None:
    number = await number_of(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    goal = {"note": "A room of his own", "strand": "CHANGE", "pathway": "ACCOMMODATION", "step": "See the housing team",
            "agency": "Probation Service", "step_due": "2026-03-20"}  # fmt: skip
    for bad in ({"note": ""}, {"strand": "X"}, {"step_due": "soon"}):
        assert (await visitor.post("/iom/people/W1/goal", form_key=key, **(goal | bad)))[0] == 422, bad
    assert (await visitor.post("/iom/people/W1/goal", form_key=key, **goal))[0] == 303
    (entry,) = await load(office.connection, [number], [PLAN])
    assert isinstance(entry.content, Plan)
    (step,) = entry.content.goals[0].steps
    assert (step.what, str(step.due), step.state) == ("See the housing team", "2026-03-20", "NOT_STARTED")
    move = {"step": step.step, "state": "COMPLETED"}
    status, page = await visitor.post("/iom/people/W1/step", form_key=key, **move)
    assert (status, "Say what shows that the step is completed" in page) == (422, True)
    assert (await visitor.post("/iom/people/W1/step", form_key=key, evidence="letter of 9 March", **move))[0] == 303
    _, page = await visitor.get("/iom/people/W1")
    assert "letter of 9 March" in page
    status, page = await visitor.post(
        "/iom/people/W1/step", form_key=key, step="step 9", state="COMPLETED", evidence="x"
    )
    assert (status, "no such step" in page) == (422, True)


async def test_a_meeting_decides_on_the_plan_and_on_disclosures(office: Office, visitor: Visitor) -> None:
    number = await number_of(office)
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    address = await meeting_made(visitor, key, kind="CASE_CONFERENCE", at="2026-03-03T10:00")
    for reference in ("W1", "W2"):
        await visitor.post(f"{address}/people", form_key=key, reference=reference, because="lost his room")
    await visitor.post(f"{address}/freeze", form_key=key)
    (line,) = await load(office.connection, [number], [LINE])
    decided = f"/iom/lines/{line.item_no}"
    plan = {"decision": "PLAN", "note": "A room", "strand": "CHANGE", "pathway": "ACCOMMODATION"}
    assert (await visitor.post(decided, form_key=key, **plan))[0] == 303
    (entry,) = await load(office.connection, [number], [PLAN])
    assert isinstance(entry.content, Plan)
    assert [goal.what for goal in entry.content.goals] == ["A room"]
    (line,) = await load(office.connection, [await number_of(office, "W2")], [LINE])
    share = {"decision": "DISCLOSURE", "recipient": "Landlord", "fields": "release address", "note": "to find a room",
             "basis": "", "released_by": "C. Elm"}  # fmt: skip
    status, page = await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, **share)
    assert (status, "Say on which legal basis." in html.unescape(page)) == (422, True)
    assert (await visitor.post(f"/iom/lines/{line.item_no}", form_key=key, **(share | {"basis": "consent"})))[
        0
    ] == 303
    (shared,) = await load(office.connection, [await number_of(office, "W2")], [SHARE])
    assert isinstance(shared.content, Share)
    assert (shared.content.recipient, shared.content.fields) == ("Landlord", ["release address"])
    _, page = await visitor.get(address)
    assert "The plan is changed" in page
    assert "A disclosure" in page


async def test_a_breach_has_a_warning_and_a_pack_that_says_what_it_lacks(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    finding = None
    while finding is None:
        finding = await office.connection.fetchval(
            "SELECT f.finding_no FROM findings f JOIN activation_versions a USING (activation_no) "
            "WHERE a.wearer_no = $1 AND f.kind = 'CURFEW'",
            await number_of(office),
        )
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    key = await visitor.form_key()
    _, where = await visitor.post("/iom/people/W1/breach", form_key=key, why="out at 20:00", finding=str(finding))
    address = f"/iom/breaches/{where.rsplit('-', 1)[1]}"
    _, warning = await visitor.get(f"{address}/warning")
    assert "You did not keep to your order" in warning
    assert "Curfew: seen out" in warning
    _, pack = await visitor.get(f"{address}/pack")
    for words in (f"Finding {finding}, version 1", "hash of the reports", "out at 20:00", "1 of the findings is not over yet",
                  "The order of the court is not on record"):  # fmt: skip
        assert words in pack, words
    assert (await visitor.get(f"{address}/letter"))[0] == 404
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Housing"), "Eve")
        assert (await other.get(f"{address}/pack"))[0] == 404
    finally:
        await other.http.close()


async def test_the_pages_fit_and_pass_axe(office: Office, open_page: OpenPage) -> None:
    """On small screens: tests/test_iom_small_screens.py."""
    await a_record(office)
    page = await logged_in(office, open_page, "/iom/people/W1/handed", Role.OFFICER, width=1280, height=768)
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.goto(f"{office.address}/iom/how")
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
