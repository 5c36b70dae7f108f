"""Changed rules of the proposal over past days."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from emtrack.cli.iom import rules_compared
from emtrack.forms.iom import RagGrade
from emtrack.iom.entries import Draft
from emtrack.iom.rules import Live, Rule
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.people.looks import commander
from emtrack.people.roles import Role
from emtrack.reading.what_if import UnfitRules, read_rules, rows_of
from emtrack.worth.what_if import Decided, Past, SignalVersion, red_days, what_if
from tests.browser import OpenPage, axe
from tests.office import Office
from tests.programme_years import at, membership, offence, person
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

DAY = 86_400_000
ONE = Rule("R1", RagGrade.RED, "one curfew violation", [SignalKind.CURFEW_VIOLATION], 7)
TWO = Rule("R2", RagGrade.RED, "two curfew violations", [SignalKind.CURFEW_VIOLATION], 7, 2)


def violation(
    item: int, day: float, known: float | None = None, live: bool = True, expires: float = 14
) -> SignalVersion:
    at = int(day * DAY)
    return SignalVersion(
        Live(item, SignalKind.CURFEW_VIOLATION, at, at + int(expires * DAY)), int((known or day) * DAY), live
    )


def past(
    *versions: SignalVersion, offences: tuple[float, ...] = (), decided: tuple[Decided, ...] = (), until: float = 99
) -> Past:
    return Past(1, ((0, int(until * DAY)),), versions, tuple(int(day * DAY) for day in offences), decided)


def said(rules: list[Rule], one: Past) -> list[int]:
    return [day // DAY for day in red_days(rules, one, 0, 20 * DAY)]


def test_a_day_is_asked_as_it_was_known_at_its_beginning() -> None:
    assert said([ONE], past(violation(1, 2.5))) == [3, 4, 5, 6, 7, 8, 9]
    assert said([ONE], past(violation(1, 2.5, known=6.5))) == [7, 8, 9], "it was not known before"
    taken_back = violation(1, 2.5, known=5.5, live=False)
    assert said([ONE], past(violation(1, 2.5), taken_back)) == [3, 4, 5], (
        "a signal that is withdrawn later counted until then"
    )
    assert said([ONE], past(violation(1, 2.5), until=4.5)) == [3, 4], "who is no member is proposed no more"
    assert said([TWO], past(violation(1, 2.5), violation(2, 5.5))) == [6, 7, 8, 9]


def test_days_in_a_row_are_one_proposal_and_an_offence_that_follows_was_foreseen() -> None:
    outcome = what_if([ONE], [past(violation(1, 2.5), violation(2, 15.5), offences=(5.2,))], 0, 20 * DAY)
    assert [(one.begin_ms // DAY, one.end_ms // DAY, one.was_followed) for one in outcome.said] == [
        (3, 10, True),
        (16, 20, False),
    ]
    assert outcome.foreseen is not None
    assert (outcome.foreseen.hits, outcome.foreseen.of) == (1, 2)


def test_an_offence_on_whose_day_nothing_was_said_is_missed() -> None:
    pasts = [past(violation(1, 2.5), offences=(2.9, 5.2, 12.5))]
    strict, wide = what_if([TWO], pasts, 0, 20 * DAY), what_if([ONE], pasts, 0, 20 * DAY)
    assert strict.missed is not None
    assert wide.missed is not None
    assert (strict.missed.hits, strict.missed.of, wide.missed.hits, wide.missed.of) == (3, 3, 2, 3)
    assert strict.missed_people == (1,)


def test_what_people_decided_counts_for_rules_that_say_the_same() -> None:
    decided = (Decided(int(2.6 * DAY), True), Decided(int(14.5 * DAY), False))
    outcome = what_if([ONE], [past(violation(1, 2.5), decided=decided)], 0, 20 * DAY)
    assert outcome.against is not None
    assert (outcome.against.hits, outcome.against.of) == (1, 1)
    assert what_if([TWO], [past(violation(1, 2.5), decided=decided)], 0, 20 * DAY).against is None


UNKNOWN_KIND = json.dumps([{"code": "X", "grade": "RED", "words": "w", "kinds": ["NO"]}])


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"code": "X"}]', UNKNOWN_KIND])
def test_rules_that_cannot_be_read_are_refused_with_the_place(text: str) -> None:
    with pytest.raises(UnfitRules):
        read_rules(text)


def test_rules_come_alone_or_in_settings() -> None:
    rule = {"code": "X", "grade": "RED", "words": "w", "kinds": ["ARREST"], "days": 3}
    assert read_rules(json.dumps([rule])) == read_rules(json.dumps({"rules": [rule]}))


# ------------------------------------------------------------------ out of the record, by page and by command


async def a_member_who_tested_positive(office: Office) -> int:
    """By the rules in force that is amber."""
    today = date(2026, 3, 2)

    def drafts(number: int) -> list[Draft]:
        signal = Signal(kind=SignalKind.POSITIVE_TEST, direction=Direction.UP, because="tested positive")
        seen = at(today - timedelta(days=20))
        return [
            membership(number, today - timedelta(days=200)), offence(number, today - timedelta(days=15)),
            Draft(SIGNAL, number, signal, "LIVE", occurred_ms=seen, due_ms=seen + 28 * DAY),
        ]  # fmt: skip

    return await person(office.connection, "P1", drafts, when=today - timedelta(days=18))


CHANGED = json.dumps(
    [{"code": "NEW", "grade": "RED", "words": "a positive test", "kinds": ["POSITIVE_TEST"], "days": 14}]
)


async def test_changed_rules_are_tried_on_a_page_and_nothing_is_changed(office: Office, visitor: Visitor) -> None:
    await a_member_who_tested_positive(office)
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    status, page = await visitor.get("/iom/performance/rules")
    assert (status, "Entered an exclusion zone in the last 7 days" in page) == (200, True)
    key = await visitor.form_key()
    theirs = "SELECT count(*) FROM iom_entries WHERE recorded_by = 'Ann'"  # the service proposes by itself meanwhile
    entries = await office.connection.fetchval(theirs)
    status, page = await visitor.post("/iom/performance/rules", form_key=key, rules=CHANGED, months="2")
    assert status == 200
    assert "Named by the changed rules only (1)" in page
    assert "Name of P1" in page
    assert "1 of 1" in page, "the offence followed"
    assert await office.connection.fetchval(theirs) == entries
    assert await office.connection.fetchval("SELECT count(*) FROM iom_settings") == 0
    for fields in ({"rules": "no"}, {"rules": CHANGED, "months": "13"}):
        assert (await visitor.post("/iom/performance/rules", form_key=key, **fields))[0] == 422


async def test_a_command_tries_them_too_and_the_look_is_on_record(office: Office, tmp_path: Path) -> None:
    number = await a_member_who_tested_positive(office)
    (tmp_path / "rules.json").write_text(CHANGED)
    found = await rules_compared(office.settings, commander("Ann"), tmp_path / "rules.json", 2)
    assert (found.only_changed, found.only_now) == ((number,), ())
    assert [row.changed for row in rows_of(found)] == ["1", "1", "1 of 1", "0 of 1", "none"]
    assert (
        await office.connection.fetchval("SELECT count(*) FROM looks WHERE what = 'IOM record' AND door = 'command'")
        == 1
    )


async def test_the_page_of_rules_fits_a_small_screen_and_passes_axe(office: Office, open_page: OpenPage) -> None:
    page = await logged_in(office, open_page, "/iom/performance/rules", role=Role.SUPERVISOR, width=320, height=768)
    await page.click("button:has-text('Try these rules')")
    await page.wait_for_selector("h2:has-text('members,')")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await axe(page) == []
