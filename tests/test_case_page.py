"""Beside a decision: whether the person is there now, who must be called, how the tag is, and the steps that are ticked."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.people.limits import LimitKind, limit
from emtrack.people.roles import Role
from tests.browser import OpenPage, axe
from tests.office import BEGINS, EXCLUSION, ORDERS, Office, at_home, away, open_office
from tests.service_world import ms
from tests.test_pages_browser import logged_in
from tests.test_person import DETAILS, STEPS
from tests.visitor import Visitor


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    """The office, and what orders say of Ann Other."""
    first, *others = ORDERS["wearers"]
    names = [
        {**r, "name": "Hanley exclusion zone"} if r["requirement_id"] == "X1" else r for r in ORDERS["requirements"]
    ]
    form = ORDERS | {"wearers": [{**first, **DETAILS}, *others], "requirements": names}
    async with open_office(database_url, data_dir, form) as office:
        yield office


@pytest.fixture
async def visitor(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    yield visitor
    await visitor.http.close()


async def alert_of(office: Office, wearer_no: int = 1) -> int:
    number: int = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE wearer_no = $1", wearer_no)
    return number


async def ann_at(office: Office, visitor: Visitor) -> int:
    """Ann is logged in, and the number of the alert of W1."""
    await visitor.log_in(await office.account())
    await office.two_are_out()
    return await alert_of(office)


def shown(page: str) -> str:
    """The text without tags, in one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_who_must_be_called_stands_on_the_page_with_order_and_tag(office: Office, visitor: Visitor) -> None:
    number = await ann_at(office, visitor)
    _, page = await visitor.get(f"/alerts/{number}")
    text = shown(page)
    for what in (
        "12 Sample Street, Hanley, ST1 0AA", "01632 960001", "B. Ash , Probation Service".replace(" ,", ","), "C. Other",
        "Suspended sentence order, North Staffordshire, ends 31 March 2026: 29 days left", "Police, Probation Service",
        "3 February 1990", "Battery not known", "Tag clock no fault known",
    ):  # fmt: skip
        assert what in text, what
    assert 'href="tel:01632960001"' in page
    assert "White" not in text, "ethnicity is for measures of fairness"


async def test_what_the_finding_rests_on_is_named_with_its_versions(office: Office, visitor: Visitor) -> None:
    number = await ann_at(office, visitor)
    _, page = await visitor.get(f"/alerts/{number}")
    row = await office.connection.fetchrow(
        "SELECT facts_hash, decided_under FROM finding_versions WHERE finding_no IN "
        "(SELECT finding_no FROM alert_occurrences WHERE alert_no = $1) ORDER BY version DESC LIMIT 1",
        number,
    )
    for named in (row["facts_hash"], *row["decided_under"].values()):
        assert named in page


