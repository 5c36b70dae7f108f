"""People whom only a home unit hears: their pages say in, out or not known, and who reported what; no map."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.people.roles import Role
from tests.browser import OpenPage
from tests.office import Office, open_office
from tests.service_world import event
from tests.test_home_units import household, unit
from tests.test_pages_browser import assert_usable, logged_in
from tests.visitor import Visitor

PEOPLE = household(
    home_units=[unit(1, call_in_s=14_400), unit(2, call_in_s=14_400)],
    wearers=[{"wearer_id": "W1", "name": "Ann Other"}, {"wearer_id": "W2"}],
)


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """The first person left at 19:10, the second is at home; the unit lost its power at 19:40 and nobody has been seen since."""
    async with open_office(database_url, data_dir, PEOPLE) as office:
        await office.report(
            "H1",
            event(1, "18:00", "RF_IN", tag="D1"),
            event(2, "18:05", "RF_IN", tag="D2"),
            event(3, "19:10", "RF_OUT", tag="D1"),
            event(4, "19:20", "STRAP_TAMPER", tag="D2"),
            event(5, "19:30", "HEARTBEAT"),
            event(6, "19:40", "HMU_POWER_LOST"),
        )
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    await visitor.log_in(await office.account(Role.ADMINISTRATOR))
    yield visitor
    await visitor.http.close()


async def look(visitor: Visitor, wearer_no: int, begin: str = "2026-03-02T17:00") -> str:
    """The page of a location history, from an instant to 20:00."""
    _, place = await visitor.post(
        f"/wearers/{wearer_no}/history",
        form_key=await visitor.form_key(),
        purpose="COMPLIANCE",
        begin=begin,
        end="2026-03-02T20:00",
    )
    status, page = await visitor.get(place)
    assert status == 200
    return page


def rows_of(page: str, region: str) -> list[list[str]]:
    """The cells of a table, without their marks."""
    table = page.split(f'aria-label="{region}')[1].split("</table>")[0]
    rows = re.findall(r"<tr.*?</tr>", table.split("<tbody")[1], re.DOTALL)
    return [
        [re.sub(r"<.*?>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows
    ]


async def wearer_no(office: Office, wearer_id: str) -> int:
    return await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", wearer_id)


async def test_a_history_without_positions_is_a_band_of_in_out_and_not_known_with_a_table_that_says_the_same(
    office: Office, visitor: Visitor
) -> None:
    page = await look(visitor, await wearer_no(office, "W1"))
    assert [row[:3] for row in rows_of(page, "In, out or not known: C1")] == [
        ["Not known", "2 Mar 17:00:00", "2 Mar 18:00:00"],
        ["In", "2 Mar 18:00:00", "2 Mar 19:10:00"],
        ["Out", "2 Mar 19:10:00", "2 Mar 19:55:00"],
        ["Not known", "2 Mar 19:55:00", "2 Mar 20:00:00"],
    ]
    assert 'id="map"' not in page
    drawn = re.findall(r'<rect class="em-band__(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"', page)
    assert [(name, round(float(x)), round(float(width))) for name, x, width in drawn] == [
        ("unknown", 0, 333), ("in", 333, 389), ("out", 722, 250), ("unknown", 972, 28),
    ]  # fmt: skip


async def test_a_history_without_positions_says_in_plain_words_what_happened_and_who_reported_it(
    office: Office, visitor: Visitor
) -> None:
    page = await look(visitor, await wearer_no(office, "W2"))
    assert [row[:3] for row in rows_of(page, "Events in order of time")] == [
        ["2 Mar 18:05:00", "In range of the home unit H1", "Reported by the home unit H1"],
        ["2 Mar 19:20:00", "Strap opened or cut", "Reported by the home unit H1"],
        ["2 Mar 19:40:00", "The home unit H1 lost its power", "Reported by the home unit H1"],
    ]


async def test_a_history_in_which_nothing_was_received_says_so(office: Office, visitor: Visitor) -> None:
    page = await look(visitor, await wearer_no(office, "W3"))
    assert "No position was received in this time" in page
    assert "Nothing was received for this time." in page
    assert [row[0] for row in rows_of(page, "In, out or not known: C3")] == ["Not known"]
    before = await look(visitor, await wearer_no(office, "W1"), begin="2026-02-20T12:00")
    assert rows_of(before, "In, out or not known: C1")[0][1] == "2 Mar 08:00:00", "no tag was fitted before"


async def test_an_alert_of_somebody_without_positions_shows_the_band_and_the_events(
    office: Office, visitor: Visitor
) -> None:
    alerts = (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"]
    (out,) = [alert for alert in alerts if alert["kind"] == "CURFEW"]
    status, page = await visitor.get(f"/alerts/{out['alert_no']}")
    assert status == 200
    assert "Out" in {row[0] for row in rows_of(page, "In, out or not known: C1")}
    assert ["2 Mar 19:10:00", "Out of range of the home unit H1", "Reported by the home unit H1"] in [
        row[:3] for row in rows_of(page, "Events around the finding")
    ]
    assert 'id="map"' not in page


async def test_the_page_of_a_person_says_which_unit_is_theirs_and_when_it_called_in(
    office: Office, visitor: Visitor
) -> None:
    page = (await visitor.get(f"/wearers/{await wearer_no(office, 'W1')}"))[1]
    assert "H1 at the address of C1" in page
    assert "It last called in at Mon 2 Mar 2026 20:00" in page
    assert "It should call in at least every 4 h." in page
    assert "Home units" not in (await visitor.get(f"/wearers/{await wearer_no(office, 'W3')}"))[1]


async def falls_silent(office: Office) -> int:
    """The unit has not called in since 15:00; the number of its alert."""
    await office.connection.execute("DELETE FROM unit_calls")
    await office.connection.execute(
        "INSERT INTO alerts (alert_no, kind, severity, raised_at, known_at, home_unit) "
        "VALUES (900, 'HOME_UNIT_SILENT', 2, '2026-03-02T19:30Z', '2026-03-02T19:09Z', 'H1')"
    )
    await office.connection.execute(
        "INSERT INTO unit_silences (home_unit, since, alert_no, begin_at) "
        "VALUES ('H1', '2026-03-02T15:00Z', 900, '2026-03-02T19:09Z')"
    )
    await office.connection.execute(
        "INSERT INTO alert_people SELECT 900, wearer_no, now() FROM wearers WHERE wearer_id <> 'W3'"
    )
    return 900


async def test_a_silent_unit_has_a_page_that_lists_the_people_with_links_and_can_be_closed(
    office: Office, visitor: Visitor
) -> None:
    number = await falls_silent(office)
    queue = (await visitor.get("/alerts?kind=HOME_UNIT_SILENT"))[1]
    assert "Home unit does not call in" in queue
    assert "Home unit H1 has not called in since" in queue
    page = (await visitor.get(f"/alerts/{number}"))[1]
    assert "The home unit H1 should have called in by Mon 2 Mar 2026 19:09:00 GMT, and has not for" in page
    assert "2 people depend on it." in page
    assert "It has never called in." in page
    for wearer_id in ("W1", "W2"):
        assert f'href="/wearers/{await wearer_no(office, wearer_id)}"' in page
    theirs = (await visitor.get(f"/wearers/{await wearer_no(office, 'W2')}"))[1]
    assert f'href="/alerts/{number}"' in theirs
    fields = {
        "form_key": await visitor.form_key(),
        "action": "closed",
        "outcome": "EQUIPMENT",
        "note": "engineer sent",
    }
    fields |= {"confirmed": "yes"}
    assert await visitor.post(f"/alerts/{number}/actions", **fields) == (303, "/alerts")
    assert "Home unit H1 has not called in" in (await visitor.get("/alerts?state=closed"))[1]


async def test_programs_read_of_which_unit_an_alert_is(office: Office) -> None:
    await falls_silent(office)
    (alert,) = (await office.get("/v1/alerts?kind=HOME_UNIT_SILENT"))[1]["alerts"]
    assert (alert["home_unit"], alert["people"], alert["wearer_id"], alert["lasts"]) == ("H1", 2, None, True)


@pytest.mark.parametrize("width", [1400, 360])
async def test_pages_of_home_units_are_usable(office: Office, open_page: OpenPage, width: int) -> None:
    number = await falls_silent(office)
    page = await logged_in(office, open_page, f"/alerts/{number}", width=width)
    assert await page.get_by_role("link", name="Ann Other").first.is_visible()
    await assert_usable(page)
    alerts = (await office.get("/v1/alerts?wearer=W1&kind=CURFEW"))[1]["alerts"]
    await page.goto(f"{office.address}/alerts/{alerts[0]['alert_no']}")
    assert await page.get_by_role("img", name="In, out or not known").is_visible()
    await assert_usable(page)
    await page.goto(f"{office.address}/wearers/{await wearer_no(office, 'W1')}")
    await assert_usable(page)
    page.assert_clean(office.address)
