"""Tasks as people work them: who may do what to one, and what it needs.

Whoever keeps the record enters a task for any agency. It is accepted, rejected and done by that agency, by its owner or by the
programme itself; it is cancelled by whoever entered it, too. What is for nobody in particular is anybody's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.iom.entries import (
    Author,
    Draft,
    Entry,
    SomebodyWasFaster,
    enter,
    following,
    records_of_person,
    take_turn,
    versions_of_item,
)
from emtrack.iom.notes import Visibility
from emtrack.iom.tasks import OPEN, TASK, Origin, Task

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

LONGEST_TITLE: Final = 300
SHARED_WITH = """
SELECT DISTINCT agency FROM iom_versions, unnest(agencies || lead_agency) AS t (agency)
WHERE upper_inf(recorded) AND wearer_no = ANY($1::bigint[]) AND agency IS NOT NULL ORDER BY agency
"""


class Move(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    DONE = "done"
    CANCEL = "cancel"


STATE_OF: Final = {Move.ACCEPT: "ACCEPTED", Move.REJECT: "REJECTED", Move.DONE: "DONE", Move.CANCEL: "CANCELLED"}
MOVES: Final = {"NEW": (Move.ACCEPT, Move.REJECT, Move.CANCEL), "ACCEPTED": (Move.DONE, Move.REJECT, Move.CANCEL)}
"""What may be done to one that is open."""
WORDS_NEEDED: Final = {
    Move.REJECT: "say why the task is rejected; who entered it is shown the reason",
    Move.DONE: "say what was done, and where that can be seen",
    Move.CANCEL: "say why the task is not needed any more",
}


class UnfitTask(MendableError, ValueError):
    """A task that cannot be entered so, or to which this cannot be done."""

    exit_code = 2


class NewTask(NamedTuple):
    """`agency` None: of whoever leads, or the programme."""

    title: str
    due_ms: int
    agency: str | None = None
    owner: str | None = None
    origin: Origin = Origin.BY_HAND
    origin_no: int | None = None
    visibility: Visibility = Visibility.ALL
    named: tuple[str, ...] = ()


async def agencies_of(connection: Connection, wearer_no: int) -> list[str]:
    """Those with whom a person is shared: who may be given a task."""
    rows = await connection.fetch(SHARED_WITH, await records_of_person(connection, wearer_no))
    return [row["agency"] for row in rows]


async def enter_task(connection: Connection, author: Author, wearer_no: int, new: NewTask, now_ms: int) -> Entry:
    """Inside the caller's transaction. Raises UnfitTask."""
    if new.agency is not None and new.agency not in await agencies_of(connection, wearer_no):
        raise UnfitTask(f"{new.agency} could not see the task: the record of this person is not shared with it")
    if not new.title or len(new.title) > LONGEST_TITLE:
        raise UnfitTask(f"say what is to be done, in at most {LONGEST_TITLE} characters")
    if new.due_ms <= now_ms:
        raise UnfitTask("a task is due in the future")
    content = Task(
        title=new.title, for_agency=new.agency, owner=new.owner, origin=new.origin, origin_no=new.origin_no
    )
    draft = Draft(
        TASK, wearer_no, content, "NEW", due_ms=new.due_ms, visibility=new.visibility, named=new.named
    )  # fmt: skip
    return (await enter(connection, author, [draft], now_ms))[0]


async def move_task(
    connection: Connection, author: Author, item_no: int, move: Move, words: str | None, now_ms: int
) -> Entry:
    """Inside the caller's transaction: the task as it then stands. Raises UnfitTask or SomebodyWasFaster."""
    await take_turn(connection)
    versions = await versions_of_item(connection, item_no)
    entry = versions[-1] if versions else None
    if entry is None or not isinstance(entry.content, Task):
        raise UnfitTask(f"there is no task {item_no}")
    if entry.state not in OPEN or move not in MOVES[entry.state]:
        raise SomebodyWasFaster(f"the task is {str(entry.state).lower()} by now; nothing was changed")
    if move not in moves_of(author, versions):
        raise UnfitTask(f"the task is for {entry.content.for_agency or 'others'}: it is theirs to {move}")
    if move in WORDS_NEEDED and not words:
        raise UnfitTask(WORDS_NEEDED[move])
    draft = following(entry, content=_content(entry.content, author, move, words), state=STATE_OF[move])
    return (await enter(connection, author, [draft], now_ms))[0]


def _content(task: Task, author: Author, move: Move, words: str | None) -> Task:
    match move:
        case Move.ACCEPT:
            return msgspec.structs.replace(task, owner=author.name)
        case Move.DONE:
            return msgspec.structs.replace(task, evidence=words)
        case Move.REJECT | Move.CANCEL:
            return msgspec.structs.replace(task, reason=words)


def moves_of(author: Author, versions: list[Entry]) -> list[Move]:
    """What somebody may do to a task, of which all versions are given."""
    entry = versions[-1]
    task = entry.content
    assert isinstance(task, Task), "the caller has a task"
    is_theirs = author.agency is None or task.for_agency in (None, author.agency) or task.owner == author.name
    entered_it = versions[0].recorded_by == author.name or versions[0].agency in (None, author.agency)
    return [
        move
        for move in MOVES.get(entry.state or "", ())
        if is_theirs or (move is Move.CANCEL and entered_it and versions[0].recorded_by != "the service")
    ]
