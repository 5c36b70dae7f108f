"""What was found and entered becomes signals and proposals by itself, and goes with its cause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest

from alerts import act
from emtrack.db.connect import connect
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.forms.iom import Cohort, RagGrade
from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.circumstances import CIRCUMSTANCE, Circumstance, CircumstanceKind
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import Author, Draft, Entry, Span, enter, following, load
from emtrack.iom.grading import Answer, give_grade
from emtrack.iom.memberships import MEMBERSHIP, Membership
from emtrack.iom.offences import OFFENCE, Offence, OffenceKind, OffenceOutcome
from emtrack.iom.proposals import PROPOSAL, Proposal
from emtrack.iom.signals import SIGNAL, Signal
from emtrack.iom.standing import status_drafts
from emtrack.iom.statuses import STATUS, Status, StatusKind
from emtrack.iom.transitions import TRANSITION, Transition, TransitionKind
from emtrack.metrics import Metrics
from emtrack.service import signals
from emtrack.service.signals import SignalMaker
from tests.office import Office
from tests.service_world import AWAY, World, activation, curfew, deployed, ms, position

ANN = Author("Ann")
DAY = 86_400_000
DATE = datetime(2026, 3, 2, 11, tzinfo=UTC)


class Programme:
    """A world whose W1 is in the programme, with a maker of signals that the test drives."""

    def __init__(self, world: World, session: Any) -> None:
        self.world = world
        self._session = session
        self.metrics = Metrics()
        self.maker = SignalMaker("", world.clock, self.metrics)

    async def restart(self) -> None:
        self.maker = SignalMaker("", self.world.clock, self.metrics)
        await self.maker.load(self._session)

    async def passes(self) -> None:
        while await self.maker.pass_once(self._session):
            pass

    async def sweep(self) -> None:
        await self.passes()
        await self.maker.sweep(self._session)

    async def enter(self, *drafts: Draft) -> list[Entry]:
        async with self.world.connection.transaction():
            return await enter(self.world.connection, ANN, drafts, self.world.clock.now_ms())

    async def join(self, number: int = 1, grade: RagGrade | None = RagGrade.GREEN) -> None:
        since = Span(ms("2026-03-01T00:00"))
        await self.enter(Draft(MEMBERSHIP, number, Membership(cohort=Cohort.FIXED), "OPEN", since))
        if grade is not None:
            async with self.world.connection.transaction():
                await give_grade(
                    self.world.connection, ANN, number, Answer(grade, "selection"), self.world.clock.now_ms()
                )

    async def signals(self, number: int = 1) -> list[str]:
        found = await load(self.world.connection, [number], [SIGNAL])
        return [f"{e.content.kind} {e.state}" for e in found if isinstance(e.content, Signal)]

    async def proposals(self, number: int = 1) -> list[str]:
        found = await load(self.world.connection, [number], [PROPOSAL])
        return [f"{e.content.grade} {e.state}" for e in found if isinstance(e.content, Proposal)]

    async def is_out(self, at: str = "19:52") -> None:
        hour, minute = at[:-2], int(at[-2:])
        before = f"{hour}{minute - 2:02d}"
        await self.world.send_at(at, "D1", position(1, before, AWAY), position(2, at, AWAY))


@asynccontextmanager
async def programme_of(world: World) -> AsyncIterator[Programme]:
    await grant_rights(world.connection)
    session = await connect(await run_time_dsn(world.dsn, RunTime.WORKER))
    try:
        programme = Programme(world, session)
        await programme.maker.load(session)
        yield programme
    finally:
        await session.close()


@pytest.fixture
async def programme(world: World) -> AsyncIterator[Programme]:
    async with programme_of(world) as programme:
        yield programme


# ------------------------------------------------------------------ findings


async def test_a_curfew_violation_becomes_a_signal_with_its_source_and_a_proposal(programme: Programme) -> None:
    await programme.join()
    await programme.is_out()
    await programme.passes()
    (signal,) = await load(programme.world.connection, [1], [SIGNAL])
    assert isinstance(signal.content, Signal)
    assert signal.content.finding_no == await programme.world.connection.fetchval("SELECT finding_no FROM findings")
    assert signal.due_ms == (signal.occurred_ms or 0) + 14 * DAY
    assert (signal.recorded_by, signal.content.because) == ("the service", "violated the curfew")
    assert await programme.proposals() == ["AMBER OPEN"]


async def test_what_is_read_twice_changes_nothing_and_a_restart_goes_on(programme: Programme) -> None:
    await programme.join()
    await programme.is_out()
    await programme.sweep()
    before = await programme.world.count("iom_entries")
    await programme.sweep()
    await programme.restart()
    await programme.sweep()
    await programme.world.connection.execute("DELETE FROM iom_cursors")
    await programme.restart()
    await programme.sweep()
    assert await programme.world.count("iom_entries") == before


async def test_a_withdrawn_finding_withdraws_its_signal_and_its_proposal_in_view(programme: Programme) -> None:
    await programme.join()
    await programme.is_out()
    await programme.passes()
    await programme.world.enter(
        {
            "absences": [
                {
                    "wearer_id": "W1",
                    "from": "2026-03-02T18:00:00Z",
                    "to": "2026-03-02T23:00:00Z",
                    "reason": "hospital",
                }
            ]
        }
    )
    await programme.world.settle()
    assert "CURFEW withdrawn" in " ".join(await programme.world.versions())
    await programme.passes()
    assert await programme.signals() == ["CURFEW_VIOLATION WITHDRAWN"]
    assert await programme.proposals() == ["AMBER WITHDRAWN"]
    (signal,) = await load(programme.world.connection, [1], [SIGNAL])
    assert isinstance(signal.content, Signal)
    assert (signal.content.why or "").startswith("the finding was withdrawn")


async def test_an_alert_that_is_closed_as_a_fault_of_the_equipment_excuses_its_signals(programme: Programme) -> None:
    world = programme.world
    await programme.join()
    await programme.is_out()
    await programme.passes()
    number = await world.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW'")
    for action, outcome in (("acknowledged", None), ("closed", "EQUIPMENT")):
        async with world.connection.transaction():
            await act(
                world.connection, number, who="Ann", action=action, outcome=outcome, note="tag fault" if outcome else None,
                confirmed=outcome is not None, now_ms=world.clock.now_ms(),
            )  # fmt: skip
    await programme.passes()
    assert await programme.signals() == ["CURFEW_VIOLATION EXCUSED"]
    assert await programme.proposals() == ["AMBER WITHDRAWN"]


async def test_who_is_not_in_the_programme_has_no_signals_and_who_joins_brings_the_last_days(
    programme: Programme,
) -> None:
    await programme.is_out()
    await programme.passes()
    assert await programme.signals() == []
    programme.world.clock.at_ms = ms("20:00")
    await programme.join()
    await programme.passes()
    assert await programme.signals() == ["CURFEW_VIOLATION LIVE"]
    assert await programme.signals(2) == []


async def test_a_silence_is_a_signal_after_a_day_and_ends_with_it(database_url: str) -> None:
    form = {"activations": [activation(1, report_interval_s=600)], "requirements": [curfew(1)]}
    async with deployed(database_url, form) as world, programme_of(world) as programme:
        await programme.join()
        await world.send_at("12:05", "D1", position(1, "12:05"))
        for at in ("13:00", "03T11:00"):
            await world.wait_until(at)
            await programme.sweep()
            assert await programme.signals() == []
        await world.wait_until("03T13:30")
        await programme.sweep()
        assert await programme.signals() == ["NOT_MONITORED LIVE"]
        assert await programme.proposals() == ["AMBER OPEN"]
        await world.send_at("03T14:00", "D1", position(2, "03T14:00"))
        await programme.sweep()
        (signal,) = await load(world.connection, [1], [SIGNAL])
        assert signal.due_ms == ms("03T14:00"), "it is not live any more"
        assert await programme.proposals() == ["AMBER WITHDRAWN"]
        assert await world.count("iom_silences") == 0


async def test_a_short_silence_is_no_signal(database_url: str) -> None:
    form = {"activations": [activation(1, report_interval_s=600)], "requirements": [curfew(1)]}
    async with deployed(database_url, form) as world, programme_of(world) as programme:
        await programme.join()
        await world.send_at("12:05", "D1", position(1, "12:05"))
        await world.wait_until("14:00")
        await programme.sweep()
        assert await world.count("iom_silences") == 1
        await world.send_at("15:00", "D1", position(2, "15:00"))
        await programme.sweep()
        assert await world.count("iom_silences") == 0
        assert await programme.signals() == []


async def test_an_appointment_that_was_not_seen_kept_is_a_contact_for_an_officer_to_decide(
    programme: Programme,
) -> None:
    await programme.join()
    connection = programme.world.connection
    await connection.execute("INSERT INTO findings (finding_no, activation_no, kind) VALUES (900, 1, 'ATTENDANCE')")
    version = """
        INSERT INTO finding_versions (finding_no, version, recorded_at, change, why, begin_at, end_at, known_at, within_grace,
        evidence,
                                      facts_hash, decided_under)
        VALUES (900, $1, now(), $2, 'facts', $3, $3, $3, false, '{}', 'x', '{}')"""
    await connection.execute(version, 1, "new", DATE)
    await programme.passes()
    assert await programme.signals() == []
    (contact,) = await load(connection, [1], [CONTACT])
    assert isinstance(contact.content, Contact)
    assert (contact.content.outcome, contact.content.finding_no) == (Outcome.NOT_RECORDED, 900)
    decided = Contact(kind="attendance by order", outcome=Outcome.UNACCEPTABLE_ABSENCE, finding_no=900)
    await programme.enter(following(contact, content=decided))
    await programme.passes()
    assert await programme.signals() == ["UNACCEPTABLE_ABSENCE LIVE"]
    await connection.execute(version, 2, "withdrawn", DATE)
    await programme.passes()
    await programme.passes()
    assert await programme.signals() == ["UNACCEPTABLE_ABSENCE WITHDRAWN"]


async def test_a_possible_entry_is_no_signal(programme: Programme) -> None:
    await programme.join()
    await programme.world.connection.execute(
        "INSERT INTO alerts (alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at) "
        "VALUES (900, 1, 1, 'POSSIBLE_ENTRY', 1, now(), now()), (901, 1, 1, 'ATV', 2, $1, $1)",
        DATE,
    )
    await programme.sweep()
    assert await programme.signals() == ["ALERT LIVE"], "of the ledger's alert only"


# ------------------------------------------------------------------ entries


NOW = ms("12:00")


@pytest.mark.parametrize(
    ("draft", "signals"),
    [
        (Draft(STATUS, 1, Status(status=StatusKind.WANTED), "STATED", Span(NOW)), ["AT_LARGE LIVE"]),
        (Draft(STATUS, 1, Status(status=StatusKind.UNLAWFULLY_AT_LARGE), "STATED", Span(NOW)), ["AT_LARGE LIVE"]),
        (Draft(STATUS, 1, Status(status=StatusKind.REMAND), "STATED", Span(NOW)), ["INTO_CUSTODY LIVE"]),
        (Draft(STATUS, 1, Status(status=StatusKind.COMMUNITY), "STATED", Span(NOW)), []),
        (
            Draft(TRANSITION, 1, Transition(kind=TransitionKind.RELEASE), "DONE", occurred_ms=NOW),
            ["RELEASED LIVE"],
        ),
        (Draft(TRANSITION, 1, Transition(kind=TransitionKind.RELEASE), "PLANNED", occurred_ms=NOW), []),
        (
            Draft(CONTACT, 1, Contact(kind="office", outcome=Outcome.UNACCEPTABLE_ABSENCE), "RECORDED", occurred_ms=NOW),
            ["UNACCEPTABLE_ABSENCE LIVE"],
        ),
        (
            Draft(CONTACT, 1, Contact(kind="office", outcome=Outcome.KEPT), "RECORDED", occurred_ms=NOW),
            ["APPOINTMENT_KEPT LIVE"],
        ),
        (
            Draft(CONTACT, 1, Contact(kind="office", outcome=Outcome.ACCEPTABLE_ABSENCE), "RECORDED", occurred_ms=NOW),
            [],
        ),
        (
            Draft(CONTACT, 1, Contact(kind="test", test_positive=True), "RECORDED", occurred_ms=NOW),
            ["POSITIVE_TEST LIVE"],
        ),
        (
            Draft(CONTACT, 1, Contact(kind="enforcement", code="C041"), "RECORDED", occurred_ms=NOW),
            ["RECALL_REQUESTED LIVE"],
        ),
        (
            Draft(OFFENCE, 1, Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.ARRESTED), "STATED", occurred_ms=NOW),
            ["ARREST LIVE"],
        ),
        (
            Draft(OFFENCE, 1, Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.CHARGED), "STATED", occurred_ms=NOW),
            ["CHARGE LIVE", "OFFENCE LIVE"],
        ),
        (
            Draft(OFFENCE, 1, Offence(kind=OffenceKind.SHOPLIFTING, outcome=OffenceOutcome.CHARGED), "STATED", occurred_ms=NOW),
            ["OFFENCE LIVE"],  # no offence of the cohort
        ),
        (
            Draft(CIRCUMSTANCE, 1, Circumstance(kind=CircumstanceKind.HOUSING, what="hostel"), "STATED", Span(NOW - DAY, NOW)),
            ["HOUSED LIVE", "HOUSING_LOST LIVE"],
        ),
        (
            Draft(
                CIRCUMSTANCE, 1, Circumstance(kind=CircumstanceKind.TREATMENT, what="course", ended_well=True), "STATED",
                Span(NOW - DAY, NOW),
            ),
            ["IN_TREATMENT LIVE"],
        ),
        (
            Draft(CIRCUMSTANCE, 1, Circumstance(kind=CircumstanceKind.RELATIONSHIP, what="x"), "STATED", Span(NOW - DAY, NOW)),
            ["RELATIONSHIP_BREAKDOWN LIVE"],
        ),
        (
            Draft(BREACH, 1, Breach(steps={"RECALL_REQUESTED": NOW}), "RECALL_REQUESTED", occurred_ms=NOW),
            ["RECALL_REQUESTED LIVE"],
        ),
    ],
)  # fmt: skip
async def test_what_is_entered_becomes_its_signals(programme: Programme, draft: Draft, signals: list[str]) -> None:
    await programme.join()
    await programme.enter(draft)
    await programme.passes()
    assert await programme.signals() == signals


async def test_release_follows_from_the_status_that_follows_custody_and_a_move_to_another_prison_is_none(
    programme: Programme,
) -> None:
    await programme.join()
    for status, at in (
        (StatusKind.REMAND, "02T08:00"),
        (StatusKind.SENTENCED, "02T09:00"),
        (StatusKind.COMMUNITY, "02T10:00"),
    ):
        there = await load(programme.world.connection, [1], [STATUS])
        await programme.enter(*status_drafts(there, 1, Status(status=status), ms(at)))
    await programme.passes()
    assert sorted(await programme.signals()) == ["INTO_CUSTODY LIVE", "INTO_CUSTODY LIVE", "RELEASED LIVE"]
    assert await programme.proposals() == ["AMBER OPEN"]


async def test_a_release_told_by_status_and_by_transition_is_one_signal_whichever_comes_first(
    programme: Programme,
) -> None:
    await programme.join()
    held = Draft(STATUS, 1, Status(status=StatusKind.SENTENCED), "STATED", Span(NOW - 9 * DAY, NOW))
    free = Draft(STATUS, 1, Status(status=StatusKind.COMMUNITY), "STATED", Span(NOW))
    gate = Draft(TRANSITION, 1, Transition(kind=TransitionKind.RELEASE), "DONE", occurred_ms=NOW - 3_600_000)
    for order in ((gate, held, free), (held, free, gate)):
        entered = []
        for draft in order:
            entered += await programme.enter(draft)
            await programme.passes()
        live = [signal for signal in await programme.signals() if signal == "RELEASED LIVE"]
        assert live == ["RELEASED LIVE"], "one event"
        await programme.enter(*(following(one, state="WITHDRAWN") for one in entered))
        await programme.passes()
        assert "RELEASED LIVE" not in await programme.signals()


async def test_who_moves_house_has_lost_none(programme: Programme) -> None:
    await programme.join()
    housing = Circumstance(kind=CircumstanceKind.HOUSING, what="hostel")
    (first,) = await programme.enter(Draft(CIRCUMSTANCE, 1, housing, "STATED", Span(NOW - DAY)))
    await programme.enter(following(first, valid=Span(NOW - DAY, NOW - 1)))
    await programme.passes()
    assert await programme.signals() == ["HOUSED LIVE", "HOUSING_LOST LIVE"]
    flat = Circumstance(kind=CircumstanceKind.HOUSING, what="a flat")
    await programme.enter(Draft(CIRCUMSTANCE, 1, flat, "STATED", Span(NOW - 1)))
    await programme.passes()
    assert await programme.signals() == ["HOUSED LIVE", "HOUSING_LOST WITHDRAWN", "HOUSED LIVE"]


async def test_what_probation_tells_of_our_own_finding_does_not_count_twice(programme: Programme) -> None:
    await programme.join()
    await programme.is_out()
    await programme.passes()
    told = Contact(kind="curfew violation", code="C145")
    at_ms = ms("20:00")
    programme.world.clock.at_ms = at_ms
    await programme.enter(Draft(CONTACT, 1, told, "RECORDED", occurred_ms=at_ms, system="delius", record="1"))
    await programme.passes()
    assert await programme.signals() == ["CURFEW_VIOLATION LIVE"]
    await programme.enter(
        Draft(CONTACT, 1, told, "RECORDED", occurred_ms=at_ms - 3 * DAY, system="delius", record="2")
    )
    await programme.passes()
    assert await programme.signals() == ["CURFEW_VIOLATION LIVE", "CURFEW_VIOLATION LIVE"]
    assert await programme.proposals() == ["AMBER SUPERSEDED", "RED OPEN"]


@pytest.mark.parametrize("is_contact_first", [True, False])
async def test_a_recall_told_by_a_contact_and_by_a_breach_is_one_signal_whichever_comes_first(
    programme: Programme, *, is_contact_first: bool
) -> None:
    await programme.join()
    told = Draft(
        CONTACT, 1, Contact(kind="recall requested", code="C041"), "RECORDED", occurred_ms=NOW - DAY - DAY // 2
    )
    step = Breach(steps={"RECALL_REQUESTED": NOW - 2 * DAY})
    breach = Draft(BREACH, 1, step, "RECALL_REQUESTED", occurred_ms=NOW - 2 * DAY)
    entered = []
    for draft in (told, breach) if is_contact_first else (breach, told):
        entered += await programme.enter(draft)
        await programme.passes()
    assert [one for one in await programme.signals() if one.endswith("LIVE")] == ["RECALL_REQUESTED LIVE"]
    (made,) = [one for one in entered if one.noun is BREACH]
    steps = Breach(steps={**step.steps, "RECALL_REFUSED": NOW - DAY})
    await programme.enter(following(made, state="RECALL_REFUSED", content=steps))
    await programme.passes()
    (signal,) = [entry for entry in await load(programme.world.connection, [1], [SIGNAL]) if entry.state == "LIVE"]
    assert signal.due_ms == NOW - DAY, "refused: what the contact told does not outlast it"


async def test_a_recall_that_is_asked_for_after_one_was_refused_is_another(programme: Programme) -> None:
    await programme.join()
    steps = Breach(steps={"RECALL_REQUESTED": NOW - 3 * DAY, "RECALL_REFUSED": NOW - 2 * DAY})
    told = Contact(kind="recall requested", code="C041")
    await programme.enter(
        Draft(BREACH, 1, steps, "RECALL_REFUSED", occurred_ms=NOW - 3 * DAY, system="delius", record="b"),
        Draft(CONTACT, 1, told, "RECORDED", occurred_ms=NOW),
    )
    await programme.passes()
    assert await programme.signals() == ["RECALL_REQUESTED LIVE", "RECALL_REQUESTED LIVE"]


async def test_a_recall_that_only_a_contact_tells_of_counts_and_so_does_one_of_another_month(
    programme: Programme,
) -> None:
    await programme.join()
    step = Breach(steps={"RECALL_REQUESTED": NOW - 30 * DAY})
    told = Contact(kind="recall requested", code="C041")
    await programme.enter(
        Draft(BREACH, 1, step, "RECALL_REQUESTED", occurred_ms=NOW - 30 * DAY),
        Draft(CONTACT, 1, told, "RECORDED", occurred_ms=NOW),
    )
    await programme.passes()
    assert await programme.signals() == ["RECALL_REQUESTED LIVE", "RECALL_REQUESTED LIVE"]


async def test_an_offence_that_is_dropped_takes_its_signals_back(programme: Programme) -> None:
    await programme.join()
    charged = Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.CHARGED, charged_ms=NOW)
    (offence,) = await programme.enter(Draft(OFFENCE, 1, charged, "STATED", occurred_ms=NOW))
    await programme.passes()
    dropped = Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.DROPPED)
    await programme.enter(following(offence, content=dropped))
    await programme.passes()
    assert await programme.signals() == ["CHARGE WITHDRAWN", "OFFENCE WITHDRAWN"]


async def test_an_entry_that_cannot_be_read_holds_up_nobody(programme: Programme) -> None:
    await programme.join()
    await programme.world.connection.execute(
        "INSERT INTO iom_entries (noun, version, wearer_no, content, recorded_at, recorded_by) "
        "VALUES ('contact', 1, 2, '{\"kind\": 7}', now(), 'somebody with another program')"
    )
    charged = Offence(kind=OffenceKind.ROBBERY, outcome=OffenceOutcome.CONVICTED, proven_on=date(2026, 3, 2))
    await programme.enter(Draft(OFFENCE, 1, charged, "STATED", occurred_ms=NOW))
    await programme.passes()
    assert await programme.signals() == ["OFFENCE LIVE"]
    assert programme.metrics.signal_failures._value.get() == 1


# ------------------------------------------------------------------ in the service


async def test_within_a_minute_of_the_report_the_proposal_has_moved(office: Office) -> None:
    """In the running service, by the machine's clock. W1 has an exclusion zone and a curfew; orders made W1 a member."""
    loop = asyncio.get_running_loop()
    await office.two_are_out()
    began = loop.time()
    while loop.time() - began < 60:
        found = [e.content for e in await load(office.connection, [1], [PROPOSAL]) if e.state == "OPEN"]
        if found and isinstance(found[0], Proposal) and found[0].grade == RagGrade.AMBER:
            return
        await asyncio.sleep(0.2)
    raise AssertionError("not within a minute")


