"""Releases open tasks on their days, for whoever is to do them, once."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from emtrack.iom.entries import Author, Draft, Entry, enter, following, load
from emtrack.iom.escalation import cancel_moot
from emtrack.iom.programme_settings import enter_settings
from emtrack.iom.releasing import open_release_tasks, tasks_due
from emtrack.iom.tasks import TASK, Task
from emtrack.iom.transitions import RELEASE_TASKS, TRANSITION, Transition, TransitionKind
from emtrack.people.roles import Role
from geofence import format_instant, parse_instant
from tests.browser import OpenPage, axe
from tests.office import BEGINS, Office
from tests.test_iom_pages import number_of
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

LONDON = ZoneInfo("Europe/London")
NOW = parse_instant(BEGINS)
DAY = 86_400_000
RELEASE = parse_instant("2026-05-29T09:00:00Z")  # a Friday in summer time; 12 weeks before is in winter time
ANN = Author("Ann", "Police")


async def release(office: Office, at_ms: int = RELEASE, state: str = "PLANNED") -> Entry:
    async with office.connection.transaction():
        content = Transition(kind=TransitionKind.RELEASE, prison="HMP Example")
        draft = Draft(TRANSITION, await number_of(office), content, state, occurred_ms=at_ms, system="s", record="r")
        return (await enter(office.connection, ANN, [draft], NOW))[0]


async def opened(office: Office, at: str) -> list[tuple[str, str | None, str]]:
    """Titles, agencies and deadlines of tasks that a look opens."""
    number = await number_of(office)
    before = {entry.item_no for entry in await load(office.connection, [number], [TASK])}
    async with office.connection.transaction():
        await open_release_tasks(office.connection, LONDON, parse_instant(at))
    return [
        (entry.content.title, entry.content.for_agency, format_instant(entry.due_ms or 0))
        for entry in await load(office.connection, [number], [TASK])
        if isinstance(entry.content, Task) and entry.item_no not in before
    ]


async def test_a_task_is_opened_on_its_day_once_and_due_at_five_by_the_wall_clock(office: Office) -> None:
    await release(office)
    assert await opened(office, "2026-03-05T12:00:00Z") == []
    first = [(RELEASE_TASKS[0].what, None, "2026-03-06T17:00:00Z")]
    assert await opened(office, "2026-03-06T00:00:00Z") == first
    assert await opened(office, "2026-03-06T12:00:00Z") == []
    assert await opened(office, "2026-04-17T07:00:00Z") == [(RELEASE_TASKS[1].what, None, "2026-04-17T16:00:00Z")]


async def test_a_release_that_is_known_late_opens_all_that_is_still_to_be_done(office: Office) -> None:
    await release(office)
    found = await opened(office, "2026-05-28T12:00:00Z")
    assert [title for title, _, _ in found] == [one.what for one in RELEASE_TASKS if one.days <= -1]
    assert {due for _, _, due in found} == {"2026-05-29T12:00:00Z", "2026-05-28T16:00:00Z"}


async def test_history_that_is_imported_opens_nothing(office: Office) -> None:
    await release(office, parse_instant("2026-02-10T09:00:00Z"), "DONE")
    assert await opened(office, BEGINS) == []


async def test_every_week_has_its_task(office: Office) -> None:
    entry = await release(office)
    days = [one.days for one in RELEASE_TASKS]
    assert days == [-84, -42, -28, -7, -1, 0, 1, 7, 28]
    for one in RELEASE_TASKS:
        on = RELEASE + one.days * DAY
        assert one in [task for task, _ in tasks_due(entry, RELEASE_TASKS, LONDON, on)]


async def test_the_settings_say_who_does_what_and_only_who_sees_the_person_is_asked(office: Office) -> None:
    tasks = [
        {"days": 0, "what": "Bed", "agency": "Housing"},
        {"days": 0, "what": "Meet", "agency": "Probation Service"},
    ]
    await enter_settings(office.connection, {"release_tasks": tasks}, "test", NOW)
    await release(office)
    found = await opened(office, "2026-05-29T06:00:00Z")
    assert [(title, agency) for title, agency, _ in found] == [("Bed", None), ("Meet", "Probation Service")]


async def test_a_release_that_is_called_off_leaves_no_task(office: Office) -> None:
    entry = await release(office)
    assert len(await opened(office, "2026-03-06T09:00:00Z")) == 1
    async with office.connection.transaction():
        await enter(office.connection, ANN, [following(entry, state="CANCELLED")], NOW)
        assert await cancel_moot(office.connection, NOW) == 1
    (task,) = await load(office.connection, [await number_of(office)], [TASK])
    assert task.state == "CANCELLED"


# ------------------------------------------------------------------ pages


async def test_the_diary_says_what_is_not_known_to_be_ready(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    key = await visitor.form_key()
    form = {"day": "2026-03-03T09:00", "prison": "HMP Example"}
    assert (await visitor.post("/iom/people/W1/release", form_key=key, **form))[0] == 303
    _, page = await visitor.get("/iom/releases")
    assert ("HMP Example" in page, "not known: bed, appointment, medicine" in page) == (True, True)  # a tag is worn
    (entry,) = await load(office.connection, [await number_of(office)], [TRANSITION])
    address = f"/iom/releases/{entry.item_no}"
    await visitor.post(address, form_key=key, address="His sister, 3 Elm Road", medicine="seven days")
    _, page = await visitor.get("/iom/releases")
    assert ("3 Elm Road" in page, "not known: appointment" in page) == (True, True)
    await visitor.post(address, form_key=key, what="done")
    status, page = await visitor.post(address, form_key=key, what="cancel")
    assert (status, "does not become CANCELLED" in page) == (422, True)
    status, page = await visitor.post("/iom/people/W1/release", form_key=key, day="soon")
    assert (status, "Give a date and a time" in page) == (422, True)


async def test_a_recall_from_finding_to_arrest_stands_on_one_line(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    number = await number_of(office)
    finding = await office.connection.fetchval(
        "SELECT f.finding_no FROM findings f JOIN activation_versions a USING (activation_no) WHERE a.wearer_no = $1",
        number,
    )
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    key = await visitor.form_key()
    begun = {"why": "out at 20:00", "finding": str(finding)}
    status, where = await visitor.post("/iom/people/W1/breach", form_key=key, **begun)
    assert status == 303
    address = f"/iom/breaches/{where.rsplit('-', 1)[1]}"
    for state in ("RECALL_REQUESTED", "RECALLED", "ARRESTED"):
        assert (await visitor.post(address, form_key=key, state=state, due=""))[0] == 303, state
    status, page = await visitor.post(address, form_key=key, state="WARNED", due="")
    assert (status, "does not become WARNED" in page) == (422, True)
    status, page = await visitor.post(address, form_key=key, state="CLOSED", due="")
    assert (status, "closed with an outcome" in page) == (422, True)
    await visitor.post(address, form_key=key, state="CLOSED", due="", words="recalled for 14 days")
    _, page = await visitor.get("/iom/breaches")
    line = page[page.index("Finding ") : page.index("recalled for 14 days")]
    order = [
        line.index(word)
        for word in ("Finding", "To be decided", "Recall requested", "Recalled ", "Arrested", "Closed")
    ]
    assert order == sorted(order)
    looks = [row["what"] for row in await office.connection.fetch("SELECT what FROM looks")]
    assert "findings" in looks
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Housing"), "Eve")
        assert "Ann Other" not in (await other.get("/iom/breaches"))[1]
        assert (await other.post(address, form_key=await other.form_key(), state="CLOSED", words="x"))[0] == 422
    finally:
        await other.http.close()


async def test_the_diary_and_breaches_fit_and_pass_axe(office: Office, open_page: OpenPage) -> None:
    """On small screens: tests/test_iom_small_screens.py."""
    width = 1366
    await release(office, NOW + DAY)
    page = await logged_in(office, open_page, "/iom/people/W1", Role.OFFICER, width=width, height=768)
    await page.click("text=Plan a release, or begin a breach")
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.fill("#why", "did not come")
    await page.click("button:has-text('Begin a breach')")
    for where in ("/iom/breaches", "/iom/releases"):
        await page.goto(f"{office.address}{where}")
        await page.click("li summary")
        assert await axe(page) == [], where
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, where
