"""By when an alert must be worked, and what happens when a deadline is missed."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import (
    AlertFilter,
    AlertState,
    DeadlineRules,
    NewChannel,
    Occasion,
    Severity,
    UnfitRules,
    Within,
    act,
    add_channel,
    add_shift,
    alerts_to_work,
    enter_rules,
    look_at_alerts_due,
    one_alert,
    read_rules,
    undelivered,
)
from alerts.channels import ChannelKind
from alerts.deadlines import Watched, deadlines_of, due
from emtrack.record.clock_back import _move_instants
from geofence import datetime_of, parse_instant
from tests.office import BEGINS, Office

MINUTE_MS = 60_000
FROM_MS = parse_instant(BEGINS)


def watched(**changed: Any) -> Watched:
    severity = changed.pop("severity", Severity.CRITICAL)
    alert = Watched(
        AlertState.NEW, FROM_MS, deadlines_of(DeadlineRules(), severity, FROM_MS), None, None, None, is_possible=False,
        is_grouped=False, escalates=DeadlineRules().of(severity).escalates,
    )  # fmt: skip
    return alert._replace(**changed)


def happens(alert: Watched, until_min: int = 600) -> list[tuple[int, Occasion]]:
    """(minute, what) when the clock looks whenever it said it would."""
    noted: dict[Occasion, int] = {}
    found, at_ms = [], FROM_MS
    while at_ms is not None and at_ms <= FROM_MS + until_min * MINUTE_MS:
        looked = due(alert, noted, at_ms)
        found += [((at_ms - FROM_MS) // MINUTE_MS, occasion) for occasion in looked.occasions]
        noted |= dict.fromkeys(looked.occasions, at_ms)
        at_ms = looked.next_ms
    return found


def test_a_critical_alert_that_nobody_works_is_told_again_and_again_and_each_time_once() -> None:
    assert happens(watched()) == [
        (0, Occasion.RAISED), (2, Occasion.NOT_ACKNOWLEDGED), (4, Occasion.STILL_NOT_ACKNOWLEDGED), (5, Occasion.NO_CONTACT),
        (15, Occasion.AUTHORITY_NOT_TOLD),
    ]  # fmt: skip


def test_what_was_done_in_time_is_not_missed() -> None:
    taken = watched(state=AlertState.ACKNOWLEDGED, contacted_ms=FROM_MS + MINUTE_MS)
    assert happens(taken) == [(0, Occasion.RAISED), (15, Occasion.AUTHORITY_NOT_TOLD)]
    assert happens(watched(state=AlertState.CLOSED)) == []


def test_a_warning_wakes_nobody() -> None:
    assert happens(watched(severity=Severity.WARNING)) == [(0, Occasion.RAISED)]


def test_a_possible_entry_asks_for_no_call_and_no_authority() -> None:
    """RULES.md section 8: it is no cause of a notification outside the centre."""
    assert happens(watched(is_possible=True)) == [
        (0, Occasion.POSSIBLE_ENTRY), (2, Occasion.NOT_ACKNOWLEDGED), (4, Occasion.STILL_NOT_ACKNOWLEDGED),
    ]  # fmt: skip


def test_a_suspension_mutes_and_loses_nothing() -> None:
    muted = watched(suspended_until_ms=FROM_MS + 10 * MINUTE_MS)
    assert [what for minute, what in happens(muted) if minute == 10] == [
        Occasion.RAISED, Occasion.NOT_ACKNOWLEDGED, Occasion.NO_CONTACT,
    ]  # fmt: skip
    assert (12, Occasion.STILL_NOT_ACKNOWLEDGED) in happens(muted), "the second is told after the first had as long"


def test_what_is_grouped_under_an_incident_is_told_by_the_incident() -> None:
    assert happens(watched(is_grouped=True)) == []


@given(st.lists(st.integers(0, 30 * MINUTE_MS), min_size=1, max_size=30))
def test_whenever_the_clock_looks_the_same_happens_and_nothing_twice(later: list[int]) -> None:
    looks = sorted(FROM_MS + one for one in [*later, 30 * MINUTE_MS, 32 * MINUTE_MS])
    noted: dict[Occasion, int] = {}
    for at_ms in looks:
        found = due(watched(), noted, at_ms).occasions
        assert not set(noted) & set(found)
        noted |= dict.fromkeys(found, at_ms)
    assert set(noted) == {what for _, what in happens(watched())}


@given(st.builds(Within, *(st.none() | st.integers(1, 10_000) for _ in range(3)), st.booleans()))
def test_a_look_is_never_asked_for_in_the_past(within: Within) -> None:
    rules = DeadlineRules(critical=within)
    alert = watched(deadlines=deadlines_of(rules, Severity.CRITICAL, FROM_MS), escalates=within.escalates)
    minutes = [minute for minute, _ in happens(alert, 100_000)]
    assert all(before <= after for before, after in pairwise(minutes))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b'{"critical": {"acknowledge": 0}}', "minutes from 1 to"),
        (b'{"critical": {"acknowledge": 999999999}}', "minutes from 1 to"),
        (b'{"critical": {"acknowledge": "soon"}}', "do not fit"),
        (b'{"grave": {}}', "do not fit"),
        (b"[" * 100_000, "do not fit"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(UnfitRules, match=complaint):
        read_rules(text)


# ------------------------------------------------------------------------------------- in the service's database


async def new_alert(office: Office, number: int = 700, severity: int = 1, kind: str = "EXCLUSION") -> None:
    await office.connection.execute(
        "INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at) "
        "SELECT $1, wearer_no, activation_no, $3, $2, $4, $4 FROM activation_versions LIMIT 1",
        number, severity, kind, datetime_of(FROM_MS),
    )  # fmt: skip


async def look(office: Office, minute: int) -> int:
    looked = await look_at_alerts_due(office.connection, FROM_MS + minute * MINUTE_MS)
    return looked.occasions


@pytest.fixture
async def quiet(office: Office) -> Office:
    """A centre in which this test looks at the clock, and nobody else."""
    await office.connection.execute("UPDATE alerts SET look_at = NULL")
    await office.connection.execute("BEGIN")
    await office.connection.execute("SELECT pg_advisory_xact_lock($1)", 0x656D_616C)  # the lock of alerts
    return office


async def test_who_is_on_call_is_told_and_only_once(quiet: Office) -> None:
    await quiet.account(name="Dee")
    await add_channel(
        quiet.connection, NewChannel("dee", ChannelKind.EMAIL, "dee@centre.example", "Dee"), "test", FROM_MS
    )
    await add_channel(
        quiet.connection,
        NewChannel("desk", ChannelKind.EMAIL, "desk@centre.example", severity_from=1),
        "test",
        FROM_MS,
    )
    await add_channel(
        quiet.connection,
        NewChannel("chief", ChannelKind.EMAIL, "chief@centre.example", is_fallback=True),
        "test",
        FROM_MS,
    )
    await add_shift(quiet.connection, "Dee", 1, FROM_MS, FROM_MS + 10**7, who="test", now_ms=FROM_MS)
    await new_alert(quiet)
    told = "SELECT c.name, m.fields ->> 'what' AS what FROM messages m JOIN channels c USING (channel_no) ORDER BY message_no"

    async def known() -> list[tuple[str, str]]:
        return [(row["name"], row["what"]) for row in await quiet.connection.fetch(told)]

    assert await look(quiet, 0) == 1
    assert await known() == [("desk", "raised")]
    assert await look(quiet, 1) == 0
    assert await look(quiet, 2) == 1
    assert await look(quiet, 2) == 0
    assert await known() == [("desk", "raised"), ("dee", "not acknowledged")]
    await look(quiet, 4)  # nobody is on call as the second
    assert (await known())[-1] == ("chief", "still not acknowledged")
    alert = await one_alert(quiet.connection, 700)
    assert alert is not None
    assert [(done.done_by, done.action) for done in alert.actions] == [("emtrack", "escalated")] * 2


async def test_a_deadline_is_met_by_what_people_do(quiet: Office) -> None:
    await new_alert(quiet)
    await look(quiet, 0)
    for action, note in [("acknowledged", None), ("called", "no answer"), ("authority told", "log 7")]:
        await act(quiet.connection, 700, who="Ann", action=action, note=note, now_ms=FROM_MS + MINUTE_MS)
    assert await look(quiet, 100) == 0
    alert = await one_alert(quiet.connection, 700)
    assert alert is not None
    assert alert.next_deadline is None
    assert [d.met_ms for d in alert.deadlines] == [FROM_MS + MINUTE_MS] * 3


async def test_an_alert_that_grows_graver_is_counted_anew(quiet: Office) -> None:
    await new_alert(quiet, severity=3)
    await look(quiet, 0)
    await quiet.connection.execute(
        "UPDATE alerts SET severity = 1, counts_from = $1 WHERE alert_no = 700", datetime_of(FROM_MS + 20 * MINUTE_MS)
    )
    assert await look(quiet, 20) == 1
    alert = await one_alert(quiet.connection, 700)
    assert alert is not None
    assert alert.next_deadline is not None
    assert alert.next_deadline.due_ms == FROM_MS + 22 * MINUTE_MS


async def test_nobody_to_tell_stands_among_what_did_not_arrive(office: Office) -> None:
    """No silence: that an escalation reached nobody is on a page."""
    await office.connection.execute(
        "INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at) "
        "SELECT 701, wearer_no, activation_no, 'EXCLUSION', 1, $1, $1 FROM activation_versions LIMIT 1",
        datetime_of(FROM_MS - 3 * MINUTE_MS),
    )
    for _ in range(100):
        async with office.http.get("/healthz"):
            pass
        found = await undelivered(office.connection, FROM_MS + 10**6, 10)
        if found:
            break
        await office.connection.execute("SELECT pg_sleep(0.1)")
    assert [one.channel for one in found] == [None]
    assert found[0].last_error == "Nobody is on call, and no channel is entered for that"


async def test_other_rules_count_for_what_is_open(quiet: Office) -> None:
    await new_alert(quiet)
    await look(quiet, 0)
    await enter_rules(quiet.connection, DeadlineRules(critical=Within(30)), "test", FROM_MS)
    await look(quiet, 1)
    alert = await one_alert(quiet.connection, 700)
    assert alert is not None
    assert [(d.target, d.due_ms - FROM_MS) for d in alert.deadlines] == [("acknowledge", 30 * MINUTE_MS)]


async def test_overdue_is_whatever_deadline_was_missed(quiet: Office) -> None:
    await new_alert(quiet)
    await look(quiet, 0)
    await act(quiet.connection, 700, who="Ann", action="acknowledged", now_ms=FROM_MS + MINUTE_MS)

    async def overdue(minute: int) -> list[int]:
        at_ms = FROM_MS + minute * MINUTE_MS
        return [
            a.alert_no for a in await alerts_to_work(quiet.connection, AlertFilter(overdue_at_ms=at_ms), None, 10)
        ]

    assert await overdue(3) == []
    assert await overdue(5) == [700]


async def test_one_position_after_a_finding_is_told_to_nobody_outside(quiet: Office) -> None:
    """RULES.md section 8: an open alert that a possible entry made new again is no cause of a notification outside the centre."""
    for name, is_outside in [("police", True), ("desk", False)]:
        channel = NewChannel(
            name, ChannelKind.EMAIL, f"{name}@centre.example", severity_from=1, is_outside=is_outside
        )
        await add_channel(quiet.connection, channel, "test", FROM_MS)
    await new_alert(quiet)
    await quiet.connection.execute(
        "INSERT INTO findings (finding_no, activation_no, kind) SELECT 7, activation_no, 'EXCLUSION' FROM activation_versions LIMIT 1"
    )
    await quiet.connection.execute(
        "INSERT INTO alert_occurrences (finding_no, alert_no, added_at) VALUES (7, 700, $1)", datetime_of(FROM_MS)
    )
    await look(quiet, 0)
    await quiet.connection.execute(
        "UPDATE alerts SET state = 'new', counts_from = $1 WHERE alert_no = 700",
        datetime_of(FROM_MS + 20 * MINUTE_MS),
    )
    await quiet.connection.execute(
        "INSERT INTO possible_entries (alert_no, activation_no, entry_no, seen_at, fact_id, raised_at) "
        "SELECT 700, activation_no, (SELECT min(entry_no) FROM requirement_entries), $1, 1, $1 FROM activation_versions LIMIT 1",
        datetime_of(FROM_MS + 20 * MINUTE_MS),
    )
    await look(quiet, 20)
    told = "SELECT c.name, m.fields ->> 'what' FROM messages m JOIN channels c USING (channel_no) ORDER BY message_no"
    assert [tuple(row) for row in await quiet.connection.fetch(told)] == [
        ("desk", "raised"), ("police", "raised"), ("desk", "possible entry"),
    ]  # fmt: skip
    await quiet.connection.execute("UPDATE possible_entries SET fate = 'confirmed', settled_at = now()")
    await quiet.connection.execute("UPDATE alerts SET look_at = '-infinity' WHERE alert_no = 700")
    await look(quiet, 21)
    assert ("police", "raised") in [tuple(row) for row in await quiet.connection.fetch(told)][3:]


async def test_a_clock_that_is_put_back_takes_the_deadlines_with_it(quiet: Office) -> None:
    year = timedelta(days=365)
    await quiet.connection.execute(
        "INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at) "
        "SELECT 702, wearer_no, activation_no, 'EXCLUSION', 1, $1, $1 FROM activation_versions LIMIT 1",
        datetime_of(FROM_MS) + year,
    )
    await look_at_alerts_due(quiet.connection, FROM_MS + round(year.total_seconds() * 1_000))
    await _move_instants(quiet.connection, datetime_of(FROM_MS), year)
    assert await look(quiet, 60) > 0
    alert = await one_alert(quiet.connection, 702)
    assert alert is not None
    assert alert.deadlines[0].due_ms == FROM_MS + 2 * MINUTE_MS
