"""What is it worth?, without a browser and in one."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from emtrack.people.roles import Role
from emtrack.web.charts import HEIGHT, drawn, number, top_of_axis
from emtrack.web.pages.performance import PERFORMANCE_READERS
from emtrack.worth.figures import Bar, Drawing, Point
from tests.browser import OpenPage, axe
from tests.office import Office
from tests.programme_years import membership, person, programme_years
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

TODAY = date(2026, 3, 2)


async def looks(office: Office) -> list[tuple[str, int | None]]:
    rows = await office.connection.fetch("SELECT what, wearer_no FROM looks WHERE what <> 'shift' ORDER BY look_no")
    return [(row["what"], row["wearer_no"]) for row in rows]


async def test_each_measure_stands_there_with_its_definition_figures_and_what_is_not_known(
    office: Office, visitor: Visitor
) -> None:
    await programme_years(office.connection, TODAY, 40, 40)
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    status, page = await visitor.get("/iom/performance")
    assert status == 200
    assert "Of 40 people who were ever in the programme and whom you may see" in page, (
        "an order of today is not known yet"
    )
    titles = re.findall(r'<h2 class="govuk-heading-m" id="(\w+)">', page)
    assert titles == [
        "proven", "often", "before_after", "career", "risk", "process", "needs", "compliance", "money", "fairness",
    ]  # fmt: skip
    assert page.count("<svg") >= 3
    assert "Expected if nothing worked" in page
    assert "<strong>Not known:</strong> Nobody has set what 12 months of the programme cost" in page
    assert "One row that cannot be shown" not in page
    assert ("IOM record", None) in await looks(office), "who looks at everybody is on record"


async def test_the_people_behind_a_figure_are_a_look_at_each_of_them(office: Office, visitor: Visitor) -> None:
    numbers = await programme_years(office.connection, TODAY, 32, 32)
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    _, page = await visitor.get("/iom/performance")
    link = re.search(r'href="(/iom/performance/people\?figure=before_after\.before&amp;[^"]+)"', page)
    assert link is not None
    status, page = await visitor.get(link[1].replace("&amp;", "&"))
    assert status == 200
    assert "32 people are behind this figure" in page
    assert page.count('href="/iom/people/Y') == 32
    assert {no for _, no in await looks(office) if no is not None} == set(numbers)
    status, page = await visitor.get("/iom/performance/people/Y00001")
    assert (status, "in the programme" in page, "<svg" in page) == (200, True, True)
    assert (await visitor.get("/iom/performance/people?figure=nothing"))[0] == 404
    assert (await visitor.get("/iom/performance/people/NOBODY"))[0] == 404


async def test_figures_are_of_the_people_whom_the_account_may_read(office: Office, visitor: Visitor) -> None:
    await person(office.connection, "P1", lambda no: [membership(no, date(2024, 1, 1))], when=date(2026, 3, 1))
    await person(
        office.connection,
        "P2",
        lambda no: [membership(no, date(2024, 1, 1))],
        when=date(2026, 3, 1),
        agencies=["Housing"],
    )
    await visitor.log_in(await office.account(Role.OFFICER, agency="Housing"))
    _, page = await visitor.get("/iom/performance")
    assert "Of 1 person who was ever in the programme and whom you may see" in page
    await office.connection.execute(
        "INSERT INTO access_limits (wearer_no, kind, accounts, agencies, recorded, entered_by, reason) "
        "SELECT wearer_no, 'excluded', '{}', '{Housing}', tstzrange(now(), NULL), 'x', 'x' FROM wearers WHERE wearer_id = 'P2'"
    )
    _, page = await visitor.get("/iom/performance")
    assert "Of 0 people" in page, "a restriction holds at once, whatever was worked out before"


async def test_the_public_file_has_no_cell_below_5_and_no_person(office: Office, visitor: Visitor) -> None:
    await programme_years(office.connection, TODAY, 40, 40)
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    status, text = await visitor.get("/iom/performance.csv")
    assert status == 200
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) > 100
    cells = {row[name] for row in rows for name in ("counted", "of", "not known")}
    assert {cell for cell in cells if cell.isdigit() and int(cell) % 5} == set()
    assert "fewer than 5" in cells
    assert "Y0" not in text


async def test_days_and_cohorts_that_cannot_be_meant_are_told(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER))
    for query in ("from=yesterday", "from=2026-01-01&until=2025-01-01", "cohort=ALL", "known_on=0001-01-01"):
        status, page = await visitor.get(f"/iom/performance?{query}")
        assert (status, "There is no such page" in page) == (422, False), query
    assert "As known at the beginning of 2026-03-02" in (await visitor.get("/iom/performance?known_on=2031-01-01"))[1]


@pytest.mark.parametrize("role", Role)
async def test_who_sees_it_is_decided_by_role(office: Office, visitor: Visitor, role: Role) -> None:
    await visitor.log_in(await office.account(role))
    expected = 200 if role in PERFORMANCE_READERS else 403
    for path in ("/iom/performance", "/iom/performance.csv"):
        assert (await visitor.get(path))[0] == expected
    assert Role.AUDITOR not in PERFORMANCE_READERS
    assert Role.OPERATOR not in PERFORMANCE_READERS


@pytest.mark.parametrize("width", [1366, 320])
async def test_the_page_fits_every_screen_and_passes_axe(office: Office, open_page: OpenPage, width: int) -> None:
    await programme_years(office.connection, TODAY, 40, 40)
    page = await logged_in(office, open_page, "/iom/performance", role=Role.SUPERVISOR, width=width, height=768)
    await page.wait_for_selector("h2:has-text('Fairness')")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await axe(page) == []
    await page.keyboard.press("Tab")
    await page.focus("a:has-text('Who is behind: Proven reoffending rate')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=behind this figure")
    assert await axe(page) == []
    await page.click("a:has-text('Career') >> nth=0")
    await page.wait_for_selector("h1:has-text('Career')")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await axe(page) == []


def test_the_service_never_imports_scipy() -> None:
    program = "import sys, emtrack.service.app; sys.exit('scipy.stats' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent.parent, check=False).returncode == 0
    )


# ------------------------------------------------------------------ charts


def test_bars_are_as_long_as_their_values_and_whiskers_stay_on_the_drawing() -> None:
    chart = drawn(Drawing("T", "u", bars=(Bar("a", 2.0, 1.0, 5.0), Bar("b", 4.0))))
    assert [(bar.width, bar.low, bar.high) for bar in chart.bars] == [(136, 68, 340), (272, None, None)]
    assert chart.said == "T: a 2 (1 to 5); b 4."


def test_a_line_breaks_where_nothing_is_known() -> None:
    points = (Point("a", 1.0), Point("b", None), Point("c", 2.0, marked=True), Point("d", 1.0))
    chart = drawn(Drawing("T", "u", points=points, mark="outside of the limits"))
    assert [path.count(",") for path in chart.paths] == [1, 2]
    assert all(0 <= point.y <= HEIGHT for point in chart.points)
    assert chart.said == "T: from a to d, between 1 and 2. Outside of the limits: c."
    assert drawn(Drawing("T", "u", points=(Point("a", None),))).said == "T: nothing is known."


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (12.345, "12.3"), (0.01234, "0.0123"), (1_234.5, "1,234"), (100, "100"), (-3, "-3")]
)
def test_three_digits_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("most", "top"), [(0, 1), (0.7, 1), (1.2, 2), (2.2, 2.5), (26, 50), (100, 100)])
def test_an_axis_ends_at_a_round_number(most: float, top: float) -> None:
    assert top_of_axis(most) == top
