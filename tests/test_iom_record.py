"""The record of the programme: versions of items, as known at an instant, for those who may read them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import asyncpg
import pytest

from emtrack.db.connect import connect
from emtrack.db.identity import Identity, identify_as
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.forms.iom import Cohort, RagGrade
from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.contacts import CONTACT, Contact
from emtrack.iom.convening import Listed, put_on_agenda
from emtrack.iom.entries import (
    Author,
    Draft,
    Entry,
    Overlaps,
    SomebodyWasFaster,
    Span,
    enter,
    entries_after,
    following,
    load,
    versions_of_item,
)
from emtrack.iom.grading import Answer, UnfitGrade, decide_against, give_grade, propose, raise_unanswered
from emtrack.iom.identifiers import Scheme, identifier
from emtrack.iom.meetings import LINE, MEETING, AgendaChanged, Decision, Line, Meeting, MeetingKind
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.nominations import NOMINATION, Nomination
from emtrack.iom.notes import NOTE, Note, Visibility
from emtrack.iom.offences import OFFENCE, Offence, OffenceKind, OffenceOutcome
from emtrack.iom.people import PERSON, Person
from emtrack.iom.plans import PLAN, STEP_STATES, Goal, Plan, Step, Strand
from emtrack.iom.proposals import PROPOSAL, Proposal
from emtrack.iom.record import load_iom
from emtrack.iom.register import NOUNS, UnfitEntry
from emtrack.iom.signals import SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.standing import UnfitPerson, add_person, merge, people_with, status_at, status_drafts, unmerge
from emtrack.iom.states import NoTransition, States
from emtrack.iom.statuses import STATUS, Status, StatusKind
from emtrack.iom.tasks import TASK, Task
from tests.service_world import World, ms

ANN = Author("Ann", "Police")
NOW = ms("12:00")
DAY = 86_400_000


async def entered(world: World, *drafts: Draft, at: int = NOW, author: Author = ANN) -> list[Entry]:
    async with world.connection.transaction():
        return await enter(world.connection, author, drafts, at)


async def person(world: World, reference: str = "P1", agencies: tuple[str, ...] = ("Police",), **fields: Any) -> int:
    async with world.connection.transaction():
        entry = await add_person(world.connection, ANN, reference, Person(agencies=list(agencies), **fields), NOW)
    assert entry.wearer_no is not None
    return entry.wearer_no


async def member(world: World, reference: str = "P1", agencies: tuple[str, ...] = ("Police",)) -> int:
    number = await person(world, reference, agencies)
    await entered(world, Draft(MEMBERSHIP, number, Membership(cohort=Cohort.FIXED), "OPEN", Span(NOW - 100 * DAY)))
    return number


def signal(number: int, kind: SignalKind, days_ago: float = 0, lasts_days: float = 14, **more: Any) -> Draft:
    at = NOW - int(days_ago * DAY)
    content = Signal(kind=kind, direction=Direction.UP, because=str(kind))
    return Draft(SIGNAL, number, content, "LIVE", occurred_ms=at, due_ms=at + int(lasts_days * DAY), **more)


@asynccontextmanager
async def asking(world: World, role: str, agency: str | None, account: str = "Bob") -> AsyncIterator[Any]:
    await grant_rights(world.connection)
    session = await connect(await run_time_dsn(world.dsn, RunTime.PAGES))
    try:
        await identify_as(session, Identity(account, role, agency))
        yield session
    finally:
        await session.close()


# ------------------------------------------------------------------ states


TABLES = {name: noun.states for name, noun in NOUNS.items() if noun.states is not None} | {"step": STEP_STATES}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_not_in_a_table_of_states_is_loud(name: str) -> None:
    table: States = TABLES[name]  # type: ignore[assignment]
    for before, then in itertools.product(table.after, repeat=2):
        if then == before or then in table.after[before]:
            table.check(name, before, then)
        else:
            with pytest.raises(NoTransition, match=f"a {name} that is {before} does not become {then}"):
                table.check(name, before, then)
    for state in table.after:
        if state in table.begin:
            table.check(name, None, state)
        else:
            with pytest.raises(NoTransition, match="does not begin as"):
                table.check(name, None, state)
    with pytest.raises(NoTransition, match="is no state of"):
        table.check(name, None, "ELSEWHERE")


def test_the_tables_are_those_of_the_specification() -> None:
    assert set(TABLES["nomination"].after) == {"NEW", "SCREENED", "ACCEPTED", "DECLINED", "DEFERRED"}  # type: ignore[union-attr]
    assert set(TABLES["task"].after) == {"NEW", "ACCEPTED", "DONE", "REJECTED", "CANCELLED"}  # type: ignore[union-attr]
    assert set(STEP_STATES.after) == {
        "NOT_STARTED", "IN_PROGRESS", "COMPLETED", "CANNOT_BE_DONE_YET", "NO_LONGER_NEEDED",
    }  # fmt: skip
    assert set(NOUNS) == {
        "person", "merge", "nomination", "membership", "status", "signal", "proposal", "grade", "assessment", "plan", "task",
        "meeting", "line", "note", "transition", "contact", "circumstance", "breach", "offence", "share",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("draft", "why"),
    [
        (Draft(NOMINATION, 1, Nomination(reason="x"), "SCREENED"), "does not begin as"),
        (Draft(TASK, 1, Task(title="x"), "REJECTED"), "does not begin as"),
        (Draft(MEMBERSHIP, 1, Membership(cohort=Cohort.FREE), "OPEN"), "says from when it holds"),
        (Draft(MEMBERSHIP, 1, Membership(cohort=Cohort.FREE), "OPEN", Span(1, 2)), "is ENDED"),
        (Draft(STATUS, 1, Status(status=StatusKind.WANTED), "STATED", Span(2, 1)), "ends after it begins"),
        (Draft(PERSON, 1, Person(), "NEW"), "has no states"),
        (Draft(PERSON, 1, Person(), due_ms=1), "is not due"),
        (Draft(PERSON, None, Person()), "is of a person"),
        (Draft(PERSON, 1, Note(text="x")), "has not the content of"),
        (Draft(PERSON, 1, Person(), visibility=Visibility.OWN), "is for everybody"),
        (Draft(NOTE, 1, Note(text="x"), visibility=Visibility.NAMED), "names accounts or agencies"),
        (Draft(BREACH, 1, Breach(), "CLOSED"), "does not begin as"),
        (
            Draft(OFFENCE, 1, Offence(kind=OffenceKind.OTHER, outcome=OffenceOutcome.CONVICTED), "STATED"),
            "on which day it was proven",
        ),
    ],
)
async def test_what_does_not_fit_its_noun_is_refused_with_what_was_expected(
    world: World, draft: Draft, why: str
) -> None:
    with pytest.raises((UnfitEntry, NoTransition), match=why):
        await entered(world, draft)
    assert await world.count("iom_entries") == 0


async def test_a_nomination_says_at_each_step_which_panel_when_and_why(world: World) -> None:
    (new,) = await entered(world, Draft(NOMINATION, 1, Nomination(reason="burglaries"), "NEW", occurred_ms=NOW))
    with pytest.raises(UnfitEntry, match="by which panel, when and why"):
        await entered(world, following(new, state="SCREENED"))
    panel = Nomination(reason="burglaries", panel="March", panel_date=date(2026, 3, 2), panel_reason="fits")
    (screened,) = await entered(world, following(new, state="SCREENED", content=panel))
    (accepted,) = await entered(world, following(screened, state="ACCEPTED", content=panel))
    assert [entry.state for entry in await versions_of_item(world.connection, accepted.item_no)] == [
        "NEW", "SCREENED", "ACCEPTED",
    ]  # fmt: skip


async def test_steps_of_a_plan_follow_their_table_and_none_is_lost(world: World) -> None:
    def plan(*steps: Step) -> Plan:
        return Plan(goals=[Goal(what="a home", strand=Strand.CHANGE, steps=list(steps))], agreed=True)

    (first,) = await entered(world, Draft(PLAN, 1, plan(Step(step="s1", what="apply"))))
    (second,) = await entered(world, following(first, content=plan(Step(step="s1", what="apply", state="COMPLETED"))))
    with pytest.raises(NoTransition, match="does not become NO_LONGER_NEEDED"):
        await entered(world, following(second, content=plan(Step(step="s1", what="apply", state="NO_LONGER_NEEDED"))))
    with pytest.raises(NoTransition, match="not in the plan any more"):
        await entered(world, following(second, content=plan()))


async def test_an_agenda_is_frozen_and_decisions_are_added_to_its_lines(world: World) -> None:
    number = await person(world)
    huddle = Meeting(kind=MeetingKind.HUDDLE)
    (planned,) = await entered(world, Draft(MEETING, None, huddle, "PLANNED", occurred_ms=NOW))
    listed = Line(meeting=planned.item_no, because="red", since_ms=NOW)
    (line,) = await entered(world, Draft(LINE, number, listed, "LISTED"))
    (frozen,) = await entered(
        world, following(planned, content=Meeting(kind=MeetingKind.HUDDLE, agenda_ms=NOW), state="AGENDA_FROZEN")
    )
    with pytest.raises(AgendaChanged):
        await entered(world, following(frozen, content=Meeting(kind=MeetingKind.HUDDLE, agenda_ms=NOW + 1)))
    with pytest.raises(AgendaChanged):
        await entered(world, following(line, content=Line(meeting=planned.item_no, because="amber", since_ms=NOW)))
    decided = Line(meeting=planned.item_no, because="red", since_ms=NOW, decision=Decision.NONE, note="seen")
    (then,) = await entered(world, following(line, content=decided, state="DECIDED"))
    assert then.version == 2
    with pytest.raises(AgendaChanged):
        async with world.connection.transaction():
            await put_on_agenda(world.connection, ANN, planned.item_no, [Listed(number, "late")], NOW)


# ------------------------------------------------------------------ versions


async def test_a_change_is_a_new_version_and_both_are_known_as_they_were(world: World) -> None:
    number = await person(world)
    (first,) = await entered(world, Draft(NOTE, number, Note(text="seen at home"), occurred_ms=NOW))
    (second,) = await entered(world, following(first, content=Note(text="seen at work")), at=NOW + 1000)
    assert (second.item_no, second.version) == (first.item_no, 2)
    for known_ms, text in (
        (NOW, "seen at home"),
        (NOW + 999, "seen at home"),
        (NOW + 1000, "seen at work"),
        (None, "seen at work"),
    ):
        (note,) = await load(world.connection, [number], [NOTE], known_ms)
        assert isinstance(note.content, Note)
        assert note.content.text == text
    assert await load(world.connection, [number], [NOTE], NOW - 1) == []


async def test_what_says_nothing_new_is_no_version(world: World) -> None:
    (first,) = await entered(world, Draft(NOTE, 1, Note(text="x"), occurred_ms=NOW))
    assert await entered(world, following(first)) == [first]
    assert await world.count("iom_entries") == 1


async def test_who_is_second_is_told(world: World) -> None:
    (first,) = await entered(world, Draft(TASK, 1, Task(title="call"), "NEW"))
    await entered(world, following(first, state="ACCEPTED"))
    with pytest.raises(SomebodyWasFaster):
        await entered(world, following(first, state="CANCELLED"))


async def test_a_version_of_another_noun_or_person_does_not_follow(world: World) -> None:
    (first,) = await entered(world, Draft(TASK, 1, Task(title="call"), "NEW"))
    with pytest.raises(asyncpg.CheckViolationError):
        await entered(world, following(first, wearer_no=2, state="ACCEPTED"))


async def test_entries_are_read_in_the_order_in_which_they_were_committed(world: World) -> None:
    other = await connect(world.dsn)
    try:
        async with world.connection.transaction():
            await enter(world.connection, ANN, [Draft(NOTE, 1, Note(text="a"), occurred_ms=NOW)], NOW)
            await other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await enter(other, ANN, [Draft(NOTE, 1, Note(text="b"), occurred_ms=NOW)], NOW)
    finally:
        await other.close()
    found = await entries_after(world.connection, 0, 10)
    assert [entry.content for entry in found] == [Note(text="a")]
    assert await entries_after(world.connection, found[-1].entry_no, 10) == []


async def test_a_status_is_bitemporal(world: World) -> None:
    """On Tuesday it was recorded that the person had been in custody since Monday."""
    community, remand = Status(status=StatusKind.COMMUNITY), Status(status=StatusKind.REMAND, place="HMP Somewhere")
    await entered(world, *status_drafts([], 1, community, NOW - 10 * DAY), at=NOW - 10 * DAY)
    there = await load(world.connection, [1], [STATUS])
    await entered(world, *status_drafts(there, 1, remand, NOW - DAY), at=NOW)
    for known_ms, at_ms, expected in (
        (NOW, NOW - 2 * DAY, community),
        (NOW, NOW - DAY, remand),
        (NOW, NOW, remand),
        (NOW - 1, NOW - 1, community),  # nobody knew it then
    ):
        found = status_at(await load(world.connection, [1], [STATUS], known_ms), at_ms)
        assert found is not None
        assert found.content == expected
    assert status_drafts(await load(world.connection, [1], [STATUS]), 1, remand, NOW) == []


async def test_two_statuses_at_one_time_are_refused(world: World) -> None:
    await entered(world, Draft(STATUS, 1, Status(status=StatusKind.REMAND), "STATED", Span(NOW)))
    with pytest.raises(Overlaps, match="two status entries"):
        await entered(world, Draft(STATUS, 1, Status(status=StatusKind.WANTED), "STATED", Span(NOW + 1)))


# ------------------------------------------------------------------ people and memberships


async def test_a_person_without_a_tag_is_normal(world: World) -> None:
    number = await person(
        world, "IOM-77", name="Jo Example", identifiers=[identifier(Scheme.PNC, "12/394773H", 2026)]
    )
    row = await world.connection.fetchrow("SELECT wearer_id, name FROM people WHERE wearer_no = $1", number)
    assert row is not None
    assert tuple(row) == ("IOM-77", "Jo Example")
    assert await people_with(world.connection, [identifier(Scheme.PNC, "2012/0394773H", 2026)]) == [number]
    assert await people_with(world.connection, [identifier(Scheme.PNC, "DEMO/1", 2026)]) == []
    assert (
        await world.connection.fetchval("SELECT count(*) FROM activation_versions WHERE wearer_no = $1", number) == 0
    )
    with pytest.raises(UnfitPerson, match="on record already"):
        await person(world, "IOM-77")


async def test_a_membership_ends_by_a_panel_and_coming_back_is_a_new_one(world: World) -> None:
    number = await member(world)
    (open_one,) = await load(world.connection, [number], [MEMBERSHIP])
    assert (await load_iom(world.connection, [number]))[number].cohort == "FIXED"
    with pytest.raises(UnfitEntry, match="a panel's decision"):
        await entered(world, following(open_one, state="ENDED", valid=Span(NOW - 100 * DAY, NOW)))
    with pytest.raises(Overlaps, match="two membership entries"):
        await entered(world, Draft(MEMBERSHIP, number, Membership(cohort=Cohort.FLEX), "OPEN", Span(NOW)))
    panel = Membership(
        cohort=Cohort.FIXED, end_reason=EndReason.RISK_REDUCED, panel="March", panel_date=date(2026, 3, 2)
    )
    (ended,) = await entered(
        world, following(open_one, state="ENDED", content=panel, valid=Span(NOW - 100 * DAY, NOW))
    )
    assert (await load_iom(world.connection, [number]))[number].cohort is None, "in no list any more"
    with pytest.raises(NoTransition, match="it has ended"):
        await entered(world, following(ended, state="OPEN", content=Membership(cohort=Cohort.FIXED), valid=Span(NOW)))
    (again,) = await entered(world, Draft(MEMBERSHIP, number, Membership(cohort=Cohort.FREE), "OPEN", Span(NOW)))
    assert again.item_no != ended.item_no
    assert (await load_iom(world.connection, [number]))[number].cohort == "FREE"


async def test_orders_that_still_name_a_cohort_do_not_bring_back_whom_a_panel_removed(world: World) -> None:
    orders = {"wearers": [{"wearer_id": "W1", "iom": {"cohort": "FIXED", "agencies": ["Police"]}}]}
    await world.enter(orders)
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    (membership,) = await load(world.connection, [number], [MEMBERSHIP])
    assert membership.valid is not None
    panel = Membership(cohort=Cohort.FIXED, end_reason=EndReason.MOVED, panel="March", panel_date=date(2026, 3, 2))
    ended = Span(membership.valid.begin_ms, NOW + 1000)
    await entered(world, following(membership, state="ENDED", content=panel, valid=ended), at=NOW + 1000)
    await world.enter(orders)
    assert [entry.state for entry in await load(world.connection, [number], [MEMBERSHIP])] == ["ENDED"]
    assert (await load_iom(world.connection, [number]))[number].cohort is None


async def test_two_records_are_merged_and_unmerged_and_both_histories_stay(world: World) -> None:
    one = await person(world, "P1", ("Police",))
    two = await person(world, "P2", ("Police", "Housing"))
    await entered(world, Draft(NOTE, one, Note(text="of one"), occurred_ms=NOW))
    async with asking(world, "officer", "Housing") as session:
        assert await load(session, [one, two], [NOTE]) == []
        async with world.connection.transaction():
            await merge(world.connection, ANN, two, one, "the same PNC", NOW)
        assert [note.content for note in await load(session, [one, two], [NOTE])] == [Note(text="of one")]
        with pytest.raises(UnfitPerson, match="merged into another already"):
            async with world.connection.transaction():
                await merge(world.connection, ANN, two, one, "again", NOW)
        async with world.connection.transaction():
            await unmerge(world.connection, ANN, two, "twins", NOW)
        assert await load(session, [one, two], [NOTE]) == []
    merges = [entry for entry in await entries_after(world.connection, 0, 50) if entry.noun.name == "merge"]
    assert [entry.state for entry in merges] == ["MERGED", "UNMERGED"]


async def test_a_restriction_of_one_of_two_merged_records_holds_for_both(world: World) -> None:
    one, two = await person(world, "P1"), await person(world, "P2")
    await entered(
        world, Draft(NOTE, one, Note(text="x"), occurred_ms=NOW), Draft(NOTE, two, Note(text="y"), occurred_ms=NOW)
    )
    async with world.connection.transaction():
        await merge(world.connection, ANN, two, one, "the same", NOW)
    await world.connection.execute(
        "INSERT INTO access_limits (wearer_no, kind, accounts, agencies, reason, recorded, entered_by) "
        "VALUES ($1, 'restricted', '{the keeper}', '{}', 'x', tstzrange(now(), NULL), 'Bob')",
        two,
    )
    async with asking(world, "officer", "Police") as session:
        assert await load(session, [one, two]) == []


# ------------------------------------------------------------------ who reads


READERS = [
    # role, agency, account
    ("officer", "Police", "Bob"),
    ("officer", "Children's services", "Cal"),
    ("contact", "Housing", "Dee"),
    ("officer", None, "Eve"),
    ("operator", None, "Fay"),
    ("administrator", None, "Gus"),
    ("officer", "Children's services", "the author"),
    ("auditor", None, "Hal"),
]
NOTES = {
    "all": (Visibility.ALL, ()),
    "own": (Visibility.OWN, ()),
    "named agency": (Visibility.NAMED, ("Housing",)),
    "named account": (Visibility.NAMED, ("Eve",)),
    "intelligence": (Visibility.POLICE_INTEL, ()),
}


@pytest.mark.parametrize(("role", "agency", "account"), READERS)
async def test_a_note_is_read_by_those_it_is_for_and_staff_of_the_centre_are_no_exception(
    world: World, role: str, agency: str | None, account: str
) -> None:
    number = await person(world, agencies=("Police", "Children's services", "Housing"))
    author = Author("the author", "Children's services")
    await entered(
        world,
        *(
            Draft(NOTE, number, Note(text=text), occurred_ms=NOW, visibility=visibility, named=named)
            for text, (visibility, named) in NOTES.items()
        ),
        author=author,
    )
    expected = {
        "all": role != "auditor",
        "own": agency == "Children's services",
        "named agency": agency == "Housing" or account == "the author",
        "named account": account in ("Eve", "the author"),
        "intelligence": agency == "Police" or account == "the author",
    }
    async with asking(world, role, agency, account) as session:
        read = {note.content.text for note in await load(session, [number], [NOTE]) if isinstance(note.content, Note)}
        assert read == {text for text, may in expected.items() if may}
        feed = {e.content.text for e in await entries_after(session, 0, 100) if isinstance(e.content, Note)}
        assert feed == read, "the feed shows no more"


async def test_a_note_that_was_for_everybody_by_mistake_is_not_shown_as_it_was(world: World) -> None:
    number = await person(world, agencies=("Police", "Housing"))
    (note,) = await entered(world, Draft(NOTE, number, Note(text="too much"), occurred_ms=NOW))
    async with asking(world, "officer", "Housing") as session:
        assert len(await load(session, [number], [NOTE])) == 1
        await entered(world, following(note, visibility=Visibility.OWN))
        assert await load(session, [number], [NOTE]) == []
        assert [e for e in await entries_after(session, 0, 100) if e.noun is NOTE] == []
    async with asking(world, "officer", "Police") as session:
        assert len(await load(session, [number], [NOTE])) == 1


async def test_a_note_that_was_narrowed_and_opened_again_is_read_as_it_is_now(world: World) -> None:
    number = await person(world, agencies=("Police", "Housing"))
    (note,) = await entered(world, Draft(NOTE, number, Note(text="too much"), occurred_ms=NOW))
    (note,) = await entered(world, following(note, visibility=Visibility.OWN))
    (note,) = await entered(world, following(note, visibility=Visibility.ALL, content=Note(text="opened")))
    async with asking(world, "officer", "Housing") as session:
        told = [note.content for note in await load(session, [number], [NOTE])]
        assert told == [Note(text="opened")]
        assert len(await versions_of_item(session, note.item_no)) == 1, "what it was before stays hidden"


async def test_nobody_enters_in_the_name_of_another_or_for_another_agency(world: World) -> None:
    number = await person(world, agencies=("Police", "Housing"))
    draft = Draft(NOTE, number, Note(text="x"), occurred_ms=NOW)
    async with asking(world, "officer", "Housing", "Dee") as session:
        for author in (Author("Ann", "Housing"), Author("Dee", "Police"), Author("Dee", None)):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await enter(session, author, [draft], NOW)
        await enter(session, Author("Dee", "Housing"), [draft], NOW)


async def test_an_officer_of_an_agency_enters_somebody_new_and_shares_them_with_it(world: World) -> None:
    bob = Author("Bob", "Housing")
    async with asking(world, "officer", "Housing") as session:
        with pytest.raises(UnfitPerson, match="name it among the agencies"):
            async with session.transaction():
                await add_person(session, bob, "N1", Person(agencies=["Police"]), NOW)
        async with session.transaction():
            entry = await add_person(session, bob, "N1", Person(name="New", agencies=["Housing"]), NOW)
        assert [e.item_no for e in await load(session, [entry.wearer_no or 0], [PERSON])] == [entry.item_no]
        with pytest.raises(UnfitPerson, match="not shared with Housing"):
            async with session.transaction():
                await add_person(session, bob, "W1", Person(agencies=["Housing"]), NOW)


# ------------------------------------------------------------------ grades


async def proposals(world: World, number: int) -> list[tuple[str, str | None]]:
    found = await load(world.connection, [number], [PROPOSAL])
    return [(str(e.content.grade), e.state) for e in found if isinstance(e.content, Proposal)]


async def proposed(world: World, at: int = NOW) -> int:
    async with world.connection.transaction():
        return await propose(world.connection, None, at)


async def graded(
    world: World, number: int, grade: RagGrade, why: str | None = None, at: int = NOW, **more: Any
) -> Entry:
    async with world.connection.transaction():
        return await give_grade(world.connection, ANN, number, Answer(grade, why, **more), at)


async def test_the_rules_propose_and_a_person_decides(world: World) -> None:
    number = await member(world)
    await graded(world, number, RagGrade.AMBER, "selection")
    await entered(world, signal(number, SignalKind.EXCLUSION, 0.1, 7))
    await proposed(world)
    assert await proposed(world) == 0, "once"
    assert await proposals(world, number) == [("RED", "OPEN")]
    assert (await load_iom(world.connection, [number]))[number].rag == "AMBER", "no machine changes a grade"
    (open_one,) = await load(world.connection, [number], [PROPOSAL])
    entry = await graded(world, number, RagGrade.RED, proposal=open_one.item_no)
    assert (await load_iom(world.connection, [number]))[number].rag == "RED"
    assert entry.due_ms == NOW + 7 * DAY
    assert (await load_iom(world.connection, [number]))[number].grades[
        0
    ].reason == "Entered an exclusion zone in the last 7 days"
    assert await proposals(world, number) == [("RED", "ACCEPTED")]


async def test_a_withdrawn_signal_takes_back_its_proposal_and_both_stay_to_be_seen(world: World) -> None:
    number = await member(world)
    await graded(world, number, RagGrade.GREEN, "selection")
    (exclusion,) = await entered(world, signal(number, SignalKind.EXCLUSION))
    await proposed(world)
    await entered(world, following(exclusion, state="WITHDRAWN"))
    await proposed(world)
    assert await proposals(world, number) == [("RED", "WITHDRAWN")]
    versions = await entries_after(world.connection, 0, 100)
    assert [e.state for e in versions if e.noun is SIGNAL] == ["LIVE", "WITHDRAWN"]


async def test_who_decides_against_a_proposal_is_not_asked_again_until_something_new_speaks_for_it(
    world: World,
) -> None:
    number = await member(world)
    await graded(world, number, RagGrade.GREEN, "selection")
    await entered(world, signal(number, SignalKind.EXCLUSION))
    await proposed(world)
    (open_one,) = await load(world.connection, [number], [PROPOSAL])
    async with world.connection.transaction():
        with pytest.raises(UnfitGrade, match="say why"):
            await decide_against(world.connection, ANN, open_one.item_no, " ", NOW)
        await decide_against(world.connection, ANN, open_one.item_no, "the zone was moved", NOW)
    assert await proposed(world) == 0
    await entered(world, signal(number, SignalKind.ARREST))
    await proposed(world)
    assert await proposals(world, number) == [("RED", "DECIDED_AGAINST"), ("RED", "OPEN")]


async def test_down_goes_at_a_review_after_its_days_or_earlier_with_a_reason(world: World) -> None:
    number = await member(world)
    await graded(world, number, RagGrade.RED, "selection", at=NOW - 13 * DAY)
    with pytest.raises(UnfitGrade, match="goes down one step at a review"):
        await graded(world, number, RagGrade.AMBER, at_review=True)
    await graded(world, number, RagGrade.RED, "nothing new", at=NOW - 6 * DAY, at_review=True)
    entry = await graded(world, number, RagGrade.AMBER, at=NOW + DAY, at_review=True)
    assert entry.due_ms == NOW + 15 * DAY, "a review does not begin the days anew"
    early = await graded(world, number, RagGrade.GREEN, "the flag was an error", at=NOW + 2 * DAY)
    assert (await load_iom(world.connection, [number]))[number].rag == "GREEN"
    assert early.due_ms == NOW + 30 * DAY


async def test_a_grade_that_is_given_by_hand_says_why_and_one_in_custody_is_reviewed_after_ninety_days(
    world: World,
) -> None:
    number = await member(world)
    with pytest.raises(UnfitGrade, match="say why"):
        await graded(world, number, RagGrade.RED)
    await entered(world, *status_drafts([], number, Status(status=StatusKind.SENTENCED), NOW - DAY))
    assert (await graded(world, number, RagGrade.RED, "x")).due_ms == NOW + 90 * DAY


async def test_a_proposal_that_nobody_answers_in_a_day_becomes_one_task(world: World) -> None:
    number = await member(world)
    await graded(world, number, RagGrade.GREEN, "selection")
    await entered(world, signal(number, SignalKind.EXCLUSION))
    await proposed(world)
    for at, expected in ((NOW + DAY - 1, 0), (NOW + DAY, 1), (NOW + 2 * DAY, 0)):
        async with world.connection.transaction():
            assert await raise_unanswered(world.connection, 100, at) == expected
    (task,) = await load(world.connection, [number], [TASK])
    assert isinstance(task.content, Task)
    assert task.content.title == "Answer the proposal of RED: Entered an exclusion zone in the last 7 days"


async def test_a_proposal_that_rests_on_intelligence_is_for_those_who_may_read_it(world: World) -> None:
    number = await member(world, agencies=("Police", "Housing"))
    await graded(world, number, RagGrade.GREEN, "selection")
    await entered(world, signal(number, SignalKind.INTELLIGENCE, visibility=Visibility.POLICE_INTEL))
    await proposed(world)
    async with asking(world, "officer", "Housing") as session:
        assert await load(session, [number], [PROPOSAL, SIGNAL]) == []
    async with asking(world, "officer", "Police") as session:
        assert len(await load(session, [number], [PROPOSAL, SIGNAL])) == 2


HEALTH, POLICE, BOTH = ("Health",), ("Police",), ("Health", "Police")
NAMED, INTEL, ALL = Visibility.NAMED, Visibility.POLICE_INTEL, Visibility.ALL


@pytest.mark.parametrize(
    ("arrest", "intelligence", "readers"),
    [
        ((NAMED, BOTH), (INTEL, ()), (NAMED, POLICE)),
        ((NAMED, BOTH), (NAMED, HEALTH), (NAMED, HEALTH)),
        ((INTEL, ()), (INTEL, ()), (INTEL, ())),
        ((NAMED, HEALTH), (NAMED, POLICE), (NAMED, HEALTH)),
        ((NAMED, HEALTH), (INTEL, ()), (NAMED, HEALTH)),
        ((ALL, ()), (NAMED, ("Ann",)), (NAMED, ("Ann",))),
    ],
)
async def test_a_proposal_is_for_those_who_may_read_all_that_it_tells(
    world: World, arrest: Any, intelligence: Any, readers: Any
) -> None:
    number = await member(world, agencies=("Police", "Health"))
    await entered(
        world,
        signal(number, SignalKind.ARREST, visibility=arrest[0], named=arrest[1]),
        signal(number, SignalKind.INTELLIGENCE, visibility=intelligence[0], named=intelligence[1]),
    )
    await proposed(world)
    assert await proposed(world) == 0
    (proposal,) = await load(world.connection, [number], [PROPOSAL])
    assert (proposal.visibility, proposal.named) == readers
    used = proposal.content.signals if isinstance(proposal.content, Proposal) else []
    told = [e for e in await load(world.connection, [number], [SIGNAL]) if e.item_no in used]
    assert told
    for agency in ("Police", "Health"):
        async with asking(world, "officer", agency) as session:
            if await load(session, [number], [PROPOSAL]):
                assert {e.item_no for e in await load(session, [number], [SIGNAL])} >= set(used), agency


async def test_signals_of_a_merged_record_count_for_the_person(world: World) -> None:
    one, two = await member(world, "P1"), await person(world, "P2")
    await graded(world, one, RagGrade.GREEN, "selection")
    await entered(world, signal(two, SignalKind.EXCLUSION))
    await proposed(world)
    assert await proposals(world, one) == []
    async with world.connection.transaction():
        await merge(world.connection, ANN, two, one, "the same", NOW)
    await proposed(world)
    assert await proposals(world, one) == [("RED", "OPEN")]


async def test_contacts_are_entered_with_the_code_of_their_system(world: World) -> None:
    (entry,) = await entered(
        world,
        Draft(
            CONTACT,
            1,
            Contact(kind="curfew violation", code="C145"),
            "RECORDED",
            occurred_ms=NOW,
            system="delius",
            record="7",
        ),
    )
    assert (entry.system, entry.record) == ("delius", "7")
