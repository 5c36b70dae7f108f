"""Proposals and grades in the record: what the rules say of the live signals becomes a proposal; a person answers it, or gives a
grade.

A person's records that are merged count as one. Nobody but a person changes a grade: the service only proposes, takes back what it
proposed when the signals that it rested on are gone, and makes a task of what nobody answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.forms.iom import RagGrade
from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Author, Draft, Entry, enter, entry_of, following, load, records_of_person, take_turn
from emtrack.iom.grades import DAY_MS, GRADE, ORDER, Grade, Held, is_down, may_go_down
from emtrack.iom.notes import Visibility
from emtrack.iom.programme_settings import InForce, ProgrammeSettings, load_settings
from emtrack.iom.proposals import PROPOSAL, Proposal
from emtrack.iom.rules import Advice, Live, advice, review_due, what_fires
from emtrack.iom.signals import SignalKind
from emtrack.iom.standing import status_at
from emtrack.iom.statuses import CUSTODY, STATUS, Status
from emtrack.iom.tasks import TASK, Origin, Task
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

HOUR_MS: Final = 3_600_000
SERVICE: Final = Author("the service")
OURS: Final = "emtrack"

# Members of the programme, each with the record under which they are read.
MEMBERS = """
SELECT m.wearer_no, coalesce(g.group_no, m.wearer_no) AS main_no, m.content ->> 'lead_agency' AS lead_agency
FROM iom_now m LEFT JOIN merged_people() g USING (wearer_no)
WHERE m.noun = 'membership' AND m.state = 'OPEN' AND ($1::bigint[] IS NULL OR m.wearer_no = ANY($1) OR g.group_no = ANY($1))
"""
GROUPS = """
SELECT p.wearer_no AS main_no, coalesce(g.wearer_no, p.wearer_no) AS wearer_no
FROM unnest($1::bigint[]) AS p (wearer_no)
LEFT JOIN merged_people() mine ON mine.wearer_no = p.wearer_no LEFT JOIN merged_people() g ON g.group_no = mine.group_no
"""
# Signals that are live, of some records.
SIGNALS = """
SELECT wearer_no, item_no, content ->> 'kind' AS kind, epoch_ms(occurred_at) AS occurred_ms, epoch_ms(due_at) AS expires_ms,
       visibility, named, agency, recorded_by
FROM (SELECT * FROM iom_now WHERE noun = 'signal' AND due_at > $2
      UNION ALL SELECT * FROM iom_now WHERE noun = 'signal' AND due_at IS NULL) s
WHERE state = 'LIVE' AND wearer_no = ANY($1::bigint[])
"""
# The grade that holds, and since when it was that one without a break; null where nobody recorded it.
HELD = """
SELECT p.wearer_no, g.grade, CASE WHEN isfinite(s.since) THEN epoch_ms(s.since) END AS since_ms
FROM unnest($1::bigint[]) AS p (wearer_no)
CROSS JOIN LATERAL (SELECT grade FROM rag_grades WHERE wearer_no = p.wearer_no ORDER BY since DESC LIMIT 1) g
CROSS JOIN LATERAL (
    SELECT min(r.since) AS since FROM rag_grades r WHERE r.wearer_no = p.wearer_no AND NOT EXISTS (
        SELECT FROM rag_grades o WHERE o.wearer_no = r.wearer_no AND o.grade <> g.grade AND o.since >= r.since)) s
"""
NEWEST_SINCE = "SELECT max(since) FILTER (WHERE isfinite(since)) FROM rag_grades WHERE wearer_no = $1"
# The newest proposal of each person, whatever became of it.
PROPOSALS = f"""
SELECT * FROM (
    SELECT DISTINCT ON (wearer_no) {ENTRY} FROM iom_now
    WHERE noun = 'proposal' AND wearer_no = ANY($1::bigint[]) ORDER BY wearer_no, item_no DESC) p
"""  # noqa: S608  a constant made of constants
UNANSWERED = f"""
SELECT {ENTRY} FROM iom_now p WHERE noun = 'proposal' AND state = 'OPEN' AND due_at <= $1 AND NOT EXISTS (
    SELECT FROM iom_entries t WHERE t.noun = 'task' AND t.system = 'emtrack' AND t.record = 'proposal ' || p.item_no)