async def test_of_contacts_only_those_that_changed_are_read_whatever_a_person_has(
    programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may have thousands, and an import brings them of everybody: what is read must follow what came."""
    await programme.join()
    await programme.passes()
    read: list[str] = []

    async def watched(connection: Any, people: Any, nouns: Any = None, *more: Any) -> list[Entry]:
        found = await load(connection, people, nouns, *more)
        read.extend(entry.noun.name for entry in found)
        return found

    monkeypatch.setattr("emtrack.iom.signal_making.load", watched)
    missed = Contact(kind="appointment", outcome=Outcome.UNACCEPTABLE_ABSENCE)
    for minute in range(5):
        await programme.enter(Draft(CONTACT, 1, missed, "RECORDED", occurred_ms=ms(f"12:0{minute}")))
        await programme.passes()
    assert "contact" not in read
    assert (await programme.signals()).count("UNACCEPTABLE_ABSENCE LIVE") == 5


async def test_of_whom_nothing_can_be_proposed_keeps_no_proposal_of_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = (1, 2, 3)
    form = {"activations": [activation(n) for n in people], "requirements": [curfew(n) for n in people]}
    whole = signals.propose

    async def failing(connection: Any, members: Any, now_ms: int) -> int:
        if 2 in members:
            raise KeyError("W2")
        return await whole(connection, members, now_ms)

    async with deployed(database_url, form) as world, programme_of(world) as programme:
        for n in people:
            await programme.join(n)
        await programme.passes()
        monkeypatch.setattr(signals, "propose", failing)
        asked: list[str] = []
        monkeypatch.setattr(signals, "raise_unanswered", _noted(asked))
        await programme.maker.sweep(programme._session)
        assert programme.metrics.signal_failures._value.get() == 1
        assert asked == ["unanswered"], "what comes after them is done, too"


def _noted(asked: list[str]) -> Any:
    async def noted(*_: Any) -> int:
        asked.append("unanswered")
        return 0

    return noted