async def test_the_page_of_a_person_shows_whom_to_call_too(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    _, page = await visitor.get("/wearers/1")
    assert "12 Sample Street, Hanley, ST1 0AA" in page
    assert "Suspended sentence order" in page


async def test_a_restricted_record_shows_its_reference_until_it_is_opened_with_a_reason(
    office: Office, visitor: Visitor
) -> None:
    number = await ann_at(office, visitor)
    async with office.connection.transaction():
        await limit(
            office.connection, 1, LimitKind.RESTRICTED, ["nobody"], [], reason="x", who="Eve", now_ms=ms(BEGINS)
        )
    _, page = await visitor.get(f"/alerts/{number}")
    for hidden in ("Sample Street", "960001", "B. Ash", "C. Other", "Ann Other", "Suspended", "1990"):
        assert hidden not in page, hidden
    assert "W1" in page
    assert "This record is restricted" in page
    assert "Steps for curfew, as shipped, version 1" in page, "the alert can be worked all the same"
    await visitor.post("/wearers/1/opening", form_key=await visitor.form_key(), reason="she does not answer")
    _, page = await visitor.get(f"/alerts/{number}")
    assert "12 Sample Street" in page


# ------------------------------------------------------------------ there now


async def test_the_line_of_now_says_what_is_judged_and_how_old_the_last_position_is(
    office: Office, visitor: Visitor
) -> None:
    number = await ann_at(office, visitor)
    line = json.loads((await visitor.get(f"/alerts/{number}/now"))[1])
    assert line["lead"] == "Not at home"
    assert line["rest"].startswith("since 19:5")
    assert "1.1 km from home" in line["rest"]
    assert re.search(r"[78] min( \d+ s)? old", line["rest"])
    await office.report("D1", at_home("19:58", 3), at_home("19:59", 4))
    line = json.loads((await visitor.get(f"/alerts/{number}/now"))[1])
    assert line["lead"] == "At home"


async def test_what_nobody_can_tell_is_not_known(office: Office, visitor: Visitor) -> None:
    number = await ann_at(office, visitor)
    await office.connection.execute(  # the tag was taken off at 19:55
        "UPDATE activation_versions SET during = tstzrange(lower(during), '2026-03-02T19:55:00Z') WHERE wearer_no = 1"
    )
    line = json.loads((await visitor.get(f"/alerts/{number}/now"))[1])
    assert (line["lead"], line["rest"][:17]) == ("Not known", "no tag is fitted.")


async def test_the_line_of_now_is_under_the_look_of_the_page(office: Office, visitor: Visitor) -> None:
    number = await ann_at(office, visitor)
    await visitor.get(f"/alerts/{number}")
    looks = await office.connection.fetchval("SELECT count(*) FROM looks")
    for _ in range(3):
        assert (await visitor.get(f"/alerts/{number}/now"))[0] == 200
    assert await office.connection.fetchval("SELECT count(*) FROM looks") == looks


# ------------------------------------------------------------------ steps


async def tick(visitor: Visitor, number: int, step: int, done: str = "yes", protocol: str = "") -> tuple[int, str]:
    key = await visitor.form_key()
    return await visitor.post(f"/alerts/{number}/steps", form_key=key, step=str(step), done=done, protocol=protocol)


async def rows(office: Office) -> list[tuple[Any, ...]]:
    found = await office.connection.fetch(
        "SELECT step_no, is_done, ticked_by, protocol_no FROM step_ticks ORDER BY tick_no"
    )
    return [tuple(row) for row in found]


async def test_a_step_is_ticked_with_who_and_when_and_taken_back_by_another_row(
    office: Office, visitor: Visitor
) -> None:
    number = await ann_at(office, visitor)
    assert await tick(visitor, number, 1) == (303, f"/alerts/{number}#steps")
    _, page = await visitor.get(f"/alerts/{number}")
    assert re.search(r"✓ 20:0\d, you", shown(page))
    assert "Step done by Ann" in shown(page), "it stands in the timeline"
    await tick(visitor, number, 1)
    await tick(visitor, number, 1, "no")
    assert await rows(office) == [(1, True, "Ann", None), (1, False, "Ann", None)], (
        "what is ticked already adds nothing"
    )
    state = json.loads((await visitor.get(f"/alerts/{number}/state"))[1])
    assert (state["actions"], state["by"]) == (2, "Ann")
    assert state["told"].startswith("Ann took a tick back")


async def test_the_steps_of_a_person_go_before_others_and_stay_once_one_is_ticked(
    office: Office, visitor: Visitor
) -> None:
    number = await ann_at(office, visitor)

    async def enter(*protocols: dict[str, Any]) -> None:
        await import_orders(
            office.settings, read_orders(json.dumps({"protocols": protocols}), "x"), who="Eve", dry_run=False
        )

    await enter({"kind": "CURFEW", "steps": STEPS}, {"wearer_id": "W1", "kind": "CURFEW", "steps": STEPS[:1]})
    _, page = await visitor.get(f"/alerts/{number}")
    assert "Steps for this person and curfew, version 1" in page
    assert "Ring the neighbour" in page
    stale = await tick(visitor, number, 1)
    assert stale[0] == 409, "the page that was open had other steps"
    protocol = str(await office.connection.fetchval("SELECT protocol_no FROM protocols WHERE wearer_no = 1"))
    assert (await tick(visitor, number, 1, protocol=protocol))[0] == 303
    await enter({"wearer_id": "W1", "kind": "CURFEW", "steps": []})
    _, page = await visitor.get(f"/alerts/{number}")
    assert "Steps for this person and curfew, version 1" in page
    _, other = await visitor.get(f"/alerts/{await alert_of(office, 2)}")
    assert "Steps for curfew, version 1" in other


async def test_a_step_with_a_wait_shows_when_it_is_due(office: Office, visitor: Visitor) -> None:
    number = await ann_at(office, visitor)
    for step in (1, 2, 3):
        await tick(visitor, number, step)
    _, page = await visitor.get(f"/alerts/{number}")
    assert re.search(r"If nobody answers: ring once more at 20:1\d", shown(page))


@pytest.mark.parametrize("role", [Role.OFFICER, Role.CONTACT])
async def test_who_does_not_work_alerts_sees_steps_and_ticks_none(
    office: Office, visitor: Visitor, role: Role
) -> None:
    await visitor.log_in(await office.account(role))
    await office.two_are_out()
    number = await alert_of(office)
    _, page = await visitor.get(f"/alerts/{number}")
    assert "Steps for curfew" in page
    assert "em-tick" not in page
    assert (await tick(visitor, number, 1))[0] == 403
    assert await rows(office) == []


async def test_a_page_as_of_an_earlier_moment_has_no_steps_and_no_line_of_now(
    office: Office, visitor: Visitor
) -> None:
    number = await ann_at(office, visitor)
    _, page = await visitor.get(f"/alerts/{number}?known_at=2026-03-02T20:00:01Z")
    assert 'id="there"' not in page
    assert "em-tick" not in page


# ------------------------------------------------------------------ in a browser


async def test_decision_evidence_steps_and_person_are_on_one_screen(office: Office, open_page: OpenPage) -> None:
    await office.two_are_out()
    page = await logged_in(office, open_page, f"/alerts/{await alert_of(office)}", width=1366, height=768)
    await page.wait_for_selector("#map canvas")
    for selector in ("#there", ".emtrack-map__viewport", "#steps", "text=12 Sample Street", "text=01632 960003", ".em-tick >> nth=0",
                     "button:has-text('Close the alert')"):  # fmt: skip
        box = await page.locator(selector).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 768, selector
    assert await axe(page) == []
    page.assert_clean(office.address)


async def test_steps_are_ticked_by_keyboard_at_320_px_and_without_scripts(
    office: Office, open_page: OpenPage
) -> None:
    await office.two_are_out()
    number = await alert_of(office)
    narrow = await logged_in(office, open_page, f"/alerts/{number}", width=320, height=700)
    assert await narrow.evaluate("document.documentElement.scrollWidth") <= 320
    await narrow.focus(".em-tick >> nth=0")
    await narrow.keyboard.press("Enter")
    await narrow.wait_for_selector(".em-step--done >> text=you")
    assert await axe(narrow) == []
    plain = await logged_in(office, open_page, f"/alerts/{number}", java_script_enabled=False)
    await plain.click(".em-tick >> nth=1")
    assert await plain.locator(".em-step--done").count() == 2


async def test_the_exclusion_zone_is_called_what_people_call_it(office: Office, open_page: OpenPage) -> None:
    await office.report("D1", at_home("19:40", 1), away("19:52", 2), away("19:54", 3))
    tuesday = [{"day": "MON", "start": "00:00", "end": "00:00"}]
    form = {"requirements": [EXCLUSION | {"timetable": tuesday, "reason": "a test"}]}
    await import_orders(office.settings, read_orders(json.dumps(form), "x"), who="Eve", dry_run=False)
    find = "SELECT alert_no FROM alerts WHERE kind = 'EXCLUSION'"
    page = await logged_in(office, open_page, "/alerts")
    await page.wait_for_selector(".em-row >> text=Hanley exclusion zone")
    await page.goto(f"{office.address}/alerts/{await office.connection.fetchval(find)}")
    assert await page.locator("#there strong").inner_text() == "In Hanley exclusion zone"
    assert await page.locator("text=Hanley exclusion zone (X1)").count() == 2