ORDER BY due_at LIMIT $2
"""  # noqa: S608
ONE = f"""
SELECT {ENTRY} FROM iom_now WHERE item_no = $1
"""  # noqa: S608


Readers = tuple[Visibility, tuple[str, ...]]
"""For whom an item is: its visibility, with who is named."""


class UnfitGrade(MendableError, ValueError):
    """A grade that may not be given so, or a proposal that cannot be answered so."""

    exit_code = 2


class Member(NamedTuple):
    """Somebody in the programme. `main_no`: the record under which they are read."""

    main_no: int
    lead_agency: str | None


class Seen(NamedTuple):
    """A live signal with who may read it."""

    live: Live
    visibility: Visibility
    named: tuple[str, ...]


async def members_now(connection: Connection) -> list[int]:
    """The records of everybody in the programme."""
    return sorted({row["main_no"] for row in await connection.fetch(MEMBERS, None)})


async def propose(connection: Connection, people: Sequence[int] | None, now_ms: int) -> int:
    """What the rules say of members of the programme (None: of all) becomes proposals, inside the caller's transaction; how many were
    made, superseded or withdrawn."""
    await take_turn(connection)
    rows = await connection.fetch(MEMBERS, None if people is None else list(people))
    members = {row["main_no"]: Member(row["main_no"], row["lead_agency"]) for row in rows}
    if not members:
        return 0
    force = await load_settings(connection)
    signals = await live_signals(connection, list(members), now_ms)
    held = await held_grades(connection, list(members))
    last = {
        entry.wearer_no: entry
        for entry in (entry_of(row) for row in await connection.fetch(PROPOSALS, list(members)))
    }
    drafts = [
        draft
        for main_no in members
        for draft in _drafts(main_no, signals.get(main_no, []), held.get(main_no), last.get(main_no), force, now_ms)
    ]
    await enter(connection, SERVICE, drafts, now_ms)
    return len(drafts)


def _drafts(
    main_no: int, seen: Sequence[Seen], held: Held | None, last: Entry | None, force: InForce, now_ms: int
) -> list[Draft]:
    settings = force.settings
    found = _readable(seen, held, settings, now_ms)
    is_open = last is not None and last.state == "OPEN"
    if found is None:
        return (
            [_ended(last, "WITHDRAWN", "the signals that it rested on are no longer live")]
            if last and is_open
            else []
        )
    said, (visibility, named) = found
    content = _content(said, held, force.version)
    if last is not None and _is_same(last, content):
        return []
    due_ms = now_ms + settings.answer_hours * HOUR_MS
    made = Draft(PROPOSAL, main_no, content, "OPEN", due_ms=due_ms, visibility=visibility, named=named)
    ended = [_ended(last, "SUPERSEDED", "the rules say something else by now")] if last and is_open else []
    return [*ended, made]


def _content(said: Advice, held: Held | None, version: int) -> Proposal:
    return Proposal(
        grade=said.grade,
        grade_before=None if held is None else held.grade,
        rules=[one.rule.code for one in said.fired],
        signals=sorted({live.item_no for one in said.fired for live in one.signals}),
        rules_version=version,
        because=said.because,
    )


def _is_same(last: Entry, content: Proposal) -> bool:
    """Whether a proposal stands already, or somebody decided against it, and nothing new speaks for it."""
    before = last.content
    assert isinstance(before, Proposal), "the statement asked for proposals"
    if before.grade != content.grade or before.grade_before != content.grade_before:
        return False
    if last.state == "OPEN":
        return (before.rules, before.signals) == (content.rules, content.signals)
    return last.state == "DECIDED_AGAINST" and set(content.signals) <= set(before.signals)


def _ended(last: Entry, state: str, why: str) -> Draft:
    content = last.content
    assert isinstance(content, Proposal), "the caller has one"
    return following(last, state=state, content=msgspec.structs.replace(content, decided_why=why), due_ms=None)


def _readable(
    seen: Sequence[Seen], held: Held | None, settings: ProgrammeSettings, now_ms: int
) -> tuple[Advice, Readers] | None:
    """What the rules say, with who may read it. Where nobody may read all that it rests on, it rests on less: on what the same people
    may read and for which the highest grade follows, and it tells of nothing else."""

    def said_of(some: Sequence[Seen]) -> Advice | None:
        return advice(settings.rules, [one.live for one in some], held, dict(settings.least_days), now_ms)

    police = frozenset(settings.police_agencies)
    whole = said_of(seen)
    if whole is None:
        return None
    if (readers := _for_whom(whole, seen, police)) is not None:
        return whole, readers
    found = [
        (said, readers)
        for some in _read_together(seen)
        if (said := said_of(some)) is not None and (readers := _for_whom(said, some, police)) is not None
        if said.fired or said.grade == whole.grade  # that less is known is no reason to go down
    ]
    return max(found, key=lambda one: ORDER.index(one[0].grade), default=None)


def _read_together(seen: Sequence[Seen]) -> list[list[Seen]]:
    """What everybody reads; then the same with what each group of readers does."""
    groups = sorted({(str(one.visibility), one.named) for one in seen if one.visibility is not Visibility.ALL})
    everybody = (str(Visibility.ALL), ())
    return [
        [one for one in seen if one.visibility is Visibility.ALL or (str(one.visibility), one.named) == group]
        for group in (everybody, *groups)
    ]


def _for_whom(said: Advice, seen: Sequence[Seen], police: frozenset[str]) -> Readers | None:
    """Who may read everything that a proposal rests on; None: nobody, as far as names say."""
    used = {live.item_no for one in said.fired for live in one.signals}
    narrow = [one for one in seen if one.live.item_no in used and one.visibility is not Visibility.ALL]
    if not narrow:
        return Visibility.ALL, ()
    named = [set(one.named) for one in narrow if one.visibility is Visibility.NAMED]
    if not named:
        return Visibility.POLICE_INTEL, ()
    if len(named) < len(narrow):
        named.append(set(police))  # of an account that is named nothing says here whether it is of the police
    both = set.intersection(*named)
    return (Visibility.NAMED, tuple(sorted(both))) if both else None


async def live_signals(connection: Connection, main_nos: Sequence[int], now_ms: int) -> dict[int, list[Seen]]:
    """By the record under which a person is read: signals of all records of the person."""
    groups = {row["wearer_no"]: row["main_no"] for row in await connection.fetch(GROUPS, list(main_nos))}
    found: dict[int, list[Seen]] = {}
    for row in await connection.fetch(SIGNALS, list(groups), datetime_of(now_ms)):
        visibility = Visibility(row["visibility"])
        live = Live(
            row["item_no"],
            SignalKind(row["kind"]),
            row["occurred_ms"],
            row["expires_ms"],
            visibility is not Visibility.ALL,
        )
        named = tuple(row["named"]) if visibility is Visibility.NAMED else _own(row["agency"], row["recorded_by"])
        kept = Visibility.NAMED if visibility is Visibility.OWN else visibility
        found.setdefault(groups[row["wearer_no"]], []).append(Seen(live, kept, named))
    return found


def _own(agency: str | None, recorded_by: str) -> tuple[str, ...]:
    return (recorded_by,) if agency is None else (agency,)


async def held_grades(connection: Connection, wearer_nos: Sequence[int]) -> dict[int, Held]:
    rows = await connection.fetch(HELD, list(wearer_nos))
    return {row["wearer_no"]: Held(RagGrade(row["grade"]), row["since_ms"]) for row in rows}


async def raise_unanswered(connection: Connection, most: int, now_ms: int) -> int:
    """Proposals that nobody answered in time become tasks of whoever leads, once each, inside the caller's transaction."""
    rows = await connection.fetch(UNANSWERED, datetime_of(now_ms), most)
    entries = [entry_of(row) for row in rows]
    leads = await _leads(connection, [entry.wearer_no for entry in entries if entry.wearer_no is not None])
    await enter(connection, SERVICE, [_task(entry, leads, now_ms) for entry in entries], now_ms)
    return len(entries)


