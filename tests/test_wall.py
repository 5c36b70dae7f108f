"""The supervisor's wall: what stands on it is what is in the record, each number opens its list, and nobody is left out of those whom
nobody monitors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alerts import (
    Severity,
    WallList,
    answered,
    delay_of,
    flow_of,
    noise_of,
    numbers_behind,
    open_by_age,
    work_gap,
    work_on,
)
from emtrack.people.roles import Role
from emtrack.reading.unmonitored import Reason, unmonitored
from tests.browser import OpenPage, axe
from tests.office import BEGINS, ORDERS, Office, away, open_office, strap
from tests.service_world import activation, curfew, ms
from tests.test_case_page import shown
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

NOW = ms(BEGINS)
MINUTE = 60_000
NEXT = {"alert": 1000}


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """W3 is on a curfew and was never fitted, the tag of W4 came off at 18:00, W5 is tagged and on no order, W6 has an order of a
    court only, W7 an alcohol tag."""
    form = ORDERS | {
        "activations": [
            *ORDERS["activations"], activation(4, to="2026-03-02T18:00:00Z"), activation(5), activation(7, evidence=[]),
        ],
        "requirements": [*ORDERS["requirements"], curfew(3), curfew(4), curfew(7)],
        "wearers": [
            *ORDERS["wearers"], {"wearer_id": "W3", "name": "Cal Third", "iom": {"agencies": ["Housing"]}},
            {"wearer_id": "W6", "order": {"kind": "Licence", "begins": "2026-02-01"}},
        ],
    }  # fmt: skip
    async with open_office(database_url, data_dir, form) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


async def put(
    office: Office, minutes_ago: float, severity: int = 2, late_s: float = 0, closed: str | None = None, **more: Any
) -> int:
    """An alert as it stands in the record, raised so long ago."""
    NEXT["alert"] += 1
    number = NEXT["alert"]
    columns = {"wearer_no": 1, "kind": "CURFEW", "requirement_id": f"C{number}", "activation_no": 1} | more
    await office.connection.execute(
        "INSERT INTO alerts (alert_no, severity, raised_at, known_at, closed_at, wearer_no, kind, requirement_id, activation_no) "
        "VALUES ($1, $2, to_timestamp($3), to_timestamp($4), CASE WHEN $5 THEN to_timestamp($3) END, $6, $7, $8, $9)",
        number, severity, NOW / 1000 - minutes_ago * 60, NOW / 1000 - minutes_ago * 60 - late_s, closed is not None,
        *columns.values(),
    )  # fmt: skip
    if closed is not None:
        await act(office, number, "closed", minutes_ago, closed)
    return number


async def act(office: Office, number: int, what: str, minutes_ago: float, outcome: str | None = None) -> None:
    await office.connection.execute(
        "INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome) "
        "VALUES ($1, (SELECT count(*) + 1 FROM alert_actions WHERE alert_no = $1), to_timestamp($2), 'Ann', $3, $4)",
        number, NOW / 1000 - minutes_ago * 60, what, outcome,
    )  # fmt: skip


# ------------------------------------------------------------------ numbers


async def test_open_alerts_are_counted_by_severity_and_age_and_each_number_has_its_list(office: Office) -> None:
    for minutes in (1, 14, 16, 59, 61, 479, 481, 1439, 1441, 9999):
        await put(office, minutes, 2)
    critical = await put(office, 20, 1)
    await put(office, 20, 1, closed="NO_ACTION")
    counts = await open_by_age(office.connection, NOW)
    assert counts[Severity.SERIOUS] == [2, 2, 2, 2, 2]
    assert counts[Severity.CRITICAL] == [0, 1, 0, 0, 0]
    for severity, by_age in counts.items():
        for age, count in enumerate(by_age):
            listed = await numbers_behind(office.connection, WallList("open", int(severity), age), NOW)
            assert len(listed) == count
    assert await numbers_behind(office.connection, WallList("open", 1, 1), NOW) == [critical]
    assert len(await numbers_behind(office.connection, WallList("open"), NOW)) == 11


async def test_what_is_grouped_under_an_open_incident_is_counted_once(office: Office) -> None:
    await put(office, 5)
    await office.falls_silent_with("north")
    counts = await open_by_age(office.connection, NOW)
    assert sum(map(sum, counts.values())) == 1, "the incident"


async def test_alarms_are_measured_by_operator_and_a_flood_is_told(office: Office) -> None:
    for name, role in (("Ann", "operator"), ("Bob", "operator"), ("Eve", "supervisor")):
        await office.connection.execute(
            "INSERT INTO looks (looked_at, looked_by, role, door, what, purpose) "
            "VALUES (to_timestamp($1), $2, $3, 'page', 'shift', 'MONITORING')",
            NOW / 1000 - 60, name, role,
        )  # fmt: skip
    for _ in range(4):
        await put(office, 9)
    for _ in range(21):
        await put(office, 65)
    for _ in range(20):
        await put(office, 125)
    flow = await flow_of(office.connection, NOW)
    assert flow == (4, 21, 1, 2), "twenty for two operators are no flood, twenty-one are"
    assert flow.each == 2


async def test_acknowledged_in_time_goes_by_the_time_for_the_severity(office: Office) -> None:
    for severity, taken_after in ((1, 1), (1, 3), (2, 9), (2, 11), (2, None)):
        number = await put(office, 60, severity)
        if taken_after is not None:
            await act(office, number, "acknowledged", 60 - taken_after)
    waits = await put(office, 1, 2)
    found = await answered(office.connection, NOW)
    assert found[Severity.CRITICAL] == (1, 1)
    assert found[Severity.SERIOUS] == (1, 2)
    late = await numbers_behind(office.connection, WallList("unanswered"), NOW)
    assert len(late) == 3
    assert waits not in late


async def test_the_delay_is_from_knowable_to_raised_and_never_less_than_nothing(office: Office) -> None:
    assert await delay_of(office.connection, NOW) == (0, None, None)
    for late_s in (-5, 1, 2, 3, 100):
        await put(office, 30, late_s=late_s)
    delay = await delay_of(office.connection, NOW)
    assert (delay.alerts, delay.half_ms) == (5, 2000)
    assert delay.most_ms == pytest.approx(61_200, abs=2)


async def test_noise_is_what_was_closed_with_another_outcome_by_zone_device_rule_and_cause(office: Office) -> None:
    zone = {"wearer_no": 1, "kind": "EXCLUSION", "requirement_id": "X1", "activation_no": 1}
    for outcome in ("LOCATION_ERROR", "LOCATION_ERROR", "VIOLATION"):
        await put(office, 600, closed=outcome, **zone)
    await put(office, 600, closed="EQUIPMENT", wearer_no=2, kind="BATTERY", requirement_id=None, activation_no=2)
    await put(office, 8 * 24 * 60, closed="EQUIPMENT", **zone)
    noise = await noise_of(office.connection, NOW)
    assert noise.outcomes == {"LOCATION_ERROR": 2, "VIOLATION": 1, "EQUIPMENT": 1}, "eight days ago is too long ago"
    assert [(z.requirement_id, z.wearer_id, z.needless, z.closed) for z in noise.zones] == [("X1", "W1", 2, 3)]
    assert [(d.device_id, d.needless, d.closed) for d in noise.devices] == [("D1", 2, 3), ("D2", 1, 1)]
    assert [(k.kind, k.needless) for k in noise.kinds] == [("EXCLUSION", 2), ("BATTERY", 1)]
    connection = office.connection
    assert len(await numbers_behind(connection, WallList("needless", wearer_no=1, requirement_id="X1"), NOW)) == 2
    assert len(await numbers_behind(connection, WallList("needless", activation_no=2), NOW)) == 1
    assert len(await numbers_behind(connection, WallList("needless", kind="EXCLUSION"), NOW)) == 2
    assert len(await numbers_behind(connection, WallList("needless", outcome="VIOLATION"), NOW)) == 1


# ------------------------------------------------------------------ not monitored


async def gaps_of(office: Office) -> dict[str, tuple[Reason, int]]:
    found = await unmonitored(office.connection, "Europe/London", NOW + 5 * MINUTE)
    assert found.size == len(found.gaps)
    return {gap.wearer_id: (gap.reason, gap.since_ms) for gap in found.gaps}


async def test_everybody_on_an_order_whom_nobody_monitors_is_named_with_reason_and_since_when(office: Office) -> None:
    assert await gaps_of(office) == {
        "W6": (Reason.NOT_FITTED, ms("2026-02-01T00:00:00Z")),
        "W3": (Reason.NOT_FITTED, ms("2026-03-01T00:00:00Z")),
        "W7": (Reason.NOT_FITTED, ms("2026-03-01T00:00:00Z")),
        "W4": (Reason.NO_TAG, ms("18:00")),
    }, "W5 is on no order; what measures alcohol tells no places"
    await office.report("D1", strap("19:30", 1))
    assert (await gaps_of(office))["W1"] == (Reason.STRAP_OPEN, ms("19:30"))


async def test_a_silent_tag_monitors_nobody_until_it_is_heard(office: Office) -> None:
    await office.report("D2", away("19:50", 1), away("19:52", 2))
    finding = await office.connection.fetchval("SELECT finding_no FROM findings WHERE kind = 'CURFEW'")
    await office.connection.execute("UPDATE alerts SET kind = 'NO_COMMUNICATION' WHERE wearer_no = 2")
    assert (await gaps_of(office))["W2"][0] is Reason.SILENT
    await office.connection.execute("UPDATE finding_versions SET end_at = begin_at WHERE finding_no = $1", finding)
    assert "W2" not in await gaps_of(office)


async def test_who_sees_to_a_gap_is_appended_and_ends_with_the_gap(office: Office) -> None:
    connection = office.connection
    await work_gap(connection, 3, taken=True, who="Ann", note="fits at nine", now_ms=NOW)
    assert (await work_on(connection, {3: NOW - 1}))[3] == ("Ann", NOW, "fits at nine")
    assert await work_on(connection, {3: NOW + 1}) == {}, "another gap, later"
    await work_gap(connection, 3, taken=False, who="Ann", note=None, now_ms=NOW + 1)
    assert await work_on(connection, {3: NOW - 1}) == {}
    assert await connection.fetchval("SELECT count(*) FROM gap_work") == 2


async def test_somebody_takes_a_gap_on_the_page(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    _, page = await visitor.get("/wall/unmonitored")
    assert "Cal Third W3 : not fitted yet for" in shown(page)
    number = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W3'")
    key = await visitor.form_key()
    await visitor.post(f"/wall/unmonitored/{number}", form_key=key, done="taken", note="fits at nine")
    _, page = await visitor.get("/wall/unmonitored")
    assert "You see to it since 20:0" in shown(page)
    assert "fits at nine" in page
    _, wall = await visitor.get("/wall")
    assert "Ann sees to it" in shown(wall)
    await visitor.post(f"/wall/unmonitored/{number}", form_key=key, done="left")
    assert "You see to it" not in shown((await visitor.get("/wall/unmonitored"))[1])
    status, page = await visitor.post(f"/wall/unmonitored/{number}", form_key=key, done="taken", note="x" * 4001)
    assert status == 422
    assert "at most 4,000 characters" in page


async def test_an_officer_sees_those_of_the_agency_and_takes_nobody(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OFFICER, agency="Housing"))
    _, page = await visitor.get("/wall/unmonitored")
    assert "Cal Third" in page
    assert not re.search(r"\bW[4-7]\b", page)
    assert 'name="done"' not in page
    assert (await visitor.get("/wall"))[0] == 403
    number = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W3'")
    assert (await visitor.post(f"/wall/unmonitored/{number}", form_key=await visitor.form_key()))[0] == 403


async def test_an_auditor_sees_neither(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.AUDITOR))
    assert (await visitor.get("/wall"))[0] == 403
    assert (await visitor.get("/wall/unmonitored"))[0] == 403


# ------------------------------------------------------------------ the page


async def test_every_number_of_the_wall_opens_a_list(office: Office, visitor: Visitor) -> None:
    for minutes in (5, 70):
        await put(office, minutes, late_s=4)
    await put(office, 5, closed="EQUIPMENT", requirement_id="X1")
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    status, page = await visitor.get("/wall")
    assert status == 200
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/wall/[^"#]+)', page)}
    assert len(links) >= 9
    for link in links:
        status, behind = await visitor.get(link)
        assert status == 200, link
        assert "There is none" not in behind or "outcome=" in link, link


@pytest.mark.parametrize("query", ["of=everything", "of=needless&outcome=x", "severity=x", "kind=x"])
async def test_what_is_no_list_is_refused_in_words(office: Office, visitor: Visitor, query: str) -> None:
    await visitor.log_in(await office.account())
    status, page = await visitor.get(f"/wall/list?{query}")
    assert status == 400
    assert "expected" in page


async def test_the_wall_follows_the_service_and_is_read_from_afar(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/wall", Role.SUPERVISOR, width=1366, height=768)
    await page.wait_for_selector("#wall-live >> text=Live")
    mark = await page.evaluate("window.mark = Math.random()")
    await page.focus("#tile-gaps ~ .em-wall__number a")
    await office.two_are_out()
    await page.wait_for_selector("#tile-open ~ .em-wall__number >> text=/^2/")
    assert await page.evaluate("window.mark") == mark, "the page was not loaded anew"
    assert await page.evaluate("document.activeElement.getAttribute('href')") == "/wall/unmonitored", (
        "the focus stays"
    )
    size = await page.evaluate("parseFloat(getComputedStyle(document.querySelector('.em-wall__value')).fontSize)")
    assert size >= 64
    assert await axe(page) == []
    page.assert_clean(office.address)


async def test_the_wall_works_without_scripts_and_at_320_px(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    plain = await logged_in(office, open_page, "/wall", Role.SUPERVISOR, java_script_enabled=False)
    assert "2" in await plain.locator("#tile-open ~ .em-wall__number").inner_text()
    assert await plain.locator("meta[http-equiv=refresh]").count() == 1
    await plain.click("#tile-gaps ~ .em-wall__number a")
    await plain.click("button:has-text('I see to it') >> nth=0")
    assert await plain.locator("text=You see to it").count() == 1
    for path in ("/wall", "/wall/unmonitored", "/wall/list?of=open"):
        narrow = await logged_in(office, open_page, path, Role.SUPERVISOR, width=320, height=700)
        assert await narrow.evaluate("document.documentElement.scrollWidth") <= 320, path
        assert await axe(narrow) == [], path
        narrow.assert_clean(office.address)


async def test_the_wall_is_a_look_at_those_whom_it_names(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    await visitor.get("/wall")
    named = await office.connection.fetch(
        "SELECT w.wearer_id FROM looks JOIN wearers w USING (wearer_no) WHERE looked_by = 'Ann' ORDER BY 1"
    )
    assert [row["wearer_id"] for row in named] == ["W3", "W4", "W6", "W7"]
