"""Tonight's curfews, for paper: everybody who has to be at home, when and where, and nobody's address without a look."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.cli.curfews import curfews_of_tonight
from emtrack.people.limits import LimitKind, limit
from emtrack.people.looks import commander
from emtrack.people.roles import Role
from emtrack.reading.curfews import night_of
from tests.browser import OpenPage, axe
from tests.office import BEGINS, ORDERS, Office, open_office
from tests.service_world import curfew, ms
from tests.test_case_page import shown
from tests.test_pages_browser import logged_in
from tests.test_person import DETAILS
from tests.visitor import Visitor


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """W3 has no tag and may be away until 21:00; the curfew of W4 is over."""
    first, *others = ORDERS["wearers"]
    form = ORDERS | {
        "requirements": [*ORDERS["requirements"], curfew(3), {**curfew(4), "to": "2026-03-02T06:00:00Z"}],
        "wearers": [{**first, **DETAILS, "iom": first["iom"] | {"agencies": ["Police"]}}, *others],
        "absences": [{"wearer_id": "W3", "from": "2026-03-02T18:00:00Z", "to": "2026-03-02T21:00:00Z", "reason": "work"}],
    }  # fmt: skip
    async with open_office(database_url, data_dir, form) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


@pytest.mark.parametrize(
    ("now", "begin", "end"),
    [
        ("2026-03-02T20:00:00Z", "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z"),
        ("2026-03-02T11:59:59Z", "2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"),
        ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z", "2026-03-03T12:00:00Z"),
        ("2026-03-29T01:30:00Z", "2026-03-28T12:00:00Z", "2026-03-29T11:00:00Z"),  # the night that is an hour shorter
        ("2026-10-25T00:30:00Z", "2026-10-24T11:00:00Z", "2026-10-25T12:00:00Z"),
    ],
)
def test_a_night_is_from_noon_to_noon_by_the_clock_on_the_wall(now: str, begin: str, end: str) -> None:
    assert night_of(ms(now), "Europe/London") == (ms(begin), ms(end))


async def test_the_list_says_who_is_at_home_when_and_whom_to_ring(office: Office) -> None:
    text = await curfews_of_tonight(office.settings, commander("Ann", "COMPLIANCE"))
    assert text.startswith("Curfews from Mon 2 Mar 12:00 GMT to Tue 3 Mar 12:00 GMT")
    entries = {m[1]: m[0] for m in re.finditer(r"\[ \] (W\d)(?:.*\n)(?: {4}.*\n)*", text)}
    assert set(entries) == {"W1", "W2", "W3"}, "that of W4 was over in the morning"
    assert "at home Mon 2 Mar 19:00 GMT to Tue 3 Mar 07:00 GMT" in entries["W1"]
    assert "12 Sample Street, Hanley, ST1 0AA" in entries["W1"]
    assert "officer: B. Ash, Probation Service, 01632 960003 ext 4" in entries["W1"]
    assert "(no tag)" in entries["W3"]
    assert "at home Mon 2 Mar 21:00 GMT" in entries["W3"]
    assert "may be away Mon 2 Mar 18:00 GMT to Mon 2 Mar 21:00 GMT" in entries["W3"]
    look = await office.connection.fetchrow(
        "SELECT what, purpose, door, wearer_no FROM looks WHERE looked_by = 'Ann'"
    )
    assert tuple(look) == ("details", "COMPLIANCE", "command", None)


async def test_a_restricted_record_is_listed_by_its_reference_alone(office: Office, visitor: Visitor) -> None:
    async with office.connection.transaction():
        await limit(office.connection, 1, LimitKind.RESTRICTED, ["Ann"], [], reason="x", who="Eve", now_ms=ms(BEGINS))
    text = await curfews_of_tonight(office.settings, commander("Bob"))
    await visitor.log_in(await office.account(name="Bob"), name="Bob")
    _, page = await visitor.get("/curfews/tonight")
    for told in (text, page):
        assert "W1" in told
        assert "restricted" in told
        for hidden in ("Sample Street", "Ann Other", "960001", "B. Ash"):
            assert hidden not in told, hidden


async def test_the_page_is_a_look_at_each_who_is_listed(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    status, page = await visitor.get("/curfews/tonight")
    assert status == 200
    assert "Ann Other W1 19:00 to 3 Mar 07:00" in shown(page)
    rows = await office.connection.fetch(
        "SELECT w.wearer_id FROM looks JOIN wearers w USING (wearer_no) WHERE what = 'details' AND looked_by = 'Ann' ORDER BY 1"
    )
    assert [row["wearer_id"] for row in rows] == ["W1", "W2", "W3"]


async def test_an_officer_gets_those_of_the_agency_and_an_auditor_none(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, page = await visitor.get("/curfews/tonight")
    assert "W1" in page
    assert "W2" not in page
    await visitor.log_in(await office.account(Role.AUDITOR, "Eve"), name="Eve")
    assert (await visitor.get("/curfews/tonight"))[0] == 403


async def test_it_prints_without_what_is_not_for_paper(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/curfews/tonight", width=1366, height=768)
    await page.page.emulate_media(media="print")
    assert await page.locator("text=12 Sample Street").is_visible()
    assert not await page.locator("header").first.is_visible()
    assert not await page.locator("text=To print all of it").is_visible()
    assert len(await page.page.pdf(format="A4")) > 5_000
    await page.page.emulate_media(media="screen")
    assert await axe(page) == []
    narrow = await logged_in(office, open_page, "/curfews/tonight", width=320, height=700)
    assert await narrow.evaluate("document.documentElement.scrollWidth") <= 320
    narrow.assert_clean(office.address)