async def _leads(connection: Connection, people: list[int]) -> Mapping[int, str | None]:
    return {row["wearer_no"]: row["lead_agency"] for row in await connection.fetch(MEMBERS, people)}


def _task(entry: Entry, leads: Mapping[int, str | None], now_ms: int) -> Draft:
    content = entry.content
    assert isinstance(content, Proposal), "the statement asked for proposals"
    assert entry.wearer_no is not None, "a proposal is of a person"
    task = Task(
        title=f"Answer the proposal of {content.grade}: {content.because}",
        for_agency=leads.get(entry.wearer_no),
        origin=Origin.PROPOSAL,
        origin_no=entry.item_no,
    )
    return Draft(
        TASK, entry.wearer_no, task, "NEW", due_ms=now_ms + DAY_MS, system=OURS, record=f"proposal {entry.item_no}",
        visibility=entry.visibility, named=entry.named,
    )  # fmt: skip


class Answer(NamedTuple):
    """A grade that a person gives. `why`: needed where it does not follow from a proposal or from the rules. `proposal`: the item it
    answers. `at_review`: it is decided at one."""

    grade: RagGrade
    why: str | None = None
    proposal: int | None = None
    at_review: bool = False


async def give_grade(connection: Connection, author: Author, wearer_no: int, answer: Answer, now_ms: int) -> Entry:
    """Inside the caller's transaction: the grade with its next review; an open proposal is accepted by it, or decided against. Raises
    UnfitGrade."""
    await take_turn(connection)
    force = await load_settings(connection)
    settings = force.settings
    held = (await held_grades(connection, [wearer_no])).get(wearer_no)
    proposal = await _open_proposal(connection, wearer_no, answer)
    signals = [one.live for one in (await live_signals(connection, [wearer_no], now_ms)).get(wearer_no, [])]
    reason = answer.why or (_words_of(proposal) if proposal and _accepts(proposal, answer) else None)
    if held is not None and is_down(held.grade, answer.grade):
        found = what_fires(settings.rules, signals, now_ms)
        live = found[0].rule.grade if found else RagGrade.GREEN
        allowed = may_go_down(held, live, dict(settings.least_days), now_ms)
        if not (allowed == answer.grade and (answer.at_review or proposal is not None)) and answer.why is None:
            days = settings.least_days[held.grade]
            raise UnfitGrade(
                f"{held.grade} goes down one step at a review, when it was held for {days} days and no signal of it is live; "
                "earlier, or by more, with a reason"
            )
    if reason is None and not answer.at_review:
        raise UnfitGrade("say why the grade is given; it is shown beside it")
    custody_days = settings.custody_review_days if await _is_in_custody(connection, wearer_no, now_ms) else None
    newest_at = await connection.fetchval(NEWEST_SINCE, wearer_no)
    since_ms = now_ms if newest_at is None else max(now_ms, instant_of(newest_at) + 1)  # one at an instant
    content = Grade(
        grade=answer.grade, reason=reason, graded_by=author.name, proposal=answer.proposal, at_review=answer.at_review
    )
    due_ms = review_due(answer.grade, dict(settings.review_days), custody_days, now_ms)
    (entry,) = await enter(
        connection, author, [Draft(GRADE, wearer_no, content, occurred_ms=since_ms, due_ms=due_ms)], now_ms
    )
    if proposal is not None:
        state = "ACCEPTED" if _accepts(proposal, answer) else "DECIDED_AGAINST"
        await _close(connection, author, proposal, state, reason, entry.item_no, now_ms)
    return entry


