"""Every page of the programme on the narrowest screen, in one session: nothing lies beside it, and axe finds nothing."""

from __future__ import annotations

from typing import Final

from starlette.routing import Route

from emtrack.iom.breaching import begin_breach
from emtrack.iom.convening import Listed, freeze_agenda, plan_meeting, put_on_agenda
from emtrack.iom.entries import Author, Draft, enter
from emtrack.iom.meetings import Meeting, MeetingKind
from emtrack.iom.nominations import NOMINATION, Nomination
from emtrack.iom.tasking import NewTask, enter_task
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind
from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import Office
from tests.test_iom_pages import DAY, NOW, exclusion, number_of
from tests.test_pages_browser import logged_in

WIDTH: Final = 320
ANN: Final = Author("Ann", "Police")
LONG: Final = "Responsibilities-of-the-neighbourhood-and-acquisitive-crime-programme and what follows from them"
FILES: Final = {"/iom/performance.csv", "/iom/breaches/{item_no:number}/{kind}", "/iom/news"}
"""What is sent as a file, or printed, or asked for by a page."""
WALKED: Final = {
    "/iom/people/{reference}/letter": "tests/test_iom_meetings.py: from nomination to letter",
    "/iom/people/{reference}/handed/{item_no:number}": "tests/test_iom_handed.py",
    "/iom/performance/people": "tests/test_worth_pages.py: who is behind a figure",
    "/iom/performance/people/{reference}": "tests/test_worth_pages.py: a career",
}
"""Where other tests come by with what such a page needs."""


async def a_busy_programme(office: Office) -> dict[str, int]:
    """Something of everything; numbers of what has a page of its own."""
    await exclusion(office)
    number, connection = await number_of(office), office.connection
    async with connection.transaction():
        task = await enter_task(connection, ANN, number, NewTask(LONG, NOW + DAY, None), NOW)
        huddle = Meeting(kind=MeetingKind.HUDDLE, chair=LONG[:60])
        meeting = await plan_meeting(connection, ANN, huddle, NOW, NOW)
        await put_on_agenda(connection, ANN, meeting.item_no, [Listed(number, LONG, NOW)], NOW)
        await freeze_agenda(connection, ANN, meeting.item_no, NOW)
        nomination = Nomination(nominated_by="Police", reason=LONG)
        release = Transition(kind=TransitionKind.RELEASE, prison=LONG[:60])
        await enter(connection, ANN, [
            Draft(NOMINATION, await number_of(office, "W2"), nomination, "NEW", occurred_ms=NOW),
            Draft(TRANSITION, number, release, "PLANNED", occurred_ms=NOW + DAY),
        ], NOW)  # fmt: skip
        await begin_breach(connection, ANN, number, None, LONG, NOW + DAY, NOW)
    return {"tasks": task.item_no, "meetings": meeting.item_no}


def pages_of(office: Office) -> set[str]:
    found = {route.path for route in office.routes if isinstance(route, Route) and "GET" in (route.methods or ())}
    return {path for path in found if path == "/iom" or path.startswith("/iom/")} - FILES


async def test_every_page_of_the_programme_fits_320_pixels(office: Office, open_page: OpenPage) -> None:
    numbers = await a_busy_programme(office)
    page = await logged_in(office, open_page, "/iom", Role.OFFICER, width=WIDTH, height=640)
    paths = pages_of(office)
    assert WALKED.keys() <= paths
    assert len(paths) >= 15
    for path in sorted(paths - WALKED.keys()):
        kind = path.split("/")[2] if path.count("/") > 1 else ""
        address = path.replace("{reference}", "W1").replace("{item_no:number}", str(numbers.get(kind, 0)))
        answer = await page.goto(f"{office.address}{address}")
        assert answer is not None
        assert answer.status == 200, address
        await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert await page.evaluate("document.documentElement.scrollWidth") <= WIDTH, address
        assert await axe(page) == [], address
    page.assert_clean(office.address)