async def decide_against(connection: Connection, author: Author, item_no: int, why: str, now_ms: int) -> Entry:
    """The grade that is held stays, for a reason. Inside the
    caller's transaction. Raises UnfitGrade."""
    await take_turn(connection)
    proposal = await open_proposal(connection, item_no)
    if not why.strip():
        raise UnfitGrade("say why you decide against the proposal; both are kept")
    return await _close(connection, author, proposal, "DECIDED_AGAINST", why.strip(), None, now_ms)


async def open_proposal(connection: Connection, item_no: int) -> Entry:
    """Raises UnfitGrade."""
    row = await connection.fetchrow(ONE, item_no)
    entry = None if row is None else entry_of(row)
    if entry is None or entry.noun is not PROPOSAL:
        raise UnfitGrade(f"there is no proposal {item_no}")
    if entry.state != "OPEN":
        raise UnfitGrade(f"proposal {item_no} is {str(entry.state).lower().replace('_', ' ')} already")
    return entry


async def _open_proposal(connection: Connection, wearer_no: int, answer: Answer) -> Entry | None:
    """The one that a grade answers: the one that was named, or the one that is open."""
    if answer.proposal is not None:
        entry = await open_proposal(connection, answer.proposal)
        if entry.wearer_no not in await records_of_person(connection, wearer_no):
            raise UnfitGrade(f"proposal {answer.proposal} is of somebody else")
        return entry
    return next((entry for entry in await load(connection, [wearer_no], [PROPOSAL]) if entry.state == "OPEN"), None)


def _accepts(proposal: Entry, answer: Answer) -> bool:
    return isinstance(proposal.content, Proposal) and proposal.content.grade == answer.grade


def _words_of(proposal: Entry) -> str | None:
    """The reason of a grade is for everybody: what rests on what only some may read is not told there."""
    assert isinstance(proposal.content, Proposal), "the caller has one"
    return proposal.content.because if proposal.visibility is Visibility.ALL else None


async def _close(
    connection: Connection,
    author: Author,
    proposal: Entry,
    state: str,
    why: str | None,
    grade_item: int | None,
    now_ms: int,
) -> Entry:
    assert isinstance(proposal.content, Proposal), "the caller has one"
    content = msgspec.structs.replace(proposal.content, decided_why=why, grade_item=grade_item)
    draft = following(proposal, state=state, content=content, due_ms=None)
    return (await enter(connection, author, [draft], now_ms))[0]


async def _is_in_custody(connection: Connection, wearer_no: int, now_ms: int) -> bool:
    there = await load(connection, await records_of_person(connection, wearer_no), [STATUS])
    entry = status_at(there, now_ms)
    return entry is not None and isinstance(entry.content, Status) and entry.content.status in CUSTODY
